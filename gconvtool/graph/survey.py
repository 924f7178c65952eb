"""From a graph to frozen facts: its nodes, its convolutions, and which of them cannot be rewritten.

A constant is followed to where it is stored, through the operators that only rename, cast or
reshape it, so that a weight counts once however it is wrapped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import ceil

import numpy as np
import onnx_ir as ir

from gconvtool.facts import Attribute, ConvSite, Dim, NodeFact, Parameter, Shape, Skip, Survey

CONVOLUTIONS = {"Conv": 1, "ConvTranspose": 1, "ConvInteger": 1, "FusedConv": 1, "QLinearConv": 3}
"""Operators that are convolutions, and which of their inputs holds the weights."""
BIASES = {"Conv": 2, "ConvTranspose": 2, "FusedConv": 2, "QLinearConv": 8}
"""Which of their inputs holds the bias."""

CARRIERS = frozenset(
    "Cast DequantizeLinear Identity QuantizeLinear Reshape Squeeze Transpose Unsqueeze".split()
)
"""Operators that hand a constant on."""


def survey(model: ir.Model) -> Survey:
    """Facts in topological order. Bodies of control flow are left to the node that holds them."""
    graph = model.graph
    named = {str(dim) for value in graph.inputs for dim in shape_of(value) or ()}
    nodes = tuple(_fact(node, named) for node in graph)
    sites = {site.name: site for node in graph if (site := conv_site(node))}
    return Survey(nodes, sites, _refusals(model))


def conv_site(node: ir.Node) -> ConvSite | None:
    """The facts of a convolution; None for any other node, and where its weight has no shape."""
    if not _is_convolution(node):
        return None
    index = CONVOLUTIONS[node.op_type]
    weight, data = shape_of(node.inputs[index]), shape_of(node.inputs[0])
    if weight is None or len(weight) < 3 or not all(isinstance(dim, int) for dim in weight):
        return None
    first, second, *kernel = (int(dim) for dim in weight if dim is not None)
    groups = int_attribute(node, "group", 1)
    if groups < 1:
        return None
    transposed = node.op_type == "ConvTranspose"
    ones = (1,) * len(kernel)
    strides = ints_attribute(node, "strides", ones)
    dilations = ints_attribute(node, "dilations", ones)
    return ConvSite(
        name=node.outputs[0].name or "",
        op=node.op_type,
        channels=first if transposed else second * groups,
        filters=second * groups if transposed else first,
        groups=groups,
        kernel=tuple(kernel),
        strides=strides,
        dilations=dilations,
        pads=_pads(node, data, tuple(kernel), strides, dilations),
        input_shape=data,
        output_shape=shape_of(node.outputs[0]),
        bias=_has_bias(node),
    )


def shape_of(value: ir.Value | None) -> Shape:
    """A value's shape in plain numbers and names; None for an absent or unknown one."""
    if value is None:
        return ()
    shape = value.shape
    if shape is None:
        constant = stored(value)
        return None if constant is None else constant.shape
    return tuple(_dim(dim) for dim in shape)


