"""From paired samples to how many times faster B is, and to what may be said of that.

A round gives r = log(A's time / B's time). Whichever runs first in a round is a few percent
faster, so a block's ratio lies halfway between its two orders; medians keep outliers out:

    R_s = (median of r over AB rounds + median of r over BA rounds) / 2

Rounds of one block share their luck with the sessions, and more of them do not better it: the
S blocks are the sample. Whichever session was created first is often slower, too (by up to
0.9 % on one machine), and A was it in every second block; so with c_s = ±1 for that

    R_s = R + c_s·δ + e_s        by least squares;  speedup = exp(R ± t·error of R)

with t Student's quantile for S - 2 degrees of freedom (S - 1, without δ, below 5 blocks).

In 20,000 simulated comparisons each, with 5 or 8 blocks of 3, 20 or 100 rounds an order and
sessions that differ by 0.3, 1 or 1.4 %, the 95 % interval held the truth in 94.7 to 95.5 %. The
percentiles of a bootstrap over blocks and over the rounds in them hold it in 78 % (3 blocks),
87 % (5) and 91 % (8) at 1.4 %, since so few blocks hardly know their own spread
(benchmarks/verdicts.py, docs/timing.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from gconvtool.results import Block, Interval, Judgement, Measurement, Round, Timing, Verdict

Floats = NDArray[np.float64]
Timer = Literal["wall", "cpu"]

ORDERS = ("AB", "BA")

ENOUGH_CLEAN = 5  # rounds of each order in each block, or all where there are fewer
FEW_BLOCKS = 5  # below that, blocks cannot spare a degree of freedom for δ

UNCOUNTED = "this system does not say which rounds were disturbed: all are used"


@dataclass(frozen=True)
class _Fit:
    """The log of the speedup, its standard error, and on how many degrees of freedom."""

    log_speedup: float
    error: float
    degrees: int

    def half_width(self, confidence: float) -> float:
        """Half the confidence interval's width."""
        return float(stdtrit(self.degrees, (1 + confidence) / 2)) * self.error


def judge(measurement: Measurement, *, margin: float = 0.02) -> Judgement:
    """How many times faster B is than A, with its 95 % interval, and the verdict.

    On the logarithm of the speedup, and with m = log(1 + margin):

        faster         the 99 % interval lies above  m
        slower         the 99 % interval lies below -m
        same           the 95 % interval lies between -m and m, though it may exclude 0
        inconclusive   everything else: too wide, or across m

    No point estimate ever decides, and a false alarm costs more than an open question: hence
    99 %. Simulated with the default margin and 4 blocks or more, at most 0.8 % of comparisons of
    a model with itself were called faster or slower, even where sessions differ by 30 % (up to
    4 % would be, by the 95 % interval), and none of 20,000 in 8 blocks where they differ by
    1.4 %. In 8 blocks of 100 rounds an order whose sessions differ by 0.3, 1 and 1.4 %, a true
    5 % was found in 100, 99.9 and 93 %, a true 3 % in 99, 28 and 13 %.

    The margin also stands for luck that all sessions of one process share: in 144 real
    comparisons of four models with themselves on two overloaded cores, 10 s each, the 95 %
    interval missed 1 in 10 %, by up to 1.3 %, and no verdict was false.

    Rounds that were preempted are left out. Where a block has too few others, all rounds count,
    by wall clock, or by CPU time if that halves the interval; `clock` and a warning say so.

    Raises ValueError for fewer than two blocks, which say nothing about their spread.
    """
    if len(measurement.blocks) < 2:
        raise ValueError("a judgement needs two blocks at least")
    clock, fit, warnings = _fit_blocks(measurement.blocks)
    verdict = _verdict(fit, math.log1p(margin))
    rounds = [round_ for block in measurement.blocks for round_ in block.rounds]
    return Judgement(
        speedup=_interval(fit),
        verdict=verdict,
        clock=clock,
        rounds=len(rounds),
        clean_rounds=sum(round_.clean for round_ in rounds),
        warnings=(*warnings, *_doubts(fit, verdict, margin)),
    )


def timing(path: str, measurement: Measurement, which: Literal["a", "b"]) -> Timing:
    """One model's latency over all its samples, the disturbed ones too; medians over blocks.

    A percentile is shown where n samples support a bound on it whatever their distribution: the
    largest of n lies above the quantile q with probability 1 - q^n, which is 95 % from 59 samples
    on for the 95th percentile and from 299 on for the 99th. Samples of models faster than half a
    millisecond are means of several runs, and their percentiles are those of such means.
    """
    wall_ms = np.array(
        [getattr(r, which).wall_ms for block in measurement.blocks for r in block.rounds]
    )
    index = "ab".index(which)
    return Timing(
        path=path,
        median_ms=float(np.median(wall_ms)),
        p95_ms=_percentile(wall_ms, 0.95),
        p99_ms=_percentile(wall_ms, 0.99),
        create_ms=float(np.median([block.create_ms[index] for block in measurement.blocks])),
        first_run_ms=float(np.median([block.first_run_ms[index] for block in measurement.blocks])),
    )


