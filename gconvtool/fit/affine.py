"""One scale and one shift for each channel: what a batch normalisation does, fitted anew.

    a = a₀ + cov(x, y − a₀·x) / (var(x) + λ)          c = ȳ − a·x̄

The ridge λ holds a near the a₀ that it was, so that channels that hardly vary stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gconvtool.fit.moments import Array

RIDGE = 1e-3
"""λ as a share of the mean variance."""

Maps = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Inputs and due outputs, N × C × positions…."""


@dataclass(frozen=True)
class ChannelMoments:
    """Means and second moments a channel, C numbers each."""

    x_mean: Array
    y_mean: Array
    xx: Array
    yx: Array
    yy: Array

    @classmethod
    def of(cls, pairs: Iterable[Maps]) -> ChannelMoments:
        """Over all samples and positions of some batches, at least one."""
        sums = [_sums(x, y) for x, y in pairs]
        count, x, y, xx, yx, yy = (sum(column) for column in zip(*sums, strict=True))
        x_mean, y_mean = x / count, y / count
        return cls(
            x_mean,
            y_mean,
            xx / count - x_mean**2,
            yx / count - x_mean * y_mean,
            yy / count - y_mean**2,
        )

    def fit(self, scale: Array) -> tuple[Array, Array]:
        """The best scale near the present one, and its shift."""
        level = self.xx + RIDGE * self.xx.mean()
        left = self.yx - scale * self.xx
        moved = np.divide(left, level, out=np.zeros_like(scale), where=level > 0)
        return scale + moved, self.y_mean - (scale + moved) * self.x_mean

    def missed(self, scale: Array, shift: Array) -> float:
        """E(y − scale·x − shift)², summed over channels."""
        offset = self.y_mean - scale * self.x_mean - shift
        return float((self.yy - 2 * scale * self.yx + scale**2 * self.xx + offset**2).sum())


def _sums(x: NDArray[np.floating], y: NDArray[np.floating]) -> Sequence[Array | int]:
    a, b = (np.moveaxis(v, 1, 0).reshape(v.shape[1], -1).astype(np.float64) for v in (x, y))
    return a.shape[1], a.sum(1), b.sum(1), (a * a).sum(1), (a * b).sum(1), (b * b).sum(1)
