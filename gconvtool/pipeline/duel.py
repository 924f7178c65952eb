"""Two models on the same inputs: first how far apart they are, and only then which is faster.

Whatever can be refused is refused by `prepare`, before anything is timed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from gconvtool.pipeline.contestants import Contestant, Weight, stand_ins
from gconvtool.pipeline.course import Course
from gconvtool.pipeline.gates import decide
from gconvtool.pipeline.layers import layers, require_profile
from gconvtool.pipeline.source import BATCH, drift
from gconvtool.pipeline.terms import Terms
from gconvtool.results import Comparison, Drift, LayerTimes, Measurement, Placed, Totals
from gconvtool.runtime.session import version
from gconvtool.timing import machine, protocol, stats

Tell = Callable[[float], None]
"""Hears how much of the timing is done, 0 to 1."""

Weigh = Callable[[Contestant, Course, str], Weight]
"""Finds out what a model takes besides its time, on a course and a provider."""


@dataclass(frozen=True)
class Duel:
    """Two models that do the same job, and what is known of them before they are timed."""

    first: Contestant
    second: Contestant
    course: Course
    drift: tuple[Drift, ...]
    provider: str
    placement: Mapping[str, Mapping[str, Placed]]
    macs: tuple[Totals, Totals]
    notes: tuple[str, ...]


def prepare(
    first: Contestant, second: Contestant, course: Course, notes: tuple[str, ...] = ()
) -> Duel:
    """Compare what comes out of both on all samples, and see where they run and what they cost.

    Raises:
        InputError: one of them does not run on these inputs, or they do not do the same job.
        VerificationError: the second one's outputs are not finite.
        MissingError: a provider leaves convolutions to another one, and may not.
    """
    sessions = (first.session(), second.session())
    if first.terms.layers:
        require_profile(sessions[0].provider)
    for session in sessions:
        session.run(course.feeds)  # the batch that is timed may be another than that of the drift
    costs = [contestant.costs(course.shapes(1)) for contestant in (first, second)]
    return Duel(
        first,
        second,
        course,
        drift(*sessions, course.samples, course.sized(BATCH)),
        sessions[0].provider,
        {
            "a": first.placement(sessions[0], costs[0]),
            "b": second.placement(sessions[1], costs[1]),
        },
        (costs[0].totals, costs[1].totals),
        (*machine.crowding(first.terms.granted), *stand_ins((first, second)), *notes),
    )


def contest(
    duels: Sequence[Duel],
    terms: Terms,
    noise: tuple[str, ...] = (),
    limits: Sequence[float] | None = None,
) -> list[Comparison]:
    """Time one pair after the other, which share the budget, and decide the gates of each.

    Args:
        duels: what `prepare` gave.
        terms: the budget and the gates.
        noise: warnings that come before those of the models.
        limits: speedups; a pair is timed until its verdict is certain, and on which side of each of
            these and of `max_p95` it lies. Without them it is timed for as long as the budget says.
    """
    weigh: Weigh = cache(_weigh)  # a model may be in several pairs
    found = []
    for part, duel in enumerate(duels):
        measured = _measured(
            duel, terms.time_budget_s / len(duels), limits, terms.tell(part, len(duels))
        )
        one = _judged(duel, measured, noise, weigh)
        found.append(replace(one, gates=decide(terms.gates, one)))
    return found


def _measured(
    duel: Duel, time_budget_s: float, limits: Sequence[float] | None, tell: Tell
) -> Measurement:
    return protocol.measure(
        duel.first.opener(duel.course.feeds),
        duel.second.opener(duel.course.feeds),
        clock=machine.SystemClock(),
        rng=random.Random(duel.first.terms.seed),
        time_budget_s=time_budget_s,
        enough=_never
        if limits is None
        else partial(stats.settled, limits=limits, most_p95_ms=duel.first.terms.gates.max_p95),
        progress=tell,
    )


def _never(measured: Measurement) -> bool:
    """More blocks always tell more."""
    return False


def _weigh(one: Contestant, course: Course, provider: str) -> Weight:
    return one.weigh(course.feeds, provider)


def _judged(duel: Duel, measured: Measurement, noise: tuple[str, ...], weigh: Weigh) -> Comparison:
    """What was found, and what else was asked for; no gate is decided yet."""
    first, second, course, terms = duel.first, duel.second, duel.course, duel.first.terms
    a, b = (weigh(one, course, duel.provider) for one in (first, second))
    return Comparison(
        a=a.beside(stats.timing(first.name, measured, "a")),
        b=b.beside(stats.timing(second.name, measured, "b")),
        judgement=stats.judge(measured),
        drift=duel.drift,
        drift_source=course.samples.source,
        provider=duel.provider,
        threads=terms.granted,
        batch=course.batch,
        placement=duel.placement,
        machine=machine.machine(version()),
        macs=duel.macs,
        gates=(),
        measurement=measured,
        warnings=(*noise, *duel.notes, *dict.fromkeys((*a.doubts, *b.doubts))),
        layers=_layers(duel) if terms.layers else None,
    )


def _layers(duel: Duel) -> LayerTimes:
    return layers(duel.first, duel.second, duel.course, duel.provider, machine.SystemClock())
