"""What operators do to channels: whose order follows from whose, and which constants have it too.

Channels are on axis 1. Operators that treat all alike hand an order on; a convolution takes any
order of its inputs and gives any to its outputs, through its weights; a convolution in groups only
keeps runs of channels together. What is not understood here, LRN and shuffles by Reshape among it,
keeps the channels around it where they are, and so do inputs, outputs and bodies of control flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from gconvtool.graph.carriers import integers, is_constant
from gconvtool.graph.constants import int_attribute, ints_attribute, number, shape_of
from gconvtool.graph.orders import Order
from gconvtool.graph.parts import array


@dataclass(frozen=True)
class Link:
    """Channel c of `part` is channel `offset` + c of `whole`."""

    whole: ir.Value
    part: ir.Value
    offset: int = 0


@dataclass(frozen=True)
class Spread:
    """Channel c of `narrow` has become the channels `repeat`·c … `repeat`·(c + 1) − 1 of `wide`."""

    narrow: ir.Value
    wide: ir.Value
    repeat: int


@dataclass(frozen=True)
class Slot:
    """A constant input whose `axis` has the order of a value's channels, or that inside groups."""

    node: ir.Node
    index: int
    axis: int
    value: ir.Value
    groups: int = 1


@dataclass(frozen=True)
class Run:
    """Runs of `size` channels of a value belong to the groups of a convolution."""

    conv: ir.Node
    value: ir.Value
    size: int


class Channels:
    """How the channels of values hang together, node by node. Channels are on axis 1."""

    def __init__(self, graph: ir.Graph) -> None:
        self.links: list[Link] = []
        self.spreads: list[Spread] = []
        self.slots: list[Slot] = []
        self.runs: list[Run] = []
        self.moves: dict[ir.Node, Order] = {}
        self.pinned = [*graph.inputs, *graph.initializers.values()]
        for node in graph:
            known = RULES.get(node.op_type) if not node.domain else None
            if known is None or not known(self, node):
                self.pinned += [value for value in node.inputs if value is not None]
                self.pinned += node.outputs
            self.pinned += [value for value in node.outputs if _leaves(value, graph)]

    def values(self) -> Iterator[ir.Value]:
        """All of which anything is noted."""
        yield from self.pinned
        for link in self.links:
            yield from (link.whole, link.part)
        for spread in self.spreads:
            yield from (spread.narrow, spread.wide)
        yield from (slot.value for slot in self.slots)
        for node in self.moves:
            yield from ends(node)

    def tie(self, x: ir.Value | None, y: ir.Value) -> bool:
        """Both have the same channels."""
        if x is None or size_of(y) is None or size_of(x) != size_of(y):
            return False
        self.links.append(Link(y, x))
        return True

    def ordered(self, node: ir.Node, index: int, value: ir.Value) -> bool:
        """A vector of one number a channel, or absent, or one number for all."""
        vector = node.inputs[index] if index < len(node.inputs) else None
        if vector is None:
            return True
        shape = shape_of(vector)
        if not is_constant(vector) or shape is None:
            return False
        if shape == (size_of(value),):
            self.slots.append(Slot(node, index, 0, value))
            return True
        return all(dim == 1 for dim in shape)

    def broadcast(self, node: ir.Node, index: int, y: ir.Value) -> bool:
        """An input that is stretched to y's shape."""
        x, full = node.inputs[index], shape_of(y)
        shape = shape_of(x)
        if x is None:
            return True
        if shape is None or full is None:
            return False
        axis = 1 - (len(full) - len(shape))
        if axis != 1:
            self.pinned.append(x)  # its axis 1 is none of channels
        if axis < 0 or shape[axis] == 1:
            return True
        if is_constant(x) and shape[axis] == size_of(y):
            self.slots.append(Slot(node, index, axis, y))
            return True
        return axis == 1 and self.tie(x, y)


def ends(gather: ir.Node) -> tuple[ir.Value, ir.Value]:
    """What a Gather reads and what it writes."""
    x = gather.inputs[0]
    assert x is not None
    return x, gather.outputs[0]


def _leaves(value: ir.Value, graph: ir.Graph) -> bool:
    """Read by a body of control flow, or returned."""
    return value.is_graph_output() or any(node.graph is not graph for node, _ in value.uses())


Rule: TypeAlias = Callable[[Channels, ir.Node], bool]
"""Notes what a node does; False where that is not understood: nothing around it is reordered."""


def size_of(value: ir.Value | None) -> int | None:
    """The number of channels; None where there are none, or not known."""
    shape = None if value is None else value.shape
    size = shape[1] if shape is not None and len(shape) > 1 else None
    return size if isinstance(size, int) and size > 0 else None


def _axis(node: ir.Node, default: int) -> int:
    rank = len(shape_of(node.inputs[0]) or ())
    axis = int_attribute(node, "axis", default)
    return axis + rank if axis < 0 else axis


