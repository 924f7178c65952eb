"""Pointwise first, then depthwise: r kernels p ⊗ v for each output, by alternating least squares.

    Ŵ[o, c, k] = Σ_j p[o, j, c]·v[o, j, k]

Outputs do not meet: each is a problem of its own, and all share Cxx. Given the mixtures p, the taps
v are least squares with r·ΠK unknowns, solved at once; given v, the mixtures have r·C unknowns.
Those are approached by conjugate gradients, preconditioned by each channel's own r × r block, from
where the last sweep left them: a step costs N·D², whatever C and r are, where solving would cost
N·(r·C)³/3, and exact answers to a question that the next sweep changes are not needed. The error
falls with every half sweep.

It starts from the singular vectors of the dense kernel, its taps and channels weighted as if
Cxx were a product of channels' and taps' covariances.
"""

from __future__ import annotations

import numpy as np

from gconvtool.fit.least_squares import Seen, conjugate_gradients, dense
from gconvtool.fit.moments import Array

SWEEPS = 8
STEPS = 8
"""Conjugate gradient steps for the mixtures in a sweep."""


def pointwise_first(
    seen: Seen, taps: int, rank: int, sweeps: int = SWEEPS, steps: int = STEPS
) -> tuple[Array, Array]:
    """Mixtures p as N × r × C and taps v as N × r × taps."""
    fit = _Alternating(seen, taps, min(rank, taps))
    for _ in range(sweeps):
        fit.solve_taps()
        fit.improve_mixtures(steps)
    return fit.p, fit.v


class _Alternating:
    def __init__(self, seen: Seen, taps: int, rank: int) -> None:
        self.seen, self.taps, self.ridge = seen, taps, seen.ridge()
        self.yx = seen.yx.reshape(seen.filters, -1, taps)
        self.own = seen.own_blocks(taps)
        self.p, self.v = self._start(rank)

    def _start(self, rank: int) -> tuple[Array, Array]:
        """Σ_j p_j ⊗ v_j near the dense kernel: svd_r(R_c·W_o·R_k), the weights taken out again."""
        level = self.own.mean(0) + self.ridge * np.eye(self.taps)
        lower = np.linalg.cholesky(level)
        deviation = np.sqrt(self.own.trace(axis1=1, axis2=2) / self.taps + self.ridge)
        weighted = deviation[:, None] * dense(self.seen).reshape(self.yx.shape) @ lower
        _, vectors = np.linalg.eigh(weighted.transpose(0, 2, 1) @ weighted)
        leading = vectors[:, :, ::-1][:, :, :rank]
        p = (weighted @ leading) / deviation[:, None]
        v = leading.transpose(0, 2, 1) @ np.linalg.inv(lower)
        return p.transpose(0, 2, 1), v

    def solve_taps(self) -> None:
        """v, given p."""
        filters, rank, _ = self.p.shape
        gram = self.seen.mixed(self.p)
        norms = self.p @ self.p.transpose(0, 2, 1)
        gram += self.ridge * np.kron(norms, np.eye(self.taps))
        right = (self.p @ self.yx).reshape(filters, -1)
        self.v = _solved(gram, right).reshape(filters, rank, self.taps)

    def improve_mixtures(self, steps: int) -> None:
        """p, given v, by preconditioned conjugate gradients, all outputs side by side."""
        inverse = self._preconditioner()
        left = self._onto(self.yx) - self._curvature(self.p)
        self.p = conjugate_gradients(
            self.p, left, self._curvature, lambda gradient: _applied(inverse, gradient), steps
        )

    def _curvature(self, p: Array) -> Array:
        kernel = (p.transpose(0, 2, 1) @ self.v).reshape(len(p), -1)
        product = self.seen.through(kernel) + self.ridge * kernel
        return self._onto(product.reshape(self.yx.shape))

    def _onto(self, gradient: Array) -> Array:
        """N × C × taps onto the taps: N × r × C."""
        return np.asarray(self.v @ gradient.transpose(0, 2, 1))

    def _preconditioner(self) -> Array:
        """The inverses of each output's r × r blocks of a channel: N × C × r × r."""
        gram = self.own + self.ridge * np.eye(self.taps)
        blocks = np.einsum("nrk,ckl,nsl->ncrs", self.v, gram, self.v, optimize=True)
        return np.asarray(np.linalg.inv(_regular(blocks)), np.float64)


def _applied(inverse: Array, left: Array) -> Array:
    return np.asarray(np.einsum("ncrs,nsc->nrc", inverse, left, optimize=True))


def _solved(grams: Array, rights: Array) -> Array:
    return np.asarray(np.linalg.solve(_regular(grams), rights[:, :, None])[:, :, 0], np.float64)


def _regular(grams: Array) -> Array:
    """Symmetric matrices, each with a little on its diagonal; what is all zero becomes 1."""
    size = grams.shape[-1]
    trace = np.trace(grams, axis1=-2, axis2=-1)[..., None, None] / size
    return grams + np.where(trace > 0, 1e-10 * trace, 1.0) * np.eye(size)
