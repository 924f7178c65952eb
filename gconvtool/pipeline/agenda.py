"""Which conversions a sweep makes: choices of a front (`knapsack.front`), spread evenly along it.

A choice of cost c and loss l stands, between the gentlest (c₀, l₀) and the cheapest (c₁, l₁), at

    ½·(c₀ − c)/(c₀ − c₁) + ½·log(l/l₀)/log(l₁/l₀)

since losses matter by their ratio and costs by their difference; but losses below ε = 10⁻⁴, which
is a relative error of 1 % or 40 dB and seldom shows, all count as ε. Of choices that save next to
nothing and those whose outputs would be about as far off as zeros are, there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log

from gconvtool import notation
from gconvtool.errors import VerificationError
from gconvtool.knapsack import Choice
from gconvtool.limits import Goal, LossLimit, Objective
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.scales import Picks, Scales
from gconvtool.pipeline.weighing import weighed
from gconvtool.spellings import Spelling

MOST_LOSS = 0.25
"""Relative squared error of the outputs that a choice may be thought to leave."""
LEAST_LOSS = 1e-4
"""Less does not count."""
LEAST_SAVED = 0.05
"""Of what the cheapest choice saves."""


@dataclass(frozen=True)
class Intent:
    """A conversion to make: recipes by site, the share of the network's time that each site is
    thought to save, where time was measured, and spellings where they are not the usual ones."""

    recipes: Mapping[str, str]
    saves: Mapping[str, float]
    spellings: Mapping[str, Spelling] = field(default_factory=dict)


@dataclass(frozen=True)
class Agenda:
    """All of them, from the least loss on.

    `candidates` were fitted to know that, and networks are timed with inputs of these `shapes`.
    """

    intents: tuple[Intent, ...]
    candidates: int
    shapes: Mapping[str, tuple[int, ...]]
    warnings: tuple[str, ...] = ()


def agenda(request: Request, objective: Objective, points: int, *, remember: bool) -> Agenda:
    """Weigh all candidates and choose so many conversions, or as many as there are.

    Raises:
        InputError: there are no data.
        VerificationError: nothing is to be gained.
    """
    with weighed(request, Goal(LossLimit("error", 1), objective), remember=remember) as scales:
        front = list(scales.front())
    chosen = spread([choice for choice, _ in front], points)
    if not chosen:
        raise VerificationError(
            f"{request.network.name}: nothing is to be gained: no candidate costs less and leaves "
            "the outputs what they are"
        )
    return Agenda(
        tuple(_intent(scales, front[place][1]) for place in chosen),
        sum(map(len, scales.trials.values())),
        {name: array.shape for name, array in scales.feeds.items()},
        scales.warnings,
    )


def spread(front: Sequence[Choice], count: int) -> tuple[int, ...]:
    """The places of at most so many choices on a front.

    Args:
        front: by rising loss and falling cost; the first is what stays as it is.
        count: one or more.
    """
    worth = _worthwhile(front)
    left, chosen = _along([front[place] for place in worth]), list[int]()
    steps = min(count, len(worth))
    for step in range(steps):
        goal = step / (steps - 1) if steps > 1 else 0.5
        nearest = min(left, key=lambda place: abs(left[place] - goal))
        del left[nearest]
        chosen.append(worth[nearest])
    return tuple(sorted(chosen))


def _worthwhile(front: Sequence[Choice]) -> list[int]:
    before = front[0].cost
    bearable = [place for place, choice in enumerate(front) if choice.loss <= MOST_LOSS]
    most = max((before - front[place].cost for place in bearable), default=0.0)
    least = LEAST_SAVED * most
    return [place for place in bearable if most and before - front[place].cost >= least]


def _along(front: Sequence[Choice]) -> dict[int, float]:
    """Where each stands, from 0 to 1."""
    saved = [-choice.cost for choice in front]
    losses = [log(max(choice.loss, LEAST_LOSS)) for choice in front]
    rising = [axis for axis in (saved, losses) if axis and axis[-1] > axis[0]]
    return {i: _share(i, rising) for i in range(len(front))}


def _share(place: int, rising: Sequence[Sequence[float]]) -> float:
    """How far along all axes it is from the first to the last, at the mean."""
    shares = [(axis[place] - axis[0]) / (axis[-1] - axis[0]) for axis in rising]
    return sum(shares) / max(1, len(shares))


def _intent(scales: Scales, picks: Picks) -> Intent:
    entries, whole_ns = scales.entries(picks), scales.whole_ns
    return Intent(
        {entry.name: notation.written(entry.recipe) for entry in entries},
        {n: ns / whole_ns for n, ns in scales.saved(picks).items()} if whole_ns else {},
        {entry.name: entry.spelling for entry in entries if entry.spelling},
    )
