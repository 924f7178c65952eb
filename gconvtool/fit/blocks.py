"""Reduced-rank regression in blocks: the fit behind separable, bottleneck and low-rank kernels.

The columns of the kernel are shared out among B blocks, and the kernel on block b is U_b·V_b of
rank m: V_b (m × size) reads the block's patch numbers, U_b (N × m) mixes what V_b makes into the
outputs. With a block for each input channel this is a separable convolution, with one of all
channels it is of low rank. Given all other blocks, the best one has a closed form (Izenman, 1975);
blocks take turns, and the error falls with every turn:

    T = Cyx[:, b] − Σ_{d≠b} U_d·V_d·Cxx[d, b]         what is left for this block to explain
    U_b·V_b = svd_m(T·L⁻ᵀ)·L⁻¹                        L·Lᵀ = Cxx[b, b] + λI

Between sweeps all U are solved for at once, given the V: the blocks then agree on who explains
what, which turns alone approach slowly. A single block is done at once, without a factor of Cxx:

    U·V = Q·Qᵀ·W      W the dense least squares, Q the m leading eigenvectors of W·(Cxx + λI)·Wᵀ
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.linalg import solve_triangular

from gconvtool.fit.least_squares import Left, Seen, dense, left_of
from gconvtool.fit.moments import Array, Index

SWEEPS = 8
"""What is measured to be enough, with the joint step (docs/fit.md)."""


def reduced_rank(seen: Seen, blocks: Index, rank: int, sweeps: int = SWEEPS) -> tuple[Array, Array]:
    """The best U and V.

    Args:
        seen: what flows in and what should come out.
        blocks: B × size, the patch columns of each block.
        rank: m, the width of a block's bottleneck.
        sweeps: turns of all blocks, each with a joint step; 0 leaves where it starts.

    Returns:
        U as B × N × m and V as B × m × size; what U and V share of a norm is balanced.
    """
    if len(blocks) == 1:
        return _low_rank(seen, blocks, rank)
    state = BlockFit(seen, blocks, rank)
    for _ in range(sweeps):
        state.sweep()
        state.agree()
    return balanced_parts(state.u, state.v)


class BlockFit:
    """State of the fit; made from the dense least squares."""

    def __init__(self, seen: Seen, blocks: Index, rank: int) -> None:
        self.blocks, self.ridge = blocks, seen.ridge()
        self.left: Left = left_of(seen)
        rank = min(rank, blocks.shape[1])
        self.grams = [seen.block(block) for block in blocks]
        self.inverses = [_inverse_root(gram, self.ridge) for gram in self.grams]
        self.u = np.zeros((len(blocks), seen.filters, rank))
        self.v = np.zeros((len(blocks), rank, blocks.shape[1]))
        self._start(dense(seen))

    def _start(self, kernel: Array) -> None:
        """From the blocks of the dense least squares, each cut to the rank."""
        for b, (block, gram, inverse) in enumerate(self._each()):
            target = kernel[:, block] @ (gram @ inverse.T + self.ridge * inverse.T)
            self.u[b], self.v[b] = _truncated(target, inverse, self.v.shape[1])
        self.left.restart(self.kernel())

    def sweep(self) -> None:
        """Every block once, given the others."""
        for b, (block, gram, inverse) in enumerate(self._each()):
            old = self.u[b] @ self.v[b]
            target = (self.left.at(block) + old @ gram) @ inverse.T
            self.u[b], self.v[b] = _truncated(target, inverse, self.v.shape[1])
            self.left.explain(block, self.u[b] @ self.v[b] - old)

    def agree(self) -> None:
        """All U at once, given the V."""
        self.u = self.left.mix(self.blocks, self.v, self.ridge)

    def _each(self) -> Iterable[tuple[Index, Array, Array]]:
        return zip(self.blocks, self.grams, self.inverses, strict=True)

    def kernel(self) -> Array:
        """The dense kernel, N × D."""
        dense = np.zeros((self.u.shape[1], self.blocks.size))
        dense[:, self.blocks] = np.einsum("bnm,bmk->nbk", self.u, self.v)
        return dense


def balanced_parts(u: Array, v: Array) -> tuple[Array, Array]:
    """The same products with a part's column in U and its row in V of equal norm.

    float16 holds neither the very large nor the very small; a dead part stays zero in both.
    """
    rows, mix = np.linalg.norm(v, axis=2), np.linalg.norm(u, axis=1)
    alive = (rows > 0) & (mix > 0)
    scale = np.sqrt(np.divide(mix, rows, out=np.ones_like(rows), where=alive))
    return (
        np.where(alive[:, None, :], u / scale[:, None, :], 0.0),
        np.where(alive[:, :, None], v * scale[:, :, None], 0.0),
    )


def _low_rank(seen: Seen, blocks: Index, rank: int) -> tuple[Array, Array]:
    kernel = dense(seen)
    explained = (seen.through(kernel) + seen.ridge() * kernel) @ kernel.T
    leading = np.linalg.eigh(explained)[1][:, ::-1][:, :rank]
    return balanced_parts(leading[None], (leading.T @ kernel)[None, :, blocks[0]])


def _inverse_root(gram: Array, ridge: float) -> Array:
    """L⁻¹."""
    eye = np.eye(len(gram))
    lower = np.linalg.cholesky(gram + ridge * eye)
    return np.asarray(solve_triangular(lower, eye, lower=True, check_finite=False))


def _truncated(target: Array, inverse: Array, rank: int) -> tuple[Array, Array]:
    """U (N × m) and V (m × size), with U·V = svd_m(target)·L⁻¹.

    Singular vectors come from the Gram matrix of the smaller side.
    """
    if target.shape[0] < target.shape[1]:
        u = np.linalg.eigh(target @ target.T)[1][:, ::-1][:, :rank]
        v = u.T @ target @ inverse
    else:
        leading = np.linalg.eigh(target.T @ target)[1][:, ::-1][:, :rank]
        u, v = target @ leading, leading.T @ inverse
    short = rank - u.shape[1]
    return np.pad(u, ((0, 0), (0, short))), np.pad(v, ((0, short), (0, 0)))
