"""Shapes in models of early versions of the operators, by the library's rules for later ones.

    version 1    sizes of Reshape, Slice, TopK and Upsample are attributes
    before 7     the second input of an arithmetic operator is broadcast to the first, where `axis`
                 may say along which of its dimensions
    before 10    Resize is Upsample

Operators that were on trial and dropped make outputs as large as their inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import onnx_ir as ir
from onnx_shape_inference import ShapeInferenceContext, registry

from gconvtool.graph import extents
from gconvtool.graph.constants import ints_attribute

Rule: TypeAlias = Callable[[ShapeInferenceContext, ir.Node], None]

ARITHMETIC = "Add And Div Equal Greater Less Mul Or Pow Sub Xor".split()
"""Operators of two inputs that are broadcast."""
LIKE_LATER: Mapping[str, int] = {
    "Dropout": 7,
    "GRU": 7,
    "Gemm": 7,
    "LSTM": 7,
    "Max": 8,
    "Mean": 8,
    "Min": 8,
    "RNN": 7,
    "Split": 2,
    "Sum": 8,
}
"""Operators whose first versions have the shapes of a later one."""
ON_TRIAL = ("Affine", "ImageScaler", "ParametricSoftplus", "ScaledTanh")


def register() -> None:
    """Teach the library the versions that it does not know."""
    for op in ARITHMETIC:
        _add(op, 1, _broadcast(_rule(op, 7)))
    for op, version in LIKE_LATER.items():
        _add(op, 1, _rule(op, version))
    _add("Concat", 1, _along_channels(_rule("Concat", 4)))
    _add("Reshape", 1, _reshaped_by_attribute(_rule("Reshape", 5)))
    for op in ON_TRIAL:
        _add(op, 1, _rule("Identity", 1))
    upsample = _rule("Upsample", 9)
    _add("Resize", 11, _rule("Resize", 11))
    _add("Resize", 10, upsample)
    _add("Upsample", 9, upsample)
    _add("Upsample", 7, extents.upsampled_by_attribute(upsample))
    _add("Slice", 1, extents.sliced_by_attributes)
    _add("TopK", 1, extents.top_by_attribute)


def _rule(op: str, version: int) -> Rule:
    rule: Rule = registry.get("", op, version=version)
    return rule


def _add(op: str, version: int, rule: Rule) -> None:
    registry.register("", op, since_version=version)(rule)


def _broadcast(rule: Rule) -> Rule:
    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        if "axis" in node.attributes:
            return _apply(rule, ctx, node, (node.inputs[0], node.inputs[0]))
        return rule(ctx, node)

    return infer


def _along_channels(rule: Rule) -> Rule:
    """Where nothing else is said."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        if "axis" in node.attributes:
            return rule(ctx, node)
        return _apply(rule, ctx, node, node.inputs, ir.AttrInt64("axis", 1))

    return infer


def _reshaped_by_attribute(rule: Rule) -> Rule:
    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        sizes = ir.tensor(list(ints_attribute(node, "shape", ())), ir.DataType.INT64)
        return _apply(rule, ctx, node, (node.inputs[0], ir.val("shape", const_value=sizes)))

    return infer


def _apply(
    rule: Rule,
    ctx: ShapeInferenceContext,
    node: ir.Node,
    inputs: Sequence[ir.Value | None],
    *attributes: ir.Attr,
) -> None:
    """Give the node's output what a stand-in with these inputs would have."""
    stand_in = ir.Node("", node.op_type, [_copy(value) for value in inputs], attributes)
    rule(ctx, stand_in)
    made = stand_in.outputs[0]
    ctx.set_shape_and_dtype(node.outputs[0], made.shape, made.dtype)


def _copy(value: ir.Value | None) -> ir.Value | None:
    """A value of that shape which no graph knows: the stand-in must not count as a user."""
    return value and ir.val(value.name, value.dtype, value.shape, const_value=value.const_value)