def _percentile(samples: Floats, q: float) -> float | None:
    """The quantile q, or None where there are too few samples to bound it."""
    return float(np.quantile(samples, q)) if 1 - q ** len(samples) >= 0.95 else None


def _fit_blocks(blocks: Sequence[Block]) -> tuple[Timer, _Fit, tuple[str, ...]]:
    """The fit over undisturbed rounds where every block has enough of them, else over all."""
    rounds = [block.rounds for block in blocks]
    clean = [tuple(round_ for round_ in block if round_.clean) for block in rounds]
    if not all(map(_enough, clean, rounds)):
        return _fit_all(rounds, clean_rounds=sum(map(len, clean)))
    counted = all(round_.a.preempted is not None for block in rounds for round_ in block)
    return "wall", _fit(clean, "wall"), () if counted else (UNCOUNTED,)


def _enough(clean: Sequence[Round], rounds: Sequence[Round]) -> bool:
    """Each order has five clean rounds, or lost none."""
    return all(
        len(_log_ratios(clean, order, "wall"))
        >= min(ENOUGH_CLEAN, len(_log_ratios(rounds, order, "wall")))
        for order in ORDERS
    )


def _fit_all(
    blocks: Sequence[Sequence[Round]], clean_rounds: int
) -> tuple[Timer, _Fit, tuple[str, ...]]:
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
        return "cpu", cpu, (disturbed.format("CPU time over all rounds is compared"),)
    return "wall", wall, (disturbed.format("the disturbed ones are used too"),)


def _cpu_counted(rounds: Sequence[Round]) -> bool:
    """Every sample took CPU time, as far as this system's grain shows."""
    return all(round_.a.cpu_ms > 0 and round_.b.cpu_ms > 0 for round_ in rounds)


def _log_ratios(rounds: Sequence[Round], order: str, timer: Timer) -> Floats:
    """log(A / B) of the rounds that ran in `order`."""
    times = [
        (round_.a.wall_ms, round_.b.wall_ms)
        if timer == "wall"
        else (round_.a.cpu_ms, round_.b.cpu_ms)
        for round_ in rounds
        if round_.order == order
    ]
    a, b = np.array(times, dtype=np.float64).reshape(-1, 2).T
    log_ratios: Floats = np.log(a / b)
    return log_ratios


def _fit(blocks: Sequence[Sequence[Round]], timer: Timer) -> _Fit:
    """Least squares of R_s = R + c_s·δ + e_s; the first block created A first, the next B."""
    ratios = np.array(
        [np.mean([np.median(_log_ratios(b, order, timer)) for order in ORDERS]) for b in blocks]
    )
    created = np.where(np.arange(len(blocks)) % 2, -1.0, 1.0)
    columns = [np.ones_like(created), created][: 1 if len(blocks) < FEW_BLOCKS else 2]
    design = np.stack(columns, axis=1)
    covariance = np.linalg.inv(design.T @ design)
    rest = ratios - design @ (solution := covariance @ design.T @ ratios)
    degrees = len(blocks) - len(columns)
    error = math.sqrt(rest @ rest / degrees * covariance[0, 0])
    return _Fit(float(solution[0]), error, degrees)


def _verdict(fit: _Fit, margin: float) -> Verdict:
    """The rule that `judge` states; `margin` is a logarithm here."""
    if fit.log_speedup - fit.half_width(0.99) > margin:
        return "faster"
    if fit.log_speedup + fit.half_width(0.99) < -margin:
        return "slower"
    if abs(fit.log_speedup) + fit.half_width(0.95) <= margin:
        return "same"
    return "inconclusive"


def _interval(fit: _Fit) -> Interval:
    """Back from logarithms to ratios."""
    half = fit.half_width(0.95)
    return Interval(*(math.exp(fit.log_speedup + shift) for shift in (0.0, -half, half)))


def _doubts(fit: _Fit, verdict: Verdict, margin: float) -> tuple[str, ...]:
    """Why a verdict is inconclusive, and what would help."""
    if verdict != "inconclusive":
        return ()
    if abs(fit.log_speedup) <= fit.half_width(0.95):
        return ("too noisy to decide: close other programs, or use fewer threads",)
    side = "faster" if fit.log_speedup > 0 else "slower"
    return (
        f"B looks {side}, but it is not certain that it is by more than {margin:.0%}: "
        "a quieter machine narrows the interval",
    )
