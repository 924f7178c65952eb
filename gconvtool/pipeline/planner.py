"""The recipes that make a network as fast as can be within what may be lost.

A choice (`scales`) goes by the sum of squared errors that its sites pass on; what is allowed is
points, decibels or a relative error of the whole. So the budget of the sum is moved (`steering`)
until the loss is about what is allowed. That is first done with networks that are put together from
trials, which costs a run over the samples each. Then the real thing is made, site after site fitted
to what really flows in, which loses less, and the budget moves again.

One recipe everywhere is a choice, too. Where that promises to be faster than what was found, and is
not thought to lose many times too much, it is made and judged like the others: what is known of
sites says little of how their errors meet.

The result is timed as a whole before it is believed. Where it is not faster although its parts
were, the half of its sites that save least are given back. A limit on costs goes the other way: the
budget is one of costs, and the loss is as small as can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import TypeAlias

from gconvtool.errors import VerificationError
from gconvtool.facts import Skip
from gconvtool.limits import CostLimit, Evidence, Goal, Judged, LossKind, LossLimit
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.racing import race
from gconvtool.pipeline.rewrite import Rewritten
from gconvtool.pipeline.scales import Picks, Scales
from gconvtool.pipeline.steering import STEP, Steering, steer
from gconvtool.pipeline.weighing import weighed
from gconvtool.results.planning import Planning, Race, SiteTime

LOOKS, ROUNDS = 8, 5
"""Choices that are judged as they are put together, and those that are really made; twice as many
as long as none of them holds."""
RIVALS, RIVAL_LOSS = 2, 4.0
"""Choices of one recipe that are made: those that lose up to so many times the budget."""
RACES = 3
"""Of the whole, until it is faster for certain; and conversions until a cost is low enough."""
REAL_STEP = 3.0
"""The most by which the budget of what is really made changes at once."""
LONG_S, PATIENCE = 200.0, 2.5
"""Once a search took this long, and so many times what it took to weigh the candidates, and
something holds, nothing more is made."""
BUDGETS = 40
"""That are tried; most lead to a choice that was judged before."""
FURTHER = 1.4
"""By this, squared errors are smaller once sites are fitted to what really flows in."""
BEYOND = 1.4
"""What is missing of a cost is asked for this many times, as parts save less together."""
FIRST_BUDGET = 0.01
NS = 1e6
"""In a millisecond."""
GROWTH: dict[LossKind, float] = {"psnr": 1.0}
"""The power of a loss that squared errors go by, about: of others 2."""

_Key: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Made:
    """A choice that was made: what it uses of what is allowed, in words too, and whether that
    holds; scores before and after, and the time of the whole, where there are."""

    picks: Picks
    rewritten: Rewritten
    used: float
    said: str
    holds: bool
    scores: tuple[float, float] | None = None
    race: Race | None = None


def search(request: Request, goal: Goal, *, remember: bool = True) -> tuple[Rewritten, Planning]:
    """Find the best conversion within the goal, or the nearest to it, in memory.

    Args:
        request: what is asked for, with data and without a recipe.
        goal: what is made small, and within what.
        remember: keep what was found, step by step, for the next run; if not, all is done anew.

    Raises:
        InputError: there are no data, or the goal cannot be judged on them.
        VerificationError: nothing is to be gained within the goal.
    """
    with weighed(request, goal, remember=remember) as scales:
        if isinstance(goal.limit, LossLimit):
            made = _within_loss(scales, goal.limit, timed=goal.objective == "latency")
        else:
            made = _within_cost(scales, goal.limit)
    return _explained(scales, made), _planning(scales, goal, made)


# Within a loss.


def _within_loss(scales: Scales, limit: LossLimit, *, timed: bool) -> _Made:
    best = _Best(scales, limit)

    def together(picks: Picks) -> float:
        return _lost(limit, scales.put_together(picks))

    budget = _steered(scales, limit, _start(limit), _Looks(scales, limit, together, LOOKS))
    really = _Looks(scales, limit, best.make, ROUNDS, lambda: best.will_do)
    budget = _steered(scales, limit, budget * FURTHER, really, REAL_STEP)
    if not best.will_do:
        _challenged(scales, best, budget)
    if best.made is None:
        raise _nothing(scales, f" within {limit}: no candidate costs less and loses as little")
    return _raced(scales, limit, best.made) if timed else best.made


class _Best:
    """Makes choices for real, and keeps the best: the cheapest that holds, or else the nearest."""

    def __init__(self, scales: Scales, limit: LossLimit) -> None:
        self._scales, self._limit = scales, limit
        self._used: dict[_Key, float] = {}
        self.made: _Made | None = None

    @property
    def holds(self) -> bool:
        """There is one within the limit."""
        return self.made is not None and self.made.holds

    @property
    def will_do(self) -> bool:
        """There is, and the search has gone on for long."""
        scales = self._scales
        return self.holds and scales.seconds > max(LONG_S, PATIENCE * scales.weighed_s)

    @property
    def saved(self) -> float:
        """What it saves; nothing where none holds."""
        return _saved(self._scales, self.made.picks) if self.made and self.holds else 0.0

    def make(self, picks: Picks) -> float:
        """What a choice really loses; each is made once."""
        if (key := _key(picks)) in self._used:
            return self._used[key]
        made = _judged(self._scales, self._limit, picks)
        if self.made is None or self._rank(made) < self._rank(self.made):
            self.made = made
        self._used[key] = made.used
        return made.used

    def _rank(self, made: _Made) -> tuple[float, float]:
        return (not made.holds and made.used), -_saved(self._scales, made.picks)


def _challenged(scales: Scales, best: _Best, budget: float) -> None:
    """Make the fastest choices of one recipe that may be better than the best."""
    rivals = [p for p in scales.uniform() if scales.loss(p) <= RIVAL_LOSS * budget]
    for picks in sorted(rivals, key=lambda picks: -_saved(scales, picks))[:RIVALS]:
        if _saved(scales, picks) <= best.saved or best.will_do:
            return
        best.make(picks)


def _steered(
    scales: Scales, limit: LossLimit, budget: float, looks: _Looks, step: float = STEP
) -> float:
    """A budget at which choices lose what is allowed, by looks at so many of them."""
    return steer(Steering(_allowed(limit), GROWTH.get(limit.kind, 2.0), step), budget, looks.use)


def _allowed(limit: LossLimit) -> float:
    """The most that holds, with what is forgiven for rounding."""
    return Judged(None, limit.most).limit


class _Looks:
    """Has choices judged, each once; one that changes nothing loses nothing."""

    def __init__(
        self,
        scales: Scales,
        limit: LossLimit,
        judge: Callable[[Picks], float],
        most: int,
        late: Callable[[], bool] = lambda: False,
    ) -> None:
        self._scales, self._limit, self._judge, self._most = scales, limit, judge, most
        self._late = late
        self._used: dict[_Key, float] = {}
        self._budgets = 0

    def use(self, budget: float) -> float | None:
        """What the choice within a budget loses; None if enough were looked at."""
        self._budgets += 1
        picks = self._scales.within(budget)
        key = _key(picks)
        if not picks:
            self._used.setdefault(key, 0.0)
        if self._budgets > BUDGETS or (key not in self._used and self._enough):
            return None
        if key not in self._used:
            self._scales.request.progress("choosing", len(self._used), self._most)
            self._used[key] = self._judge(picks)
        return self._used[key]

    @property
    def _enough(self) -> bool:
        judged = [used for key, used in self._used.items() if key]
        held = any(used <= _allowed(self._limit) for used in judged)
        return self._late() or len(judged) >= (self._most if held else 2 * self._most)


def _raced(scales: Scales, limit: LossLimit, made: _Made) -> _Made:
    """The same with its time; with fewer sites if it is not faster, which loses less too."""
    for _ in range(RACES):
        raced = race(scales.request, scales.feeds, made.rewritten)
        if raced.speedup.low > 1:
            return replace(made, race=raced)
        if raced.speedup.estimate > 1:
            continue  # it may be, and is timed again
        fewer = _larger_half(scales, made.picks)
        if not fewer:
            break
        made = _judged(scales, limit, fewer)
    interval = raced.speedup
    raise _nothing(
        scales,
        f": the whole is not faster for certain ({interval.estimate:.2f}x, 95 % "
        f"{interval.low:.2f}–{interval.high:.2f}) although its convolutions alone are",
    )


def _larger_half(scales: Scales, picks: Picks) -> Picks:
    """The sites that save most, in their order."""
    saved = scales.saved(picks)
    kept = set(sorted(picks, key=lambda name: -saved[name])[: len(picks) // 2])
    return {name: trial for name, trial in picks.items() if name in kept}


def _judged(scales: Scales, limit: LossLimit, picks: Picks) -> _Made:
    rewritten = scales.made(picks)
    evidence = scales.judge(rewritten.model)
    used = _lost(limit, evidence)
    holds = bool(Judged(used, limit.most).holds)
    taken = _taken(picks, rewritten)
    return _Made(taken, rewritten, used, limit.told(used), holds, evidence.scores)


def _start(limit: LossLimit) -> float:
    return limit.most**2 if limit.kind in ("error", "snr") else FIRST_BUDGET


def _lost(limit: LossLimit, evidence: Evidence) -> float:
    """What is not known may be anything."""
    lost = limit.lost(evidence)
    return inf if lost is None else lost


# Within a cost.


def _within_cost(scales: Scales, limit: CostLimit) -> _Made:
    """Parts that are to save what the whole should, and more where the whole does not."""
    before = _before(scales, limit)
    aim, most, made = limit.most(before), _sites(scales) - before + limit.most(before), None
    seen, best = set[_Key](), None
    if aim >= before:
        raise VerificationError(f"{scales.request.network.name}: {limit} holds as it is")
    for _ in range(RACES):
        picks = scales.costing(most)
        if not picks or _key(picks) in seen:
            break
        seen.add(_key(picks))
        made = _costed(scales, limit, before, picks)
        best = made if best is None or made.used < best.used else best
        if made.holds:
            break
        most -= BEYOND * (made.used - aim)
    if best is None:
        raise _nothing(scales, ": no candidate costs less and leaves the outputs finite")
    return best


def _before(scales: Scales, limit: CostLimit) -> float:
    """What the original costs, in nanoseconds or MACs."""
    if limit.kind != "speedup":
        return scales.macs
    return NS * race(scales.request, scales.feeds, None).before_ms


def _sites(scales: Scales) -> float:
    return sum(price.now for price in scales.prices.values())


def _costed(scales: Scales, limit: CostLimit, before: float, picks: Picks) -> _Made:
    rewritten, raced = scales.made(picks), None
    after: float = rewritten.conversion.after.macs
    if limit.kind == "speedup":
        raced = race(scales.request, scales.feeds, rewritten)
        after = before / raced.speedup.estimate
    holds = bool(limit.judge(before, after).holds)
    said = limit.told(before, after)
    return _Made(_taken(picks, rewritten), rewritten, after, said, holds, race=raced)


# What all of it needs.


def _taken(picks: Picks, rewritten: Rewritten) -> Picks:
    """Those that were made: a site that missed too much in the end stayed as it was."""
    made = {site.name for site in rewritten.conversion.converted}
    return {name: trial for name, trial in picks.items() if name in made}


def _saved(scales: Scales, picks: Picks) -> float:
    return sum(scales.saved(picks).values())


def _key(picks: Picks) -> _Key:
    return tuple((name, str(trial.candidate.recipe)) for name, trial in picks.items())


def _nothing(scales: Scales, why: str) -> VerificationError:
    return VerificationError(f"{scales.request.network.name}: nothing is to be gained{why}")


def _planning(scales: Scales, goal: Goal, made: _Made) -> Planning:
    times = tuple(_times(scales, made.picks)) if goal.objective == "latency" else ()
    metric = scales.jury.metric
    return Planning(
        limit=str(goal.limit),
        objective=goal.objective,
        used=made.said,
        holds=made.holds,
        candidates=sum(map(len, scales.trials.values())),
        metric=None if metric is None else metric.name,
        scores=made.scores,
        times=times,
        predicted_ms=_predicted_ms(scales, made),
        race=made.race,
    )


def _predicted_ms(scales: Scales, made: _Made) -> float | None:
    """The time of the whole now, less the share that its parts saved when all were timed."""
    if made.race is None or scales.whole_ns is None:
        return None
    return made.race.before_ms * (1 - _saved(scales, made.picks) / scales.whole_ns)


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
