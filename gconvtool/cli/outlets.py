"""Where a measurement goes: onto stdout, into files of several forms, and into a GitHub workflow.

`--format` says what is printed, and the name of every `-o FILE` what is written there. With `--ci`,
a GitHub workflow gets the page as its step's summary and the verdict as annotations, which it reads
from stderr too, so that stdout stays what was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gconvtool.cli import console, faces, verdict
from gconvtool.cli.faces import Format
from gconvtool.errors import InputError
from gconvtool.files import write

if TYPE_CHECKING:
    from gconvtool.report.story import Measured, Story, Undecided


@dataclass(frozen=True)
class Outlets:
    """What is printed, what is written where, and what becomes of undecided gates in both."""

    printed: Format
    files: tuple[tuple[Format, Path], ...] = ()
    workflow: bool = False
    undecided: Undecided = "tell"


def choose(
    format: str | None,
    json: bool,
    outputs: Sequence[str],
    force: bool,
    sources: Sequence[str],
    *,
    ci: bool = False,
    undecided: Undecided = "tell",
) -> Outlets:
    """The outlets that were asked for, checked before any work is done.

    Raises:
        InputError: no such format, or a file that cannot or may not be written.
    """
    printed = faces.choose(format, json, None, "macs").format
    twice = {name for name in outputs if outputs.count(name) > 1}
    if twice:
        raise InputError(f"--output {min(twice)}: named twice")
    files = tuple((_form(name), faces.file(name, force, sources)) for name in outputs)
    return Outlets(printed, files, ci and printed != "github", undecided)


def _form(name: str) -> Format:
    """What a file's name asks for."""
    form = faces.SUFFIXES.get(Path(name).suffix.lower())
    if form is None:
        raise InputError(f"--output {name}: name a file that ends in {', '.join(faces.SUFFIXES)}")
    return form


def deliver(outlets: Outlets, result: Measured) -> int:
    """Print and write the result; returns the exit code that its gates ask for.

    Raises:
        MissingError: a disk is full.
    """
    from gconvtool.report import stories
    from gconvtool.report.terminal import story_page

    story = stories.of(result)
    for form, path in outlets.files:
        text = _text(form, result, story, outlets.undecided)
        write(text.rstrip("\n").encode() + b"\n", path)
    if outlets.printed == "table":
        console.show(story_page(story))
    elif outlets.printed == "json":
        console.answer(_document(result))
    elif outlets.printed == "github" and os.environ.get(faces.SUMMARY):
        _summarise(story)
        console.say("\n".join(_annotations(story, outlets.undecided)))
    else:
        console.say(_text(outlets.printed, result, story, outlets.undecided))
    if outlets.workflow:
        _report(story, outlets.undecided)
    console.warn(story.warnings)
    gates = (gate for trial in story.trials for gate in trial.gates)
    return verdict.exit_code(gates, outlets.undecided)


def _text(form: Format, result: Measured, story: Story, undecided: Undecided) -> str:
    """A result as it is written into a file."""
    from gconvtool.report import csv, junit, markdown
    from gconvtool.report.terminal import story_page

    forms: dict[Format, Callable[[], str]] = {
        "table": lambda: console.plain(story_page(story)),
        "json": lambda: console.json_text(_document(result)),
        "csv": lambda: csv.measured(result),
        "junit": lambda: junit.story(story, undecided),
        "markdown": lambda: markdown.story(story),
        "github": lambda: markdown.story(story),
    }
    return forms[form]()


def _document(result: Measured) -> dict[str, object]:
    from gconvtool.report import document

    return document.measured(result)


def _report(story: Story, undecided: Undecided) -> None:
    """Tell the GitHub workflow that this is a step of, if it is one."""
    if os.environ.get(faces.SUMMARY):
        _summarise(story)
    if _in_workflow():
        console.tell("\n".join(_annotations(story, undecided)))


def fail(command: str, message: str) -> None:
    """Tell the GitHub workflow, if there is one, why there is no result.

    Raises:
        MissingError: the summary cannot be written.
    """
    from gconvtool.report import github, markdown

    if _in_workflow():
        console.tell(github.failure(message))
    if os.environ.get(faces.SUMMARY):
        faces.summarise(markdown.failure(command, message))


def _in_workflow() -> bool:
    """Whether GitHub reads what is printed."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _annotations(story: Story, undecided: Undecided) -> Sequence[str]:
    from gconvtool.report import github

    return github.story(story, undecided)


def _summarise(story: Story) -> None:
    from gconvtool.report import markdown

    faces.summarise(markdown.story(story))
