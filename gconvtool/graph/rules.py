"""Shapes of onnxruntime's own operators that the shape inference library has no rule for.

A channels-last convolution has the shape of a plain one, with its axes in another order; the fused
ones have that of what they fuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from math import ceil, prod

import onnx_ir as ir
from onnx_shape_inference import (
    OpUsageError,
    ShapeInferenceContext,
    ShapeInferenceError,
    registry,
)

from gconvtool.graph import early, extents
from gconvtool.graph.constants import int_attribute, ints_attribute, shape_of
from gconvtool.graph.dims import canonical, is_compound

MICROSOFT = "com.microsoft"
LIKE_STANDARD = {
    "DynamicQuantizeLSTM": "LSTM",
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
QUANTISED = {
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearReduceMean": "ReduceMean",
}
"""Operators on the first of their inputs; the others are scales and zero points. The library takes
their outputs for as large as their inputs."""
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
WINDOWS = (*POOLING, "Conv", "ConvInteger", "ConvTranspose", "QLinearConv")
"""Operators whose output shapes follow from the shapes that go in, and from attributes."""
MOST_REMEMBERED = 10_000
MOST_DIMENSIONS = 64
ROUNDING = (
    *POOLING,
    *"Conv ConvInteger ConvTranspose MaxUnpool Pad QLinearConv Resize Slice Upsample".split(),
)
"""Operators whose sizes are roundings of sizes. Left as they come, those of a deep network would
nest without end, and branches of one size that was rounded in two ways would seem to differ."""

Rule = Callable[[ShapeInferenceContext, ir.Node], None]

_FAILED: ContextVar[dict[ir.Node, str] | None] = ContextVar("failed", default=None)


@cache
def register() -> None:
    """Teach the library these rules, once; what it knows by itself stays its own."""
    registry.collect()
    for op, standard in LIKE_STANDARD.items():
        _add(op, _standard(standard))
    for op, standard in LAST_TO_FIRST.items():
        _add(op, _channels_last(standard))
    for op, standard in QUANTISED.items():
        registry.register(MICROSOFT, op, since_version=1)(_quantised(standard))
    for op in LIKE_FIRST_INPUT:
        _add(op, _like_first)
    for op in ("DynamicQuantizeMatMul", "MatMulIntegerToFloat"):
        _add(op, _float_product)
    _wrap("Slice", extents.sliced)
    early.register()
    for wrapper, ops in (
        (extents.split, ("Split",)),
        (extents.resized, ("Resize",)),
        (extents.unpooled, ("MaxUnpool",)),
        (_pooled, POOLING),
        (_canonically, ROUNDING),
        (_remembered, WINDOWS),
        (_unconditional, ("Loop",)),
        (_bounded, ("Reshape",)),
    ):
        for op in ops:
            _wrap(op, wrapper)
    for domain, op, _ in list(registry.iter_supported()):
        _wrap(op, _forgiving, domain)


@contextmanager
def failures() -> Iterator[Mapping[ir.Node, str]]:
    """Nodes that rules fail at while inside, with what they say; inference goes on without them."""
    failed: dict[ir.Node, str] = {}
    token = _FAILED.set(failed)
    try:
        yield failed
    finally:
        _FAILED.reset(token)


def _add(op: str, rule: Rule) -> None:
    if not registry.has(MICROSOFT, op):
        registry.register(MICROSOFT, op, since_version=1)(rule)


def _wrap(op: str, wrapper: Callable[[Rule], Rule], domain: str = "") -> None:
    """Put something around the library's rule, in every version of the operator."""
    for version in dict.fromkeys(registry.version_boundaries(domain, op)):
        rule = registry.get(domain, op, version=version)
        registry.register(domain, op, since_version=version)(wrapper(rule))


def _forgiving(rule: Rule) -> Rule:
    """A node that contradicts itself is noted, and has no shapes; the library would stop there."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        failed = _FAILED.get()
        if failed is None:  # somebody else's inference
            return rule(ctx, node)
        before = [value.shape for value in node.outputs]
        try:
            return rule(ctx, node)
        except (OpUsageError, ShapeInferenceError) as error:
            failed[node] = error.message
        except OSError:  # the numbers that it wants are in a missing file, which is told elsewhere
            pass
        except Exception:  # rules do not expect what nobody would write
            failed[node] = f"no shape for {node.op_type}"
        for value, shape in zip(node.outputs, before, strict=True):
            value.shape = shape
        return None

    return infer


def _standard(op: str) -> Rule:
    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        rule = registry.get("", op, version=ctx.opset)
        if rule is not None:
            rule(ctx, node)

    return infer


def _unconditional(rule: Rule) -> Rule:
    """A Loop without a condition runs on; the library wants one."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        if len(node.inputs) < 2 or node.inputs[1] is not None:
            return rule(ctx, node)
        node.replace_input_with(1, ir.val("", ir.DataType.BOOL, ir.Shape([])))
        try:
            return rule(ctx, node)
        finally:
            node.replace_input_with(1, None)

    return infer


