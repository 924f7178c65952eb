"""Moves a budget to where just what is allowed is used.

What is used grows with the budget, about as its power 1 / growth, so that the next budget is

    budget · (allowed / used)^growth

and once one budget L was too little and another H was too much, a straight line between the two is
followed, of logarithms, and never closer to either than a fifth of the way:

    L · (H / L)^θ,    θ = log(allowed / used(L)) / log(used(H) / used(L))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import inf, log
from typing import NamedTuple

CLOSE = 0.8
"""Of what is allowed: a choice that uses this much is not improved on."""
STEP = 8.0
"""The most by which a budget changes at once."""
CAREFUL = 0.9
"""A new budget is a bit less than what is thought to be right."""
NARROW = 1.01
"""Between budgets that are this close nothing is looked for."""
MARGIN = 0.2
"""Of the way between two budgets: what is looked for next is no closer to either."""
TRACE = 1e-2
"""Shares of what is allowed that are taken for no less, since no line leads to nothing."""


class _Found(NamedTuple):
    """A budget, and what was used of it."""

    budget: float
    used: float


NOTHING, EVERYTHING = _Found(0.0, 0.0), _Found(inf, inf)


class Steering:
    """What budgets were found to be within what is allowed, and which were not."""

    def __init__(self, allowed: float, growth: float, step: float = STEP) -> None:
        """`step` is the most by which a budget changes at once."""
        self._allowed, self._growth, self._step = allowed, growth, step
        self._held, self._broke = NOTHING, EVERYTHING

    @property
    def low(self) -> float:
        """The largest budget that was found to hold, or zero."""
        return self._held.budget

    def settled(self, used: float) -> bool:
        """It is near enough below."""
        return self._allowed * CLOSE <= used <= self._allowed

    @property
    def narrow(self) -> bool:
        """There is nothing left between what holds and what does not."""
        return 0 < self._broke.budget <= self.low * NARROW

    def next(self, budget: float, used: float) -> float:
        """The budget to try when this one used so much."""
        if used <= self._allowed:
            self._held = max(self._held, _Found(budget, used))
        else:
            self._broke = min(self._broke, _Found(budget, used))
        if self.low and self._broke.budget < inf:
            return self._between()
        change = (self._allowed / used) ** self._growth if used else self._step
        return budget * min(self._step, max(1 / self._step, change * CAREFUL))

    def _between(self) -> float:
        """Where a line from what held to what broke, of logarithms, meets what is allowed."""
        held, broke = self._held, self._broke
        least = max(held.used, self._allowed * TRACE)
        whole = log(min(broke.used, self._allowed / TRACE) / least)
        share = log(self._allowed / least) / whole if whole else 0.5
        share = min(1 - MARGIN, max(MARGIN, share))
        return held.budget * math.pow(broke.budget / held.budget, share)


def steer(steering: Steering, budget: float, use: Callable[[float], float | None]) -> float:
    """The budget that is near enough, or else the largest that was found to hold.

    Args:
        steering: knows of no budget yet.
        budget: the first to try.
        use: what is used within a budget; None stops the search.
    """
    while not steering.narrow and (used := use(budget)) is not None:
        if steering.settled(used):
            return budget
        budget = steering.next(budget, used)
    return steering.low or budget
