"""Budgets come to where just what is allowed is used, whatever losses do on the way."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.pipeline.steering import CLOSE, Steering, steer

amounts = st.floats(1e-4, 1e2)


@given(st.floats(1e-6, 1e3), amounts, st.floats(0.3, 2.0), st.sampled_from([1.0, 2.0]))
def test_losses_that_grow_as_a_power(
    start: float, allowed: float, power: float, growth: float
) -> None:
    """Whatever power was assumed."""
    budget = steer(Steering(allowed, growth), start, lambda budget: 0.7 * budget**power)
    assert allowed * CLOSE <= 0.7 * budget**power <= allowed


@given(
    st.floats(1e-4, 1e2),
    amounts,
    st.lists(st.tuples(st.floats(1e-3, 10), st.floats(1e-3, 10)), min_size=1, max_size=12),
)
def test_losses_that_come_in_steps(
    start: float, allowed: float, steps: list[tuple[float, float]]
) -> None:
    """The last budget but about 1 % that holds is found, where none is near enough."""
    at, losses = (list(accumulate(values)) for values in zip(*steps, strict=True))

    def used(budget: float) -> float:
        return ([0.0, *losses])[bisect_right(at, budget)]

    calls = count()
    found = steer(Steering(allowed, 2.0), start, lambda b: used(b) if next(calls) < 200 else None)
    assert used(found) <= allowed
    assert (
        used(found) >= allowed * CLOSE or used(found) == losses[-1] or used(found * 1.02) > allowed
    )


def test_a_budget_that_settles_is_taken_and_not_a_smaller_one() -> None:
    used = {1.0: 0.5, 1.8: 0.9}
    assert steer(Steering(1.0, 1.0), 1.0, lambda b: used[round(b, 6)]) == pytest.approx(1.8)


@pytest.mark.parametrize(("used", "found"), [(0.0, 1.0), (1e9, 1 / 8)])
def test_a_search_that_stops_answers_with_what_held_or_with_what_comes_next(
    used: float, found: float
) -> None:
    answers = iter([used, None])
    assert steer(Steering(1.0, 2.0), 1.0, lambda budget: next(answers)) == found
