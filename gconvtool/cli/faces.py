"""In which form an analysis is answered, and where to: on stdout or into a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast, get_args

from gconvtool.cli import console
from gconvtool.cli.amounts import told
from gconvtool.errors import InputError, MissingError
from gconvtool.files import check_target, write

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gconvtool.report.words import Convention
    from gconvtool.results import Difference, Failed, Study

    Several: TypeAlias = tuple[Study | Failed, ...]
    Answer: TypeAlias = Study | Difference | Several

Shown = TypeVar("Shown")
Format = Literal["table", "json", "csv", "markdown", "github", "junit"]
SUFFIXES: dict[str, Format] = {
    ".json": "json",
    ".csv": "csv",
    ".md": "markdown",
    ".xml": "junit",
    ".txt": "table",
}
SUMMARY = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True)
class Face:
    """A format, and whether its tables speak of MACs or of FLOPs."""

    format: Format
    convention: Convention


def choose(format: str | None, json: bool, output: str | None, convention: str) -> Face:
    """The format that was asked for, or that the output's name ends in.

    Raises:
        InputError: no such format or convention, or two formats.
    """
    if convention not in ("macs", "flops"):
        raise InputError(f"{told('--convention', convention)}: macs or flops")
    if format is not None and format not in get_args(Format):
        raise InputError(f"{told('--format', format)}: one of {', '.join(get_args(Format))}")
    if json and format not in (None, "json"):
        raise InputError(f"--json and --format {format} exclude each other")
    chosen = "json" if json else format or _by_name(output)
    return Face(cast("Format", chosen), cast("Convention", convention))


def _by_name(output: str | None) -> Format:
    suffix = Path(output).suffix.lower() if output else ".txt"
    if suffix not in SUFFIXES:
        raise InputError(f"-o {output}: say which --format; {suffix or 'no suffix'} tells none")
    return SUFFIXES[suffix]


def target(output: str | None, force: bool, models: Sequence[str]) -> Path | None:
    """Where to write, checked before any work is done.

    Only what is named like an analysis is replaced: anything else could be a model of a folder, or
    the weights of one.

    Raises:
        InputError: nothing can or may be written there.
    """
    return None if output is None else file(output, force, models)


def file(output: str, force: bool, models: Sequence[str]) -> Path:
    """One file to write, checked likewise."""
    if output in ("", "-"):
        raise InputError("--output: name a file, or leave the option out for stdout")
    path = Path(output)
    check_target(path, map(Path, models), force)
    if path.suffix.lower() not in SUFFIXES and path.exists():
        raise InputError(f"{path}: --force replaces {', '.join(SUFFIXES)}; remove it first")
    return path


def answer(results: Several, names: Sequence[str]) -> Answer:
    """What is shown: a file by itself, two side by side, or several in a row.

    A folder stands for several, however many are in it, so that documents keep their form.
    """
    from gconvtool.differences import difference
    from gconvtool.results import Study

    files = [result for result in results if isinstance(result, Study)]
    if len(files) != len(names) or any(Path(name).is_dir() for name in names):
        return results
    return files[0] if len(files) == 1 else difference(*files) if len(files) == 2 else results


def show(face: Face, shown: Answer, to: Path | None) -> None:
    """Print the answer, or write it.

    Raises:
        MissingError: the disk is full.
    """
    if to is not None:
        write(_text(face, shown).rstrip("\n").encode() + b"\n", to)
    elif face.format == "table":
        console.show(_page(face, shown))
    elif face.format == "json":
        console.answer(_document(shown))
    elif face.format == "github" and os.environ.get(SUMMARY):
        _annotate(face, shown)
    else:
        console.say(_text(face, shown))


def _text(face: Face, shown: Answer) -> str:
    """The answer as it is written into a file."""
    if face.format == "table":
        return console.plain(_page(face, shown))
    if face.format == "json":
        return console.json_text(_document(shown))
    if face.format == "markdown":
        return _markdown(face, shown)
    return _of_models(face, shown)


def _of_models(face: Face, shown: Answer) -> str:
    """The formats that have no form of their own for two side by side."""
    from gconvtool.report import csv, github, junit

    models = _models(shown)
    if face.format == "junit":
        return junit.junit(models)
    if face.format == "github":
        return github.summary(models, face.convention)
    return _by_form(shown, csv.study, lambda _: csv.several(models), csv.several)


def _document(shown: Answer) -> Mapping[str, Any]:
    from gconvtool.report import document

    return _by_form(shown, document.study, document.difference, document.several)


def _markdown(face: Face, shown: Answer) -> str:
    from gconvtool.report import markdown

    say = face.convention
    return _by_form(
        shown,
        lambda one: markdown.study(one, say),
        lambda two: markdown.difference(two, say),
        lambda several: markdown.several(several, say),
    )


def _page(face: Face, shown: Answer) -> RenderableType:
    from gconvtool.report.terminal import DifferencePage, SeveralPage, StudyPage

    page: Callable[..., RenderableType] = _by_form(
        shown, lambda _: StudyPage, lambda _: DifferencePage, lambda _: SeveralPage
    )
    return page(shown, face.convention)


def _models(shown: Answer) -> Several:
    return _by_form(shown, lambda one: (one,), lambda two: (two.a, two.b), lambda several: several)


def _by_form(
    shown: Answer,
    study: Callable[[Study], Shown],
    difference: Callable[[Difference], Shown],
    several: Callable[[Several], Shown],
) -> Shown:
    """What is made of the answer, which is one of three forms."""
    from gconvtool.results import Difference, Study

    if isinstance(shown, Study):
        return study(shown)
    return difference(shown) if isinstance(shown, Difference) else several(shown)


def _annotate(face: Face, shown: Answer) -> None:
    """In a GitHub workflow: the page goes to the step's summary, the verdicts on stdout."""
    from gconvtool.report import github

    models = _models(shown)
    summarise(github.summary(models, face.convention))
    console.say("\n".join(github.annotations(models)))


def summarise(page: str) -> None:
    """Add a page to the summary of the workflow's step.

    Raises:
        MissingError: it cannot be written.
    """
    place = os.environ[SUMMARY]
    try:
        with open(place, "a", encoding="utf-8") as summary:
            summary.write(page)
    except OSError as error:
        raise MissingError(f"{place} ({SUMMARY}): cannot be written: {error.strerror}") from error
