"""The nodes that take one convolution's place: new names, the old window, the old type of number.

A window (strides, pads, dilations, …) belongs to the spatial convolution alone, which is transposed
if the old one was. For targets without groups, one of G groups is written out as G dense ones:

    Concat(W₁·x₁, …, W_G·x_G),     x₁ … x_G = Split(x)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import onnx_ir as ir

from gconvtool.fit.moments import Array, Index
from gconvtool.fit.transposed import turned
from gconvtool.graph.bodies import home
from gconvtool.graph.parts import array, opset

WINDOW = ("strides", "pads", "dilations", "auto_pad", "output_padding", "output_shape")
FIRST_OPSET_WITH_SPLIT_AS_INPUT = 13


@dataclass(frozen=True)
class _Kind:
    """A convolution's operator, and attributes that are the same for any weights."""

    op: str = "Conv"
    window: Mapping[str, Any] = field(default_factory=dict)

    @property
    def transposed(self) -> bool:
        """True for ConvTranspose."""
        return self.op == "ConvTranspose"

    def stored(self, weight: Array, groups: int) -> Array:
        """N × C/G × K… as its operator wants it."""
        return turned(weight, groups) if self.transposed else weight


class Writer:
    """Collects nodes that begin at `source`, what the convolution in their place reads.

    It has so many spatial `axes`, and may be `transposed`. `groups_allowed` is False where no
    convolution may have groups. Nothing but initializers goes into the graph: the nodes are for the
    caller to put there.
    """

    def __init__(self, model: ir.Model, node: ir.Node, groups_allowed: bool = True) -> None:
        source, weight = node.inputs[0], array(node.inputs[1])
        assert source is not None
        assert weight is not None, "the site was surveyed with a constant weight"
        self.source, self.nodes = source, list[ir.Node]()
        self._graph, self._prefix = home(node), _fresh_prefix(model.graph, node)
        self._sizes_are_inputs = opset(model) >= FIRST_OPSET_WITH_SPLIT_AS_INPUT
        self._dtype, self._kernel = weight.dtype, weight.shape[2:]
        self.axes = len(self._kernel)
        window = {k: v.value for k, v in node.attributes.items() if k in WINDOW}
        self._spatial = _Kind(node.op_type, window)
        self.transposed = self._spatial.transposed
        self._groups_allowed = groups_allowed

    def spatial(
        self, x: ir.Value, name: str, weight: Array, groups: int, bias: Array | None = None
    ) -> ir.Value:
        """A convolution with the window of the one that is replaced; weight is N × C/G·ΠK."""
        shape = (len(weight), -1, *self._kernel)
        return self._convolve(x, name, weight.reshape(shape), groups, bias, self._spatial)

    def pointwise(
        self, x: ir.Value, name: str, weight: Array, groups: int, bias: Array | None = None
    ) -> ir.Value:
        """A 1×1 convolution, position by position; weight is N × C/G."""
        shape = (*weight.shape, *[1] * self.axes)
        return self._convolve(x, name, weight.reshape(shape), groups, bias, _Kind())

    def permuted(self, x: ir.Value, order: Index, name: str) -> ir.Value:
        """Channel order[i] of x as channel i; x itself where that is the order it has."""
        if np.array_equal(order, np.arange(len(order))):
            return x
        index = self._constant(f"{name}.order", np.asarray(order, np.int64))
        return self._node("Gather", [x, index], name, {"axis": 1})[0]

    def split(self, x: ir.Value, sizes: Sequence[int], name: str) -> Sequence[ir.Value]:
        """Runs of channels, one after the other."""
        if len(sizes) == 1:
            return [x]
        if self._sizes_are_inputs:
            numbers = self._constant(f"{name}.sizes", np.array(sizes, np.int64))
            return self._node("Split", [x, numbers], name, {"axis": 1}, len(sizes))
        return self._node("Split", [x], name, {"axis": 1, "split": list(sizes)}, len(sizes))

    def concat(self, parts: Sequence[ir.Value], name: str) -> ir.Value:
        """The channels of all parts, one after the other."""
        return parts[0] if len(parts) == 1 else self._node("Concat", parts, name, {"axis": 1})[0]

    def sum(self, terms: Sequence[ir.Value]) -> ir.Value:
        """Added up from the first to the last, which a runtime can fuse with what made it."""
        return reduce(lambda a, b: self._node("Add", [a, b], f"sum{len(self.nodes)}")[0], terms)

    def _convolve(
        self,
        x: ir.Value,
        name: str,
        weight: Array,
        groups: int,
        bias: Array | None,
        kind: _Kind,
    ) -> ir.Value:
        if groups == 1 or self._groups_allowed:
            return self._conv(x, name, weight, groups, bias, kind)
        parts = self.split(x, [weight.shape[1]] * groups, f"{name}.split")
        weights = np.split(weight, groups)
        biases = [None] * groups if bias is None else np.split(bias, groups)
        made = [
            self._conv(part, f"{name}.{g}", weights[g], 1, biases[g], kind)
            for g, part in enumerate(parts)
        ]
        return self.concat(made, name)

    def _conv(
        self,
        x: ir.Value,
        name: str,
        weight: Array,
        groups: int,
        bias: Array | None,
        kind: _Kind,
    ) -> ir.Value:
        stored = kind.stored(weight, groups).astype(self._dtype)
        inputs = [x, self._constant(f"{name}.weight", stored)]
        if bias is not None:
            inputs.append(self._constant(f"{name}.bias", bias.astype(self._dtype)))
        shape = {"kernel_shape": list(weight.shape[2:]), "group": groups}
        return self._node(kind.op, inputs, name, {**kind.window, **shape})[0]

    def _constant(self, name: str, numbers: np.ndarray[Any, np.dtype[Any]]) -> ir.Value:
        name = f"{self._prefix}{name}"
        value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(numbers), name=name))
        self._graph.register_initializer(value)
        return value

    def _node(
        self,
        op: str,
        inputs: Sequence[ir.Value],
        name: str,
        attributes: Mapping[str, Any] | None = None,
        outputs: int = 1,
    ) -> Sequence[ir.Value]:
        name = f"{self._prefix}{name}"
        node = ir.node(op, inputs, attributes, num_outputs=outputs, name=name)
        for index, value in enumerate(node.outputs):
            value.name = name if outputs == 1 else f"{name}.{index}"
            value.type = self.source.type
        self.nodes.append(node)
        return node.outputs


def _fresh_prefix(graph: ir.Graph, node: ir.Node) -> str:
    """`site/`, or with as many more slashes as it takes to be new in this graph."""
    taken = [
        *ir.convenience.create_value_mapping(graph),
        *(other.name or "" for other in graph.all_nodes()),
    ]
    prefix = f"{node.outputs[0].name}/"
    while any(name.startswith(prefix) for name in taken):
        prefix += "/"
    return prefix
