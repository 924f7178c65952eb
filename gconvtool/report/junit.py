"""Results as a JUnit report: a suite a model or a comparison, a case a gate.

A gate that does not hold is a failure. One that cannot be decided is an error and not skipped:
pipelines show skipped cases as green, and a budget that nobody could check has not been kept. A
suite's first case says whether there is a result at all. A user who asks for it (`Undecided`) gets
what cannot be decided as skipped, or as failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from xml.etree import ElementTree

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from gconvtool.report import words
from gconvtool.report.story import Story, Trial, Undecided
from gconvtool.results import Failed, Gate, Study

UNDECIDED: Mapping[Undecided, Callable[[str], Error | Failure | Skipped]] = {
    "tell": lambda told: Error(told, "undecidable"),
    "pass": Skipped,
    "fail": lambda told: Failure(told, "undecidable"),
}
FIRST = {"analyze": "is analysed", "bench": "is measured", "verify": "is compared"}
"""The case of every suite, by command."""


def junit(results: Sequence[Study | Failed]) -> str:
    """The report as XML; it holds no times, so that the same results give the same text."""
    report = JUnitXml("gconvtool analyze")
    for result in results:
        report.add_testsuite(_failed(result) if isinstance(result, Failed) else _study(result))
    return _written(report)


def story(result: Story, undecided: Undecided = "tell") -> str:
    """A measurement's report as XML, a suite for all that was judged together."""
    report = JUnitXml(f"gconvtool {result.command}")
    for trial in result.trials:
        report.add_testsuite(_trial(trial, result.command, undecided))
    return _written(report)


def failure(command: str, message: str) -> str:
    """The report of a call that could not answer: where its first case would be, an error."""
    suite = TestSuite(f"gconvtool {command}")
    error = Error(words.printable(message), "failed")
    suite.add_testcase(_case(FIRST.get(command, "answers"), command, error))
    report = JUnitXml(f"gconvtool {command}")
    report.add_testsuite(suite)
    return _written(report)


def _written(report: JUnitXml) -> str:
    report.update_statistics()  # type: ignore[no-untyped-call]  # junitparser leaves it untyped
    root = ElementTree.fromstring(report.tostring())  # type: ignore[no-untyped-call]  # the same
    del root.attrib["skipped"]  # suites count them; Jenkins' xUnit plugin refuses it up here
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _trial(trial: Trial, command: str, undecided: Undecided) -> TestSuite:
    return _suite(trial.name, command, trial.figures, trial.gates, undecided)


def _study(result: Study) -> TestSuite:
    analysis = result.analysis
    names = ("macs", "params", "exact")
    figures = {name: str(getattr(analysis.totals, name)).lower() for name in names}
    return _suite(analysis.model, "analyze", figures, result.gates)


def _suite(
    name: str,
    command: str,
    figures: Mapping[str, str],
    gates: Sequence[Gate],
    undecided: Undecided = "tell",
) -> TestSuite:
    suite = TestSuite(words.printable(name))
    for figure, value in figures.items():
        suite.add_property(figure, value)
    suite.add_testcase(_case(FIRST[command], command))
    for gate in gates:
        suite.add_testcase(_gate(gate, command, undecided))
    return suite


def _failed(result: Failed) -> TestSuite:
    suite = TestSuite(words.printable(result.model))
    error = Error(words.printable(result.message), "failed")
    suite.add_testcase(_case(FIRST["analyze"], "analyze", error))
    return suite


def _gate(gate: Gate, command: str, undecided: Undecided) -> TestCase:
    name, told = words.limit(gate), words.gate(gate)
    if gate.passed is None:
        return _case(name, command, UNDECIDED[undecided](told))
    outcome = () if gate.passed else (Failure(told, "limit"),)
    return _case(name, command, *outcome)


def _case(name: str, command: str, *outcome: Error | Failure | Skipped) -> TestCase:
    case = TestCase(name, f"gconvtool.{command}")
    case.result = list(outcome)
    return case
