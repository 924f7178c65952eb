"""From rounds to one ratio a block, and from the blocks to the speedup and its error.

A round gives r = log(A's time / B's time). Whichever runs first in a round is a few percent
faster, so a block's ratio lies halfway between its two orders; medians keep outliers out:

    R_s = (median of r over AB rounds + median of r over BA rounds) / 2

Rounds of one block share their luck with the sessions, and more of them do not better it: the
S blocks are the sample. Whichever session was created first is often slower, too (by up to
0.9 % on one machine), and A was it in every second block; so with c_s = ±1 for that

    R_s = R + c_s·δ + e_s        by least squares;  speedup = exp(R ± t·error of R)

with t Student's quantile for S - 2 degrees of freedom (S - 1, without δ, below 5 blocks).

In 20,000 simulated comparisons each, with 5 or 8 blocks of 3, 20 or 100 rounds an order and
sessions that differ by 0.3, 1 or 1.4 %, this interval at 95 % held the truth in 94.7 to 95.5 %. The
percentiles of a bootstrap over blocks and over the rounds in them hold it in 78 % (3 blocks),
87 % (5) and 91 % (8) at 1.4 %, since so few blocks hardly know their own spread
(benchmarks/verdicts.py, docs/timing.md).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from gconvtool.results import Block, Round, Sample

Timer = Literal["wall", "cpu"]

ORDERS = ("AB", "BA")

ENOUGH_CLEAN = 5  # rounds of each order in each block, or all where there are fewer
FEW_BLOCKS = 5  # below that, blocks cannot spare a degree of freedom for δ

UNCOUNTED = "this system does not say which rounds were disturbed: all are used"


@dataclass(frozen=True)
class Fit:
    """The log of the speedup, its standard error, and on how many degrees of freedom."""

    log_speedup: float
    error: float
    degrees: int

    def quantile(self, error_rate: float) -> float:
        """Standard errors that the truth lies within, but for this share of cases."""
        return float(stdtrit(self.degrees, 1 - error_rate / 2))

    def half_width(self, error_rate: float) -> float:
        """Half the width of the interval that misses the truth in this share of cases."""
        return self.quantile(error_rate) * self.error


@dataclass(frozen=True)
class Reading:
    """What the rounds say: the fit, by which clock, and warnings."""

    fit: Fit
    clock: Timer
    warnings: tuple[str, ...]


def read(blocks: Sequence[Block]) -> Reading:
    """The fit over undisturbed rounds where every block has enough of them, else over all."""
    rounds = [block.rounds for block in blocks]
    clean = [tuple(round_ for round_ in block if round_.clean) for block in rounds]
    if not all(map(_enough, clean, rounds)):
        return _fit_all(rounds, clean_rounds=sum(map(len, clean)))
    counted = all(round_.a.preempted is not None for block in rounds for round_ in block)
    return Reading(_fit(clean, "wall"), "wall", () if counted else (UNCOUNTED,))


def _enough(clean: Sequence[Round], rounds: Sequence[Round]) -> bool:
    """Each order has five clean rounds, or lost none."""
    kept, ran = (Counter(round_.order for round_ in some) for some in (clean, rounds))
    return all(kept[order] >= min(ENOUGH_CLEAN, ran[order]) for order in ORDERS)


def _fit_all(blocks: Sequence[Sequence[Round]], clean_rounds: int) -> Reading:
    """The fit over all rounds: by wall clock, unless CPU time has less than half its error.

    CPU time is blind to being preempted, and far steadier for a model on one thread; threads
    that share a core spoil both clocks, and the wall clock is what the user waits for.
    """
    disturbed = (
        f"only {clean_rounds} of {sum(map(len, blocks))} rounds ran undisturbed, too few in some "
        "block, so {}; a quieter machine, fewer threads or a longer time budget help"
    )
    wall, counted = _fit(blocks, "wall"), all(_cpu_counted(rounds) for rounds in blocks)
    if counted and 2 * (cpu := _fit(blocks, "cpu")).error < wall.error:
        return Reading(cpu, "cpu", (disturbed.format("CPU time over all rounds is compared"),))
    return Reading(wall, "wall", (disturbed.format("the disturbed ones are used too"),))


def _cpu_counted(rounds: Sequence[Round]) -> bool:
    """Every sample took CPU time, as far as this system's grain shows."""
    return all(round_.a.cpu_ms > 0 and round_.b.cpu_ms > 0 for round_ in rounds)


def _ratio(rounds: Sequence[Round], timer: Timer) -> float:
    """A block's R_s."""
    logs = [
        (round_.order, math.log(_ms(round_.a, timer) / _ms(round_.b, timer))) for round_ in rounds
    ]
    return fmean(median(log for ran, log in logs if ran == order) for order in ORDERS)


def _ms(sample: Sample, timer: Timer) -> float:
    return sample.wall_ms if timer == "wall" else sample.cpu_ms


def _fit(blocks: Sequence[Sequence[Round]], timer: Timer) -> Fit:
    """Least squares of R_s = R + c_s·δ + e_s; the first block created A first, the next B."""
    ratios = np.array([_ratio(rounds, timer) for rounds in blocks])
    created = np.where(np.arange(len(blocks)) % 2, -1.0, 1.0)
    columns = [np.ones_like(created), created][: 1 if len(blocks) < FEW_BLOCKS else 2]
    design = np.stack(columns, axis=1)
    covariance = np.linalg.inv(design.T @ design)
    rest = ratios - design @ (solution := covariance @ design.T @ ratios)
    degrees = len(blocks) - len(columns)
    error = math.sqrt(rest @ rest / degrees * covariance[0, 0])
    return Fit(float(solution[0]), error, degrees)
