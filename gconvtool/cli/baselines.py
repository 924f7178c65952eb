"""Earlier comparisons as files: what `bench --save-baseline` and `bench --json` write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from gconvtool.cli import console, faces
from gconvtool.cli.amounts import told
from gconvtool.cli.baseline import read_json
from gconvtool.errors import InputError
from gconvtool.files import write

if TYPE_CHECKING:
    from gconvtool.pipeline.baseline import Baseline
    from gconvtool.report.story import Measured
    from gconvtool.results.bench import Timed

T = TypeVar("T")


def read(name: str, mismatch: Literal["warn", "fail"]) -> Baseline:
    """What a new comparison is held against.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    from gconvtool.pipeline.baseline import Baseline
    from gconvtool.report.saved import comparison_of

    found = _read_back("--baseline ", name, comparison_of)
    return Baseline(
        name,
        found.judgement.speedup,
        found.machine,
        found.provider,
        found.threads,
        found.batch,
        mismatch,
        found.macs[0].macs,
    )


def measured(name: str) -> Timed:
    """Whatever `bench` measured, with its raw samples.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    from gconvtool.report.reread import measured_of

    return _read_back("", name, measured_of)


def _read_back(option: str, name: str, made_of: Callable[[object], T]) -> T:
    """What a document holds; `option` stands before the file's name in messages."""
    document = read_json(option, name)
    try:
        return made_of(document)
    except InputError as error:
        raise InputError(f"{option}{name}: {error}") from error


def target(name: str | None, force: bool, sources: Sequence[str]) -> Path | None:
    """Where to keep a comparison, checked before any work is done.

    Raises:
        InputError: nothing can or may be written there.
    """
    if name is None:
        return None
    if Path(name).suffix.lower() != ".json":
        raise InputError(f"{told('--save-baseline', name)}: name a file that ends in .json")
    return faces.file(name, force, sources)


def save(result: Measured, path: Path | None) -> None:
    """Keep a comparison, if that was asked.

    Raises:
        MissingError: the disk is full.
    """
    from gconvtool.report import document

    if path is not None:
        write(console.json_text(document.measured(result)).encode() + b"\n", path)
