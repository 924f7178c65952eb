"""Races of many small models at the same time, in turns, so that all of them see the same machine.

What somebody else's work takes of a core then counts for every contest alike. Beside those that
are to be timed runs one more race, of the network and of all dense excerpts. It brings all times to
one moment, those too that were measured in an earlier run: the times of a contest are scaled by
what its dense excerpt took there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeAlias

import onnx_ir as ir

from gconvtool.errors import InputError
from gconvtool.facts import Skip
from gconvtool.results.kernels import Estimate, KernelTime
from gconvtool.runtime.cache import Cache, Pair
from gconvtool.runtime.contests import Contest, Contests
from gconvtool.timing.protocol import S_NS, Clock, Runner
from gconvtool.timing.race import Race, take_turns

TOGETHER_S = 8.0
"""For the race beside the others, where there are none."""
HEAT_BYTES = 2**30
"""Weights of all models that are open at once, about."""

Open = Callable[[ir.Model], Runner]
"""Makes a session of a small model."""

Answers: TypeAlias = Mapping[Pair, KernelTime | Skip]
Wanted: TypeAlias = tuple[Contest, Sequence[Pair]]
"""A contest, and what of it is to be timed."""


@dataclass(frozen=True)
class Bench:
    """What times are taken with; `told` hears what is being timed, how many are done, of how many.

    The cache's circumstances are those under which `open` makes sessions.
    """

    open: Open
    clock: Clock
    cache: Cache
    seed: int = 0
    told: Callable[[str, int, int], None] = lambda what, done, total: None


def timed(
    contests: Contests,
    known: Answers,
    bench: Bench,
    budget_s: float,
    whole: Runner | None,
) -> tuple[Answers, float | None]:
    """What is known and what was not, and what the whole takes, in ns, all at one moment.

    Args:
        contests: all that is wanted.
        known: answers from earlier runs.
        bench: sessions, clock and cache.
        budget_s: for what is not known.
        whole: runs the network itself.
    """
    together = _Together(contests, bench, whole)
    missing, end_ns = contests.missing(known), bench.clock.wall_ns() + budget_s * S_NS
    answers, left = dict(known), sum(len(pairs) for _, pairs in missing)
    for heat in _heats(missing):
        mine = sum(len(pairs) for _, pairs in heat)
        share_s = (end_ns - bench.clock.wall_ns()) / S_NS * mine / left
        answers |= _run(heat, together.races, bench, share_s, len(known) + left)
        left -= mine
    if not missing:
        take_turns(together.races, clock=bench.clock, budget_s=TOGETHER_S)
    now = together.moment(answers)
    return {pair: now.scaled(pair, answer) for pair, answer in answers.items()}, now.whole_ns


def _run(
    heat: Sequence[Wanted],
    beside: Sequence[Race],
    bench: Bench,
    budget_s: float,
    to_do: int,
) -> Answers:
    """Time what is missing of some contests, in turns with what runs beside, and remember it."""
    entered = [_entered(contest, pairs, bench) for contest, pairs in heat]
    running = [one.running for one in entered if one.running is not None]
    try:
        take_turns(
            [*running, *beside],
            clock=bench.clock,
            budget_s=budget_s,
            told=lambda over, every: bench.told("convolutions", over * to_do // every, to_do),
        )
    except BaseException:  # an interruption loses what is not settled
        for one in entered:
            _remember(one.settled(), bench.cache)
        raise
    found = {pair: answer for one in entered for pair, answer in one.answers().items()}
    _remember(found, bench.cache)
    return found


def _remember(found: Answers, cache: Cache) -> None:
    for pair, answer in found.items():
        if isinstance(answer, KernelTime):
            cache.put(pair, answer)


@dataclass(frozen=True)
class _Entered:
    """A contest as it is run, the pairs that are timed in it, and why others are not."""

    running: Race | None
    ready: Sequence[Pair]
    refused: Mapping[Pair, Skip]

    def answers(self) -> Answers:
        """What was found out."""
        times = () if self.running is None else self.running.times()
        return {**self.refused, **dict(zip(self.ready, times, strict=True))}

    def settled(self) -> Answers:
        """What is known for certain before the race is over."""
        if self.running is None or not (left := self.running.left):
            return {}
        times = zip(self.ready, self.running.times(), strict=True)
        return {pair: time for k, (pair, time) in enumerate(times, 1) if k in left}


def _entered(contest: Contest, pairs: Sequence[Pair], bench: Bench) -> _Entered:
    """Open what is missing of a contest."""
    dense = _opened(contest.excerpt, bench)
    if isinstance(dense, Skip):
        return _Entered(None, (), dict.fromkeys(pairs, dense))
    opened = {pair: _opened(contest.rewritten(contest.entrants[pair]), bench) for pair in pairs}
    ready = {pair: runner for pair, runner in opened.items() if not isinstance(runner, Skip)}
    refused = {pair: skip for pair, skip in opened.items() if isinstance(skip, Skip)}
    running = Race(dense, [*ready.values()], clock=bench.clock, rng=Random(bench.seed))
    return _Entered(running, [*ready], refused)


def _heats(missing: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Contests that run at the same time: all, unless their weights need too much memory."""
    heat, used = list[Wanted](), 0
    for contest, pairs in missing:
        needs = contest.weight_bytes * (1 + len(pairs))  # no recipe has more than it replaces
        if heat and used + needs > HEAT_BYTES:
            yield heat
            heat, used = [], 0
        heat.append((contest, pairs))
        used += needs
    if heat:
        yield heat


@dataclass(frozen=True)
class _Moment:
    """What brings the times of every race to one moment, by the digests of dense excerpts."""

    scales: Mapping[str, float]
    whole_ns: float | None

    def scaled(self, pair: Pair, answer: KernelTime | Skip) -> KernelTime | Skip:
        """The same as it would be at that moment."""
        if isinstance(answer, Skip):
            return answer
        scale = self.scales.get(pair.dense, 1.0)
        time, dense, saved = (
            Estimate(part.ns * scale, part.error_ns * scale)
            for part in (answer.time, answer.dense, answer.saved)
        )
        return replace(answer, time=time, dense=dense, saved=saved)


class _Together:
    """One more race, of the network and of all dense excerpts."""

    def __init__(self, contests: Contests, bench: Bench, whole: Runner | None) -> None:
        opened = {told: _opened(model, bench) for told, model in contests.excerpts().items()}
        ready = {told: run for told, run in opened.items() if not isinstance(run, Skip)}
        self._told, self._whole = list(ready), whole is not None
        runners = [*ready.values(), *([] if whole is None else [whole])]
        self.races: list[Race] = []
        if len(runners) > 1:
            rng = Random(bench.seed)
            self.races.append(
                Race(runners[0], runners[1:], clock=bench.clock, rng=rng, all_stay=True)
            )

    def moment(self, answers: Answers) -> _Moment:
        """Brings answers to the moment of this race."""
        if not self.races:
            return _Moment({}, None)
        times = self.races[0].times()
        together = [times[0].dense.ns, *(time.time.ns for time in times)]
        known = {p.dense: a.dense.ns for p, a in answers.items() if isinstance(a, KernelTime)}
        scales = {
            told: ns / known[told]
            for told, ns in zip(self._told, together, strict=False)
            if told in known
        }
        return _Moment(scales, together[-1] if self._whole else None)


def _opened(model: ir.Model, bench: Bench) -> Runner | Skip:
    try:
        return bench.open(model)
    except InputError as error:
        return Skip(str(error))