def _single(node: ir.Node) -> bool:
    """Only the first output is used."""
    return not any(value.uses() or value.is_graph_output() for value in node.outputs[1:])


def _elementwise(channels: Channels, node: ir.Node) -> bool:
    y = node.outputs[0]
    if size_of(y) is None or not _single(node):
        return False
    return all(channels.broadcast(node, index, y) for index in range(len(node.inputs)))


def _alike(channels: Channels, node: ir.Node) -> bool:
    """The first input, with all channels treated alike."""
    return _single(node) and channels.tie(node.inputs[0], node.outputs[0])


def _dropout(channels: Channels, node: ir.Node) -> bool:
    training = node.inputs[2] if len(node.inputs) > 2 else None
    return (training is None or number(training) is False) and _alike(channels, node)


def _resize(channels: Channels, node: ir.Node) -> bool:
    modes = (a.as_string() for a in node.attributes.values() if a.type is ir.AttributeType.STRING)
    if {*modes} & {"tf_crop_and_resize", "not_larger", "not_smaller"}:
        return False  # the scale of channels may be another one
    index = 1 if node.op_type == "Upsample" or len(node.inputs) < 3 else 2
    scales = node.inputs[index] if index < len(node.inputs) else None
    numbers = array(scales)
    axes = ints_attribute(node, "axes", tuple(range(len(node.outputs[0].shape or ()))))
    if numbers is not None and len(numbers) == len(axes):
        stretched = 1 in axes and float(numbers[axes.index(1)]) != 1
        return not stretched and _alike(channels, node)
    return (scales is None or numbers is not None) and _alike(channels, node)


def _pad(channels: Channels, node: ir.Node) -> bool:
    pads = integers(node, "pads", 1)
    rank = len(node.outputs[0].shape or ())
    axes = integers(node, "axes", 3) if len(node.inputs) > 3 else tuple(range(rank))
    if not rank or pads is None or axes is None or len(pads) != 2 * len(axes):
        return False
    begins = {axis % rank: begin for axis, begin in zip(axes, pads, strict=False)}
    return begins.get(1, 0) == 0 and _alike(channels, node)


def _normalise(channels: Channels, node: ir.Node) -> bool:
    """One scale and one shift a channel."""
    if int_attribute(node, "training_mode", 0) or _axis(node, 1) != 1:
        return False
    y = node.outputs[0]
    vectors = [channels.ordered(node, index, y) for index in range(1, len(node.inputs))]
    return all(vectors) and _alike(channels, node)


def _reduce(channels: Channels, node: ir.Node) -> bool:
    x, y, rank = node.inputs[0], node.outputs[0], len(shape_of(node.inputs[0]) or ())
    given = integers(node, "axes", 1)
    if rank == 0 or (given is None and len(node.inputs) > 1 and node.inputs[1] is not None):
        return False
    axes = {axis % rank for axis in given or range(rank)}
    if 1 in axes:
        channels.pinned.append(y)  # a sum over all channels has no order
        return int_attribute(node, "noop_with_empty_axes", 0) == 0
    keeps = int_attribute(node, "keepdims", 1) == 1 or 0 not in axes
    return keeps and channels.tie(x, y)


