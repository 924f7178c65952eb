"""The patches that a convolution sees: rows of C·ΠK numbers, one an output position.

`y[n, o, p] = Σ W[o, c, k] · x[n, c, p·stride + k·dilation − pad]`, so a convolution is a matrix
product of its patches with its weights, in any number of spatial dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """How a convolution's kernel moves: sizes an axis, `pads` begins then ends."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]

    def positions(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Output sizes over an input of `sizes`: floor((padded − covered) / stride) + 1."""
        axes = len(self.kernel)
        covered = [d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True)]
        return tuple(
            (sizes[i] + self.pads[i] + self.pads[i + axes] - covered[i]) // self.strides[i] + 1
            for i in range(axes)
        )

    def patches(self, x: NDArray[np.floating], rows: NDArray[np.intp]) -> NDArray[np.floating]:
        """Patches at chosen output positions.

        Args:
            x: N × C × H….
            rows: indices into the flattened (n, position…) grid of outputs.

        Returns:
            len(rows) × C·ΠK, channel-major as weights are, in the type of x.
        """
        axes = len(self.kernel)
        sizes = self.positions(x.shape[2:])
        borders = list(zip(self.pads[:axes], self.pads[axes:], strict=True))
        image, *starts = np.unravel_index(rows, (len(x), *sizes))
        first = image.min(initial=len(x) - 1)  # what no row is of need not be padded
        padded = np.pad(x[first : image.max(initial=first) + 1], [(0, 0), (0, 0), *borders])
        taps = np.indices(self.kernel).reshape(axes, -1)
        index = [
            starts[i][:, None] * self.strides[i] + taps[i] * self.dilations[i] for i in range(axes)
        ]
        where = (image[:, None] - first, *index)
        picked = np.moveaxis(padded, 1, -1)[where]  # rows × ΠK × C
        columns = x.shape[1] * prod(self.kernel)
        return np.asarray(np.swapaxes(picked, 1, 2).reshape(len(rows), columns))


def outputs(y: NDArray[np.floating], rows: NDArray[np.intp]) -> NDArray[np.floating]:
    """Output values, len(rows) × N, at the same positions; y is N × filters × H…."""
    maps = y.reshape(*y.shape[:2], prod(y.shape[2:]))
    image, place = np.divmod(rows, maps.shape[2])
    return np.asarray(maps[image, :, place])


def spread(total: int, count: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """`count` of `total` indices, evenly spread: one at random from each of `count` equal parts."""
    if count >= total:
        return np.arange(total)
    edges = (np.arange(count) + rng.random(count)) * (total / count)
    return edges.astype(np.intp)
