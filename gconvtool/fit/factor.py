"""The new weights: least squares on the moments, inside the structure that a recipe allows.

Grouped: each group is a least squares of its own,

    Ŵ[o_g, i_g] = Cyx[o_g, i_g]·(Cxx[i_g, i_g] + λI)⁻¹

Separable, depthwise first: the kernel of input channel c is the N × ΠK matrix U_c·V_c of rank r,
with V_c the depthwise taps and U_c the pointwise weights. Given all other channels, the best
U_c·V_c is a reduced-rank regression in closed form (Izenman, 1975); channels take turns, and the
error falls with every turn:

    T = Cyx[:, c] − Σ_{d≠c} U_d·V_d·Cxx[d, c]          what is left for this channel to explain
    U_c·V_c = svd_r(T·Cxx[c, c]^-½)·Cxx[c, c]^-½

Between sweeps all U are solved for at once, given the V: the channels then agree on who explains
what, which turns alone approach slowly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from gconvtool.fit.grouping import Grouping, columns
from gconvtool.fit.moments import Array, Moments

SMALLEST = 1e-15
"""Weights below this are set to zero: as float32 denormals they would slow the CPU down."""


@dataclass(frozen=True)
class GroupedFactors:
    """A grouped convolution on permuted channels: weight N × C/G·taps in group order, bias in
    the original order of filters."""

    weight: Array
    bias: Array
    grouping: Grouping
    taps: int

    def kernel(self) -> Array:
        """The equivalent dense kernel, N × C·taps, in the original order of channels."""
        groups, share = self.grouping.outputs.shape
        dense = np.zeros((len(self.weight), self.grouping.inputs.size * self.taps))
        for g in range(groups):
            rows, index = self.grouping.outputs[g], columns(self.grouping.inputs[g], self.taps)
            dense[np.ix_(rows, index)] = self.weight[g * share : (g + 1) * share]
        return dense


@dataclass(frozen=True)
class SeparableFactors:
    """A sum of r branches: depthwise r × C × taps, then pointwise r × N × C; bias N."""

    depthwise: Array
    pointwise: Array
    bias: Array

    def kernel(self) -> Array:
        """The equivalent dense kernel, N × C·taps."""
        dense = np.einsum("rck,rnc->nck", self.depthwise, self.pointwise, optimize=True)
        return np.asarray(dense.reshape(len(dense), -1))


def grouped(moments: Moments, grouping: Grouping, taps: int) -> GroupedFactors:
    """Least squares inside given groups."""
    ridge = moments.ridge()
    rows = []
    for inputs, outputs in zip(grouping.inputs, grouping.outputs, strict=True):
        index = columns(inputs, taps)
        block = moments.xx[np.ix_(index, index)] + ridge * np.eye(len(index))
        rows.append(_solve(block, moments.yx[np.ix_(outputs, index)]))
    weight = _flushed(np.concatenate(rows))
    unbiased = GroupedFactors(weight, np.zeros(len(weight)), grouping, taps)
    return GroupedFactors(weight, moments.bias(unbiased.kernel()), grouping, taps)


def separable(moments: Moments, taps: int, rank: int, sweeps: int = 8) -> SeparableFactors:
    """A sum of `rank` (depthwise → pointwise) branches by block reduced-rank regression."""
    xx = moments.xx + moments.ridge() * np.eye(len(moments.xx))
    solver = _Channels(xx, moments.yx, taps, rank)
    for _ in range(sweeps):
        solver.sweep()
        solver.agree()
    depthwise, pointwise = solver.factors()
    unbiased = SeparableFactors(depthwise, pointwise, np.zeros(pointwise.shape[1]))
    return SeparableFactors(depthwise, pointwise, moments.bias(unbiased.kernel()))


class _Channels:
    """State of the separable fit: `u` is C × N × r, `v` is C × r × taps, `fitted` is Ŵ·Cxx."""

    def __init__(self, xx: Array, yx: Array, taps: int, rank: int) -> None:
        self.xx, self.yx, self.taps = xx, yx, taps
        self.count = len(xx) // taps
        self.blocks = [slice(c * taps, (c + 1) * taps) for c in range(self.count)]
        self.roots = [_roots(xx[b, b]) for b in self.blocks]
        dense = _solve(xx, yx)
        parts = [
            _truncated(dense[:, b] @ root, inverse, rank) for b, (root, inverse) in self._each()
        ]
        self.u = np.stack([u for u, _ in parts])
        self.v = np.stack([v for _, v in parts])
        self.fitted = self._kernel() @ xx

    def sweep(self) -> None:
        """Every channel once, given the others."""
        for c, (block, (_, inverse)) in enumerate(self._each()):
            old = self.u[c] @ self.v[c]
            left = self.yx[:, block] - self.fitted[:, block] + old @ self.xx[block, block]
            self.u[c], self.v[c] = _truncated(left @ inverse, inverse, self.v.shape[1])
            self.fitted += (self.u[c] @ self.v[c] - old) @ self.xx[block]

    def agree(self) -> None:
        """All pointwise weights at once, given the depthwise taps."""
        rank = self.v.shape[1]
        basis = np.zeros((self.count * rank, len(self.xx)))
        for c, block in enumerate(self.blocks):
            basis[c * rank : (c + 1) * rank, block] = self.v[c]
        projected = basis @ self.xx
        inner = projected @ basis.T
        inner[np.diag_indices_from(inner)] *= 1 + 1e-9  # a dead channel has no taps
        inner[np.diag_indices_from(inner)] += np.finfo(float).tiny
        weights = _solve(inner, self.yx @ basis.T)
        self.u = weights.reshape(len(self.yx), self.count, rank).transpose(1, 0, 2)
        self.fitted = weights @ projected

    def factors(self) -> tuple[Array, Array]:
        """Depthwise r × C × taps and pointwise r × N × C, a branch's two parts of equal norm."""
        taps, mix = np.linalg.norm(self.v, axis=2), np.linalg.norm(self.u, axis=1)
        alive = (taps > 0) & (mix > 0)
        scale = np.sqrt(np.divide(mix, taps, out=np.ones_like(taps), where=alive))
        depthwise = (self.v * scale[:, :, None]).transpose(1, 0, 2)
        pointwise = (self.u / scale[:, None, :]).transpose(2, 1, 0)
        return _flushed(depthwise), _flushed(pointwise)

    def _each(self) -> list[tuple[slice, tuple[Array, Array]]]:
        return list(zip(self.blocks, self.roots, strict=True))

    def _kernel(self) -> Array:
        return np.asarray(np.einsum("cnr,crk->nck", self.u, self.v).reshape(len(self.yx), -1))


def _roots(block: Array) -> tuple[Array, Array]:
    """C^½ and C^-½ of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(block)
    root = np.sqrt(np.maximum(values, np.finfo(float).tiny))
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def _truncated(matrix: Array, inverse: Array, rank: int) -> tuple[Array, Array]:
    """U (N × r) and V (r × taps) with U·V the best rank-r approximation, times the inverse root.

    The right singular vectors come from the small taps × taps Gram matrix.
    """
    _, vectors = np.linalg.eigh(matrix.T @ matrix)
    leading = vectors[:, ::-1][:, :rank]
    return matrix @ leading, leading.T @ inverse


def _solve(gram: Array, right: Array) -> Array:
    """right · gram⁻¹ for a symmetric positive gram."""
    return np.asarray(cho_solve(cho_factor(gram, lower=True), right.T).T)


def _flushed(weight: Array) -> Array:
    return np.where(np.abs(weight) < SMALLEST, 0.0, weight)
