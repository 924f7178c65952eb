"""Which conversions a sweep makes: choices of a front (`knapsack.front`), spread evenly along it.

A choice of cost c and loss l stands, between the gentlest (c₀, l₀) and the cheapest (c₁, l₁), at

    ½·(c₀ − c)/(c₀ − c₁) + ½·log(l/l₀)/log(l₁/l₀)

since losses matter by their ratio and costs by their difference. Of those that save next to nothing
and those whose outputs would be about as far off as zeros are, there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple

from gconvtool import notation
from gconvtool.errors import VerificationError
from gconvtool.limits import Goal, LossLimit, Objective
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.scales import Picks, Scales, weigh

MOST_LOSS = 0.25
"""Relative squared error of the outputs that a choice may be thought to leave."""
LEAST_SAVED = 0.05
"""Of what the cheapest choice saves."""
NS = 1e6
"""In a millisecond."""


@dataclass(frozen=True)
class Intent:
    """A conversion to make: recipes by site, and what sites save in milliseconds, where time was
    measured."""

    recipes: Mapping[str, str]
    saved_ms: Mapping[str, float]


@dataclass(frozen=True)
class Agenda:
    """All of them, from the least loss on; `candidates` were fitted to know that."""

    intents: tuple[Intent, ...]
    candidates: int
    warnings: tuple[str, ...] = ()


class Standing(NamedTuple):
    """A choice by what it costs and loses."""

    cost: float
    loss: float


def agenda(request: Request, objective: Objective, points: int, *, remember: bool) -> Agenda:
    """Weigh all candidates and choose so many conversions, or as many as there are.

    Raises:
        VerificationError: nothing is to be gained.
    """
    scales = weigh(request, Goal(LossLimit("error", 1), objective), remember=remember)
    front = [(Standing(choice.cost, choice.loss), picks) for choice, picks in scales.front()]
    chosen = spread([standing for standing, _ in front], points)
    if not chosen:
        raise VerificationError(
            f"{request.network.name}: nothing is to be gained: no candidate costs less and leaves "
            "the outputs what they are"
        )
    timed = objective == "latency"
    intents = tuple(_intent(scales, front[place][1], timed) for place in chosen)
    return Agenda(intents, sum(map(len, scales.trials.values())), scales.warnings)


def spread(front: Sequence[Standing], count: int) -> tuple[int, ...]:
    """The places of so many choices on a front that begins with what stays as it is.

    Args:
        front: by rising loss and falling cost.
        count: at most so many.
    """
    worth = _worthwhile(front)
    if not worth:
        return ()
    left, chosen = _along([front[place] for place in worth]), list[int]()
    for step in range(min(count, len(worth))):
        goal = step / max(1, min(count, len(worth)) - 1)
        nearest = min(left, key=lambda place: abs(left[place] - goal))
        del left[nearest]
        chosen.append(worth[nearest])
    return tuple(sorted(chosen))


def _worthwhile(front: Sequence[Standing]) -> list[int]:
    before = front[0].cost
    bearable = [place for place, choice in enumerate(front) if choice.loss <= MOST_LOSS]
    most = max((before - front[place].cost for place in bearable), default=0.0)
    if most <= 0:
        return []
    return [place for place in bearable if before - front[place].cost >= LEAST_SAVED * most]


def _along(front: Sequence[Standing]) -> dict[int, float]:
    """Where each stands, from 0 to 1."""
    least = min((choice.loss for choice in front if choice.loss > 0), default=1.0)
    logs = [log(max(choice.loss, least)) for choice in front]
    costs = [-choice.cost for choice in front]
    return {place: (_share(place, costs) + _share(place, logs)) / 2 for place in range(len(front))}


def _share(place: int, rising: Sequence[float]) -> float:
    """How far along it is from the first to the last."""
    span = rising[-1] - rising[0]
    return (rising[place] - rising[0]) / span if span else 0.0


def _intent(scales: Scales, picks: Picks, timed: bool) -> Intent:
    recipes = {entry.name: notation.written(entry.recipe) for entry in scales.entries(picks)}
    saved = scales.saved(picks) if timed else {}
    return Intent(recipes, {name: ns / NS for name, ns in saved.items()})
