"""Tolerances: the worst output decides, and what is not known decides nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gconvtool.pipeline.tolerances import Tolerances, decide
from gconvtool.results import Drift

GOOD = Drift("good", 8, 0.01, 40.0, 0.9999, 1.0, 0.9, 0.9, max_abs=0.1)
POOR = Drift("poor", 8, 0.1, 20.0, 0.99, 0.75, max_abs=2.0)
ALIKE = Drift("alike", 8, 0.0, None, 1.0, max_abs=0.0)
FROM_ZEROS = Drift("zeros", 8, None, None, None, max_abs=1.0)


@pytest.mark.parametrize(
    ("name", "limit", "outputs", "value", "passed"),
    [
        ("max_abs", 2.0, [GOOD, POOR], 2.0, True),
        ("max_abs", 1.9, [GOOD, POOR], 2.0, False),
        ("max_abs", 0.0, [ALIKE], 0.0, True),
        ("min_snr", 20, [POOR, GOOD], 20.0, True),
        ("min_snr", 20.1, [GOOD, POOR], 20.0, False),
        ("min_snr", 200, [ALIKE], None, True),
        ("min_snr", 30, [GOOD, ALIKE], 40.0, True),
        ("min_snr", 30, [GOOD, FROM_ZEROS], None, False),
        ("max_relative_error", 0.1, [GOOD, POOR], 0.1, True),
        ("max_relative_error", 0.05, [GOOD, POOR], 0.1, False),
        ("min_agreement", 0.75, [GOOD, POOR], 0.75, True),
        ("min_agreement", 0.8, [GOOD, POOR], 0.75, False),
        ("min_agreement", 0.8, [ALIKE], None, None),
        ("max_accuracy_drop", 0, [GOOD, POOR], 0.0, True),
    ],
)
def test_a_limit_is_kept_by_the_worst_output(name, limit, outputs, value, passed):
    (gate,) = decide(replace(Tolerances(), **{name: limit}), outputs)
    assert (gate.name, gate.limit, gate.value, gate.passed) == (name, limit, value, passed)


def test_what_was_not_set_is_not_judged():
    assert decide(Tolerances(), [GOOD, POOR]) == ()


def test_limits_of_both_kinds_agree_on_an_error():
    """20·log10 of a relative error of 0.1 is -20 dB."""
    error = 10 ** (-POOR.snr_db / 20)
    assert math.isclose(error, POOR.relative_error)
    for slack, passed in ((1.01, True), (0.99, False)):
        limits = Tolerances(
            max_relative_error=slack * error, min_snr=-20 * math.log10(slack * error)
        )
        assert [gate.passed for gate in decide(limits, [POOR])] == [passed] * 2
