"""What a loss at one site does to the outputs.

With one candidate in place and all else as it was, the outputs have a relative squared error E. It
does not grow as the site's loss l does: what a coarse candidate misses is a part of the signal
itself, while hardly anything notices what a fine one misses. E goes with a power of l between 1 and
2 (docs/planner.md), and so between two candidates that were looked at

    log E is a straight line of log l

for every kind of recipe by itself: what a bottleneck misses lies in a few directions, and does
about twice the harm of what separable convolutions miss. Below the least loss that was looked at,
and above the most, E goes as l.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, isfinite, log
from typing import NamedTuple, TypeAlias

from gconvtool.recipes import Recipe, Separable


class Look(NamedTuple):
    """A loss at the site, and the squared error E that it left at the outputs."""

    loss: float
    error: float


@dataclass(frozen=True)
class Response:
    """What was seen of a site: one or more looks by rising loss, which is above zero."""

    looks: tuple[Look, ...]

    def of(self, loss: float) -> float:
        """E for a loss; infinite from the first on that is beyond the last finite one."""
        after = bisect_left(self.looks, loss, key=lambda look: look.loss)
        if after in (0, len(self.looks)):
            nearest = self.looks[min(after, len(self.looks) - 1)]
            return nearest.error * (loss / nearest.loss)
        return _between(self.looks[after - 1], self.looks[after], loss)


Kind: TypeAlias = tuple[type, str]
"""Recipes that miss in the same way."""
Responses: TypeAlias = Mapping[Kind, Response]


def kind_of(recipe: Recipe) -> Kind:
    """Which curve a recipe is on."""
    return type(recipe), recipe.order if isinstance(recipe, Separable) else ""


def response(looks: list[Look]) -> Response | None:
    """What looks tell, one or more at a loss; None if nothing arrived at the outputs."""
    seen = sorted(look for look in looks if look.error)
    return Response(tuple(seen)) if seen else None


def _between(low: Look, high: Look, loss: float) -> float:
    if not isfinite(low.error) or not isfinite(high.error):
        return high.error
    share = log(loss / low.loss) / log(high.loss / low.loss)
    return exp((1 - share) * log(low.error) + share * log(high.error))
