"""A budget is kept, broken, or cannot be judged; a lower bound may break one but never keep it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.budgets import FIGURES, Increase, Limits, judge
from gconvtool.results import Analysis, Gate, Totals


def totals(macs: int = 100, params: int = 50, **more: Any) -> Totals:
    return Totals(macs, params, **more)


def judged(now: Totals, **limits: Any) -> tuple[Gate, ...]:
    return judge(Analysis("m", (), (), now, {}), Limits(**limits))


def only(now: Totals, **limits: Any) -> Gate:
    (gate,) = judged(now, **limits)
    return gate


def test_no_limits_are_no_gates() -> None:
    assert judged(totals()) == ()


@pytest.mark.parametrize(
    ("figure", "limit", "value", "passed"),
    [
        ("macs", 100, 100, True),
        ("macs", 99, 100, False),
        ("flops", 200, 200, True),
        ("flops", 199, 200, False),
        ("params", 50, 50, True),
        ("params", 49, 50, False),
        ("params", 0, 50, False),
        ("peak_memory", 7, 7, True),
        ("peak_memory", 6, 7, False),
    ],
)
def test_a_limit_may_be_reached_and_not_passed(
    figure: str, limit: int, value: int, passed: bool
) -> None:
    now = totals(peak_activation_bytes=7)
    assert only(now, most={figure: limit}) == Gate(f"max_{figure}", limit, value, passed)


@pytest.mark.parametrize(("limit", "passed"), [(99, False), (100, None), (10**9, None)])
def test_a_lower_bound_breaks_a_budget_and_never_keeps_one(limit: int, passed: bool | None) -> None:
    bound = totals(exact=False)
    assert only(bound, most={"macs": limit}).passed is passed
    assert only(bound, most={"flops": 2 * limit}).passed is passed


def test_parameters_are_known_also_where_a_node_is_not() -> None:
    assert only(totals(exact=False), most={"params": 50}).passed is True


def test_an_unknown_peak_cannot_be_judged() -> None:
    gate = only(totals(), most={"peak_memory": 1})
    assert (gate.value, gate.passed) == (None, None)
    growth = {"peak_memory": Increase(10, percent=True)}
    base = totals(peak_activation_bytes=5)
    assert only(totals(), growth=growth, baseline=base).passed is None
    now = totals(peak_activation_bytes=5)
    assert only(now, growth=growth, baseline=totals()).passed is None


@pytest.mark.parametrize(
    ("before", "now", "amount", "percent", "value", "passed"),
    [
        (100, 102, 2, True, 2.0, True),
        (100, 103, 2, True, 3.0, False),
        (100, 90, 0, True, -10.0, True),
        (100, 90, -20, True, -10.0, False),  # what must shrink by a fifth
        (100, 102, 2, False, 2, True),
        (100, 103, 2, False, 3, False),
        (100, 100, 0, True, 0.0, True),
        (3, 4, 33.4, True, 100 / 3, True),
        (3, 4, 33.3, True, 100 / 3, False),
        (0, 0, 0, True, 0.0, True),
        (0, 1, 1000, True, None, False),
        (0, 1, 1, False, 1, True),
    ],
)
def test_growth_is_a_share_or_an_amount(
    before: int, now: int, amount: float, percent: bool, value: float | None, passed: bool
) -> None:
    increase = Increase(amount, percent)
    gate = only(totals(now), growth={"macs": increase}, baseline=totals(before))
    assert gate.name == "max_increase_macs" + "_percent" * percent
    assert gate.limit == amount
    assert gate.value == (None if value is None else pytest.approx(value))
    assert gate.passed is passed


@pytest.mark.parametrize(
    ("before_exact", "exact", "now", "passed"),
    [
        (True, False, 100, None),  # as large as before, at least
        (True, False, 103, False),
        (False, True, 100, None),  # of what?
        (False, True, 103, None),
        (False, False, 103, None),
    ],
)
def test_growth_between_bounds(
    before_exact: bool, exact: bool, now: int, passed: bool | None
) -> None:
    gate = only(
        totals(now, exact=exact),
        growth={"macs": Increase(2, percent=True)},
        baseline=totals(100, exact=before_exact),
    )
    assert gate.passed is passed


def test_growth_without_a_baseline_cannot_be_judged() -> None:
    assert only(totals(), growth={"macs": Increase(2, percent=True)}).passed is None


def test_growth_from_nothing_to_a_lower_bound_of_nothing_is_open() -> None:
    gate = only(
        totals(0, exact=False),
        growth={"macs": Increase(2, percent=True)},
        baseline=totals(0),
    )
    assert gate.passed is None


def test_gates_come_in_the_order_in_which_limits_were_set() -> None:
    most = {"params": 1, "macs": 2}
    growth = {"flops": Increase(0, percent=True), "params": Increase(0, percent=False)}
    names = [gate.name for gate in judged(totals(), most=most, growth=growth, baseline=totals())]
    assert names == [
        "max_params",
        "max_macs",
        "max_increase_flops_percent",
        "max_increase_params",
    ]


@given(
    macs=st.integers(0, 10**12),
    limit=st.integers(0, 10**12),
    exact=st.booleans(),
    figure=st.sampled_from(FIGURES),
)
def test_what_an_exact_count_fails_its_bound_does_not_pass(
    macs: int, limit: int, exact: bool, figure: str
) -> None:
    now = Totals(macs, macs, exact=exact, peak_activation_bytes=macs)
    factor = 2 if figure == "flops" else 1
    passed = only(now, most={figure: limit}).passed
    if passed is True:
        assert factor * macs <= limit
    elif passed is False:
        assert factor * macs > limit
    else:
        assert not exact