def _channels_last(op: str) -> Rule:
    """The standard operator's shape on a stand-in whose channels come second."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        data = node.inputs[0]
        if data is None or data.shape is None or data.shape.rank() < 3:
            return
        first = ir.Shape([data.shape[0], data.shape[-1], *data.shape[1:-1]])
        made = _made(ctx, op, node, (ir.val("x", data.dtype, first), *node.inputs[1:]))
        if made is not None:
            last = ir.Shape([made[0], *made[2:], made[1]])
            ctx.set_shape_and_dtype(node.outputs[0], last, data.dtype)

    return infer


def _quantised(op: str) -> Rule:
    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        if int_attribute(node, "channels_last", 0):
            return _channels_last(op)(ctx, node)
        data = node.inputs[0]
        made = _made(ctx, op, node, (data,))
        if data is not None and made is not None:
            ctx.set_shape_and_dtype(node.outputs[0], made, data.dtype)
        return None

    return infer


def _made(
    ctx: ShapeInferenceContext, op: str, node: ir.Node, inputs: Sequence[ir.Value | None]
) -> ir.Shape | None:
    """What the standard operator makes of these inputs with the attributes of this node."""
    stand_in = ir.Node("", op, [_copy(value) for value in inputs], node.attributes.values())
    _standard(op)(ctx, stand_in)
    failed = _FAILED.get() or {}
    if stand_in in failed:
        ctx.record_error(node, failed[stand_in])
    return stand_in.outputs[0].shape


def _copy(value: ir.Value | None) -> ir.Value | None:
    """A value of that shape which no graph knows: the stand-in must not count as a user."""
    return None if value is None else ir.val(value.name, value.dtype, value.shape)


def _like_first(ctx: ShapeInferenceContext, node: ir.Node) -> None:
    data = node.inputs[0]
    if data is not None and data.shape is not None:
        ctx.set_shape_and_dtype(node.outputs[0], data.shape, data.dtype)


def _float_product(ctx: ShapeInferenceContext, node: ir.Node) -> None:
    """A matrix product of quantised numbers whose result is float32 again."""
    made = _made(ctx, "MatMul", node, node.inputs[:2])
    if made is not None:
        ctx.set_shape_and_dtype(node.outputs[0], made, ir.DataType.FLOAT)


def _pooled(rule: Rule) -> Rule:
    """Pooling whose positions the library leaves open, or counts one too many, for open sizes.

    SAME padding leaves ceil(x / s) of a size x at stride s. ceil_mode lets a window hang over the
    end, but start no later than the data do: with pads p, p' and a window that reaches over r,

        min(ceil((x + p + p' − r) / s) + 1, ceil((x + p) / s))
            = ceil((x + p + min(0, s + p' − r)) / s)
    """

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        rule(ctx, node)
        data = node.inputs[0]
        if data is None or data.shape is None or node.outputs[0].shape is None:
            return
        margins = _margins(node, data.shape.rank() - 2)
        if margins is not None and not data.shape.is_static():
            sizes: list[int | ir.SymbolicDim] = list(data.shape[:2])
            for dim, margin, stride in zip(data.shape[2:], *margins, strict=True):
                sizes.append(ceil((dim + margin) / stride))  # type: ignore[arg-type]  # a dim
            for value in node.outputs:
                value.shape = ir.Shape(sizes)

    return infer


def _margins(node: ir.Node, axes: int) -> tuple[Sequence[int], Sequence[int]] | None:
    """What to add to sizes before they are divided by strides and rounded up, and the strides;
    None where windows are counted another way."""
    ones = (1,) * axes
    strides = ints_attribute(node, "strides", ones)
    mode = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    if mode.startswith("SAME_"):
        return (0,) * axes, strides
    if not int_attribute(node, "ceil_mode", 0):
        return None
    kernel = ints_attribute(node, "kernel_shape", ones)
    dilations = ints_attribute(node, "dilations", ones)
    pads = ints_attribute(node, "pads", (0,) * (2 * axes)) if mode != "VALID" else (0,) * (2 * axes)
    reaches = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    hanging = zip(pads[:axes], pads[axes:], strides, reaches, strict=True)
    return [begin + min(0, s + end - reach) for begin, end, s, reach in hanging], strides


def _canonically(rule: Rule) -> Rule:
    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        rule(ctx, node)
        for value in node.outputs:
            if value.shape is not None and any(map(is_compound, value.shape)):
                value.shape = ir.Shape([canonical(dim) for dim in value.shape])

    return infer


def _remembered(rule: Rule) -> Rule:
    """Expressions take long to make, and the layers of a network repeat each other."""
    known: dict[object, list[tuple[ir.Shape, ir.DataType | None]]] = {}

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        key = _signature(node)
        if key in known:
            for value, (shape, dtype) in zip(node.outputs, known[key], strict=True):
                ctx.set_shape_and_dtype(value, shape, dtype)
            return
        rule(ctx, node)
        made = [(v.shape, v.dtype) for v in node.outputs if v.shape is not None]
        if key is not None and len(made) == len(node.outputs) and len(known) < MOST_REMEMBERED:
            known[key] = made

    return infer


def _signature(node: ir.Node) -> object:
    """All that the shapes of its outputs follow from; None where a shape is not known."""
    shapes = tuple(
        None if v is None or v.shape is None else (*v.shape, v.dtype) for v in node.inputs
    )
    fresh = all(value.shape is None for value in node.outputs)
    if shapes[:1] == (None,) or not fresh:
        return None
    attributes = frozenset((name, str(a.value)) for name, a in node.attributes.items())
    return node.op_type, shapes, attributes, len(node.outputs)


def _bounded(rule: Rule) -> Rule:
    """Reshape, but for a rank that no tensor has: the library would list that many dimensions."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        told = shape_of(node.inputs[1]) if len(node.inputs) > 1 else None
        # What is no list is read like one, so that all of its numbers count.
        if prod(size for size in told or () if isinstance(size, int)) <= MOST_DIMENSIONS:
            rule(ctx, node)

    return infer
