"""Channels that hold one number, whatever is fed: at all positions and for all samples.

A filter of a convolution is steady if it weighs nothing but steady channels, of which those that
are not zero must not be padded, since zeros around the map are another number:

    W[o, c] = 0 for all c that are not steady    ⇒    y[o] = b_o + Σ_c k_c·Σ_taps W[o, c]

What treats positions alike makes steady channels of steady channels; what that comes to is worked
out by ONNX's reference, on maps of one position. Inputs are taken to be finite: 0·x is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TypeAlias

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from gconvtool.fit.moments import Array
from gconvtool.graph.channels import Channels, size_of
from gconvtool.graph.constants import int_attribute, ints_attribute, shape_of
from gconvtool.graph.exact import normalisation
from gconvtool.graph.parts import Numbers, array
from gconvtool.graph.plain import FLOATING
from gconvtool.graph.sites import conv_site

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Steady:
    """Which channels are `known` to be steady, and what they hold; zero where not known."""

    known: Mask
    numbers: Array

    @classmethod
    def nothing(cls, channels: int) -> Steady:
        """No channel is."""
        return cls(np.zeros(channels, bool), np.zeros(channels))

    @classmethod
    def of(cls, known: Mask, numbers: Array) -> Steady:
        """Those that are known, and finite."""
        known = known & np.isfinite(numbers)
        return cls(known, np.where(known, numbers, 0.0))

    @property
    def zero(self) -> Mask:
        """Those that hold zero."""
        return np.asarray(self.known & (self.numbers == 0))


class Observer:
    """What is steady in a graph, value by value."""

    def __init__(self, graph: ir.Graph, channels: Channels, opsets: Mapping[str, int]) -> None:
        self._found: dict[ir.Value, Steady] = {}
        self._opsets = opsets
        self._links = {(link.whole, link.part): link.offset for link in channels.links}
        self._repeats = {(s.wide, s.narrow): s.repeat for s in channels.spreads}
        for node in graph:
            rule = RULES.get(node.op_type) if not node.domain else None
            found = None if rule is None or size_of(node.outputs[0]) is None else rule(self, node)
            if found is not None and found.known.any():
                self._found[node.outputs[0]] = found

    def of(self, value: ir.Value | None) -> Steady:
        """What is known of a value that has channels."""
        found = None if value is None else self._found.get(value)
        return Steady.nothing(size_of(value) or 0) if found is None else found

    def weighed(self, node: ir.Node) -> Steady | None:
        """A convolution's or a fully connected layer's output."""
        layer, x = Layer.of(node), self.of(node.inputs[0])
        if layer is None or len(x.known) != layer.channels:
            return None
        counts = x.known & ((x.numbers == 0) | (not layer.pads))
        moved = layer.weighs() & ~counts.reshape(len(layer.weight), 1, -1)
        return Steady.of(~moved.any(2).ravel(), layer.bias + layer.makes(x.numbers))

    def normalised(self, node: ir.Node) -> Steady | None:
        """A batch normalisation by stored statistics."""
        x = self.of(node.inputs[0])
        affine = normalisation(node, len(x.known)) if x.known.any() else None
        if affine is None:
            return None
        return Steady.of(x.known, affine.scale * x.numbers + affine.shift)

    def passed(self, node: ir.Node) -> Steady | None:
        """The same channels, or each repeated."""
        x, y = node.inputs[0], node.outputs[0]
        if x is None:
            return None
        found, repeat = self.of(x), self._repeats.get((y, x), 1)
        if self._links.get((y, x)) != 0 and (y, x) not in self._repeats:
            return None
        return Steady(np.repeat(found.known, repeat), np.repeat(found.numbers, repeat))

    def pooled(self, node: ir.Node) -> Steady | None:
        """An average with zeros around is another number."""
        padded = any(ints_attribute(node, "pads", ())) or "auto_pad" in node.attributes
        whole = not padded and not int_attribute(node, "ceil_mode", 0)
        found = self.passed(node)
        if found is None or whole or node.op_type == "MaxPool":
            return found
        return Steady.of(found.zero, found.numbers)

    def joined(self, node: ir.Node) -> Steady | None:
        """Channels one after the other."""
        y, parts = node.outputs[0], [self.of(x) for x in node.inputs]
        if sum(len(part.known) for part in parts) != size_of(y):
            return None  # along another axis
        known = np.concatenate([part.known for part in parts])
        return Steady(known, np.concatenate([part.numbers for part in parts]))

    def computed(self, node: ir.Node) -> Steady | None:
        """Position by position, from steady channels and constants."""
        y, inputs = node.outputs[0], dict.fromkeys(x for x in node.inputs if x is not None)
        size, rank = size_of(y) or 0, len(shape_of(y) or ())
        seen = {x: s for x in inputs if (s := self._operand(x, rank, size)) is not None}
        if all(array(x) is not None or not s.known.any() for x, s in seen.items()):
            return None
        zero = np.any([s.zero for s in seen.values()], axis=0) & (node.op_type == "Mul")
        if len(seen) < len(inputs):
            return Steady(zero, np.zeros(size))
        known = np.all([s.known for s in seen.values()], axis=0)
        feeds = {x.name or "": _fed(x, s.numbers, rank) for x, s in seen.items()}
        numbers = np.broadcast_to(_evaluated(node, feeds, self._opsets), (size,))
        return Steady.of(known | zero, np.where(zero, 0.0, numbers))

    def _operand(self, x: ir.Value, rank: int, size: int) -> Steady | None:
        """An input as one number a channel of the output; None if a constant is no such thing."""
        found = self._seen(x, rank)
        if found is None or len(found.known) not in (1, size):
            return None
        known, numbers = np.broadcast_arrays(found.known, found.numbers, np.empty(size))[:2]
        return Steady(known, numbers)

    def _seen(self, x: ir.Value, rank: int) -> Steady | None:
        numbers = array(x)
        if numbers is None:
            return self.of(x) if len(shape_of(x) or ()) == rank else None
        if numbers.ndim > rank or not np.issubdtype(numbers.dtype, np.number):
            return None
        channels = ((1,) * (rank - numbers.ndim) + numbers.shape)[1]
        if numbers.size != channels:
            return None
        return Steady.of(np.ones(channels, bool), numbers.ravel().astype(np.float64))


@dataclass(frozen=True)
class Layer:
    """A convolution or fully connected layer: G × N/G × C/G × taps weights and N biases.

    Weights are as they are stored. `pads` says whether some output may see less than the kernel.
    """

    weight: Numbers
    bias: Array
    pads: bool

    @property
    def channels(self) -> int:
        """C."""
        return int(self.weight.shape[0] * self.weight.shape[2])

    def weighs(self) -> Mask:
        """Which channels reach which filters: G × N/G × C/G."""
        return np.asarray((self.weight != 0).any(3))

    def makes(self, numbers: Array) -> Array:
        """Of steady channels, without bias and padding: N numbers. Zeros cost nothing."""
        groups = numbers.reshape(len(self.weight), -1)
        made = [
            rows[:, held != 0].sum(2, dtype=np.float64) @ held[held != 0]
            for rows, held in zip(self.weight, groups, strict=True)
        ]
        return np.concatenate(made)

    def holds(self, numbers: Array) -> bool:
        """Whether a bias of its type can take what it makes of steady channels."""
        most = replace(self, weight=np.abs(self.weight)).makes(np.abs(numbers)) + np.abs(self.bias)
        with np.errstate(over="ignore"):
            return bool(np.isfinite(most.astype(self.weight.dtype)).all())

    @classmethod
    def of(cls, node: ir.Node) -> Layer | None:
        """None for any other node, and where the weights are computed."""
        weight = array(node.inputs[1]) if node.op_type in LAYERS and not node.domain else None
        if weight is None or weight.size == 0 or weight.dtype.kind not in FLOATING:
            return None
        bias = array(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else np.zeros(1)
        if bias is None:
            return None
        return cls._connected(node, weight, bias) or cls._convolution(node, weight, bias)

    @classmethod
    def _convolution(cls, node: ir.Node, weight: Numbers, bias: Numbers) -> Layer | None:
        site = conv_site(node)
        if site is None or len(weight) % site.groups:
            return None
        flat = weight.reshape(site.groups, -1, weight.shape[1], prod(site.kernel))
        flat = flat.swapaxes(1, 2) if site.transposed else flat
        pads = site.transposed or site.pads is None or any(site.pads)
        if bias.size not in (1, site.filters):
            return None
        biases = np.broadcast_to(bias.reshape(-1), (site.filters,)).astype(np.float64)
        return cls(flat, biases, pads)

    @classmethod
    def _connected(cls, node: ir.Node, weight: Numbers, bias: Numbers) -> Layer | None:
        factors = {"alpha": 1.0, "beta": 1.0, "transA": 0}
        plain = all(
            node.attributes[name].value == usual
            for name, usual in factors.items()
            if name in node.attributes
        )
        if node.op_type not in ("Gemm", "MatMul") or weight.ndim != 2 or not plain:
            return None
        rows = weight if int_attribute(node, "transB", 0) else weight.T
        if bias.size not in (1, len(rows)) or bias.size != (bias.shape or (1,))[-1]:
            return None
        biases = np.broadcast_to(bias.reshape(-1), (len(rows),)).astype(np.float64)
        return cls(rows[None, :, :, None], biases, pads=False)


def _fed(x: ir.Value, numbers: Array, rank: int) -> Numbers:
    """A map of one position; constants as they are stored, since some operators want scalars."""
    stored = array(x)
    if stored is not None:
        return stored
    return numbers.reshape(1, -1, *[1] * (rank - 2)).astype(_dtype(x))


def _evaluated(node: ir.Node, feeds: Mapping[str, Numbers], opsets: Mapping[str, int]) -> Array:
    """What a node makes of maps of one position, one number a channel; NaN where that fails."""
    try:
        with np.errstate(all="ignore"):
            result = ReferenceEvaluator(_alone(node, feeds, opsets)).run(None, {**feeds})
            return np.asarray(next(iter(result)), np.float64).ravel()
    except Exception:  # an operator that the reference lacks, in whatever way it says so
        return np.full(1, np.nan)


def _dtype(value: ir.Value) -> np.dtype[np.generic]:
    return (value.dtype or ir.DataType.FLOAT).numpy()


def _alone(
    node: ir.Node, feeds: Mapping[str, Numbers], opsets: Mapping[str, int]
) -> onnx.ModelProto:
    """A model of one node."""
    inputs = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape
        )
        for name, x in feeds.items()
    ]
    result = onnx.helper.make_empty_tensor_value_info(node.outputs[0].name or "")
    graph = onnx.helper.make_graph([ir.to_proto(node)], "one", inputs, [result])
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return onnx.helper.make_model(graph, opset_imports=imports)


Rule: TypeAlias = Callable[[Observer, ir.Node], Steady | None]
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
COMPUTED = (
    "Abs Add Ceil Clip Div Elu Exp Floor HardSigmoid HardSwish LeakyRelu Max "
    "Mean Min Mish Mul Neg PRelu Relu Selu Sigmoid Softplus Softsign Sqrt Sub Sum Tanh"
)
PASSED = (
    "Dropout Flatten GlobalAveragePool GlobalMaxPool Identity ReduceMax ReduceMean ReduceMin "
    "Reshape Squeeze Transpose Unsqueeze"
)
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(LAYERS, Observer.weighed),
    **dict.fromkeys(COMPUTED.split(), Observer.computed),
    **dict.fromkeys(PASSED.split(), Observer.passed),
    **dict.fromkeys(("AveragePool", "MaxPool"), Observer.pooled),
    "BatchNormalization": Observer.normalised,
    "Concat": Observer.joined,
}
