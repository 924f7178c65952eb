"""The new weights: least squares on the moments, inside the structure that a recipe allows.

Grouped: each group is a least squares of its own,

    Ŵ[o_g, i_g] = Cyx[o_g, i_g]·(Cxx[i_g, i_g] + λI)⁻¹

Separable, bottleneck and low rank are one reduced-rank regression in blocks (`blocks`): each input
channel is a block of rank r, or each group of them one of rank m. A Monarch kernel is that too, for
each group of outputs on its own: its input groups are blocks of rank H/B². Pointwise before
depthwise has its own way (`pointwise_first`).

All are fits of one dense convolution; a grouped one is G of those (`per_group`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from gconvtool.fit.blocks import SWEEPS, reduced_rank
from gconvtool.fit.grouping import Grouping, columns
from gconvtool.fit.least_squares import Seen, flushed, solve
from gconvtool.fit.moments import Array, Index
from gconvtool.fit.pointwise_first import pointwise_first as alternating
from gconvtool.fit.structure import (
    BottleneckFactors,
    Factors,
    GroupedFactors,
    MonarchFactors,
    PointwiseFirstFactors,
    SeparableFactors,
)

AnyFactors = TypeVar("AnyFactors", bound=Factors)


def grouped(seen: Seen, grouping: Grouping, taps: int) -> GroupedFactors:
    """Least squares inside given groups."""
    rows = []
    for inputs, outputs in zip(grouping.inputs, grouping.outputs, strict=True):
        index = columns(inputs, taps)
        block = seen.block(index)
        block[np.diag_indices_from(block)] += seen.ridge()
        rows.append(solve(block, seen.yx[np.ix_(outputs, index)]))
    weight = flushed(np.concatenate(rows))
    return _with_bias(seen, GroupedFactors(weight, _unbiased(seen), grouping, taps))


def separable(seen: Seen, taps: int, rank: int, sweeps: int = SWEEPS) -> SeparableFactors:
    """A sum of `rank` (depthwise → pointwise) branches."""
    u, v = reduced_rank(seen, np.arange(seen.size).reshape(-1, taps), rank, sweeps)
    depthwise, pointwise = v.transpose(1, 0, 2), u.transpose(2, 1, 0)
    made = SeparableFactors(flushed(depthwise), flushed(pointwise), _unbiased(seen))
    return _with_bias(seen, made)


def pointwise_first(seen: Seen, taps: int, rank: int) -> PointwiseFirstFactors:
    """A sum of `rank` (pointwise → depthwise) branches."""
    mix, own = alternating(seen, taps, rank)
    scale = _balance(np.linalg.norm(own, axis=2), np.linalg.norm(mix, axis=2))
    pointwise = flushed((mix / scale).transpose(1, 0, 2))
    depthwise = flushed((own * scale).transpose(1, 0, 2))
    return _with_bias(seen, PointwiseFirstFactors(pointwise, depthwise, _unbiased(seen)))


def bottleneck(seen: Seen, inputs: Index, taps: int, width: int) -> BottleneckFactors:
    """Groups of inputs (B × C/B) to `width` channels each, then pointwise.

    One group is of low rank, a group for each channel is separable.
    """
    blocks = np.stack([columns(channels, taps) for channels in inputs])
    u, v = reduced_rank(seen, blocks, width)
    spatial = flushed(v.reshape(-1, blocks.shape[1]))
    mix = flushed(u.transpose(1, 0, 2).reshape(seen.filters, -1))
    return _with_bias(seen, BottleneckFactors(inputs, spatial, mix, _unbiased(seen), taps))


def monarch(seen: Seen, grouping: Grouping, rank: int) -> MonarchFactors:
    """Two grouped 1×1 convolutions; `rank` hidden channels join an input to an output group."""
    parts = [
        reduced_rank(seen.of_filters(filters), grouping.inputs, rank)
        for filters in grouping.outputs
    ]
    first = np.stack([v for _, v in parts], axis=1)  # input group, output group, rank, C/B
    second = np.stack([u for u, _ in parts]).transpose(0, 2, 1, 3)  # output group, N/B, input, rank
    return _with_bias(
        seen,
        MonarchFactors(
            flushed(first.reshape(-1, grouping.inputs.shape[1])),
            flushed(second.reshape(seen.filters, -1)),
            _unbiased(seen),
            grouping,
        ),
    )


def _unbiased(seen: Seen) -> Array:
    return np.zeros(seen.filters)


def _with_bias(seen: Seen, factors: AnyFactors) -> AnyFactors:
    """The best bias, which a fit on centred moments leaves free."""
    return replace(factors, bias=seen.bias(factors.kernel()))


def _balance(first: Array, second: Array) -> Array:
    """What brings two parts, given their norms, to the same; 1 where one is dead."""
    alive = (first > 0) & (second > 0)
    ratio = np.divide(second, first, out=np.ones_like(first), where=alive)
    return np.sqrt(ratio)[:, :, None]
