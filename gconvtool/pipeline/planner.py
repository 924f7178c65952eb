"""The recipes that make a network as fast as can be within what may be lost.

A choice (`scales`) goes by the sum of squared errors that its sites pass on; what is allowed is
points, decibels or a relative error of the whole. So the budget of the sum is moved until the loss
is about what is allowed. That is first done with networks that are put together from trials, which
costs a run over the samples each. Then the real thing is made, site after site fitted to what
really flows in, which loses less, and the budget moves again.

The result is timed as a whole before it is believed. Where it is not faster although its parts
were, the half of its sites that save least are given back. A limit on costs goes the other way: the
budget is one of costs, and the loss is as small as can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt

from gconvtool.errors import VerificationError
from gconvtool.facts import Skip
from gconvtool.limits import CostLimit, Goal, LossLimit
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.racing import race
from gconvtool.pipeline.rewrite import Rewritten
from gconvtool.pipeline.scales import Picks, Scales, weigh
from gconvtool.results import Drift
from gconvtool.results.planning import Planning, Race, SiteTime

LOOKS, ROUNDS = 8, 3
"""Choices that are judged as they are put together, and those that are really made."""
CLOSE = 0.8
"""Of what is allowed: a choice that uses this much is not improved on."""
FURTHER = 1.4
"""By this, squared errors are smaller once sites are fitted to what really flows in."""
STEP = 8.0
"""The most by which a budget changes at once."""
FIRST_BUDGET = 0.01
NS = 1e6
"""In a millisecond."""
GROWTH = {"points": 2.0, "error": 2.0, "snr": 2.0, "psnr": 1.0}
"""The power of a loss that squared errors go by, about."""


@dataclass(frozen=True)
class _Made:
    """A choice that was made: what it uses of what is allowed, and what was timed."""

    picks: Picks
    rewritten: Rewritten
    used: float
    race: Race | None = None


def search(request: Request, goal: Goal, *, remember: bool = True) -> tuple[Rewritten, Planning]:
    """Find the best conversion within the goal, or the nearest to it, in memory.

    Args:
        request: what is asked for, with data and without a recipe.
        goal: what is made small, and within what.
        remember: keep measured times for the next run.

    Raises:
        InputError: there are no data, or the goal cannot be judged on them.
        VerificationError: nothing is to be gained within the goal.
    """
    scales = weigh(request, goal, remember=remember)
    if isinstance(goal.limit, LossLimit):
        made = _within_loss(scales, goal.limit, timed=goal.objective == "latency")
    else:
        made = _within_cost(scales, goal.limit)
    return _explained(scales, made), _planning(scales, goal, made)


# Within a loss.


def _within_loss(scales: Scales, limit: LossLimit, *, timed: bool) -> _Made:
    budget = _budget(scales, limit)
    rounds = list(_rounds(scales, limit, budget))
    if not rounds:
        raise VerificationError(
            f"{scales.request.network.name}: nothing is to be gained within {limit}: no candidate "
            "costs less and loses as little"
        )
    best = min(rounds, key=lambda made: (made.used > limit.most, _cost(scales, made), made.used))
    return _raced(scales, limit, best) if timed else best


def _budget(scales: Scales, limit: LossLimit) -> float:
    """The sum of squared errors at which choices lose what is allowed, as they are put together."""
    steering = Steering(limit.most, GROWTH[limit.kind])
    budget, seen = _start(limit), dict[tuple[tuple[str, str], ...], float]()
    for look in range(LOOKS):
        scales.request.progress("choosing", look, LOOKS)
        picks = scales.within(budget)
        key = _key(picks)
        if key not in seen:
            seen[key] = _lost(limit, scales.put_together(picks)) if picks else 0.0
        if steering.settled(seen[key]):
            break
        budget = steering.next(budget, seen[key])
    return steering.low or budget


def _rounds(scales: Scales, limit: LossLimit, budget: float) -> Iterator[_Made]:
    steering = Steering(limit.most, GROWTH[limit.kind])
    budget, before = budget * FURTHER, set[tuple[tuple[str, str], ...]]()
    for _ in range(ROUNDS):
        picks = scales.within(budget)
        if _key(picks) in before or not picks:
            return
        before.add(_key(picks))
        made = _judged(scales, limit, picks)
        yield made
        if steering.settled(made.used):
            return
        budget = steering.next(budget, made.used)


class Steering:
    """Moves a budget to where just what is allowed is used; that grows with the budget."""

    def __init__(self, allowed: float, growth: float) -> None:
        self._allowed, self._growth = allowed, growth
        self.low, self._high = 0.0, inf

    def settled(self, used: float) -> bool:
        """It is near enough below."""
        return self._allowed * CLOSE <= used <= self._allowed

    def next(self, budget: float, used: float) -> float:
        """The budget to try when this one used so much."""
        if used <= self._allowed:
            self.low = max(self.low, budget)
        else:
            self._high = min(self._high, budget)
        if self.low and self._high < inf:
            return sqrt(self.low * self._high)
        change = (self._allowed / used) ** self._growth if used else STEP
        return budget * min(STEP, max(1 / STEP, change * 0.9))


def _raced(scales: Scales, limit: LossLimit, made: _Made) -> _Made:
    """The same with its time; with fewer sites if it is not faster, which loses less too."""
    for _ in range(ROUNDS):
        raced = race(scales.request, scales.feeds, made.rewritten)
        if raced.speedup.low > 1:
            return replace(made, race=raced)
        saved = scales.saved(made.picks)
        fewer = sorted(made.picks, key=lambda name: -saved[name])[: len(made.picks) // 2]
        if not fewer:
            break
        picks = {name: trial for name, trial in made.picks.items() if name in fewer}
        made = _judged(scales, limit, picks)
    raise VerificationError(
        f"{scales.request.network.name}: nothing is to be gained: the whole is not faster "
        f"({raced.speedup.estimate:.2f}x) although its convolutions alone are"
    )


# Within a cost.


def _within_cost(scales: Scales, limit: CostLimit) -> _Made:
    if limit.kind == "speedup":
        return _faster(scales, limit)
    before, sites = scales.macs, sum(price.now for price in scales.prices.values())
    return _made(scales, limit, sites - (before - limit.most(before)))


def _faster(scales: Scales, limit: CostLimit) -> _Made:
    """Parts that are to save what the whole should, and more if the whole does not."""
    before_ns = NS * race(scales.request, scales.feeds, None).before_ms
    sites = sum(price.now for price in scales.prices.values())
    goal_ns = limit.most(before_ns)
    most, best = sites - (before_ns - goal_ns), None
    for _ in range(ROUNDS):
        made = _made(scales, limit, most)
        raced = race(scales.request, scales.feeds, made.rewritten)
        made = replace(made, used=1 / raced.speedup.estimate, race=raced)
        if best is None or made.used < best.used:
            best = made
        if made.used * limit.amount <= 1:
            break
        most -= FURTHER * (made.used * before_ns - goal_ns)
    assert best is not None, "there is a round"
    return best


def _made(scales: Scales, limit: CostLimit, most: float) -> _Made:
    picks = scales.costing(most)
    if not picks:
        raise VerificationError(f"{scales.request.network.name}: {limit} holds as it is")
    rewritten = scales.made(picks)
    return _Made(_taken(picks, rewritten), rewritten, rewritten.conversion.after.macs)


# What all of it needs.


def _start(limit: LossLimit) -> float:
    return limit.most**2 if limit.kind in ("error", "snr") else FIRST_BUDGET


def _judged(scales: Scales, limit: LossLimit, picks: Picks) -> _Made:
    rewritten = scales.made(picks)
    used = _lost(limit, scales.judge(rewritten.model))
    return _Made(_taken(picks, rewritten), rewritten, used)


def _taken(picks: Picks, rewritten: Rewritten) -> Picks:
    """Those that were made: a site that missed too much in the end stayed as it was."""
    made = {site.name for site in rewritten.conversion.converted}
    return {name: trial for name, trial in picks.items() if name in made}


def _lost(limit: LossLimit, drifts: Sequence[Drift]) -> float:
    lost = limit.lost(drifts)
    return inf if lost is None else lost


def _cost(scales: Scales, made: _Made) -> float:
    return -sum(scales.saved(made.picks).values())


def _key(picks: Picks) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(trial.candidate.recipe)) for name, trial in picks.items())


def _planning(scales: Scales, goal: Goal, made: _Made) -> Planning:
    times = tuple(_times(scales, made.picks)) if goal.objective == "latency" else ()
    saved_ms = sum(time.before_ms - time.after_ms for time in times)
    return Planning(
        limit=str(goal.limit),
        objective=goal.objective,
        used=_said(goal.limit, made, scales),
        holds=_holds(goal.limit, made, scales),
        candidates=sum(map(len, scales.trials.values())),
        times=times,
        predicted_ms=None if made.race is None else made.race.before_ms - saved_ms,
        race=made.race,
    )


def _times(scales: Scales, picks: Picks) -> Iterator[SiteTime]:
    for name, trial in picks.items():
        price = scales.prices[name]
        yield SiteTime(name, price.now / NS, price.then[trial.candidate.recipe] / NS)


def _explained(scales: Scales, made: _Made) -> Rewritten:
    """With the reasons why sites stay, where the search left them, and what else has to be said."""
    why = {name: Skip(reason) for name, reason in scales.reasons(made.picks).items()}
    rewritten, said = made.rewritten, made.rewritten.conversion
    sites = tuple(
        replace(site, reason=why[site.name].reason)
        if site.recipe is None and site.error is None and site.name in why
        else site
        for site in said.sites
    )
    kept = {**rewritten.plan.kept, **why}
    return replace(
        rewritten,
        conversion=replace(said, sites=sites, warnings=(*said.warnings, *scales.warnings)),
        plan=replace(rewritten.plan, kept=kept),
    )


def _holds(limit: LossLimit | CostLimit, made: _Made, scales: Scales) -> bool:
    if isinstance(limit, LossLimit):
        return made.used <= limit.most
    if limit.kind == "speedup":
        return made.used * limit.amount <= 1
    return bool(limit.judge(scales.macs, made.used).holds)


def _said(limit: LossLimit | CostLimit, made: _Made, scales: Scales) -> str:
    if isinstance(limit, LossLimit):
        return limit.told(made.used)
    return f"{1 / made.used:.2f}x" if limit.kind == "speedup" else f"{made.used / scales.macs:.0%}"
