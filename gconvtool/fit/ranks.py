"""Low rank that a kernel has already, so that two cheaper convolutions compute the same.

Kernels are G × N/G × C/G × taps. Inside each of the G groups

    dw-pw       W[o, c, k] = Σ_j P[j, o, c]·D[j, c, k]      if every channel's N × taps have rank r
    pw-dw       W[o, c, k] = Σ_j P[j, o, c]·D[j, o, k]      if every filter's C × taps have
    low rank    W[o] = Σ_j P[o, j]·S[j]                     if N × C·taps have rank m

Ranks are those of Ŵ, W with each filter's, then each channel's largest weight scaled to 1.
Storing numbers moves Ŵ by at most u·‖Ŵ‖, with u the rounding of their type, so that a matrix which
had rank r is not further from one of that rank:

    r = the least with Σ_{j > r} σ_j² ≤ u²·Σ_j σ_j²
"""

from __future__ import annotations

import numpy as np

from gconvtool.fit.hidden import ARITHMETIC, Mask, or_one, scaled_to_one
from gconvtool.fit.least_squares import flushed
from gconvtool.fit.moments import Array
from gconvtool.fit.structure import BottleneckFactors, PointwiseFirstFactors, SeparableFactors

A_TIME = 64
"""Matrices that are decomposed before their ranks are looked at."""


def separable(kernel: Array, bias: Array, u: float, most: int) -> SeparableFactors | None:
    """Depthwise, then pointwise, of the smallest rank; None if that is more than `most`."""
    groups, filters, channels, taps = kernel.shape
    scaled, a, b = scaled_to_one(kernel)
    halves = _halves(scaled.swapaxes(1, 2), u, most)
    if halves is None:
        return None
    mix, own = _balanced(halves[0] * a[:, None, :, None], halves[1] * b[:, :, None, None])
    depthwise = own.reshape(groups * channels, -1, taps).swapaxes(0, 1)
    pointwise = mix.transpose(3, 0, 2, 1).reshape(-1, groups * filters, channels)
    return SeparableFactors(depthwise, pointwise, bias, groups)


def pointwise_first(
    kernel: Array, bias: Array, u: float, most: int
) -> PointwiseFirstFactors | None:
    """Pointwise, then depthwise, of the smallest rank; None if that is more than `most`."""
    groups, filters, channels, taps = kernel.shape
    scaled, a, b = scaled_to_one(kernel)
    halves = _halves(scaled, u, most)
    if halves is None:
        return None
    mix, own = _balanced(halves[0] * b[:, None, :, None], halves[1] * a[:, :, None, None])
    pointwise = mix.transpose(3, 0, 1, 2).reshape(-1, groups * filters, channels)
    depthwise = own.reshape(groups * filters, -1, taps).swapaxes(0, 1)
    return PointwiseFirstFactors(pointwise, depthwise, bias, groups)


def low_rank(kernel: Array, bias: Array, u: float, most: int) -> BottleneckFactors | None:
    """A spatial convolution to the fewest channels a group, then a pointwise one; None if those
    are more than `most`."""
    groups, filters, channels, taps = kernel.shape
    scaled, a, b = scaled_to_one(kernel)
    halves = _halves(scaled.reshape(groups, filters, -1), u, most)
    if halves is None:
        return None
    onto = np.repeat(b, taps, axis=1)[:, None]
    mix, spatial = _balanced(halves[0] * a[:, :, None], halves[1] * onto)
    inputs = np.arange(groups * channels).reshape(groups, channels)
    flat = spatial.reshape(-1, channels * taps)
    return BottleneckFactors(inputs, flat, mix.reshape(groups * filters, -1), bias, taps, groups)


def _halves(matrices: Array, u: float, most: int) -> tuple[Array, Array] | None:
    """… × p × r and … × r × q with these products, r the largest rank; None if above `most`."""
    *many, p, q = matrices.shape
    flat, parts = matrices.reshape(-1, p, q), []
    if most < 1 or any(_surely_above(matrix, u, most) for matrix in flat[:1]):
        return None
    for start in range(0, len(flat), A_TIME):
        left, sizes, right = np.linalg.svd(flat[start : start + A_TIME], full_matrices=False)
        kept = _counts(sizes, u)
        if kept.sum(1).max() > most:
            return None
        roots = np.sqrt(np.where(kept, sizes, 0.0))
        parts.append((left * roots[:, None], right * roots[:, :, None], kept.any(0).sum()))
    rank = max(1, *(count for *_, count in parts))
    left, right = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return left[:, :, :rank].reshape(*many, p, -1), right[:, :rank].reshape(*many, -1, q)


def _counts(sizes: Array, u: float) -> Mask:
    """Singular values that rounding alone does not explain, of each matrix."""
    energy = np.cumsum((sizes**2)[:, ::-1], axis=1)[:, ::-1]  # from this one to the smallest
    return np.asarray(energy > (u + ARITHMETIC) ** 2 * energy[:, :1])


def _surely_above(matrix: Array, u: float, most: int) -> bool:
    """A rank above `most`, seen from the squares of singular values: roughly, but soon."""
    gram = matrix @ matrix.T if len(matrix) < matrix.shape[1] else matrix.T @ matrix
    squares = np.linalg.eigvalsh(gram)
    return bool(squares[: len(squares) - most].sum() > max(4 * u**2, 1e-12) * squares.sum())


def _balanced(left: Array, right: Array) -> tuple[Array, Array]:
    """The same products, with both halves of a branch of one size: no type is too narrow then."""
    sizes = np.abs(left).max(-2), np.abs(right).max(-1)
    ratio = np.sqrt(or_one(sizes[1]) / or_one(sizes[0]))
    return flushed(left * ratio[..., None, :]), flushed(right / ratio[..., None])
