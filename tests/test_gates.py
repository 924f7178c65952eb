"""Limits hold, fail, or cannot be told: by the interval's bounds where there is one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from helpers_cli import comparison

from gconvtool.errors import InputError
from gconvtool.pipeline import gates
from gconvtool.pipeline.gates import Gates
from gconvtool.results import BaselineCheck, Drift, Gate, Interval, Timing

DRIFT = Drift("scores", 1000, 0.02, 34.0, 0.9998)
TIMING = Timing("b.onnx", 2.0, 3.0, None, 10.0, 5.0, size_bytes=1000)


def decided(limits: Gates, **facts: object) -> Gate:
    """The only gate of a comparison."""
    (gate,) = gates.decide(limits, comparison(gates=(), **facts))  # type: ignore[arg-type]
    return gate


@pytest.mark.parametrize(
    ("interval", "passed"),
    [
        ((1.3, 1.21, 1.4), True),
        ((1.3, 1.2, 1.4), True),  # at the limit it holds
        ((1.3, 1.19, 1.4), None),  # the estimate does not decide
        ((1.1, 1.0, 1.2), None),
        ((1.1, 1.0, 1.19), False),
    ],
)
def test_a_least_speedup_is_decided_by_bounds(interval, passed):
    gate = decided(Gates(min_speedup=1.2), speedup=interval)
    assert gate == Gate("min_speedup", 1.2, interval[0], passed)


@pytest.mark.parametrize(
    ("interval", "passed"),
    [
        ((1.0, 0.9, 1.1), True),  # at most 1/0.9 = 1.11 times slower
        ((1.0, 0.8, 1.1), True),  # exactly 1.25 times
        ((1.0, 0.79, 1.1), None),
        ((0.75, 0.7, 0.81), None),
        ((0.75, 0.7, 0.79), False),  # at least 1/0.79 = 1.27 times
    ],
)
def test_a_largest_slowdown_is_decided_by_bounds(interval, passed):
    gate = decided(Gates(max_slowdown=1.25), speedup=interval)
    assert gate.passed is passed
    assert gate.value == pytest.approx(1 / interval[0])


@pytest.mark.parametrize(
    ("before", "after", "limit", "value", "passed"),
    [
        (0.9, 0.89, 1.0, 1.0, True),  # 0.9 - 0.89 is a little more than 0.01 in binary
        (0.9, 0.88, 1.0, 2.0, False),
        (0.9, 0.95, 0.0, -5.0, True),
        (None, None, 1.0, None, None),
    ],
)
def test_an_accuracy_drop_is_in_points(before, after, limit, value, passed):
    drift = replace(DRIFT, accuracy_before=before, accuracy_after=after)
    gate = decided(Gates(max_accuracy_drop=limit), drift=drift)
    assert gate == Gate("max_accuracy_drop", limit, value, passed)


@pytest.mark.parametrize(
    ("errors", "value", "passed"),
    [
        ((0.01, 0.02), 0.02, True),
        ((0.01, 0.06), 0.06, False),
        ((0.01, None), None, False),  # A's zeros against something
        ((0.06, None), None, False),
    ],
)
def test_the_worst_output_decides_on_the_error(errors, value, passed):
    outputs = tuple(replace(DRIFT, relative_error=error) for error in errors)
    found = replace(comparison(), drift=outputs)
    assert gates.decide(Gates(max_relative_error=0.05), found) == (
        Gate("max_relative_error", 0.05, value, passed),
    )


@pytest.mark.parametrize(
    ("shares", "value", "passed"),
    [((0.99, None), 0.99, True), ((0.99, 0.9), 0.9, False), ((None, None), None, None)],
)
def test_outputs_without_classes_do_not_agree_or_disagree(shares, value, passed):
    outputs = tuple(replace(DRIFT, top1_agreement=share) for share in shares)
    found = replace(comparison(), drift=outputs)
    assert gates.decide(Gates(min_agreement=0.95), found) == (
        Gate("min_agreement", 0.95, value, passed),
    )


@pytest.mark.parametrize(
    ("limits", "gate"),
    [
        (Gates(max_size=999), Gate("max_size", 999, 1000, False)),
        (Gates(max_size=1000), Gate("max_size", 1000, 1000, True)),
    ],
)
def test_one_model_by_itself_has_its_limits(limits, gate):
    assert gates.decide_alone(limits, TIMING) == (gate,)
    assert gates.decide(limits, replace(comparison(), b=TIMING)) == (gate,)


@pytest.mark.parametrize(
    ("low", "high", "passed"),
    [
        (2.8, 3.1, True),
        (2.8, 3.2, True),  # at the limit it holds
        (2.8, 3.3, None),  # the estimate of 3 does not decide
        (3.2, 3.5, None),
        (3.3, 3.5, False),
        (2.8, None, None),  # too few runs for a bound
        (3.3, None, False),
        (None, None, None),
    ],
)
def test_a_percentile_is_decided_by_its_bounds(low, high, passed):
    timing = replace(TIMING, p95_low_ms=low, p95_high_ms=high)
    answer = (Gate("max_p95", 3.2, 3.0, passed),)
    assert gates.decide(Gates(max_p95=3.2), replace(comparison(), b=timing)) == answer
    assert gates.decide_alone(Gates(max_p95=3.2), timing) == answer


def test_what_is_not_known_decides_nothing():
    unknown = replace(TIMING, p95_ms=None, size_bytes=None)
    passed = [gate.passed for gate in gates.decide_alone(Gates(max_p95=9, max_size=9), unknown)]
    assert passed == [None, None]


def test_limits_that_compare_two_models_are_refused_for_one():
    gates.require_alone(Gates(max_p95=3.0, max_size=1000))
    with pytest.raises(InputError, match=r"^--max-slowdown compares two models: name a second"):
        gates.require_alone(Gates(max_p95=3.0, max_slowdown=1.1))


def test_nothing_is_decided_where_nothing_is_limited():
    assert gates.decide(Gates(), comparison()) == ()


def test_a_limit_of_zero_is_a_limit():
    assert gates.decide(Gates(max_relative_error=0.0), comparison())[0].passed is False


def test_limits_are_taken_from_gates_and_replaced_by_others():
    earlier = (Gate("min_speedup", 1.2, 1.5, True), Gate("max_size", 10, 20, False))
    implied = Gate("max_regression", 0.02, 0.0, True)
    again = Gates.of((*earlier, implied)).updated(Gates(max_size=30, max_p95=2.0))
    assert again == Gates(min_speedup=1.2, max_size=30, max_p95=2.0)


class TestRegression:
    @pytest.mark.parametrize(
        ("ratio", "passed"),
        [
            ((1.1, 1.05, 1.15), True),
            ((0.985, 0.96, 1.01), True),  # less than the margin, by the estimate
            ((0.985, 0.5, 1.9), True),  # a wide interval is no loss
            ((0.97, 0.93, 1.01), None),
            ((0.97, 0.965, 0.975), False),
            ((0.97, 0.96, 0.98), None),  # the bound is at the margin, not past it
        ],
    )
    def test_only_a_sure_loss_past_the_margin_fails(self, ratio, passed):
        check = BaselineCheck("base.json", Interval(1.5, 1.4, 1.6), Interval(*ratio))
        gate = gates.regression(check)
        assert (gate.name, gate.limit, gate.passed) == ("max_regression", 0.02, passed)
        assert gate.value == pytest.approx(1 - ratio[0])

    def test_it_is_implied_by_a_baseline(self):
        check = BaselineCheck("base.json", Interval(1.5, 1.4, 1.6), Interval(0.5, 0.4, 0.6))
        found = replace(comparison(), baseline=check)
        assert [(g.name, g.passed) for g in gates.decide(Gates(), found)] == [
            ("max_regression", False)
        ]

    @pytest.mark.parametrize(
        ("spread", "truth", "most_failed", "most_untold"),
        [(0.01, 1.0, 0.0005, 0.027), (0.02, 1.0, 0.004, 0.17)],
    )
    def test_it_does_not_cry_wolf(self, spread, truth, most_failed, most_untold):
        draw, many = random.Random(7), 20_000
        answers = []
        for _ in range(many):
            ratio = truth * (1 + draw.gauss(0, spread))
            interval = Interval(ratio, ratio * (1 - 1.96 * spread), ratio * (1 + 1.96 * spread))
            check = BaselineCheck("", interval, interval)
            answers.append(gates.regression(check).passed)
        assert answers.count(False) <= most_failed * many
        assert answers.count(None) <= most_untold * many

    def test_it_finds_what_is_lost(self):
        draw = random.Random(8)
        ratios = [0.96 * (1 + draw.gauss(0, 0.005)) for _ in range(2000)]
        checks = [
            BaselineCheck("", i, i) for i in (Interval(r, r - 0.01, r + 0.01) for r in ratios)
        ]
        answers = [gates.regression(check).passed for check in checks]
        assert answers.count(False) > 0.95 * len(answers)
        assert True not in answers


class TestNearTheFloor:
    def test_what_asks_for_less_than_the_noise_gets_a_warning(self):
        (said,) = gates.near(Gates(min_speedup=1.01, max_p95=1.0), floor=0.015)
        assert said.startswith("--min-speedup 1.01 is nearer to 1 than the ±1.5%")

    def test_what_asks_for_more_gets_none(self):
        assert list(gates.near(Gates(min_speedup=1.2, max_slowdown=1.05), floor=0.015)) == []
        assert len(list(gates.near(Gates(min_speedup=1.2, max_slowdown=1.05), floor=0.06))) == 1


def test_limits_on_speed_are_speedups():
    assert Gates(max_size=5).speedups == ()
    assert Gates(min_speedup=1.2, max_slowdown=1.25).speedups == (1.2, 0.8)
