"""What may be said of samples: of two models a speedup and a verdict, of one its latency.

The speedup is exp(R), with R and its error from the blocks (`ratios`); how sure a verdict has to be
depends on how often it might have come already (`looks`). With m = log(1 + margin), t Student's
quantiles, σ the error of R and ν its degrees of freedom:

    faster         R - t·σ > m        at 1 % in all          slower likewise, below -m
    same           |R| + t·σ ≤ m      at 5 % in all

    detectable     exp(m + d·σ) - 1   where a t of ν degrees of freedom whose centre is d lies above
                                      the quantile for "faster" in 90 % of cases (noncentral t)

The latency of one model is exp(mean of L_s ± t·error of that mean) over the S blocks' medians, of
which L_s are the logarithms, with S - 1 degrees of freedom.

A speedup that was measured twice has changed by exp(R_now - R_then); the two errors are independent
of each other and so add up as squares: half-widths w on the logarithm give √(w_now² + w_then²).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtrinc, stdtrit

from gconvtool.results import (
    Interval,
    Judgement,
    Measurement,
    Recording,
    Sample,
    Timing,
    Verdict,
)
from gconvtool.timing import looks, tails
from gconvtool.timing.ratios import ENOUGH_CLEAN, Fit, read

Floats: TypeAlias = NDArray[np.float64]

MARGIN = 0.02
"""Smaller differences are none."""
DIFFER, MISS = 0.01, 0.05
"""Shares of cases, over all looks: false verdicts of faster or slower, intervals without the truth.
"""
POWER = 0.9
"""In this share of measurements a difference that counts as detectable is found."""

T = TypeVar("T")


def judge(measurement: Measurement, *, margin: float = MARGIN) -> Judgement:
    """How many times faster B is than A, with its 95 % interval, and the verdict.

    On the logarithm of the speedup, and with m = log(1 + margin):

        faster         the 99 % interval lies above  m
        slower         the 99 % interval lies below -m
        same           the 95 % interval lies between -m and m, though it may exclude 0
        inconclusive   everything else: too wide, or across m

    The percentages are those that all looks and the end have together, and either interval is a
    little wider than it would be without looks (`looks`). No point estimate ever decides, and a
    false alarm costs more than an open question: hence 99 %. docs/timing.md says how often the
    rule errs and what it finds.

    The margin also stands for luck that all sessions of one process share: in 144 real
    comparisons of four models with themselves on two overloaded cores, 10 s each, the 95 %
    interval of 8 blocks without looks missed 1 in 10 %, by up to 1.3 %, and no verdict was false.

    Rounds that were preempted are left out. Where a block has too few others, all rounds count,
    by wall clock, or by CPU time if that halves the interval; `clock` and a warning say so.

    Raises ValueError for fewer than two blocks, which say nothing about their spread.
    """
    blocks = _several(measurement.blocks)
    reading, error = read(blocks), looks.of_interval(MISS, len(blocks))
    fit = reading.fit
    verdict = _verdict(fit, looks.at_end(DIFFER, len(blocks)), error, math.log1p(margin))
    rounds = [round_ for block in blocks for round_ in block.rounds]
    return Judgement(
        speedup=_interval(fit.log_speedup, fit.half_width(error)),
        verdict=verdict,
        clock=reading.clock,
        rounds=len(rounds),
        clean_rounds=sum(round_.clean for round_ in rounds),
        warnings=(*reading.warnings, *_doubts(fit, error, verdict, margin)),
    )


def settled(
    measurement: Measurement,
    limits: Sequence[float] = (),
    *,
    most_p95_ms: float | None = None,
    margin: float = MARGIN,
) -> bool:
    """Whether more blocks are not needed: the rule by which `protocol.measure` may stop.

    At a look, the verdict has to be certain, and on which side of each of `limits` (speedups, from
    gates) and of `most_p95_ms` (of B) the truth lies. Between looks the answer is no.
    """
    if len(measurement.blocks) not in looks.LOOKS:
        return False
    fit = read(measurement.blocks).fit
    differ, miss = looks.at_look(DIFFER), looks.at_look(MISS)
    apart = (abs(fit.log_speedup - math.log(limit)) for limit in limits if limit > 0)
    return (
        _verdict(fit, differ, miss, math.log1p(margin)) != "inconclusive"
        and all(distance > fit.half_width(miss) for distance in apart)
        and (most_p95_ms is None or _is_apart(most_p95_ms, _runs(measurement, "b"), miss))
    )


def floor(measurement: Measurement, *, margin: float = MARGIN) -> tuple[float, float]:
    """What this machine can tell apart, from a model against itself; two shares.

    The first is half the 95 % interval: smaller effects drown in the noise. The second is the
    smallest true effect that would be called faster or slower in 90 % of measurements of as many
    blocks whose sessions and rounds are as noisy.

    Raises ValueError for fewer than two blocks.
    """
    blocks = _several(measurement.blocks)
    fit = read(blocks).fit
    quantile = fit.quantile(looks.at_end(DIFFER, len(blocks)))
    centre = float(nctdtrinc(fit.degrees, 1 - POWER, quantile))
    half_width = fit.half_width(looks.of_interval(MISS, len(blocks)))
    return math.expm1(half_width), math.expm1(math.log1p(margin) + centre * fit.error)


def against(now: Interval, then: Interval) -> Interval:
    """The ratio of two speedups, both of which are uncertain."""
    ratio = math.log(now.estimate / then.estimate)
    below = math.hypot(_below(now), _above(then))
    above = math.hypot(_above(now), _below(then))
    return Interval(*(math.exp(ratio + shift) for shift in (0.0, -below, above)))


def timing(path: str, measurement: Measurement, which: Literal["a", "b"]) -> Timing:
    """One model's latency over all its samples of a comparison, see `timing_of`."""
    index = "ab".index(which)
    blocks = measurement.blocks
    return _timing(
        path,
        [getattr(round_, which) for block in blocks for round_ in block.rounds],
        _runs(measurement, which),
        [block.create_ms[index] for block in blocks],
        [block.first_run_ms[index] for block in blocks],
        looks.of_interval(MISS, len(blocks)),
    )


