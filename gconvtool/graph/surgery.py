"""Putting fitted weights into a graph, under the names that were there before.

The spellings are the ones that runtimes run fast: a separable convolution is a sum of branches
whose last one carries the bias (so that the addition fuses), never a depthwise multiplier; groups
are one convolution between permutations of channels, left out where they change nothing.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.fit.factor import GroupedFactors, SeparableFactors
from gconvtool.fit.moments import Array
from gconvtool.graph.exact import array, constant, drop_unread

Factors = GroupedFactors | SeparableFactors
SPATIAL = ("strides", "pads", "dilations", "auto_pad", "kernel_shape")


def weight_and_bias(model: ir.Model, site: str) -> tuple[Array, Array]:
    """A convolution's weights as N × C/G·ΠK and its bias (zeros if it has none), in float64."""
    node = find(model, site)
    weight = array(node.inputs[1])
    assert weight is not None, f"{site} was surveyed with a constant weight"
    bias = array(node.inputs[2]) if len(node.inputs) > 2 else None
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    return rows, np.zeros(len(rows)) if bias is None else bias.astype(np.float64)


def find(model: ir.Model, site: str) -> ir.Node:
    """The node whose first output has this name."""
    return next(node for node in model.graph if node.outputs and node.outputs[0].name == site)


def replace(model: ir.Model, site: str, factors: Factors) -> None:
    """Put new weights in the place of a convolution, in place; its output keeps its name."""
    node = find(model, site)
    writer, inputs = _Writer(model.graph, node), node.inputs
    if isinstance(factors, SeparableFactors):
        result = writer.separable(factors)
    else:
        result = writer.grouped(factors)
    ir.convenience.replace_nodes_and_values(
        model.graph, node, [node], writer.nodes, [node.outputs[0]], [result]
    )
    for value in inputs[1:]:
        drop_unread(model.graph, value)


class _Writer:
    """Collects the nodes that replace one convolution."""

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        source = node.inputs[0]
        weight = array(node.inputs[1])
        assert source is not None
        assert weight is not None
        self.graph, self.source, self.prefix = graph, source, _fresh_prefix(graph, node)
        self.dtype, self.kernel = weight.dtype, weight.shape[2:]
        self.spatial = {k: v.value for k, v in node.attributes.items() if k in SPATIAL}
        self.nodes: list[ir.Node] = []

    def separable(self, factors: SeparableFactors) -> ir.Value:
        """Σ pointwise(depthwise(x)); only the last branch has a bias."""
        last = len(factors.depthwise) - 1
        branches = [
            self._branch(i, taps, mix, factors.bias if i == last else None)
            for i, (taps, mix) in enumerate(zip(factors.depthwise, factors.pointwise, strict=True))
        ]
        return reduce(lambda a, b: self._node("Add", [a, b], f"sum{len(self.nodes)}"), branches)

    def grouped(self, factors: GroupedFactors) -> ir.Value:
        """permute → convolve in groups → permute back."""
        inputs, outputs = factors.grouping.inputs.ravel(), factors.grouping.outputs.ravel()
        weight = factors.weight.reshape(len(outputs), -1, *self.kernel)
        x = self._permuted(self.source, inputs, "shuffle")
        y = self._conv(
            x, "grouped", weight, factors.bias[outputs], len(factors.grouping.inputs), self.spatial
        )
        return self._permuted(y, np.argsort(outputs), "unshuffle")

    def _branch(self, index: int, taps: Array, mix: Array, bias: Array | None) -> ir.Value:
        depthwise = taps.reshape(len(taps), 1, *self.kernel)
        x = self._conv(self.source, f"dw{index}", depthwise, None, len(taps), self.spatial)
        pointwise = mix.reshape(*mix.shape, *[1] * len(self.kernel))
        return self._conv(x, f"pw{index}", pointwise, bias, 1, {})

    def _conv(
        self,
        x: ir.Value,
        name: str,
        weight: Array,
        bias: Array | None,
        groups: int,
        attributes: dict[str, Any],
    ) -> ir.Value:
        inputs = [x, self._constant(f"{name}.weight", weight)]
        if bias is not None:
            inputs.append(self._constant(f"{name}.bias", bias))
        kernel = {"kernel_shape": list(weight.shape[2:]), "group": groups}
        return self._node("Conv", inputs, name, {**attributes, **kernel})

    def _permuted(self, x: ir.Value, order: NDArray[np.intp], name: str) -> ir.Value:
        if np.array_equal(order, np.arange(len(order))):
            return x
        index = constant(self.graph, f"{self.prefix}{name}.order", order.astype(np.int64))
        return self._node("Gather", [x, index], name, {"axis": 1})

    def _constant(self, name: str, numbers: Array) -> ir.Value:
        return constant(self.graph, f"{self.prefix}{name}", numbers.astype(self.dtype))

    def _node(
        self, op: str, inputs: list[ir.Value], name: str, attributes: dict[str, Any] | None = None
    ) -> ir.Value:
        node = ir.node(op, inputs, attributes, name=f"{self.prefix}{name}")
        node.outputs[0].name = f"{self.prefix}{name}"
        node.outputs[0].type = self.source.type
        self.nodes.append(node)
        return node.outputs[0]


def _fresh_prefix(graph: ir.Graph, node: ir.Node) -> str:
    """`site/`, or with as many more slashes as it takes to be new in this graph."""
    taken = [
        *ir.convenience.create_value_mapping(graph),
        *(other.name or "" for other in graph),
    ]
    prefix = f"{node.outputs[0].name}/"
    while any(name.startswith(prefix) for name in taken):
        prefix += "/"
    return prefix
