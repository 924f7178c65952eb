"""What a GitHub workflow shows: a step's summary, and annotations from workflow commands.

A command is a line `::error title=TITLE::MESSAGE`. In both, `%` and line ends are written as `%25`,
`%0D` and `%0A`, and in a title `:` and `,` as `%3A` and `%2C`
(https://docs.github.com/actions/reference/workflow-commands-for-github-actions).
"""
# No `from __future__ import annotations` here: it would take the name of what this file is for.

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from gconvtool.report import markdown, words
from gconvtool.report.story import Story, Undecided
from gconvtool.report.words import Convention
from gconvtool.results import Failed, Study

Level: TypeAlias = Literal["error", "warning", "notice"]

LARGEST_SUMMARY_BYTES = 2**20
"""GitHub refuses a larger one for a step; it is then written without a row for each layer."""
LEVELS: Mapping[bool | None, Level] = {False: "error", None: "warning"}
"""How a gate that did not hold is shown."""
UNDECIDED: Mapping[Undecided, Level] = {"tell": "warning", "pass": "notice", "fail": "error"}
"""How one that cannot be decided is shown, as a user wants it to count."""


def summary(results: Sequence[Study | Failed], convention: Convention = "macs") -> str:
    """Markdown for the file that GITHUB_STEP_SUMMARY names."""
    whole = _page(results, convention, layers=True)
    if len(whole.encode()) < LARGEST_SUMMARY_BYTES:
        return whole
    return _page(results, convention, layers=False)


def annotations(results: Sequence[Study | Failed]) -> tuple[str, ...]:
    """Workflow commands, a line each.

    A failed gate or model is an error, a gate that cannot be decided a warning, totals a notice.
    """
    return tuple(line for result in results for line in _annotated(result))


def story(result: Story, undecided: Undecided = "tell") -> tuple[str, ...]:
    """Workflow commands for a measurement: its verdict, and the gates that did not hold."""
    levels = {**LEVELS, None: UNDECIDED[undecided]}
    gates = [
        _command(levels[gate.passed], f"gconvtool {result.command}: {trial.name}", words.gate(gate))
        for trial in result.trials
        for gate in trial.gates
        if gate.passed is not True
    ]
    return (*gates, _command("notice", f"gconvtool {result.command}", result.verdict))


def failure(message: str) -> str:
    """The workflow command for a call that could not answer."""
    return _command("error", "gconvtool", message)


def _page(results: Sequence[Study | Failed], convention: Convention, *, layers: bool) -> str:
    if len(results) == 1 and isinstance(results[0], Study):
        return markdown.study(results[0], convention, layers=layers)
    return markdown.several(results, convention, layers=layers)


def _annotated(result: Study | Failed) -> Iterator[str]:
    if isinstance(result, Failed):
        yield _command("error", result.model, words.model_or_reason(result))
        return
    model, totals = result.analysis.model, result.analysis.totals
    for gate in result.gates:
        if gate.passed is not True:
            yield _command(LEVELS[gate.passed], model, words.gate(gate))
    sums = f"{words.total(totals.macs, totals.exact)} MACs, "
    yield _command("notice", model, sums + words.plural(totals.params, "parameter"))


def _command(level: Level, title: str, message: str) -> str:
    safe = _data(words.printable(title)).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={safe}::{_data(words.printable(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
