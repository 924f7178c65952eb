"""Patches themselves, in float32: for layers so wide that their D × D moments do not fit.

    Cxx = XᵀX/n,     Cyx = YᵀX/n,     with X (n × D) and Y (n × N) centred

n rows take 4·n·(D + N) bytes, a D × D matrix with its copies 64·D²: rows win where n < 16·D, and
wide layers have small maps, so that few rows are all there are. Products with Cxx go through X, so
no fit ever makes a D × D matrix. Nothing is assumed of the patches. Taking Cxx as
stationary instead, (2K − 1)² numbers a pair of channels, was tried: what that makes is not even
positive and does not fit Cyx, and weights solved from it are useless.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gconvtool.fit.moments import Array, Index, ridge, share

BUDGET = 2 * 2**30
"""Bytes that the moments of one layer may take, if nothing else is said."""
RIDGE = 0.01
"""The ridge is this times D/n, times the mean variance."""
COPIES = 8
"""D × D matrices in float64 alive at once: two sums, and a part and two D patches for each."""


def moments_fit(size: int, budget: int = BUDGET) -> bool:
    """Whether the moments of D = `size` patch numbers fit into `budget` bytes, copies too."""
    return COPIES * 8 * size * size <= budget


def rows_within(size: int, filters: int, budget: int = BUDGET) -> int:
    """How many rows fit: X and Y in float32, and once more while they are put together."""
    return max(1, budget // (2 * 4 * (size + filters)))


@dataclass(frozen=True)
class Rows:
    """n patches x (n × D) and outputs y (n × N), as they are: centred only where they are used."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]

    @classmethod
    def of(cls, x: NDArray[np.floating], y: NDArray[np.floating]) -> Rows:
        """Rows of any float type."""
        return cls(x.astype(np.float32, copy=False), y.astype(np.float32, copy=False))

    def __add__(self, other: Rows) -> Rows:
        return Rows(np.concatenate([self.x, other.x]), np.concatenate([self.y, other.y]))

    @property
    def count(self) -> int:
        """n."""
        return len(self.x)

    @property
    def size(self) -> int:
        """D."""
        return int(self.x.shape[1])

    @property
    def filters(self) -> int:
        """N."""
        return int(self.y.shape[1])

    @cached_property
    def x_mean(self) -> Array:
        """D means."""
        return np.asarray(self.x.mean(0, dtype=np.float64))

    @cached_property
    def y_mean(self) -> Array:
        """N means."""
        return np.asarray(self.y.mean(0, dtype=np.float64))

    @cached_property
    def x_variance(self) -> Array:
        """The diagonal of Cxx."""
        return np.asarray(self.x.var(0, dtype=np.float64))

    @cached_property
    def yy(self) -> Array:
        """Variances of the outputs."""
        return np.asarray(self.y.var(0, dtype=np.float64))

    @property
    def variance(self) -> float:
        """The outputs' variance, summed over filters."""
        return float(self.yy.sum())

    @cached_property
    def yx(self) -> Array:
        """Cyx, N × D."""
        return np.asarray(self.outputs().T @ self.x / self.count)

    def outputs(self) -> Array:
        """Centred outputs, n × N, in float64."""
        return self.y - self.y_mean

    def centred(self, columns: Index) -> Array:
        """Some columns of the centred patches, n × size, in float64."""
        return self.x[:, columns] - self.x_mean[columns]

    def ridge(self) -> float:
        """What is added to Cxx's diagonal: the more, the fewer the rows are for D unknowns."""
        strength = min(RIDGE * self.size / self.count, 1.0)
        return strength * float(self.x_variance.mean()) + ridge(self.x_variance)

    def leaning(self, weight: Array) -> Rows:
        """The same: rows lean on nothing but zero."""
        return self

    def block(self, rows: Index, columns: Index | None = None) -> Array:
        """Cxx[rows, columns]; Cxx[rows, rows] without columns."""
        left = self.centred(rows)
        right = left if columns is None else self.centred(columns)
        return np.asarray(left.T @ right / self.count)

    def own_blocks(self, taps: int) -> Array:
        """Cxx of each channel with itself: C × taps × taps."""
        index = np.arange(self.size).reshape(-1, taps)
        return np.stack([self.block(columns) for columns in index])

    def made(self, kernel: Array) -> Array:
        """What a kernel N × D makes of the centred patches: n × N."""
        product = self.x @ kernel.T.astype(np.float32)
        return np.asarray(product - kernel @ self.x_mean, np.float64)

    def through(self, kernel: Array) -> Array:
        """Ŵ·Cxx: N × D."""
        made = self.made(kernel)
        product = made.T.astype(np.float32) @ self.x
        return np.asarray((product - np.outer(made.sum(0), self.x_mean)) / self.count)

    def mixed(self, mixtures: Array) -> Array:
        """Moments of channels mixed by r × C weights, an output apart: N × r·taps × r·taps."""
        x = self.x.reshape(self.count, mixtures.shape[2], -1)
        return np.stack([_covariance(np.einsum("nck,rc->nrk", x, p)) for p in mixtures])

    def of_filters(self, filters: Index) -> Rows:
        """The same patches with some of the outputs."""
        return Rows(self.x, self.y[:, filters])

    def bias(self, kernel: Array) -> Array:
        """The best bias of a kernel N × D."""
        return self.y_mean - kernel @ self.x_mean

    def missed(self, kernel: Array, bias: Array | None = None) -> float:
        """The variance that a kernel misses, summed over filters; with its best bias, if None."""
        residual = self.outputs() - self.made(kernel)
        offset = 0.0 if bias is None else float(np.square(self.bias(kernel) - bias).sum())
        return float(residual.var(0).sum()) + offset

    def error_of(self, made: Array, bias: Array) -> float:
        """The share of the outputs' variance that is missed by what was made, n × N, and a bias."""
        return share(float(np.square(self.y - made - bias).mean(0).sum()), self.variance)

    def error(self, kernel: Array, bias: Array | None = None) -> float:
        """The share of the outputs' variance that a kernel misses; with its best bias, if None."""
        return share(self.missed(kernel, bias), self.variance)


def _covariance(values: Array) -> Array:
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(0)
    return np.asarray(flat.T @ flat / len(flat))
