"""Percentiles of single runs, and how far they can be trusted, whatever the distribution.

Of n independent runs, sorted as x₁ ≤ … ≤ xₙ, the number that take no longer than the quantile ξ
is binomial, Bin(n, q). So order statistics bound it (H. A. David and H. N. Nagaraja, *Order
Statistics*, 3rd ed., 2003, section 7.1):

    P(x_l ≤ ξ) ≥ P(Bin(n, q) ≥ l)      low  is x_l with the largest  l where this is ≥ 1 - ε/2
    P(x_u ≥ ξ) ≥ P(Bin(n, q) < u)      high is x_u with the smallest u where this is ≥ 1 - ε/2

Runs of one block are not independent: sessions differ, and load drifts. With p_s the share of the
n_s runs of block s, and p that of all n, that take no longer than the estimate of ξ, the n runs of
S blocks are worth m independent ones:

    D = S/(S - 1)·Σ n_s²·(p_s - p)² / (n·p·(1 - p))        how much more p varies, 1 at least
    m = n/D · (t_∞/t_{S-1})²                               since S blocks hardly know D

with Student's quantiles at 1 - ε/2, and the ranks of m become those of n: l·n/m and u·n/m. This is
R. S. Woodruff's interval for quantiles of clusters (JASA 47, 1952) with the effective sample size
of E. L. Korn and B. I. Graubard (Survey Methodology 24, 1998).
"""

from __future__ import annotations

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
    """Between which two runs the quantile q lies, but for this share of cases.

    A bound is None where the runs are too few for it; a block by itself has none, since it says
    nothing of how much blocks differ.
    """
    blocks = [block for block in blocks if len(block)]
    runs = np.sort(np.concatenate(blocks))
    worth = _worth(blocks, float(np.quantile(runs, q)), error) if len(blocks) > 1 else 0
    if not worth:
        return None, None
    below = bdtr(np.arange(worth + 1.0), worth, q)  # [k] = P(Bin ≤ k)
    low = int(np.searchsorted(below, error / 2, side="right"))  # P(Bin < low) ≤ ε/2
    high = int(np.searchsorted(below, 1 - error / 2)) + 1  # P(Bin < high) ≥ 1 - ε/2
    n = len(runs)
    return (
        float(runs[max(low * n // worth - 1, 0)]) if low else None,
        float(runs[-(-high * n // worth) - 1]) if high <= worth else None,
    )


def _worth(blocks: Sequence[Floats], ms: float, error: float) -> int:
    """How many independent runs say as much about the share of those that take no longer."""
    counts = np.array([len(block) for block in blocks])
    shares = np.array([np.mean(block <= ms) for block in blocks])
    n, S = int(counts.sum()), len(blocks)
    p = float(counts @ shares) / n
    spread = S / (S - 1) * float(np.sum((counts * (shares - p)) ** 2)) / n
    design = max(1.0, spread / (p * (1 - p))) if p < 1 else 1.0
    unsure = (ndtri(1 - error / 2) / stdtrit(S - 1, 1 - error / 2)) ** 2
    return int(n / design * unsure)
