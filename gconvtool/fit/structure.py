"""What fitted weights look like: frozen arrays, and the kernel that they are equivalent to.

Each says in which convolutions its arrays belong, with G the groups that the convolution in their
place had (1, where it was dense): channels and filters of a group lie side by side, and a kernel
is N × C/G·taps, as that convolution's own weights are. Spatial parts carry strides, pads and
dilations and have no bias, unless they are the last: a bias goes into what writes the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gconvtool.fit.grouping import Grouping, columns
from gconvtool.fit.moments import Array, Index


@dataclass(frozen=True)
class GroupedFactors:
    """One convolution of more groups, between two permutations of channels.

    Its input channels are those of `grouping.inputs` in that order, its filters those of
    `grouping.outputs`. `weight` is N × C/G'·taps in that order for G' = len(grouping.inputs); its
    `bias` is in the original order of filters.
    """

    weight: Array
    bias: Array
    grouping: Grouping
    taps: int
    groups: int = 1

    def kernel(self) -> Array:
        """The equivalent kernel, N × C/G·taps, in the original order of channels."""
        inputs, outputs = self.grouping.inputs, self.grouping.outputs
        per_group, share = inputs.size // self.groups, outputs.shape[1]
        dense = np.zeros((len(self.weight), per_group * self.taps))
        for g, (channels, rows) in enumerate(zip(inputs, outputs, strict=True)):
            index = columns(channels % per_group, self.taps)
            dense[np.ix_(rows, index)] = self.weight[g * share : (g + 1) * share]
        return dense


@dataclass(frozen=True)
class SeparableFactors:
    """A sum of r branches: depthwise r × C × taps, then pointwise r × N × C/G; bias N.

    The pointwise parts have G groups; the last branch's has the bias.
    """

    depthwise: Array
    pointwise: Array
    bias: Array
    groups: int = 1

    def kernel(self) -> Array:
        """The equivalent kernel, N × C/G·taps."""
        rank, channels, taps = self.depthwise.shape
        own = self.depthwise.reshape(rank, self.groups, -1, taps)
        mix = self.pointwise.reshape(rank, self.groups, -1, channels // self.groups)
        dense = np.einsum("rgck,rgnc->gnck", own, mix, optimize=True)
        return np.asarray(dense.reshape(self.pointwise.shape[1], -1))

    def applied(self, x: NDArray[np.floating[Any]]) -> Array:
        """What it makes of rows n × C·taps, without bias: n × N. It has one group."""
        rank, channels, taps = self.depthwise.shape
        maps = x.reshape(len(x), channels, taps)
        made = np.einsum("nck,rck->nrc", maps, self.depthwise, optimize=True)
        mix = self.pointwise.transpose(1, 0, 2).reshape(-1, rank * channels)
        return np.asarray(made.reshape(len(x), -1) @ mix.T)


@dataclass(frozen=True)
class PointwiseFirstFactors:
    """A sum of r branches: pointwise r × N × C/G in G groups, then depthwise r × N × taps; bias N.

    The pointwise part runs at the resolution of the input and has no bias, or padding would be
    another number than zero; the last branch's depthwise part has it.
    """

    pointwise: Array
    depthwise: Array
    bias: Array
    groups: int = 1

    def kernel(self) -> Array:
        """The equivalent kernel, N × C/G·taps."""
        dense = np.einsum("rnc,rnk->nck", self.pointwise, self.depthwise, optimize=True)
        return np.asarray(dense.reshape(len(dense), -1))


@dataclass(frozen=True)
class BottleneckFactors:
    """A spatial convolution of B groups to m channels each, then a pointwise one of G groups.

    `inputs` is B × C/B: the input channels of each group of the spatial convolution, whose weights
    are B·m × C/B·taps. `pointwise` is N × B·m/G, `bias` N. With G = B = 1 it is of low rank.
    """

    inputs: Index
    spatial: Array
    pointwise: Array
    bias: Array
    taps: int
    groups: int = 1

    def kernel(self) -> Array:
        """The equivalent kernel, N × C/G·taps, in the original order of channels."""
        per_group = self.inputs.size // self.groups
        blocks = len(self.inputs) // self.groups
        spatial = self.spatial.reshape(self.groups, blocks, -1, self.spatial.shape[1])
        mix = self.pointwise.reshape(self.groups, -1, blocks, spatial.shape[2])
        dense = np.zeros((*mix.shape[:2], per_group * self.taps))
        for g in range(self.groups):
            for b, channels in enumerate(self.inputs[g * blocks : (g + 1) * blocks]):
                dense[g][:, columns(channels % per_group, self.taps)] = mix[g, :, b] @ spatial[g, b]
        return dense.reshape(len(self.pointwise), -1)


@dataclass(frozen=True)
class MonarchFactors:
    """Two pointwise convolutions of B groups with a shuffle between (Dao et al., 2022).

    The first takes the channels `grouping.inputs` in that order; its weights are H × C/B. The
    second takes the H hidden channels in the order `shuffle`, and makes the filters
    `grouping.outputs` in that order; its weights are N × H/B in that order. Its `bias` is in the
    original order of filters.
    """

    first: Array
    second: Array
    bias: Array
    grouping: Grouping
    groups: int = 1

    @property
    def shuffle(self) -> Index:
        """Inside each of G: from (input group, output group, rank) to (output, input, rank)."""
        blocks = len(self.grouping.inputs) // self.groups
        hidden = np.arange(len(self.first)).reshape(self.groups, blocks, blocks, -1)
        return np.asarray(hidden.swapaxes(1, 2).reshape(-1))

    def kernel(self) -> Array:
        """The equivalent kernel, N × C/G, in the original order of channels."""
        hidden = GroupedFactors(self.first, self.bias, self._onto_hidden(), 1, self.groups).kernel()
        blocks = len(self.grouping.inputs)
        dense = np.zeros((len(self.second), hidden.shape[1]))
        shuffled = hidden[self.shuffle].reshape(blocks, -1, hidden.shape[1])
        second = self.second.reshape(blocks, -1, self.second.shape[1])
        dense[self.grouping.outputs.ravel()] = (second @ shuffled).reshape(dense.shape)
        return dense

    def _onto_hidden(self) -> Grouping:
        hidden = np.arange(len(self.first)).reshape(len(self.grouping.inputs), -1)
        return Grouping(self.grouping.inputs, hidden)


Factors: TypeAlias = (
    GroupedFactors | SeparableFactors | PointwiseFirstFactors | BottleneckFactors | MonarchFactors
)


def side_by_side(parts: Sequence[Factors]) -> Factors:
    """The factors of G groups, each a dense convolution of its own, as those of the whole."""
    first, bias, groups = parts[0], np.concatenate([part.bias for part in parts]), len(parts)

    def joined(name: str, axis: int) -> Array:
        return np.concatenate([getattr(part, name) for part in parts], axis=axis)

    match first:
        case SeparableFactors():
            return SeparableFactors(joined("depthwise", 1), joined("pointwise", 1), bias, groups)
        case PointwiseFirstFactors():
            return PointwiseFirstFactors(
                joined("pointwise", 1), joined("depthwise", 1), bias, groups
            )
        case GroupedFactors():
            return GroupedFactors(joined("weight", 0), bias, _groupings(parts), first.taps, groups)
        case MonarchFactors():
            grouping = _groupings(parts)
            return MonarchFactors(joined("first", 0), joined("second", 0), bias, grouping, groups)
        case BottleneckFactors():
            inputs = _numbered([part.inputs for part in parts if isinstance(part, type(first))])
            spatial, mix = joined("spatial", 0), joined("pointwise", 0)
            return BottleneckFactors(inputs, spatial, mix, bias, first.taps, groups)


def _groupings(parts: Sequence[Factors]) -> Grouping:
    found = [p.grouping for p in parts if isinstance(p, GroupedFactors | MonarchFactors)]
    return Grouping(_numbered([g.inputs for g in found]), _numbered([g.outputs for g in found]))


def _numbered(parts: Sequence[Index]) -> Index:
    """Channels of each part, counted on from the part before."""
    return np.concatenate([part + i * part.size for i, part in enumerate(parts)])
