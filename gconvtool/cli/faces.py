"""In which form an analysis is answered, and where to: on stdout or into a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

from gconvtool.cli import console
from gconvtool.errors import InputError, MissingError
from gconvtool.files import check_target, write

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gconvtool.report.words import Convention
    from gconvtool.results import Difference, Failed, Study

    Answer: TypeAlias = Study | Difference | tuple[Study | Failed, ...]

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
        raise InputError(f"--convention {convention}: macs or flops")
    if json and format not in (None, "json"):
        raise InputError(f"--json and --format {format} exclude each other")
    if format is not None and format not in get_args(Format):
        raise InputError(f"--format {format}: one of {', '.join(get_args(Format))}")
    suffix = Path(output).suffix.lower() if output else ".txt"
    if not json and format is None and suffix not in SUFFIXES:
        raise InputError(f"-o {output}: say which --format; {suffix or 'no suffix'} tells none")
    chosen = "json" if json else format or SUFFIXES[suffix]
    return Face(cast("Format", chosen), cast("Convention", convention))


def target(output: str | None, force: bool, sources: Iterable[str]) -> Path | None:
    """Where to write, checked before any work is done.

    Raises:
        InputError: nothing can or may be written there.
    """
    if output is None:
        return None
    if not output:
        raise InputError("--output: empty; name a file, or leave the option out")
    check_target(Path(output), map(Path, sources), force)
    return Path(output)


def answer(results: Sequence[Study | Failed], paired: bool) -> Answer:
    """What is shown: one model, two side by side, or several in a row."""
    from gconvtool.differences import difference
    from gconvtool.results import Study

    found = [result for result in results if isinstance(result, Study)]
    if len(results) == len(found) == 1:
        return found[0]
    if paired and len(results) == len(found) == 2:
        return difference(*found)
    return tuple(results)


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
        _annotate(face, shown, os.environ[SUMMARY])
    else:
        console.say(_text(face, shown))


def _text(face: Face, shown: Answer) -> str:
    """The answer as it is written into a file."""
    from gconvtool.report import csv, document, github, junit
    from gconvtool.results import Study

    if face.format == "table":
        return console.plain(_page(face, shown))
    if face.format == "json":
        return document.dumps(_document(shown))
    if face.format == "markdown":
        return _markdown(face, shown)
    models = _models(shown)
    if face.format == "csv":
        return csv.study(shown) if isinstance(shown, Study) else csv.several(models)
    return (
        junit.junit(models) if face.format == "junit" else github.summary(models, face.convention)
    )


def _document(shown: Answer) -> Mapping[str, Any]:
    from gconvtool.report import document
    from gconvtool.results import Difference, Study

    if isinstance(shown, Study):
        return document.study(shown)
    if isinstance(shown, Difference):
        return document.difference(shown)
    return document.several(shown)


def _markdown(face: Face, shown: Answer) -> str:
    from gconvtool.report import markdown
    from gconvtool.results import Difference, Study

    if isinstance(shown, Study):
        return markdown.study(shown, face.convention)
    if isinstance(shown, Difference):
        return markdown.difference(shown, face.convention)
    return markdown.several(shown, face.convention)


def _page(face: Face, shown: Answer) -> RenderableType:
    from gconvtool.report.terminal import DifferencePage, SeveralPage, StudyPage
    from gconvtool.results import Difference, Study

    if isinstance(shown, Study):
        return StudyPage(shown, face.convention)
    if isinstance(shown, Difference):
        return DifferencePage(shown, face.convention)
    return SeveralPage(shown, face.convention)


def _models(shown: Answer) -> tuple[Study | Failed, ...]:
    """The models, for formats that have no form for two side by side."""
    from gconvtool.results import Difference, Study

    if isinstance(shown, Difference):
        return shown.a, shown.b
    return (shown,) if isinstance(shown, Study) else shown


def _annotate(face: Face, shown: Answer, place: str) -> None:
    """In a GitHub workflow: the page goes to the step's summary, the verdicts on stdout."""
    from gconvtool.report import github

    models = _models(shown)
    try:
        with open(place, "a", encoding="utf-8") as summary:
            summary.write(github.summary(models, face.convention))
    except OSError as error:
        raise MissingError(f"{place} ({SUMMARY}): cannot be written: {error.strerror}") from error
    console.say("\n".join(github.annotations(models)))
