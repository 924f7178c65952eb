"""What fitted factors look like as convolutions, in each of the spellings that compute the same.

With r branches, D_j the taps and P_j the pointwise weights of branch j, and x ∗ D depthwise:

    sum           Σ_j P_j·(x ∗ D_j)                      or  Σ_j (P_j·x) ∗ D_j
    concat        [P_1 … P_r]·[x ∗ D_1; …; x ∗ D_r]      or  Σ_j runs of ([P_1; …; P_r]·x) ∗ D
    multiplier    as concat, with the branches interleaved: channel c of branch j is number c·r + j,
                  so that one convolution of C groups makes r channels of each, or one of N groups
                  makes one of each r
    split         as multiplier, with every group written out as a convolution of its own

With G groups, what is concatenated is sorted by them first. Grouped, bottleneck and Monarch kernels
have no branches, and one form. Only what writes the output has the bias: an addition fuses with a
convolution that has one, and one that comes before padding must have none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from gconvtool.fit.moments import Array, Index
from gconvtool.fit.structure import (
    BottleneckFactors,
    Factors,
    GroupedFactors,
    MonarchFactors,
    PointwiseFirstFactors,
    SeparableFactors,
)
from gconvtool.graph.emit import Writer
from gconvtool.spellings import Spelling, resolve


def write(writer: Writer, factors: Factors, spelling: Spelling) -> ir.Value:
    """Write the convolutions that these factors are; returns what they compute."""
    form = resolve(spelling, writer.axes, writer.transposed)
    match factors:
        case SeparableFactors():
            return DEPTHWISE_FIRST[form](writer, factors)
        case PointwiseFirstFactors():
            return POINTWISE_FIRST[form](writer, factors)
        case BottleneckFactors() if factors.inputs.shape[1] == 1:
            return DEPTHWISE_FIRST[form](writer, _as_separable(factors))
        case BottleneckFactors():
            return _bottleneck(writer, factors)
        case GroupedFactors():
            return _grouped(writer, factors)
        case MonarchFactors():
            return _monarch(writer, factors)


# Kernels without branches.


def _grouped(w: Writer, f: GroupedFactors) -> ir.Value:
    """permute → convolve in groups → permute back."""
    inputs, outputs = f.grouping.inputs.ravel(), f.grouping.outputs.ravel()
    x = w.permuted(w.source, inputs, "shuffle")
    y = w.spatial(x, "grouped", f.weight, len(f.grouping.inputs), f.bias[outputs])
    return w.permuted(y, np.argsort(outputs), "unshuffle")


def _bottleneck(w: Writer, f: BottleneckFactors) -> ir.Value:
    x = w.permuted(w.source, f.inputs.ravel(), "shuffle")
    narrow = w.spatial(x, "narrow", f.spatial, len(f.inputs))
    return w.pointwise(narrow, "wide", f.pointwise, f.groups, f.bias)


def _monarch(w: Writer, f: MonarchFactors) -> ir.Value:
    """The first part has the window: with strides, it need not compute what is skipped."""
    inputs, outputs = f.grouping.inputs.ravel(), f.grouping.outputs.ravel()
    x = w.permuted(w.source, inputs, "shuffle")
    hidden = w.spatial(x, "first", f.first, len(f.grouping.inputs))
    mixed = w.permuted(hidden, f.shuffle, "mix")
    y = w.pointwise(mixed, "second", f.second, len(f.grouping.inputs), f.bias[outputs])
    return w.permuted(y, np.argsort(outputs), "unshuffle")


def _as_separable(f: BottleneckFactors) -> SeparableFactors:
    """A bottleneck of one channel a group and width m: m depthwise branches."""
    channels, share = f.inputs.size, f.inputs.size // f.groups
    taps = f.spatial.reshape(channels, -1, f.taps)[np.argsort(f.inputs.ravel())]
    places = np.argsort(f.inputs.reshape(f.groups, share) % share)
    mix = f.pointwise.reshape(f.groups, -1, share, taps.shape[1])
    mix = np.take_along_axis(mix, places[:, None, :, None], axis=2)
    pointwise = mix.reshape(len(f.pointwise), share, -1).transpose(2, 0, 1)
    return SeparableFactors(taps.swapaxes(0, 1), pointwise, f.bias, f.groups)


# Depthwise r × C × taps, then pointwise r × N × C/G.


def _depthwise_first_sum(w: Writer, f: SeparableFactors) -> ir.Value:
    rank, channels, _ = f.depthwise.shape
    return w.sum(
        [
            w.pointwise(
                w.spatial(w.source, f"dw{j}", f.depthwise[j], channels),
                f"pw{j}",
                f.pointwise[j],
                f.groups,
                f.bias if j == rank - 1 else None,
            )
            for j in range(rank)
        ]
    )


def _depthwise_first_concat(w: Writer, f: SeparableFactors) -> ir.Value:
    rank, channels, _ = f.depthwise.shape
    branches = [w.spatial(w.source, f"dw{j}", taps, channels) for j, taps in enumerate(f.depthwise)]
    x = w.permuted(w.concat(branches, "concat"), _by_group(rank, channels, f.groups), "shuffle")
    return w.pointwise(x, "pw", _flat(f.pointwise.swapaxes(0, 1)), f.groups, f.bias)


def _depthwise_first_multiplier(w: Writer, f: SeparableFactors) -> ir.Value:
    rank, channels, taps = f.depthwise.shape
    multiplied = f.depthwise.swapaxes(0, 1).reshape(rank * channels, taps)
    x = w.spatial(w.source, "dw", multiplied, channels)
    return w.pointwise(x, "pw", _flat(f.pointwise.transpose(1, 2, 0)), f.groups, f.bias)


# Pointwise r × N × C/G, then depthwise r × N × taps.


def _pointwise_first_sum(w: Writer, f: PointwiseFirstFactors) -> ir.Value:
    rank, filters, _ = f.depthwise.shape
    return w.sum(
        [
            w.spatial(
                w.pointwise(w.source, f"pw{j}", f.pointwise[j], f.groups),
                f"dw{j}",
                f.depthwise[j],
                filters,
                f.bias if j == rank - 1 else None,
            )
            for j in range(rank)
        ]
    )


def _pointwise_first_concat(w: Writer, f: PointwiseFirstFactors) -> ir.Value:
    rank, filters, taps = f.depthwise.shape
    order = _by_group(rank, filters, f.groups)
    bias = np.concatenate([np.zeros((rank - 1) * filters), f.bias])
    mixed = w.pointwise(w.source, "pw", f.pointwise.reshape(len(order), -1)[order], f.groups)
    thick = f.depthwise.reshape(len(order), taps)[order]
    y = w.spatial(mixed, "dw", thick, len(order), bias[order])
    y = w.permuted(y, np.argsort(order), "unshuffle")
    return w.sum(w.split(y, [filters] * rank, "split"))


def _pointwise_first_multiplier(w: Writer, f: PointwiseFirstFactors) -> ir.Value:
    rank, filters, _ = f.depthwise.shape
    mix = f.pointwise.swapaxes(0, 1).reshape(rank * filters, -1)
    x = w.pointwise(w.source, "pw", mix, f.groups)
    return w.spatial(x, "dw", _flat(f.depthwise.swapaxes(0, 1)), filters, f.bias)


def _by_group(rank: int, channels: int, groups: int) -> Index:
    """From the channels of one branch after the other to those of one group after the other."""
    order = np.arange(rank * channels).reshape(rank, groups, -1)
    return np.asarray(order.swapaxes(0, 1).reshape(-1))


def _flat(weight: Array) -> Array:
    """One row a filter."""
    return weight.reshape(len(weight), -1)


DEPTHWISE_FIRST: Mapping[Spelling, Callable[[Writer, SeparableFactors], ir.Value]] = {
    "sum": _depthwise_first_sum,
    "concat": _depthwise_first_concat,
    "multiplier": _depthwise_first_multiplier,
    "split": _depthwise_first_multiplier,
}
POINTWISE_FIRST: Mapping[Spelling, Callable[[Writer, PointwiseFirstFactors], ir.Value]] = {
    "sum": _pointwise_first_sum,
    "concat": _pointwise_first_concat,
    "multiplier": _pointwise_first_multiplier,
    "split": _pointwise_first_multiplier,
}
