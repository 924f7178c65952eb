"""Percentiles of single runs, and how far they can be trusted, whatever the distribution.

Of n independent runs, sorted as x₁ ≤ … ≤ xₙ, the number that take no longer than the quantile ξ
is binomial, Bin(n, q). So order statistics bound it (H. A. David and H. N. Nagaraja, *Order
Statistics*, 3rd ed., 2003, section 7.1):

    P(x_l ≤ ξ) ≥ P(Bin(n, q) ≥ l)      low  is x_l with the largest  l where this is ≥ 1 - ε/2
    P(x_u ≥ ξ) ≥ P(Bin(n, q) < u)      high is x_u with the smallest u where this is ≥ 1 - ε/2

Runs of one block are not independent: sessions differ, and load drifts. With p_s the share of the
n_s runs of block s, and p that of all n, that take less than the estimate of ξ, the n runs of
S blocks are worth m independent ones:

    D = S/(S - 1)·Σ n_s²·(p_s - p)² / (n·p·(1 - p))        how much more p varies, 1 at least
    m = n/D · (t_∞/t_{S-1})²                               since S blocks hardly know D

with Student's quantiles at 1 - ε/2, and the ranks of m become those of n: l·n/m and u·n/m. This is
R. S. Woodruff's interval for quantiles of clusters (JASA 47, 1952) with the effective sample size
of E. L. Korn and B. I. Graubard (Survey Methodology 24, 1998).

Where the n runs would be enough if blocks were alike, and m are not, no run bounds ξ from above:
high is a bound on the quantile of one more block, which the x_s of the S blocks predict as Student
does, on their logarithms: exp(mean + t_{S-1}·s·√(1 + 1/S)), with s their standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri, stdtrit

Floats: TypeAlias = NDArray[np.float64]


def percentile(runs: Floats, q: float) -> float | None:
    """The quantile q, or None where there are too few runs to bound it.

    The largest of n lies above it with probability 1 - q^n, which is 95 % from 59 on for q = 95 %,
    and from 299 on for 99 %.
    """
    return float(np.quantile(runs, q)) if 1 - q ** len(runs) >= 0.95 else None


def bounds(blocks: Sequence[Floats], q: float, error: float) -> tuple[float | None, float | None]:
    """Between which two bounds the quantile q lies, but for this share of cases.

    A bound is None where the runs are too few for it; a block by itself has none, since it says
    nothing of how much blocks differ.
    """
    blocks = [block for block in blocks if len(block)]
    if len(blocks) < 2:
        return None, None
    runs, S = np.sort(np.concatenate(blocks)), len(blocks)
    n, estimate = len(runs), float(np.quantile(runs, q))
    most = int(n * (ndtri(1 - error / 2) / stdtrit(S - 1, 1 - error / 2)) ** 2)
    m = int(most / _design(blocks, estimate))
    low, high = _ranks(m, q, error)
    shortest = float(runs[max(low * n // m - 1, 0)]) if low else None
    if high <= m:
        return shortest, float(runs[-(-high * n // m) - 1])
    if _ranks(most, q, error)[1] <= most:
        return shortest, max(estimate, _of_one_more(blocks, q, error))
    return shortest, None


def _ranks(m: int, q: float, error: float) -> tuple[int, int]:
    """l and u among m independent runs; 0 and m + 1 are ranks that they lack."""
    at_most = bdtr(np.arange(m + 1.0), m, q)  # [k] = P(Bin ≤ k)
    low = int(np.searchsorted(at_most, error / 2, side="right"))  # P(Bin < low) ≤ ε/2
    return low, int(np.searchsorted(at_most, 1 - error / 2)) + 1  # P(Bin < high) ≥ 1 - ε/2


def _design(blocks: Sequence[Floats], ms: float) -> float:
    """D, from the shares of runs that take less."""
    counts = np.array([len(block) for block in blocks])
    shares = np.array([np.mean(block < ms) for block in blocks])
    n, S = int(counts.sum()), len(blocks)
    p = float(counts @ shares) / n
    spread = S / (S - 1) * float(np.sum((counts * (shares - p)) ** 2)) / n
    return max(1.0, spread / (p * (1 - p))) if p > 0 else 1.0


def _of_one_more(blocks: Sequence[Floats], q: float, error: float) -> float:
    """What the quantile of another block stays below."""
    logs, S = np.log([np.quantile(block, q) for block in blocks]), len(blocks)
    reach = float(stdtrit(S - 1, 1 - error / 2)) * float(np.std(logs, ddof=1))
    return math.exp(float(np.mean(logs)) + reach * math.sqrt(1 + 1 / S))