def _convolve(channels: Channels, node: ir.Node) -> bool:
    """W is N × C/G for a convolution, and C × N/G for a transposed one."""
    x, y, weight = node.inputs[0], node.outputs[0], node.inputs[1]
    shape, groups = shape_of(weight), int_attribute(node, "group", 1)
    if x is None or not is_constant(weight) or shape is None or groups < 1:
        return False
    first, second = (y, x) if node.op_type == "Conv" else (x, y)
    rows, columns = size_of(first), size_of(second)
    if rows is None or columns is None or shape[:2] != (rows, columns // groups):
        return False
    if not channels.ordered(node, 2, y):
        return False
    channels.slots += [Slot(node, 1, 0, first), Slot(node, 1, 1, second, groups)]
    if groups == rows == columns:
        return channels.tie(x, y)
    if groups > 1:
        channels.runs += [
            Run(node, v, size // groups) for v, size in ((first, rows), (second, columns))
        ]
    return True


def _multiply(channels: Channels, node: ir.Node) -> bool:
    x, y, weight = node.inputs[0], node.outputs[0], node.inputs[1]
    shape, transposed = shape_of(weight), int_attribute(node, "transB", 0)
    if x is None or int_attribute(node, "transA", 0) or not is_constant(weight) or shape is None:
        return False
    if len(shape) != 2:
        return False
    inwards = 1 if transposed else 0
    if len(y.shape or ()) != 2 or (shape[inwards], shape[1 - inwards]) != (size_of(x), size_of(y)):
        return False
    channels.slots += [Slot(node, 1, inwards, x), Slot(node, 1, 1 - inwards, y)]
    return len(node.inputs) < 3 or channels.broadcast(node, 2, y)


def _reshape(channels: Channels, node: ir.Node) -> bool:
    """N, C, H, W → N, C, HW keeps channels; → N, CHW makes runs of them; and back."""
    x, y = node.inputs[0], node.outputs[0]
    before, after = shape_of(x), shape_of(y)
    if x is None or not before or not after or before[0] is None or before[0] != after[0]:
        return False
    if channels.tie(x, y):
        return True
    narrow, wide = (x, y) if len(after) == 2 else (y, x)
    size, whole, inner = size_of(narrow), size_of(wide), (shape_of(narrow) or ())[2:]
    repeat = prod(dim for dim in inner if isinstance(dim, int))
    if not size or len(shape_of(wide) or ()) != 2 or whole != size * repeat:
        return False
    if not all(isinstance(dim, int) for dim in inner):
        return False
    channels.spreads.append(Spread(narrow, wide, repeat))
    return True


def _transpose(channels: Channels, node: ir.Node) -> bool:
    return ints_attribute(node, "perm", ())[:2] == (0, 1) and _alike(channels, node)


def _concatenate(channels: Channels, node: ir.Node) -> bool:
    return _pieces(channels, node, node.outputs[0], node.inputs, _axis(node, 1))


def _split(channels: Channels, node: ir.Node) -> bool:
    whole = node.inputs[0]
    return whole is not None and _pieces(channels, node, whole, node.outputs, _axis(node, 0))


def _pieces(
    channels: Channels,
    node: ir.Node,
    whole: ir.Value,
    parts: Sequence[ir.Value | None],
    axis: int,
) -> bool:
    if axis != 1:
        return all(part is not None and channels.tie(part, whole) for part in parts)
    links, offset = list[Link](), 0
    for part in parts:
        size = size_of(part)
        if part is None or size is None:
            return False
        links.append(Link(whole, part, offset))
        offset += size
    if offset != size_of(whole):
        return False
    channels.links += links
    return True


def _slice(channels: Channels, node: ir.Node) -> bool:
    starts, ends = integers(node, "starts", 1), integers(node, "ends", 2)
    x, y, rank = node.inputs[0], node.outputs[0], len(shape_of(node.inputs[0]) or ())
    if x is None or not rank or starts is None or ends is None:
        return False
    axes = integers(node, "axes", 3) or tuple(range(len(starts)))
    steps = integers(node, "steps", 4) or (1,) * len(starts)
    if not len(starts) == len(axes) == len(steps):
        return False
    cut = {
        axis % rank: (start, step) for axis, start, step in zip(axes, starts, steps, strict=True)
    }
    start, step = cut.get(1, (0, 1))
    whole, size = size_of(x), size_of(y)
    computed = any(v is not None and not is_constant(v) for v in node.inputs[1:])
    if whole is None or not size or step != 1 or computed:
        return False
    offset = max(0, start + whole if start < 0 else start)
    if offset + size > whole:
        return False
    channels.links.append(Link(x, y, offset))
    return True


def _gather(channels: Channels, node: ir.Node) -> bool:
    x, order = node.inputs[0], array(node.inputs[1])
    size = size_of(x)
    if order is None or size is None or order.shape != (size,) or _axis(node, 0) != 1:
        return False
    if size_of(node.outputs[0]) != size:
        return False
    order = order.astype(np.intp) % size
    if not np.array_equal(np.sort(order), np.arange(size)):
        return False
    channels.moves[node] = order
    return True


def _look(channels: Channels, node: ir.Node) -> bool:
    """Reads nothing but a shape, which has no order."""
    return True


ELEMENTWISE = (
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift Cast Ceil Celu Clip Cos Cosh Div Elu "
    "Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN "
    "LayerNormalization LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu "
    "Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum "
    "Swish Tan Tanh ThresholdedRelu Where Xor"
)
POOLS = "AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool LpPool MaxPool"
REDUCTIONS = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE.split(), _elementwise),
    **dict.fromkeys(f"{POOLS} LogSoftmax Softmax".split(), _alike),
    **dict.fromkeys((f"Reduce{name}" for name in REDUCTIONS.split()), _reduce),
    **dict.fromkeys("BatchNormalization InstanceNormalization".split(), _normalise),
    **dict.fromkeys("DequantizeLinear QuantizeLinear".split(), _normalise),
    **dict.fromkeys("Flatten Reshape Squeeze Unsqueeze".split(), _reshape),
    **dict.fromkeys("Conv ConvTranspose".split(), _convolve),
    **dict.fromkeys("Gemm MatMul".split(), _multiply),
    **dict.fromkeys("Resize Upsample".split(), _resize),
    **dict.fromkeys("Shape Size".split(), _look),
    "Concat": _concatenate,
    "Dropout": _dropout,
    "Gather": _gather,
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "Transpose": _transpose,
}
"""Operators that are understood. All others, LRN and shuffles by Reshape among them, fix orders."""
