"""Several models timed against one, in rounds in which each of them runs.

A machine's speed drifts, and all of a round with it, so that ratios hold where times do not. With
t₀ the time of the one in a round and t that of another, over rounds in which neither was preempted,

    D = median(t₀)      r = median(log(t / t₀))      T = D·exp(r)      saved = D - T

    σ² = (1.2533·1.4826·MAD)² / n       the standard error of a median over n rounds, with a spread
                                        that outliers do not move
    error of saved² = (T·σ_r)² + (saved·σ_D)² + (1 %·T)² + (1 %·D)²

The last two stand for what sessions of one model differ by, however long they run
(docs/timing.md). Within a round the order is random, since whatever runs first is faster. A round
of many models also leaves the caches as a network does that comes back to a layer after all others.

A model leaves when T·σ_r is small enough, or when it is certainly slower than the one, but not in
the first half a second.

Several races take turns of a tenth of a second. One after the other, a core that somebody else
holds for a while would slow down every round of one race and none of the next, and what they save
could not be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gconvtool.results import Sample
from gconvtool.results.kernels import Estimate, KernelTime
from gconvtool.timing.protocol import MS_NS, S_NS, SAMPLE_NS, Clock, Runner, sample

Times: TypeAlias = NDArray[np.float64]
Rounds: TypeAlias = Sequence[Mapping[int, Sample]]

PRECISION, GRAIN_NS = 0.01, 1_000.0
"""The standard error that is small enough: a share of D, or what no network notices."""
SESSION_SHARE = 0.01
"""What sessions of one model differ by."""
CERTAIN = 3.0
"""Standard errors by which a model is certainly slower."""
WARM_RUNS = 3
LEAST_ROUNDS, MOST_ROUNDS = 12, 400
TURN_NS, LEAST_NS = 0.1 * S_NS, 0.5 * S_NS
"""How long a turn lasts, and all turns of a race, unless the time or the rounds are used up."""
ENOUGH_CLEAN = 5
"""Undisturbed rounds, below which the disturbed ones count too."""


class Race:
    """Some models against the first one, which go on for a turn at a time."""

    def __init__(
        self,
        first: Runner,
        others: Sequence[Runner],
        *,
        clock: Clock,
        rng: Random,
        all_stay: bool = False,
    ) -> None:
        """Warm all of them up. If `all_stay`, a slow one goes on until its own time is known."""
        self._clock, self._rng, self._all_stay = clock, rng, all_stay
        self._entrants = [(runner, _warm_up(runner, clock)) for runner in (first, *others)]
        self._racing = set(range(1, len(self._entrants)))
        self._rounds, self._ran_ns = list[dict[int, Sample]](), 0

    @property
    def going(self) -> bool:
        """Some models are not settled, and there are not too many rounds."""
        return bool(self._racing) and len(self._rounds) < MOST_ROUNDS

    @property
    def short(self) -> bool:
        """There are too few rounds to say anything."""
        return len(self._rounds) < LEAST_ROUNDS

    @property
    def left(self) -> frozenset[int]:
        """The models, counted from 1, that have left since enough is known of them."""
        return frozenset(range(1, len(self._entrants))) - self._racing

    def turn(self) -> None:
        """Rounds for a while, one at least."""
        start_ns = now_ns = self._clock.wall_ns()
        while self.going and (now_ns == start_ns or now_ns < start_ns + TURN_NS):
            self._round()
            now_ns = self._clock.wall_ns()
        self._ran_ns += now_ns - start_ns
        if not self.short and self._ran_ns >= LEAST_NS:
            self._racing -= {k for k in self._racing if self._time(k).settled}

    def times(self) -> tuple[KernelTime, ...]:
        """What the rounds say of each model but the first."""
        return tuple(self._time(k) for k in range(1, len(self._entrants)))

    def _round(self) -> None:
        order = self._rng.sample([0, *sorted(self._racing)], len(self._racing) + 1)
        self._rounds.append({k: sample(*self._entrants[k], self._clock) for k in order})

    def _time(self, k: int) -> KernelTime:
        return _time(self._rounds, k, all_stay=self._all_stay)


def take_turns(
    races: Sequence[Race],
    *,
    clock: Clock,
    budget_s: float,
    told: Callable[[int, int], None] = lambda over, races: None,
) -> None:
    """Go on until all models of all races are settled, or the time is up.

    Each race has at least 12 rounds, past the budget if need be. `told` hears how many races are
    over, and how many there are.
    """
    end_ns = clock.wall_ns() + budget_s * S_NS
    while left := [r for r in races if r.going and (r.short or clock.wall_ns() < end_ns)]:
        told(len(races) - len(left), len(races))
        for race in left:
            race.turn()


def _warm_up(runner: Runner, clock: Clock) -> int:
    """How many runs make a sample that is long enough to time."""
    times_ns = []
    for _ in range(WARM_RUNS):
        start_ns = clock.wall_ns()
        runner()
        times_ns.append(clock.wall_ns() - start_ns)
    return math.ceil(SAMPLE_NS / max(min(times_ns), 1))


def _time(rounds: Rounds, k: int, *, all_stay: bool) -> KernelTime:
    """What the rounds say of the k-th model."""
    dense, pair = _logs(rounds, 0), _logs(rounds, 0, k)
    (log_dense, of_dense), (log_ratio, of_ratio) = _median(dense[0]), _median(pair[1] - pair[0])
    D, T = math.exp(log_dense), math.exp(log_dense + log_ratio)
    luck_D, luck_T = SESSION_SHARE * D, SESSION_SHARE * T
    saves = T * of_ratio <= max(PRECISION * D, GRAIN_NS) or log_ratio > CERTAIN * of_ratio
    return KernelTime(
        time=Estimate(T, math.hypot(T * of_ratio, T * of_dense, luck_T)),
        dense=Estimate(D, math.hypot(D * of_dense, luck_D)),
        saved=Estimate(D - T, math.hypot(T * of_ratio, (D - T) * of_dense, luck_T, luck_D)),
        rounds=pair.shape[1],
        settled=of_ratio <= PRECISION if all_stay else saves,
    )


def _logs(rounds: Rounds, *models: int) -> Times:
    """Logarithms of times in ns, a row a model, of rounds that had all of these models.

    Undisturbed ones, if there are enough.
    """
    every = [[seen[k] for k in models] for seen in rounds if all(k in seen for k in models)]
    clean = [samples for samples in every if not any(sample.preempted for sample in samples)]
    used = clean if len(clean) >= ENOUGH_CLEAN else every
    times = [[sample.wall_ms * MS_NS for sample in samples] for samples in used]
    return np.asarray(np.log(times).T)


def _median(numbers: Times) -> tuple[float, float]:
    """A median and its standard error."""
    middle = float(np.median(numbers))
    spread = 1.4826 * float(np.median(np.abs(numbers - middle)))
    return middle, 1.2533 * spread / math.sqrt(len(numbers))
