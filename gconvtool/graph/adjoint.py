"""How a change of what a node makes goes back to what it reads: gᵀ·∂y/∂x, an operator a rule.

With g = ∂L/∂y, every rule gives ∂L/∂x for the inputs that are asked for. A node without a rule, or
one that broadcasts in a way that its rule does not know, is where a gradient ends: what lies before
it has targets of its own, so that nothing is wrong with that, only less is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.facts import ConvSite
from gconvtool.fit.convolving import to_input
from gconvtool.fit.patches import Window
from gconvtool.graph.constants import int_attribute, ints_attribute
from gconvtool.graph.parts import array
from gconvtool.graph.sites import conv_site

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class Call:
    """A node, the numbers that it read (None where one is left out) and those that it made."""

    node: ir.Node
    inputs: tuple[Array | None, ...]
    output: Array

    def read(self, index: int = 0) -> Array:
        """An input that is there."""
        found = self.inputs[index]
        assert found is not None
        return found

    def number(self, name: str, default: float) -> float:
        """An attribute that is a float, or its default."""
        attributes = self.node.attributes
        return attributes[name].as_float() if name in attributes else default


Rule: TypeAlias = Callable[[Call, Array, int], Array]
"""(call, g, index of an input) → ∂L/∂ that input."""


def passes(node: ir.Node, index: int) -> bool:
    """Whether gradients pass back through a node to this input."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in RULES:
        return False
    if node.op_type == "Conv":
        site = conv_site(node)
        return index == 0 and site is not None and site.pads is not None
    if node.op_type == "Gather":
        return index == 0 and _is_permutation(node)
    if node.op_type == "DepthToSpace":
        return _is_column_first(node)
    return index == 0 or node.op_type in EVERY_INPUT


def back(call: Call, g: Array, index: int) -> Array:
    """∂L/∂ an input of a node that `passes`, in the shape of that input."""
    return _summed_to(RULES[call.node.op_type](call, g, index), call.read(index).shape)


def window_of(site: ConvSite) -> Window:
    """How the kernel of a surveyed convolution moves."""
    assert site.pads is not None
    return Window(site.kernel, site.strides, site.dilations, site.pads)


def _conv(call: Call, g: Array, _: int) -> Array:
    site = conv_site(call.node)
    assert site is not None
    sizes = call.read().shape[2:]
    return to_input(g, call.read(1), window_of(site), site.groups, sizes)


def _clip(call: Call, g: Array, _: int) -> Array:
    return np.where(call.output == call.read(), g, np.float32(0))


def _prelu(call: Call, g: Array, _: int) -> Array:
    return np.where(call.read() > 0, g, g * call.read(1))


def _leaky(call: Call, g: Array, _: int) -> Array:
    return np.asarray(np.where(call.read() > 0, g, g * np.float32(call.number("alpha", 0.01))))


def _hard_sigmoid(call: Call, g: Array, _: int) -> Array:
    slope = np.float32(call.number("alpha", 0.2))
    return np.asarray(np.where((call.output > 0) & (call.output < 1), slope * g, 0))


def _hard_swish(call: Call, g: Array, _: int) -> Array:
    x = call.read()
    return g * np.where(x >= 3, 1, np.where(x <= -3, 0, x / 3 + np.float32(0.5)))


def _subtract(call: Call, g: Array, index: int) -> Array:
    return g if index == 0 else -g


def _multiply(call: Call, g: Array, index: int) -> Array:
    return np.asarray(g * call.read(1 - index))


def _pooled(call: Call, g: Array, _: int) -> Array:
    """Of a mean over all positions."""
    shape = call.read().shape
    return np.broadcast_to(g * np.float32(g.size / np.prod(shape)), shape)


def _reshaped(call: Call, g: Array, _: int) -> Array:
    return g.reshape(call.read().shape)


def _gemm(call: Call, g: Array, _: int) -> Array:
    weight = call.read(1) if int_attribute(call.node, "transB", 0) else call.read(1).T
    made = np.asarray(np.float32(call.number("alpha", 1)) * (g @ weight))
    return made.T if int_attribute(call.node, "transA", 0) else made


def _gather(call: Call, g: Array, _: int) -> Array:
    axis = int_attribute(call.node, "axis", 0)
    return np.take(g, np.argsort(call.read(1)), axis)


def _concat(call: Call, g: Array, index: int) -> Array:
    axis = call.node.attributes["axis"].as_int()
    sizes = [call.read(i).shape[axis] for i in range(len(call.inputs))]
    return np.split(g, np.cumsum(sizes)[:-1], axis)[index]


def _transposed(call: Call, g: Array, _: int) -> Array:
    order = ints_attribute(call.node, "perm", tuple(reversed(range(g.ndim))))
    return np.transpose(g, np.argsort(order))


def _space_to_depth(call: Call, g: Array, _: int) -> Array:
    n, channels, height, width = call.read().shape
    block = call.node.attributes["blocksize"].as_int()
    split = g.reshape(n, channels // block**2, height, block, width, block)
    return np.asarray(split.transpose(0, 1, 3, 5, 2, 4).reshape(n, channels, height, width))


EVERY_INPUT = frozenset("Add Concat Mul Sub".split())
"""Operators whose rules know the gradient to each of their inputs."""
RULES: Mapping[str, Rule] = {
    "Add": lambda call, g, index: g,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "DepthToSpace": _space_to_depth,
    "Div": lambda call, g, index: g / call.read(1),
    "Flatten": _reshaped,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _pooled,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Identity": lambda call, g, index: g,
    "LeakyRelu": _leaky,
    "Mul": _multiply,
    "PRelu": _prelu,
    "Relu": lambda call, g, index: g * (call.output > 0),
    "Reshape": _reshaped,
    "Sigmoid": lambda call, g, index: g * call.output * (1 - call.output),
    "Sub": _subtract,
    "Tanh": lambda call, g, index: g * (1 - np.square(call.output)),
    "Transpose": _transposed,
}


def _summed_to(g: Array, shape: tuple[int, ...]) -> Array:
    """The adjoint of broadcasting: sums over axes that the shape does not have, or has as 1."""
    g = g.sum(tuple(range(g.ndim - len(shape))))
    wide = tuple(i for i, size in enumerate(shape) if size == 1 and g.shape[i] > 1)
    return g.sum(wide, keepdims=True) if wide else g


def _is_permutation(node: ir.Node) -> bool:
    order = array(node.inputs[1])
    return (
        order is not None and order.ndim == 1 and np.array_equal(np.sort(order), range(order.size))
    )


def _is_column_first(node: ir.Node) -> bool:
    return "mode" in node.attributes and node.attributes["mode"].as_string() == "CRD"
