"""Choices of a sweep stand evenly along a front whose places are known beforehand."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gconvtool.knapsack import Choice
from gconvtool.pipeline.agenda import spread


def front(standings: Iterable[tuple[float, float]]) -> list[Choice]:
    return [Choice((), cost, loss, cost) for cost, loss in standings]


EVEN = front([(100.0, 0.0), *((90.0 - 10 * i, 1e-3 * 2.0**i) for i in range(7))])
"""What stays, and seven whose costs fall by tens while their losses double: evenly spaced."""


@pytest.mark.parametrize(
    ("count", "places"),
    [
        (1, (4,)),
        (2, (1, 7)),
        (3, (1, 4, 7)),
        (4, (1, 3, 5, 7)),
        (7, tuple(range(1, 8))),
        (50, tuple(range(1, 8))),
    ],
)
def test_choices_stand_evenly(count: int, places: tuple[int, ...]) -> None:
    assert spread(EVEN, count) == places


def test_losses_that_do_not_show_are_spread_by_cost_alone() -> None:
    costs = (100.0, 90.0, 89.0, 88.0, 87.0, 50.0, 11.0, 10.0)
    tiny = front(zip(costs, (0.0, *(1e-12 * 5.0**i for i in range(7))), strict=True))
    assert spread(tiny, 3) == (1, 5, 7)


def test_losses_are_spread_by_their_ratio() -> None:
    """All saving falls to the last step, so that the others are told apart by losses alone."""
    losses = (0.0, 0.0002, 0.002, 0.011, 0.02, 0.2)
    choices = front(zip((100.0, 90.0, 90.0, 90.0, 90.0, 10.0), losses, strict=True))
    shares = [0.0, 1 / 3 / 2, 0.29, 2 / 3 / 2, 1.0]  # of a standing, half of which is the loss
    nearest = [min(range(5), key=lambda i: abs(shares[i] - goal)) + 1 for goal in (0, 1 / 3, 1)]
    assert spread(choices, 4) == tuple(sorted({*nearest, 3}))


def test_what_saves_next_to_nothing_or_ruins_the_outputs_is_left_out() -> None:
    choices = front([(100.0, 0.0), (96.0, 1e-6), (90.0, 1e-4), (10.0, 0.2), (5.0, 0.3)])
    assert spread(choices, 50) == (2, 3)


def test_where_nothing_is_saved_nothing_is_chosen() -> None:
    assert spread(front([(100.0, 0.0)]), 8) == ()
    assert spread(front([(100.0, 0.0), (50.0, 0.9)]), 8) == ()
