"""Second moments: all that least squares needs to know of the data.

For patches x (D numbers) and the outputs y (N numbers) that the original network has at the same
place, over n rows:

    Cxx = E[(x − x̄)(x − x̄)ᵀ]     Cyx = E[(y − ȳ)(x − x̄)ᵀ]     Cyy = E[(y − ȳ)²], a number a filter

A kernel Ŵ (N × D) with its best bias ȳ − Ŵx̄ then misses Σ Cyy − 2⟨Ŵ, Cyx⟩ + ⟨ŴCxx, Ŵ⟩ of the
variance. Rows are multiplied in their own precision, which is float32 for most networks, a chunk at
a time; all that is added up is float64, and two halves merge into the whole (Chan, Golub and
LeVeque, 1983), so no activation has to be kept. Where D × D is too much for the memory, `rows`
takes over.

Few rows of many numbers are fitted by chance too. So fits lean on the weights W that were there,
which are right on all patches but for what the structure cannot hold:

    Cxx + λI     Cyx + λW     Cyy + λ‖W‖²        λ = 0.1·min(1, D/n)·tr(Cxx)/D

as if λ·n white patches more had gone through W. Leaning on zero instead, a plain ridge, makes all
outputs smaller, which what follows does not average out (docs/fit.md). A small ridge of 1e-5 stays,
so that what is dead has an inverse; what is assumed of unseen data has one already.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

MIXED_AT_ONCE = 16
"""Filters whose mixed moments are taken at once: each needs r·taps·D numbers on the way."""
RIDGE = 1e-5
LEAN = 0.1
FLOOR = 1e-100
"""The ridge of patches that are all alike: its inverse is finite, and times their zeros zero."""


@dataclass(frozen=True)
class Moments:
    """Centred second moments of n rows: xx is D × D, yx is N × D, yy has N numbers."""

    count: int
    x_mean: Array
    y_mean: Array
    xx: Array
    yx: Array
    yy: Array

    @classmethod
    def of(cls, x: Array, y: Array) -> Moments:
        """The moments of rows: x is n × D, y is n × N."""
        x_mean, y_mean = (rows.mean(0, dtype=np.float64) for rows in (x, y))
        x, y = x - x_mean.astype(x.dtype), y - y_mean.astype(y.dtype)
        n = len(x)
        xx, yx = (np.asarray(product, np.float64) / n for product in (x.T @ x, y.T @ x))
        return cls(n, x_mean, y_mean, xx, yx, np.square(y, dtype=np.float64).mean(0))

    @classmethod
    def of_weights(cls, weight: Array, bias: Array) -> Moments:
        """What is assumed of unseen data: white patches of mean zero. weight is N × D."""
        zero = np.zeros(weight.shape[1])
        energy = np.square(weight).sum(1)
        return cls(0, zero, bias, np.eye(weight.shape[1]), weight, energy)

    def __add__(self, other: Moments) -> Moments:
        total = self.count + other.count
        share = other.count / total
        dx, dy = other.x_mean - self.x_mean, other.y_mean - self.y_mean
        between = share * (1 - share)
        return Moments(
            total,
            self.x_mean + share * dx,
            self.y_mean + share * dy,
            (1 - share) * self.xx + share * other.xx + between * np.outer(dx, dx),
            (1 - share) * self.yx + share * other.yx + between * np.outer(dy, dx),
            (1 - share) * self.yy + share * other.yy + between * dy * dy,
        )

    @property
    def size(self) -> int:
        """D."""
        return len(self.x_mean)

    @property
    def filters(self) -> int:
        """N."""
        return len(self.y_mean)

    @property
    def variance(self) -> float:
        """The outputs' variance, summed over filters."""
        return float(self.yy.sum())

    def ridge(self) -> float:
        """What is added to Cxx's diagonal; nothing where Cxx is assumed, and the identity."""
        return ridge(np.diagonal(self.xx)) if self.count else 0.0

    def leaning(self, weight: Array) -> Moments:
        """The same, with a share of white patches that went through a kernel N × D."""
        if not self.count:
            return self  # known, not sampled
        level = LEAN * min(1.0, self.size / self.count) * float(np.trace(self.xx)) / self.size
        xx = self.xx.copy()
        xx[np.diag_indices_from(xx)] += level
        energy = np.square(weight).sum(1)
        return replace(self, xx=xx, yx=self.yx + level * weight, yy=self.yy + level * energy)

    def block(self, rows: Index, columns: Index | None = None) -> Array:
        """A copy of Cxx[rows, columns]; of Cxx[rows, rows] without columns."""
        return np.asarray(self.xx[np.ix_(rows, rows if columns is None else columns)])

    def own_blocks(self, taps: int) -> Array:
        """Cxx of each channel with itself: C × taps × taps."""
        channel = np.arange(self.size // taps)
        split = self.xx.reshape(len(channel), taps, len(channel), taps)
        return np.asarray(split[channel, :, channel, :])

    def through(self, kernel: Array) -> Array:
        """Ŵ·Cxx: N × D."""
        return np.asarray(kernel @ self.xx)

    def mixed(self, mixtures: Array) -> Array:
        """Moments of channels mixed by r × C weights, an output apart: N × r·taps × r·taps.

        Entry (j, k), (i, l) is Σ p_j[c]·Cxx[(c, k), (d, l)]·p_i[d] over channels c and d.
        """
        filters, rank, channels = mixtures.shape
        taps = self.size // channels
        xx = self.xx.reshape(channels, taps * self.size)
        made = []
        for part in np.array_split(mixtures, max(1, filters // MIXED_AT_ONCE)):
            half = (part.reshape(-1, channels) @ xx).reshape(len(part), rank * taps, channels, taps)
            full = np.einsum("oacl,oic->oail", half, part, optimize=True)
            made.append(full.reshape(len(part), rank * taps, rank * taps))
        return np.concatenate(made)

    def of_filters(self, filters: Index) -> Moments:
        """The same patches with some of the outputs."""
        return replace(self, y_mean=self.y_mean[filters], yx=self.yx[filters], yy=self.yy[filters])

    def bias(self, kernel: Array) -> Array:
        """The best bias of a kernel N × D."""
        return self.y_mean - kernel @ self.x_mean

    def missed(self, kernel: Array, bias: Array | None = None) -> float:
        """The variance that a kernel misses, summed over filters; with its best bias, if None."""
        fit = 2 * np.vdot(kernel, self.yx) - np.vdot(self.through(kernel), kernel)
        offset = 0.0 if bias is None else float(np.square(self.bias(kernel) - bias).sum())
        return max(self.variance - float(fit) + offset, 0.0)

    def error(self, kernel: Array, bias: Array | None = None) -> float:
        """The share of the outputs' variance that a kernel misses; with its best bias, if None."""
        return share(self.missed(kernel, bias), self.variance)


def share(missed: float, variance: float) -> float:
    """What is missed of a variance.

    A constant output has no variance: then the error is 0 if nothing is missed, else infinite.
    """
    if variance == 0:
        return 0.0 if missed == 0 else float("inf")
    return missed / variance


def ridge(diagonal: Array) -> float:
    """A share of the mean variance."""
    return RIDGE * float(diagonal.sum()) / len(diagonal) + FLOOR
