"""Shapes of onnxruntime's own operators that the shape inference library has no rule for.

A channels-last convolution has the shape of a plain one, with its axes in another order; the fused
ones have that of what they fuse.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import ceil

import onnx_ir as ir
from onnx_shape_inference import ShapeInferenceContext, registry

from gconvtool.graph.constants import ints_attribute
from gconvtool.graph.dims import canonical, is_compound

MICROSOFT = "com.microsoft"
LIKE_STANDARD = {
    "FusedConv": "Conv",
    "FusedGemm": "Gemm",
    "MatMulInteger16": "MatMulInteger",
    "DequantizeLinear": "DequantizeLinear",
    "QuantizeLinear": "QuantizeLinear",
    "Trilu": "Trilu",
    "GridSample": "GridSample",
    "GatherND": "GatherND",
    "Pad": "Pad",
}
"""Operators with the inputs and attributes of a standard one."""
LAST_TO_FIRST = {"NhwcConv": "Conv", "NhwcFusedConv": "Conv", "NhwcMaxPool": "MaxPool"}
"""Operators whose data have their channels last: N H… C."""
LIKE_FIRST_INPUT = (
    "BiasSoftmax",
    "BiasDropout",
    "BitmaskDropout",
    "BitmaskBiasDropout",
    "Inverse",
    "GemmaRotaryEmbedding",
    "QuickGelu",
)

POOLING = ("AveragePool", "LpPool", "MaxPool")
ROUNDING = (
    *POOLING,
    *"Conv ConvInteger ConvTranspose Pad QLinearConv Resize Slice Upsample".split(),
)
"""Operators whose sizes are roundings of sizes. Left as they come, those of a deep network would
nest without end, and branches of one size that was rounded in two ways would seem to differ."""

Rule = Callable[[ShapeInferenceContext, ir.Node], None]


@cache
def register() -> None:
    """Teach the library these rules, once; what it knows by itself stays its own."""
    registry.collect()
    for op, standard in LIKE_STANDARD.items():
        _add(op, _standard(standard))
    for op, standard in LAST_TO_FIRST.items():
        _add(op, _channels_last(standard))
    for op in LIKE_FIRST_INPUT:
        _add(op, _like_first)
    for op in ("DynamicQuantizeMatMul", "MatMulIntegerToFloat"):
        _add(op, _float_product)
    for op in ROUNDING:
        for version in registry.version_boundaries("", op):
            known = registry.get("", op, version=version)
            rule = _same_pooled(known) if op in POOLING else known
            registry.register("", op, since_version=version)(_canonically(rule))


def _add(op: str, rule: Rule) -> None:
    if not registry.has(MICROSOFT, op):
        registry.register(MICROSOFT, op, since_version=1)(rule)


def _standard(op: str) -> Rule:
    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        rule = registry.get("", op, version=ctx.opset)
        if rule is not None:
            rule(ctx, node)

    return infer


def _channels_last(op: str) -> Rule:
    """The standard operator's shape on a stand-in whose channels come second."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        data = node.inputs[0]
        if data is None or data.shape is None or data.shape.rank() < 3:
            return
        first = [data.shape[0], data.shape[-1], *data.shape[1:-1]]
        inputs = [
            ir.val("x", data.dtype, ir.Shape(first)),
            *(_copy(value) for value in node.inputs[1:]),
        ]
        stand_in = ir.Node("", op, inputs, node.attributes.values())
        _standard(op)(ctx, stand_in)
        made = stand_in.outputs[0].shape
        if made is not None:
            last = ir.Shape([made[0], *made[2:], made[1]])
            ctx.set_shape_and_dtype(node.outputs[0], last, data.dtype)

    return infer


def _copy(value: ir.Value | None) -> ir.Value | None:
    """A value of that shape which no graph knows: the stand-in must not count as a user."""
    return None if value is None else ir.val(value.name, value.dtype, value.shape)


def _like_first(ctx: ShapeInferenceContext, node: ir.Node) -> None:
    data = node.inputs[0]
    if data is not None and data.shape is not None:
        ctx.set_shape_and_dtype(node.outputs[0], data.shape, data.dtype)


def _float_product(ctx: ShapeInferenceContext, node: ir.Node) -> None:
    """A matrix product of quantised numbers whose result is float32 again."""
    inputs = [_copy(value) for value in node.inputs[:2]]
    stand_in = ir.Node("", "MatMul", inputs)
    _standard("MatMul")(ctx, stand_in)
    if stand_in.outputs[0].shape is not None:
        ctx.set_shape_and_dtype(node.outputs[0], stand_in.outputs[0].shape, ir.DataType.FLOAT)


def _same_pooled(rule: Rule) -> Rule:
    """Pooling with SAME padding leaves ceil(input / stride) positions, open ones too."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        rule(ctx, node)
        data, mode = node.inputs[0], node.attributes.get("auto_pad")
        if mode is None or not mode.as_string().startswith("SAME_"):
            return
        if data is None or data.shape is None or data.shape.rank() < 3:
            return
        ones = (1,) * (data.shape.rank() - 2)
        strides = ints_attribute(node, "strides", ones)
        if len(strides) == len(ones) and min(strides) > 0:
            sizes: list[int | ir.SymbolicDim] = list(data.shape[:2])
            for dim, stride in zip(data.shape[2:], strides, strict=True):
                sizes.append(ceil(dim / stride))  # type: ignore[arg-type]  # of dims, a dim
            for value in node.outputs:
                value.shape = ir.Shape(sizes)

    return infer


def _canonically(rule: Rule) -> Rule:
    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        rule(ctx, node)
        for value in node.outputs:
            if value.shape is not None and any(map(is_compound, value.shape)):
                value.shape = ir.Shape([canonical(dim) for dim in value.shape])

    return infer
