"""Earlier comparisons as files: what `bench --save-baseline` and `bench --json` write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gconvtool.cli import console, faces
from gconvtool.cli.amounts import told
from gconvtool.cli.baseline import read_json
from gconvtool.errors import InputError
from gconvtool.files import write

if TYPE_CHECKING:
    from gconvtool.pipeline.baseline import Baseline
    from gconvtool.report.story import Measured
    from gconvtool.results import Comparison


def read(name: str, mismatch: Literal["warn", "fail"]) -> Baseline:
    """What a new comparison is held against.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    from gconvtool.pipeline.baseline import Baseline

    found = comparison("--baseline ", name)
    return Baseline(
        name,
        found.judgement.speedup,
        found.machine,
        found.provider,
        found.threads,
        found.batch,
        mismatch,
    )


def comparison(option: str, name: str) -> Comparison:
    """A comparison with its raw samples; `option` stands before the name in messages.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    from gconvtool.report.saved import comparison_of

    document = read_json(option, name)
    try:
        return comparison_of(document)
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
