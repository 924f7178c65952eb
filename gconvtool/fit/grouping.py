"""Which channels belong together, when a dense convolution becomes one of G groups.

A group keeps its own inputs' part of every output it holds. With the inputs of group g given, the
part of output o's variance that they explain is

    E[o, g] = ‖L⁻¹·Cxy[g, o]‖²,     L·Lᵀ = Cxx[g, g] + λI

and the outputs are shared out by an exact balanced assignment on E (Kuhn-Munkres). Inputs start
from alternating balanced assignments on the cheap energies ‖W[o, i]·Cxx[i, i]^½‖², over several
restarts, and are then improved by swapping pairs between groups, rescored with E.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import linear_sum_assignment

from gconvtool.fit.moments import Array, Moments

Index = NDArray[np.intp]


@dataclass(frozen=True)
class Grouping:
    """`inputs` is G × C/G and `outputs` G × N/G: the channels of each group, ascending."""

    inputs: Index
    outputs: Index


def find_grouping(
    moments: Moments,
    taps: int,
    groups: int,
    rng: np.random.Generator,
    *,
    swaps: int,
    restarts: int = 8,
) -> Grouping:
    """A good grouping of C = D / taps inputs and N outputs.

    Args:
        moments: D = C·taps patch numbers, channel-major.
        taps: ΠK.
        groups: must divide C and N.
        rng: decides restarts and swaps.
        swaps: how many pairs of inputs to try to exchange.
        restarts: how many random starts the energies are given.
    """
    energy = _energies(moments, taps)
    starts = (_alternate(energy, groups, rng) for _ in range(restarts))
    labels = max(starts, key=lambda start: start[0])[1]
    explain = _Explainer(moments, taps)
    return _swap(labels, groups, explain, rng, swaps)


def columns(channels: Index, taps: int) -> Index:
    """Patch columns of some channels."""
    index = np.asarray(channels)[:, None] * taps + np.arange(taps)
    return index.reshape(-1)


def balanced(score: Array) -> Index:
    """Give each row one of G columns, all columns equally often, the sum of scores largest."""
    rows, groups = score.shape
    row, slot = linear_sum_assignment(np.repeat(score, rows // groups, axis=1), maximize=True)
    labels = np.empty(rows, np.intp)
    labels[row] = slot // (rows // groups)
    return labels


class _Explainer:
    """Explained variance of all outputs by one group's inputs, with the ridge of the whole."""

    def __init__(self, moments: Moments, taps: int) -> None:
        self.moments = moments
        self.taps = taps
        self.ridge = moments.ridge()

    def __call__(self, inputs: Index) -> Array:
        index = columns(inputs, self.taps)
        block = self.moments.xx[np.ix_(index, index)]
        block[np.diag_indices_from(block)] += self.ridge
        lower = cholesky(block, lower=True, overwrite_a=True, check_finite=False)
        half = solve_triangular(lower, self.moments.yx[:, index].T, lower=True, check_finite=False)
        return np.asarray(np.square(half).sum(0))


def _energies(moments: Moments, taps: int) -> Array:
    """‖W[o, i]·Cxx[i, i]^½‖² with W the dense least squares: N × C."""
    kernel = _dense(moments).reshape(len(moments.yx), -1, taps)
    size = kernel.shape[1]
    blocks = moments.xx.reshape(size, taps, size, taps)[np.arange(size), :, np.arange(size), :]
    return np.asarray(np.einsum("oik,ikl,oil->oi", kernel, blocks, kernel, optimize=True))


def _dense(moments: Moments) -> Array:
    xx = moments.xx + moments.ridge() * np.eye(len(moments.xx))
    return np.asarray(np.linalg.solve(xx, moments.yx.T).T)


def _alternate(energy: Array, groups: int, rng: np.random.Generator) -> tuple[float, Index]:
    """Share out outputs and inputs in turn until the energy kept stops growing."""
    inputs = rng.permutation(np.arange(energy.shape[1]) % groups)
    best = -1.0
    while True:
        outputs = balanced(energy @ np.eye(groups)[inputs])
        inputs = balanced(energy.T @ np.eye(groups)[outputs])
        kept = float(energy[outputs[:, None] == inputs].sum())
        if kept <= best * (1 + 1e-12):
            return best, inputs
        best = kept


def _swap(
    labels: Index,
    groups: int,
    explain: Callable[[Index], Array],
    rng: np.random.Generator,
    swaps: int,
) -> Grouping:
    """Exchange random pairs of inputs between groups while that explains more."""
    members = [np.flatnonzero(labels == g) for g in range(groups)]
    scores = np.stack([explain(inputs) for inputs in members], axis=1)
    outputs = balanced(scores)
    value = _kept(scores, outputs)
    for _ in range(swaps):
        first, second = rng.choice(groups, 2, replace=False)
        trial = _exchanged(members[first], members[second], rng)
        changed = scores.copy()
        changed[:, first], changed[:, second] = explain(trial[0]), explain(trial[1])
        shared = balanced(changed)
        if _kept(changed, shared) > value:
            members[first], members[second] = trial
            scores, outputs, value = changed, shared, _kept(changed, shared)
    return Grouping(
        np.stack([np.sort(inputs) for inputs in members]),
        np.stack([np.flatnonzero(outputs == g) for g in range(groups)]),
    )


def _kept(scores: Array, outputs: Index) -> float:
    return float(scores[np.arange(len(outputs)), outputs].sum())


def _exchanged(a: Index, b: Index, rng: np.random.Generator) -> tuple[Index, Index]:
    i, j = rng.integers(len(a)), rng.integers(len(b))
    a, b = a.copy(), b.copy()
    a[i], b[j] = b[j], a[i]
    return a, b
