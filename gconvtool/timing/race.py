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
the first half a second: a core that others hold for that long would slow down every round alike,
and the savings of one race would count for more than those of the next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
LEAST_NS = 0.5 * S_NS
"""How long a race lasts, unless the budget or the rounds are used up before."""
ENOUGH_CLEAN = 5
"""Undisturbed rounds, below which the disturbed ones count too."""


def race(
    first: Runner, others: Sequence[Runner], *, clock: Clock, rng: Random, budget_s: float
) -> tuple[KernelTime, ...]:
    """Time the others against the first, until all are settled or the time is up.

    There are at least 12 rounds, past the budget if need be.
    """
    end_ns = clock.wall_ns() + budget_s * S_NS
    entrants = [(runner, _warm_up(runner, clock)) for runner in (first, *others)]
    racing, rounds = set(range(1, len(entrants))), list[dict[int, Sample]]()
    settle_ns = clock.wall_ns() + LEAST_NS
    while racing and not _over(len(rounds), time_is_up=clock.wall_ns() >= end_ns):
        order = rng.sample([0, *sorted(racing)], len(racing) + 1)
        rounds.append({k: sample(*entrants[k], clock) for k in order})
        if len(rounds) >= LEAST_ROUNDS and clock.wall_ns() >= settle_ns:
            racing -= {k for k in racing if _time(rounds, k).settled}
    return tuple(_time(rounds, k) for k in range(1, len(entrants)))


def _warm_up(runner: Runner, clock: Clock) -> int:
    """How many runs make a sample that is long enough to time."""
    times_ns = []
    for _ in range(WARM_RUNS):
        start_ns = clock.wall_ns()
        runner()
        times_ns.append(clock.wall_ns() - start_ns)
    return math.ceil(SAMPLE_NS / max(min(times_ns), 1))


def _over(rounds: int, *, time_is_up: bool) -> bool:
    return rounds >= LEAST_ROUNDS and (time_is_up or rounds >= MOST_ROUNDS)


def _time(rounds: Rounds, k: int) -> KernelTime:
    """What the rounds say of the k-th model."""
    dense, pair = _logs(rounds, 0), _logs(rounds, 0, k)
    (log_dense, of_dense), (log_ratio, of_ratio) = _median(dense[0]), _median(pair[1] - pair[0])
    D, T = math.exp(log_dense), math.exp(log_dense + log_ratio)
    luck_D, luck_T = SESSION_SHARE * D, SESSION_SHARE * T
    return KernelTime(
        time=Estimate(T, math.hypot(T * of_ratio, T * of_dense, luck_T)),
        dense=Estimate(D, math.hypot(D * of_dense, luck_D)),
        saved=Estimate(D - T, math.hypot(T * of_ratio, (D - T) * of_dense, luck_T, luck_D)),
        rounds=pair.shape[1],
        settled=T * of_ratio <= max(PRECISION * D, GRAIN_NS) or log_ratio > CERTAIN * of_ratio,
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