def stored(value: ir.Value | None) -> Parameter | None:
    """The constant behind a value, followed to where it is stored; None where it is computed."""
    while value is not None:
        if value.const_value is not None:
            return _parameter(value, value.const_value)
        node = value.producer()
        if node is None or node.domain:
            return None
        if node.op_type == "Constant":
            tensor = ir.convenience.get_const_tensor(value)
            return None if tensor is None else _parameter(value, tensor)
        if node.op_type == "ConstantOfShape":
            return _filled(value, node)
        if node.op_type not in CARRIERS:
            return None
        value = node.inputs[0]
    return None


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute, or its default."""
    return node.attributes[name].as_int() if name in node.attributes else default


def ints_attribute(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """A list of integers, or its default."""
    return tuple(node.attributes[name].as_ints()) if name in node.attributes else default


def _dim(dim: int | ir.SymbolicDim) -> Dim:
    return dim if isinstance(dim, int) else dim.value


def _parameter(value: ir.Value, tensor: ir.TensorProtocol) -> Parameter:
    shape = tuple(tensor.shape.numpy())
    return Parameter(value.name or "", shape, tensor.dtype.is_floating_point())


def _filled(value: ir.Value, node: ir.Node) -> Parameter | None:
    """A constant that ConstantOfShape makes."""
    sizes = node.inputs[0]
    stored_sizes = None if sizes is None else ir.convenience.get_const_tensor(sizes)
    if stored_sizes is None:
        return None
    fill = node.attributes.get("value")
    floating = fill is None or fill.as_tensor().dtype.is_floating_point()
    shape = tuple(int(size) for size in np.ravel(stored_sizes.numpy()))
    return Parameter(value.name or "", shape, floating)


def _fact(node: ir.Node, named: set[str]) -> NodeFact:
    return NodeFact(
        name=(node.outputs[0].name if node.outputs else None) or node.name or "",
        op=node.op_type,
        domain=node.domain,
        inputs=tuple(_known(shape_of(value), named) for value in node.inputs),
        outputs=tuple(_known(shape_of(value), named) for value in node.outputs),
        attributes=dict(_attributes(node)),
        parameters=() if node.op_type in CARRIERS else tuple(stored(v) for v in node.inputs),
    )


def _known(shape: Shape, named: set[str]) -> Shape:
    """The shape without the names that shape inference makes up for what it does not know."""
    if shape is None:
        return None
    return tuple(None if str(d).startswith("unk__") and d not in named else d for d in shape)


def _attributes(node: ir.Node) -> Iterator[tuple[str, Attribute]]:
    for name, attribute in node.attributes.items():
        if attribute.is_ref():
            continue
        if isinstance(attribute.value, (int, float, str)):
            yield name, attribute.value
        elif attribute.type in (ir.AttributeType.INTS, ir.AttributeType.FLOATS):
            yield name, tuple(attribute.value)


def _pads(
    node: ir.Node,
    data: Shape,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[int, ...] | None:
    """Begins, then ends. SAME pads so that the output has ceil(input / stride) positions."""
    attribute = node.attributes.get("auto_pad")
    mode = attribute.value if attribute else "NOTSET"
    if mode == "VALID":
        return (0,) * (2 * len(kernel))
    if mode == "NOTSET":
        return ints_attribute(node, "pads", (0,) * (2 * len(kernel)))
    sizes = data[2:] if data else (None,)
    known = all(isinstance(size, int) for size in sizes)
    if node.op_type == "ConvTranspose" or not known or mode not in ("SAME_UPPER", "SAME_LOWER"):
        return None
    if len({len(sizes), len(kernel), len(strides), len(dilations)}) > 1:
        return None
    begins, ends = [], []
    for size, k, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        assert isinstance(size, int)
        covered = (ceil(size / stride) - 1) * stride + dilation * (k - 1) + 1
        small, large = divmod(max(0, covered - size), 2)
        begins.append(small + large if mode == "SAME_LOWER" else small)
        ends.append(small if mode == "SAME_LOWER" else small + large)
    return (*begins, *ends)


def _refusals(model: ir.Model) -> Mapping[str, Skip]:
    """Convolutions whose weights or surroundings forbid a rewrite, whatever the recipe."""
    uses: Counter[str] = Counter()
    convolutions = [node for node in model.graph if _is_convolution(node)]
    for node in convolutions:
        constant = stored(node.inputs[CONVOLUTIONS[node.op_type]])
        uses[constant.name if constant else ""] += 1
    return {
        node.outputs[0].name or "": reason
        for node in convolutions
        if (reason := _refusal(node, uses)) is not None
    }


def _refusal(node: ir.Node, uses: Counter[str]) -> Skip | None:
    if node.op_type == "ConvTranspose":
        return None  # the recipes say why
    if node.op_type != "Conv":
        return Skip(f"a {node.op_type}: fused or quantised")
    weight = node.inputs[1]
    if weight is None or not _constant(weight):
        return Skip("its weight is not a plain constant")
    if uses[weight.name or ""] > 1:
        return Skip("it shares its weight with another convolution")
    if len(node.inputs) > 2 and node.inputs[2] and not _constant(node.inputs[2]):
        return Skip("its bias is not constant")
    return None


def _is_convolution(node: ir.Node) -> bool:
    """An operator of ONNX or onnxruntime; a function may have its name and mean anything."""
    index = CONVOLUTIONS.get(node.op_type, 0)
    known = node.domain in ("", "com.microsoft") and len(node.outputs) > 0
    return known and 0 < index < len(node.inputs)


def _has_bias(node: ir.Node) -> bool:
    index = BIASES.get(node.op_type, 0)
    return 0 < index < len(node.inputs) and node.inputs[index] is not None


def _constant(value: ir.Value) -> bool:
    return not value.is_graph_input() and ir.convenience.get_const_tensor(value) is not None
