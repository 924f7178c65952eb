"""Second moments: all that least squares needs to know of the data.

For patches x (D numbers) and the outputs y (N numbers) that the original network has at the same
place, over n rows:

    Cxx = E[(x − x̄)(x − x̄)ᵀ]     Cyx = E[(y − ȳ)(x − x̄)ᵀ]     Cyy = E[(y − ȳ)²], a number a filter

A kernel Ŵ (N × D) with its best bias ȳ − Ŵx̄ then misses Σ Cyy − 2⟨Ŵ, Cyx⟩ + ⟨ŴCxx, Ŵ⟩ of the
variance. Everything is float64, and two halves merge into the whole (Chan, Golub and LeVeque,
1983), so no activation has to be kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

Array = NDArray[np.float64]


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
        x_mean, y_mean = x.mean(0), y.mean(0)
        x, y = x - x_mean, y - y_mean
        n = len(x)
        return cls(n, x_mean, y_mean, _gram(x) / n, y.T @ x / n, np.square(y).mean(0))

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
    def variance(self) -> float:
        """The outputs' variance, summed over filters."""
        return float(self.yy.sum())

    def ridge(self) -> float:
        """What to add to Cxx's diagonal: more where the rows are few for D unknowns."""
        size = len(self.xx)
        strength = 1e-5 if self.count >= 10 * size or self.count == 0 else 1e-3
        return strength * float(np.trace(self.xx)) / size + np.finfo(float).tiny

    def bias(self, kernel: Array) -> Array:
        """The best bias of a kernel N × D."""
        return self.y_mean - kernel @ self.x_mean

    def error(self, kernel: Array, bias: Array | None = None) -> float:
        """The share of the outputs' variance that a kernel misses; with its best bias, if None.

        A constant output has no variance: then the error is 0 if nothing is missed, else infinite.
        """
        fit = 2 * np.vdot(kernel, self.yx) - np.vdot(kernel @ self.xx, kernel)
        missed = self.variance - float(fit)
        if bias is not None:
            missed += float(np.square(self.bias(kernel) - bias).sum())
        missed = max(missed, 0.0)
        if self.variance == 0:
            return 0.0 if missed == 0 else float("inf")
        return missed / self.variance


def _gram(x: Array) -> Array:
    """xᵀx by a symmetric rank-k update, which costs half of a full product."""
    upper = blas.dsyrk(1.0, x, trans=True)
    return np.asarray(np.triu(upper) + np.triu(upper, 1).T)
