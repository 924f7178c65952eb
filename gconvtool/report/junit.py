"""Results as a JUnit report: a suite a model, a case a gate.

A gate that does not hold is a failure. One that cannot be decided is an error and not skipped:
pipelines show skipped cases as green, and a budget that nobody could check has not been kept. A
model's first case says whether it could be analysed at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from gconvtool.report import words
from gconvtool.results import Failed, Gate, Study

CLASS = "gconvtool.analyze"


def junit(results: Sequence[Study | Failed]) -> str:
    """The report as XML; it holds no times, so that the same results give the same text."""
    report = JUnitXml("gconvtool analyze")
    for result in results:
        report.add_testsuite(_failed(result) if isinstance(result, Failed) else _study(result))
    report.update_statistics()  # type: ignore[no-untyped-call]  # junitparser leaves it untyped
    text: bytes = report.tostring()  # type: ignore[no-untyped-call]  # the same
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text.decode()}\n'


def _study(result: Study) -> TestSuite:
    analysis = result.analysis
    suite = TestSuite(words.printable(analysis.model))
    for name in ("macs", "params", "exact"):
        suite.add_property(name, str(getattr(analysis.totals, name)).lower())
    suite.add_testcase(_case("is analysed"))
    for gate in result.gates:
        suite.add_testcase(_gate(gate))
    return suite


def _failed(result: Failed) -> TestSuite:
    suite = TestSuite(words.printable(result.model))
    suite.add_testcase(_case("is analysed", Error(words.printable(result.message), "failed")))
    return suite


def _gate(gate: Gate) -> TestCase:
    name, told = words.limit(gate), words.gate(gate)
    if gate.passed is None:
        return _case(name, Error(told, "undecidable"))
    return _case(name) if gate.passed else _case(name, Failure(told, "limit"))


def _case(name: str, *outcome: Error | Failure) -> TestCase:
    case = TestCase(name, CLASS)
    case.result = list(outcome)
    return case
