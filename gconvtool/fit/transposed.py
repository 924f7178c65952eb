"""A transposed convolution by its outputs: a convolution of taps that meet an input, or nothing.

    y[n, o, p] = Σ W[o, c, k] · x[n, c, (p + pad − k·dilation) / stride]

over the taps k for which stride divides, inside the map. That is the plain convolution of a map
with stride − 1 zeros between its values, by a kernel turned round; here nothing is stuffed and
nothing turned. Which taps meet an input at all depends on the phase p mod stride alone: it is
Πstride plain convolutions, a phase of the outputs and a share of the taps each (Shi et al., arXiv
1609.07009). Taps of two phases never meet, and their moments are zero:

    Cxx = ⊕ over phases of Cxx[taps of the phase]      up to the means

With D numbers a patch, n patches then take n·(D/Πstride)² products, not n·D².

ONNX stores W as C × N/G × K…, inputs first, where a convolution's has its filters first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gconvtool.fit.fitting import Observed
from gconvtool.fit.least_squares import Seen
from gconvtool.fit.moments import Index, Moments
from gconvtool.fit.per_group import PerGroup

Number = TypeVar("Number", bound=np.generic)


def turned(weight: NDArray[Number], groups: int) -> NDArray[Number]:
    """From C × N/G × … to N × C/G × …, group by group; or back, which is the same."""
    first, second, *rest = weight.shape
    split = weight.reshape(groups, first // groups, second, *rest).swapaxes(1, 2)
    return np.asarray(split.reshape(groups * second, first // groups, *rest))


@dataclass(frozen=True)
class TransposedWindow:
    """How its kernel moves: `begins` is what is padded in front, `sizes` are those of outputs."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    sizes: tuple[int, ...]

    def patches(
        self, x: NDArray[np.floating[Any]], rows: Index, taps: Index | None = None
    ) -> NDArray[np.floating[Any]]:
        """Patches at chosen output positions, with zeros where a tap meets no input.

        Args:
            x: N × C × H….
            rows: indices into the flattened (n, position…) grid of outputs.
            taps: some of the flattened kernel; all if None.

        Returns:
            len(rows) × C·taps, channel-major as weights are, in the type of x.
        """
        image, *at = np.unravel_index(rows, (len(x), *self.sizes))
        places = self._taps() if taps is None else self._taps()[:, taps]
        source, rest = self._sources(np.array(at)[:, :, None], places[:, None, :])
        inside = (source >= 0) & (source < np.reshape(x.shape[2:], (-1, 1, 1)))
        row, tap = np.nonzero((inside & (rest == 0)).all(0))
        made = np.zeros((len(rows), x.shape[1], places.shape[1]), x.dtype)
        met = (image[row], *source[:, row, tap])
        made[row, :, tap] = np.moveaxis(x, 1, -1)[met]
        return made.reshape(len(rows), -1)

    @property
    def phases(self) -> int:
        """How many there are."""
        return prod(self.strides)

    def phase_of(self, rows: Index) -> Index:
        """The numbers of the phases that output positions are in."""
        at = np.unravel_index(rows % prod(self.sizes), self.sizes)
        steps = [axis % stride for axis, stride in zip(at, self.strides, strict=True)]
        return np.asarray(np.ravel_multi_index(steps, self.strides))

    def taps_of(self, phase: int) -> Index:
        """The taps that meet an input there; where none does, one that is zero will do."""
        at = np.array(np.unravel_index(phase, self.strides))
        _, rest = self._sources(at[:, None], self._taps())
        met = np.flatnonzero((rest == 0).all(0))
        return met if len(met) else np.zeros(1, np.intp)

    def _taps(self) -> Index:
        """Axes × ΠK."""
        return np.indices(self.kernel).reshape(len(self.kernel), -1)

    def _sources(self, at: Index, taps: Index) -> tuple[Index, Index]:
        """The input positions of taps at output positions, an axis a row, and the remainders."""
        begins, dilations, strides = (
            np.reshape(numbers, (-1, *[1] * (taps.ndim - 1)))
            for numbers in (self.begins, self.dilations, self.strides)
        )
        return np.divmod(at + begins - taps * dilations, strides)


def widened(seen: Observed, taps: Index, of: int) -> Observed:
    """Moments of patches of some taps as those `of` all taps, of which the others are zero."""
    if isinstance(seen, PerGroup):
        return PerGroup(tuple(_widened(part, taps, of) for part in seen.parts))
    return _widened(seen, taps, of)


def _widened(seen: Seen, taps: Index, of: int) -> Moments:
    assert isinstance(seen, Moments), "rows are kept with all taps"
    channels = seen.size // len(taps)
    at = np.add.outer(np.arange(channels) * of, taps).ravel()
    mean, xx = np.zeros(channels * of), np.zeros((channels * of, channels * of))
    yx = np.zeros((seen.filters, channels * of))
    mean[at], xx[np.ix_(at, at)], yx[:, at] = seen.x_mean, seen.xx, seen.yx
    return replace(seen, x_mean=mean, xx=xx, yx=yx)
