"""Convolutions as facts, and which of them cannot be rewritten.

A fully connected layer over a whole feature map (Flatten → Gemm) is a convolution too: its kernel
is as large as the map, so that one position is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod

import onnx_ir as ir

from gconvtool.facts import ConvSite, Shape, Skip, describe_shape
from gconvtool.graph.carriers import is_constant, root
from gconvtool.graph.constants import int_attribute, ints_attribute, shape_of, stored
from gconvtool.graph.padding import pads

CONVOLUTIONS = {
    "Conv": 1,
    "ConvInteger": 1,
    "ConvTranspose": 1,
    "DeformConv": 1,
    "FusedConv": 1,
    "NhwcConv": 1,
    "NhwcFusedConv": 1,
    "QLinearConv": 3,
}
"""Operators that are convolutions, and which of their inputs holds the weights."""
BIASES = {
    "Conv": 2,
    "ConvTranspose": 2,
    "DeformConv": 3,
    "FusedConv": 2,
    "NhwcConv": 2,
    "NhwcFusedConv": 2,
    "QLinearConv": 8,
}
"""Which of their inputs holds the bias."""
QUANTISED = "quantised: convert the float network, and quantise that"
UNTOUCHED = {
    "ConvInteger": QUANTISED,
    "DeformConv": "deformable",
    "FusedConv": "fused with what ONNX has no operator for",
    "NhwcConv": "its channels come last",
    "NhwcFusedConv": "its channels come last",
    "QLinearConv": QUANTISED,
}
"""Convolutions that are left alone, and why."""
MISFIT = "its weight does not fit its groups"
CHANNELS_LAST = ("NhwcConv", "NhwcFusedConv")
FLATTENING = ("Flatten", "Reshape", "Squeeze")
PASSING = ("Dropout", "Identity")
"""Operators that may stand between a flattened map and the layer that reads it."""


def conv_site(node: ir.Node) -> ConvSite | None:
    """The facts of a convolution; None for any other node, and where its weight has no shape."""
    if not is_convolution(node):
        return None
    index = CONVOLUTIONS[node.op_type]
    weight = shape_of(node.inputs[index])
    if weight is None or len(weight) < 3 or not all(isinstance(dim, int) for dim in weight):
        return None
    first, second, *kernel = (int(dim) for dim in weight if dim is not None)
    groups = int_attribute(node, "group", 1)
    if groups < 1 or first % groups:
        return None
    transposed = node.op_type == "ConvTranspose"
    data, made = (_channels_first(node, v) for v in (node.inputs[0], node.outputs[0]))
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
        pads=pads(node, data, tuple(kernel), strides, dilations),
        input_shape=data,
        output_shape=made,
        bias=_has_bias(node),
    )


def head_site(node: ir.Node) -> ConvSite | None:
    """A fully connected layer over a flattened feature map, as the convolution that it is."""
    if node.op_type not in ("Gemm", "MatMul") or node.domain or len(node.inputs) < 2:
        return None
    weight, data = shape_of(node.inputs[1]), _feature_map(node.inputs[0])
    if data is None or weight is None or len(weight) != 2 or stored(node.inputs[1]) is None:
        return None
    outwards = bool(node.op_type == "Gemm" and int_attribute(node, "transB", 0))
    filters, inputs = weight if outwards else weight[::-1]
    channels, *kernel = data[1:]
    if not isinstance(filters, int) or not isinstance(channels, int):
        return None
    sizes = tuple(size for size in kernel if isinstance(size, int))
    if len(sizes) < len(kernel) or prod(sizes) < 2 or channels * prod(sizes) != inputs:
        return None
    ones = (1,) * len(sizes)
    return ConvSite(
        name=node.outputs[0].name or "",
        op=node.op_type,
        channels=channels,
        filters=filters,
        groups=1,
        kernel=sizes,
        strides=ones,
        dilations=ones,
        pads=(0,) * (2 * len(sizes)),
        input_shape=data,
        output_shape=(data[0], filters, *ones),
        bias=len(node.inputs) > 2 and node.inputs[2] is not None,
    )


def refusals(nodes: Iterable[ir.Node]) -> Mapping[ir.Node, Skip]:
    """Convolutions whose weights or surroundings forbid a rewrite, whatever the recipe."""
    convolutions = (node for node in nodes if is_convolution(node))
    return {node: reason for node in convolutions if (reason := _refusal(node)) is not None}


def is_convolution(node: ir.Node) -> bool:
    """An operator of ONNX or onnxruntime; a function may have its name and mean anything."""
    index = CONVOLUTIONS.get(node.op_type, 0)
    known = node.domain in ("", "com.microsoft") and len(node.outputs) > 0
    return known and 0 < index < len(node.inputs)


def convolved(model: ir.Model) -> frozenset[ir.DataType | None]:
    """Types of number that there are convolutions of: in any runtime, or in that of this network,
    since it has some."""
    used = {
        node.inputs[0].dtype
        for node in model.graph.all_nodes()
        if is_convolution(node) and node.op_type not in UNTOUCHED and node.inputs[0] is not None
    }
    return frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, *used})


def _channels_first(node: ir.Node, value: ir.Value | None) -> Shape:
    shape = shape_of(value)
    last = node.op_type in CHANNELS_LAST or int_attribute(node, "channels_last", 0)
    return (shape[0], shape[-1], *shape[1:-1]) if last and shape and len(shape) > 2 else shape


def _feature_map(value: ir.Value | None) -> Shape:
    """The N C H… map that was flattened into these rows; None if they are no such thing."""
    node = value.producer() if value is not None else None
    while node is not None and node.op_type in PASSING and not node.domain:
        value = node.inputs[0]
        node = value.producer() if value is not None else None
    if node is None or node.op_type not in FLATTENING or node.domain:
        return None
    rows, data = shape_of(value), shape_of(node.inputs[0])
    if rows is None or data is None or len(rows) != 2 or len(data) < 3 or rows[0] != data[0]:
        return None
    return data


def _refusal(node: ir.Node) -> Skip | None:
    if node.op_type not in ("Conv", "ConvTranspose"):
        return Skip(f"a {node.op_type}: {UNTOUCHED[node.op_type]}")
    weight = node.inputs[1]
    if not is_constant(weight):
        return not_stored(weight)
    if weight and weight.dtype and not weight.dtype.is_floating_point():
        return Skip("its weight is not of floating-point numbers")
    site = conv_site(node)
    return Skip(MISFIT) if site is None else misfit(node, site)


def misfit(node: ir.Node, site: ConvSite) -> Skip | None:
    """Why a Conv or ConvTranspose cannot be rewritten though its weight can: what goes with that is
    computed, or contradicts it, which checkers let pass."""
    bias, axes = node.inputs[2] if site.bias else None, len(site.kernel)
    if bias is not None and not is_constant(bias):
        return Skip("its bias is not constant")
    for name, count in (("strides", axes), ("dilations", axes), ("pads", 2 * axes)):
        said = len(ints_attribute(node, name, (0,) * count))
        if said != count:
            return Skip(f"its {name} are {said} numbers, not the {count} of its kernel")
    size = None if bias is None else shape_of(bias)
    if size is not None and size != (site.filters,) and all(isinstance(dim, int) for dim in size):
        return Skip(f"its bias of {describe_shape(size)} is not one for each of its filters")
    return None


def not_stored(weight: ir.Value | None) -> Skip:
    """Why a weight that is no constant has no numbers to look at, and what helps."""
    begin = root(weight)
    maker = None if begin is None else begin.producer()
    if maker is None:
        return Skip("its weight is fed, not stored")
    if maker.op_type == "DequantizeLinear":
        return Skip(f"its weight is {QUANTISED}")
    return Skip(f"its weight is made by {maker.op_type}, not stored: fold constants first")


def _has_bias(node: ir.Node) -> bool:
    index = BIASES.get(node.op_type, 0)
    return 0 < index < len(node.inputs) and node.inputs[index] is not None


def renamed(site: ConvSite, name: str) -> ConvSite:
    """The site under the name that its node has in the survey."""
    return replace(site, name=name)