def timing_of(path: str, recording: Recording) -> Timing:
    """One model's latency over all its samples, the disturbed ones too; medians over blocks.

    Percentiles are those of single runs (`tails`): of models faster than half a millisecond, whose
    samples are means of several runs, those of the last run of each.
    """
    return _timing(
        path,
        [sample for block in recording.blocks for sample in block.samples],
        [_single(block.samples, recording.runs_per_sample) for block in recording.blocks],
        [block.create_ms for block in recording.blocks],
        [block.first_run_ms for block in recording.blocks],
        MISS,
    )


def latency(recording: Recording) -> Interval:
    """The median latency in ms, with an interval that holds for other sessions, too.

    Samples that were preempted are left out of a block that has five others.

    Raises ValueError for fewer than two blocks.
    """
    blocks = _several(recording.blocks)
    logs = np.log([np.median(_undisturbed(block.samples)) for block in blocks])
    error = float(np.std(logs, ddof=1)) / math.sqrt(len(logs))
    half_width = float(stdtrit(len(logs) - 1, 1 - MISS / 2)) * error
    return _interval(float(np.mean(logs)), half_width)


def throughput(latency_ms: Interval, batch: int) -> Interval:
    """Samples a second: the longest latency is the lowest of them."""
    slowest, fastest = latency_ms.high, latency_ms.low
    return Interval(*(1000 * batch / ms for ms in (latency_ms.estimate, slowest, fastest)))


def _several(blocks: tuple[T, ...]) -> tuple[T, ...]:
    """The blocks, which say something about their spread."""
    if len(blocks) < 2:
        raise ValueError("a judgement needs two blocks at least")
    return blocks


def _timing(
    path: str,
    samples: Sequence[Sample],
    runs: Sequence[Floats],
    creates_ms: Sequence[float],
    firsts_ms: Sequence[float],
    error: float,
) -> Timing:
    every = np.concatenate(runs)
    p95_ms = tails.percentile(every, 0.95)
    low, high = (None, None) if p95_ms is None else tails.bounds(runs, 0.95, error)
    return Timing(
        path=path,
        median_ms=float(np.median(_wall_ms(samples))),
        p95_ms=p95_ms,
        p99_ms=tails.percentile(every, 0.99),
        create_ms=float(np.median(creates_ms)),
        first_run_ms=float(np.median(firsts_ms)),
        p95_low_ms=low,
        p95_high_ms=high,
    )


def _runs(measurement: Measurement, which: Literal["a", "b"]) -> list[Floats]:
    """Single runs of one model, block by block."""
    runs = measurement.runs_per_sample["ab".index(which)]
    return [
        _single([getattr(round_, which) for round_ in block.rounds], runs)
        for block in measurement.blocks
    ]


def _single(samples: Sequence[Sample], runs: int) -> Floats:
    """Single runs in ms: none where a sample is a mean, and its last run was not kept."""
    if runs == 1:
        return _wall_ms(samples)
    return np.array([sample.last_ms for sample in samples if sample.last_ms is not None])


def _is_apart(limit_ms: float, runs: Sequence[Floats], error: float) -> bool:
    """Whether the 95th percentile is certainly on one side of a limit."""
    low, high = tails.bounds(runs, 0.95, error)
    return (low is not None and low > limit_ms) or (high is not None and high <= limit_ms)


def _undisturbed(samples: Sequence[Sample]) -> Floats:
    """Times in ms; those of all samples where too few were left alone."""
    clean = [sample for sample in samples if not sample.preempted]
    return _wall_ms(clean if len(clean) >= ENOUGH_CLEAN else samples)


def _wall_ms(samples: Sequence[Sample]) -> Floats:
    return np.array([sample.wall_ms for sample in samples])


def _verdict(fit: Fit, differ: float, miss: float, margin: float) -> Verdict:
    """The rule that `judge` states, at these error rates; `margin` is a logarithm here."""
    if fit.log_speedup - fit.half_width(differ) > margin:
        return "faster"
    if fit.log_speedup + fit.half_width(differ) < -margin:
        return "slower"
    if abs(fit.log_speedup) + fit.half_width(miss) <= margin:
        return "same"
    return "inconclusive"


def _interval(middle: float, half_width: float) -> Interval:
    """Back from logarithms."""
    return Interval(*(math.exp(middle + shift) for shift in (0.0, -half_width, half_width)))


def _below(interval: Interval) -> float:
    return math.log(interval.estimate / interval.low)


def _above(interval: Interval) -> float:
    return math.log(interval.high / interval.estimate)


def _doubts(fit: Fit, miss: float, verdict: Verdict, margin: float) -> tuple[str, ...]:
    """Why a verdict is inconclusive, and what would help."""
    if verdict != "inconclusive":
        return ()
    if abs(fit.log_speedup) <= fit.half_width(miss):
        return ("too noisy to decide: close other programs, or use fewer threads",)
    side = "faster" if fit.log_speedup > 0 else "slower"
    return (
        f"B looks {side}, but it is not certain that it is by more than {margin:.0%}: "
        "a quieter machine narrows the interval",
    )
