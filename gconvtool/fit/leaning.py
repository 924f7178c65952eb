"""A separable fit to few rows, which leans on the weights that were there.

A layer over a whole map has D = C·ΠK inputs a filter and one row a sample: far fewer rows than
unknowns. What fits them best then says nothing about others, and shrinking towards zero is no help.
The old weights W are right on all inputs, but for what the structure cannot hold:

    min (1/n)·Σ ‖y − Ŵx − b‖² + λ·‖Ŵ − W‖²          Ŵ on channel c = U_c·V_c of rank r

It begins with U_c·V_c = svd_r(W_c), the best that is known without data. Then all U are solved for
at once, given the V; then each channel in turn, given all others, as in `blocks`:

    T = (Rᵀ·X_c/n + U_c·V_c·G_c + λ·W_c)·L⁻ᵀ          R what is left, G_c = X_cᵀX_c/n
    U_c·V_c = svd_r(T)·L⁻¹                              L·Lᵀ = G_c + λI

No D × D and no N × D matrix is ever made: W is read a channel at a time, in the type it has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconvtool.fit.blocks import _inverse_root, _truncated, balanced_parts
from gconvtool.fit.least_squares import flushed, solve
from gconvtool.fit.moments import FLOOR, Array
from gconvtool.fit.rows import Rows
from gconvtool.fit.structure import SeparableFactors

Weights = NDArray[np.floating[Any]]
LEAN = 0.1
"""λ is this times D/n, times the mean variance of the inputs (measured on layers of a trained
network: least held-out error for n from D/12 to D)."""
SWEEPS = 1
"""More change the held-out error by less than a hundredth of it."""


def from_weights(weight: Weights, bias: Array, taps: int, rank: int) -> SeparableFactors:
    """Without data: each channel's N × taps cut to the rank. weight is N × C·taps."""
    u, v = _cut(weight, taps, rank)
    return _factors(u, v, bias)


def lost(weight: Weights, factors: SeparableFactors) -> float:
    """The share of the weights' energy that is lost."""
    taps = factors.depthwise.shape[2]
    missed = energy = 0.0
    for c, own in enumerate(_channels(weight, taps)):
        made = factors.pointwise[:, :, c].T @ factors.depthwise[:, c]
        missed, energy = missed + np.square(own - made).sum(), energy + np.square(own).sum()
    return float(missed / energy) if energy else 0.0


def leaning(
    rows: Rows, weight: Weights, taps: int, rank: int, sweeps: int = SWEEPS
) -> SeparableFactors:
    """The best weights and bias; weight is N × C·taps."""
    state = _Fit(rows, weight, taps, rank)
    for _ in range(sweeps):
        state.sweep()
        state.agree()
    made = _factors(state.u, state.v, np.zeros(rows.filters))
    bias = rows.y_mean - made.applied(rows.x_mean[None])[0]
    return _factors(state.u, state.v, bias)


class _Fit:
    """State of the fit: U (C × N × r), V (C × r × taps) and what is left, n × N."""

    def __init__(self, rows: Rows, weight: Weights, taps: int, rank: int) -> None:
        self.rows, self.weight, self.taps = rows, weight, taps
        self.columns = np.arange(rows.size).reshape(-1, taps)
        self.lean = LEAN * rows.size / rows.count * float(rows.x_variance.mean()) + FLOOR
        self.u, self.v = _cut(weight, taps, rank)
        self.left = rows.outputs()
        self.agree()

    def agree(self) -> None:
        """All U at once, given the V."""
        rank, outputs = self.v.shape[1], self.rows.outputs()
        made = np.hstack([self.rows.centred(c) @ v.T for c, v in self._each()])
        inner, right = made.T @ made / len(made), outputs.T @ made / len(made)
        for c, own in enumerate(_channels(self.weight, self.taps)):
            at, v = slice(c * rank, (c + 1) * rank), self.v[c]
            inner[at, at] += self.lean * v @ v.T
            right[:, at] += self.lean * own @ v.T
        mixed = solve(inner, right)
        self.left = outputs - made @ mixed.T
        self.u = np.ascontiguousarray(mixed.reshape(len(mixed), -1, rank).transpose(1, 0, 2))

    def sweep(self) -> None:
        """Every channel once, given the others."""
        for c, own in enumerate(_channels(self.weight, self.taps)):
            x = self.rows.centred(self.columns[c])
            gram = x.T @ x / len(x)
            old = self.u[c] @ self.v[c]
            inverse = _inverse_root(gram, self.lean)
            target = (self.left.T @ x / len(x) + old @ gram + self.lean * own) @ inverse.T
            self.u[c], self.v[c] = _truncated(target, inverse, self.v.shape[1])
            self.left -= (x @ self.v[c].T) @ self.u[c].T - x @ old.T

    def _each(self) -> zip[tuple[Any, Any]]:
        return zip(self.columns, self.v, strict=True)


def _channels(weight: Weights, taps: int) -> Any:
    """N × taps of each channel, in float64."""
    return (
        weight[:, start : start + taps].astype(np.float64)
        for start in range(0, weight.shape[1], taps)
    )


def _cut(weight: Weights, taps: int, rank: int) -> tuple[Array, Array]:
    eye = np.eye(taps)
    parts = [_truncated(own, eye, rank) for own in _channels(weight, taps)]
    return np.stack([u for u, _ in parts]), np.stack([v for _, v in parts])


def _factors(u: Array, v: Array, bias: Array) -> SeparableFactors:
    u, v = balanced_parts(u, v)
    return SeparableFactors(flushed(v.transpose(1, 0, 2)), flushed(u.transpose(2, 1, 0)), bias)
