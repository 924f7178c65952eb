"""Moves a budget to where just what is allowed is used.

What is used grows with the budget, about as its power 1 / growth, so that the next budget is

    budget · (allowed / used)^growth

and once one budget was too much and another was not, the geometric mean of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt

CLOSE = 0.8
"""Of what is allowed: a choice that uses this much is not improved on."""
STEP = 8.0
"""The most by which a budget changes at once."""
CAREFUL = 0.9
"""A new budget is a bit less than what is thought to be right."""
NARROW = 1.01
"""Between budgets that are this close nothing is looked for."""


class Steering:
    """What budgets were found to be within what is allowed, and which were not."""

    def __init__(self, allowed: float, growth: float) -> None:
        self._allowed, self._growth = allowed, growth
        self.low, self._high = 0.0, inf

    def settled(self, used: float) -> bool:
        """It is near enough below."""
        return self._allowed * CLOSE <= used <= self._allowed

    @property
    def narrow(self) -> bool:
        """There is nothing left between what holds and what does not."""
        return 0 < self._high <= self.low * NARROW

    def next(self, budget: float, used: float) -> float:
        """The budget to try when this one used so much."""
        if used <= self._allowed:
            self.low = max(self.low, budget)
        else:
            self._high = min(self._high, budget)
        if self.low and self._high < inf:
            return sqrt(self.low * self._high)
        change = (self._allowed / used) ** self._growth if used else STEP
        return budget * min(STEP, max(1 / STEP, change * CAREFUL))


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
