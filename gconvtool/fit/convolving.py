"""The two adjoints of a convolution, tap by tap, in any number of spatial dimensions.

With y[n, o, p] = Σ W[o, c, k]·x[n, c, p·stride + k·dilation − pad] and g = ∂L/∂y,

    ∂L/∂W[o, c, k] = Σ_{n, p} g[n, o, p] · x[n, c, p·stride + k·dilation − pad]
    ∂L/∂x[n, c, ·] = Σ_{o, k} W[o, c, k] · g[n, o, ·], put where tap k read from

so every tap is one matrix product inside the groups, over a strided view of the padded input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gconvtool.fit.patches import Window

Floats = NDArray[np.floating]
ALL = slice(None)


def to_weight(g: Floats, x: Floats, window: Window, groups: int) -> Floats:
    """∂L/∂W, N × C/G × K…, from g (batch × N × …) and the input x (batch × C × …)."""
    padded, sizes = _padded(x, window), g.shape[2:]
    outer = _grouped(g, groups)
    made = [_outer(outer, _grouped(padded[where], groups)) for where in _taps(window, sizes)]
    return np.stack(made, axis=-1).reshape(g.shape[1], -1, *window.kernel)


def to_input(
    g: Floats, weight: Floats, window: Window, groups: int, sizes: Sequence[int]
) -> Floats:
    """∂L/∂x, batch × C × sizes, from g (batch × N × …) and the weights N × C/G × K…."""
    axes = len(window.kernel)
    begins, ends = window.pads[:axes], window.pads[axes:]
    whole = [size + b + e for size, b, e in zip(sizes, begins, ends, strict=True)]
    channels = weight.shape[1] * groups
    made = np.zeros((len(g), channels, *whole), g.dtype)
    outer = _grouped(g, groups)
    taps = weight.reshape(groups, -1, weight.shape[1], int(np.prod(window.kernel)))
    for index, where in enumerate(_taps(window, g.shape[2:])):
        part = _mixed(taps[..., index], outer)
        made[where] += part.reshape(len(g), channels, *g.shape[2:])
    inner = ALL, ALL, *(slice(b, b + size) for b, size in zip(begins, sizes, strict=True))
    return made[inner]


def _outer(g: Floats, x: Floats) -> Floats:
    """Σ g·xᵀ over batch and positions: G × N/G × C/G."""
    if g.shape[2] == x.shape[2] == 1:  # many tiny products: a sum is faster
        return np.asarray(np.einsum("bgip,bgip->g", g, x)[:, None, None])
    return np.asarray((g @ x.swapaxes(2, 3)).sum(0))


def _mixed(taps: Floats, g: Floats) -> Floats:
    """Wᵀ·g inside the groups: batch × G × C/G × positions."""
    if taps.shape[1:] == (1, 1):
        return taps * g
    return np.asarray(np.ascontiguousarray(taps.swapaxes(1, 2)) @ g)


def _grouped(maps: Floats, groups: int) -> Floats:
    """batch × C × … → batch × G × C/G × positions."""
    return maps.reshape(len(maps), groups, maps.shape[1] // groups, -1)


def _padded(x: Floats, window: Window) -> Floats:
    if not any(window.pads):
        return x
    axes = len(window.kernel)
    borders = zip(window.pads[:axes], window.pads[axes:], strict=True)
    return np.pad(x, [(0, 0), (0, 0), *borders])


def _taps(window: Window, sizes: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Where each tap reads in the padded input, in the order of the weights."""
    for tap in np.ndindex(*window.kernel):
        starts = [k * dilation for k, dilation in zip(tap, window.dilations, strict=True)]
        moves = zip(starts, sizes, window.strides, strict=True)
        yield (
            ALL,
            ALL,
            *(slice(a, a + (size - 1) * stride + 1, stride) for a, size, stride in moves),
        )
