"""What a kernel that is being fitted has not explained yet, and least squares on that.

`Left` holds Cyx − Ŵ·Cxx for a kernel Ŵ that starts at zero and changes a block of columns at a
time. Over moments that is the matrix itself, N × D; over rows it is the residual Y − XŴᵀ, n × N,
whose product with X it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from gconvtool.fit.moments import Array, Index, Moments
from gconvtool.fit.rows import Rows

Seen: TypeAlias = Moments | Rows
SMALLEST = 1e-15
"""Weights below this are set to zero: as float32 denormals they would slow the CPU down."""


DENSE_STEPS = 30
"""Conjugate gradient steps over rows for the kernel that fits start from."""


class Left(Protocol):
    """Cyx − Ŵ·Cxx."""

    def at(self, block: Index) -> Array:
        """Its columns in a block: N × size."""
        ...

    def restart(self, kernel: Array) -> None:
        """Ŵ becomes a kernel N × D."""
        ...

    def explain(self, block: Index, change: Array) -> None:
        """Ŵ changes by N × size in a block of columns."""
        ...

    def mix(self, blocks: Index, parts: Array, ridge: float) -> Array:
        """Make Ŵ the best Σ U_b·V_b for given V (`parts`, B × m × size): U as B × N × m."""
        ...


def left_of(seen: Seen) -> Left:
    """All that is to be explained."""
    return _MomentsLeft(seen) if isinstance(seen, Moments) else _RowsLeft(seen)


def dense(seen: Seen) -> Array:
    """The kernel without any structure, N × D; over rows about that, without a D × D matrix."""
    ridge = seen.ridge()
    if isinstance(seen, Moments):
        gram = seen.xx.copy()
        gram[np.diag_indices_from(gram)] += ridge
        return solve(gram, seen.yx)
    variances = seen.x_variance + ridge
    return conjugate_gradients(
        np.zeros_like(seen.yx),
        seen.yx,
        lambda kernel: seen.through(kernel) + ridge * kernel,
        lambda left: left / variances,
        DENSE_STEPS,
    )


def conjugate_gradients(
    start: Array,
    left: Array,
    curvature: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    steps: int,
) -> Array:
    """Towards curvature(x) = b from `start`, with left = b − curvature(start).

    Rows of the first axis are problems of their own (Hestenes and Stiefel, 1952).
    """
    step = ready = precondition(left)
    size = _dots(left, ready)
    for _ in range(steps):
        curved = curvature(step)
        length = _ratio(size, _dots(step, curved))
        start = start + length * step
        left = left - length * curved
        ready = precondition(left)
        size, before = _dots(left, ready), size
        step = ready + _ratio(size, before) * step
    return start


def _dots(a: Array, b: Array) -> Array:
    """Inner products, an element of the first axis apart."""
    axes = tuple(range(1, a.ndim))
    return np.asarray((a * b).sum(axes, keepdims=True))


def _ratio(a: Array, b: Array) -> Array:
    """a/b, and 0 where there is nothing left to do."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def solve(gram: Array, right: Array) -> Array:
    """right · gram⁻¹ for a symmetric positive gram, which is lost; no variance gets no weight."""
    gram[np.diag_indices_from(gram)] += np.where(np.diagonal(gram) == 0, 1.0, 0.0)
    return np.asarray(cho_solve(cho_factor(gram, lower=True, overwrite_a=True), right.T).T)


def flushed(weight: Array) -> Array:
    """The weights without those that are too small to count."""
    return np.where(np.abs(weight) < SMALLEST, 0.0, weight)


class _MomentsLeft:
    def __init__(self, moments: Moments) -> None:
        self.moments, self.values = moments, moments.yx.copy()

    def at(self, block: Index) -> Array:
        return np.asarray(self.values[:, block])

    def restart(self, kernel: Array) -> None:
        self.values = self.moments.yx - self.moments.through(kernel)

    def explain(self, block: Index, change: Array) -> None:
        self.values -= change @ self.moments.xx[block]

    def mix(self, blocks: Index, parts: Array, ridge: float) -> Array:
        seen = self.moments
        half = np.concatenate([v @ seen.xx[block] for block, v in zip(blocks, parts, strict=True)])
        inner = _columns(half, blocks, parts)
        mixed = _mixture(inner, _columns(seen.yx, blocks, parts), parts, ridge)
        self.values = seen.yx - mixed @ half
        return _by_block(mixed, len(blocks))


class _RowsLeft:
    def __init__(self, rows: Rows) -> None:
        self.rows, self.values = rows, rows.outputs()

    def at(self, block: Index) -> Array:
        return np.asarray(self.values.T @ self.rows.centred(block) / self.rows.count)

    def restart(self, kernel: Array) -> None:
        self.values = self.rows.outputs() - self.rows.made(kernel)

    def explain(self, block: Index, change: Array) -> None:
        self.values -= self.rows.centred(block) @ change.T

    def mix(self, blocks: Index, parts: Array, ridge: float) -> Array:
        made = np.hstack(
            [self.rows.centred(block) @ v.T for block, v in zip(blocks, parts, strict=True)]
        )
        outputs = self.rows.outputs()
        inner, right = made.T @ made / len(made), outputs.T @ made / len(made)
        mixed = _mixture(inner, right, parts, ridge)
        self.values = outputs - made @ mixed.T
        return _by_block(mixed, len(blocks))


def _columns(matrix: Array, blocks: Index, parts: Array) -> Array:
    """matrix · Vᵀ with V block-diagonal in `parts`."""
    return np.hstack([matrix[:, block] @ v.T for block, v in zip(blocks, parts, strict=True)])


def _mixture(inner: Array, right: Array, parts: Array, ridge: float) -> Array:
    """N × B·m: the least squares on what the parts make, with the ridge that they pass on."""
    rank = parts.shape[1]
    for b, v in enumerate(parts):
        at = slice(b * rank, (b + 1) * rank)
        inner[at, at] += ridge * v @ v.T
    return solve(inner, right)


def _by_block(mixed: Array, blocks: int) -> Array:
    return np.asarray(mixed.reshape(len(mixed), blocks, -1).transpose(1, 0, 2))
