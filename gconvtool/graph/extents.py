"""Sizes behind Slice and other operators that cut or stretch, where the library guesses or stops.

What Slice leaves of a size x from s to e in steps of k, with both bounds inside of the size:

    k > 0:  ceil((min(x, e) − min(x, s)) / k)            s < 0 is max(0, x + s), e < 0 is x + e
    k < 0:  ceil((min(x − 1, s) − max(−1, e)) / −k)      s < 0 is x + s, and 0 at least

It is written as the least of sums, so that an open size is one `min(100, W)`, and as nothing where
those are negative. Bounds that are open sizes themselves, as in `x[:, :h]`, count from the front.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import floor
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
import sympy
from onnx_shape_inference import ShapeInferenceContext

from gconvtool.graph.constants import int_attribute, ints_attribute

Rule: TypeAlias = Callable[[ShapeInferenceContext, ir.Node], None]
Size: TypeAlias = int | ir.SymbolicDim
Sizes: TypeAlias = Sequence[Size] | None
"""Numbers that a node reads; None where they are not known, () where they are absent."""

FARTHEST = 2**31 - 1
"""A bound of this size or more is the end of any size."""


def sliced(rule: Rule) -> Rule:
    """Slice: the library takes a constant end for one that is inside of every open size."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        made = node.outputs[0]
        before, made.shape = made.shape, None
        rule(ctx, node)  # it hands numbers on as well
        made.shape = before
        starts, ends, axes, steps = (_numbers(ctx, node, index) for index in range(1, 5))
        _cut(ctx, node, starts, ends, axes, steps)

    return infer


def sliced_by_attributes(ctx: ShapeInferenceContext, node: ir.Node) -> None:
    """Slice before version 10 of the operators."""
    starts, ends, axes = (ints_attribute(node, name, ()) for name in ("starts", "ends", "axes"))
    _cut(ctx, node, starts, ends, axes, ())


def _cut(
    ctx: ShapeInferenceContext, node: ir.Node, starts: Sizes, ends: Sizes, axes: Sizes, steps: Sizes
) -> None:
    data = node.inputs[0]
    if data is None or data.shape is None:
        return
    count = len(next((known for known in (starts, ends) if known is not None), data.shape))
    places = range(count) if axes == () else axes
    numbers = [place for place in places or () if isinstance(place, int)]
    sizes: list[Size | None] = list(data.shape)
    if places is None or len(numbers) < len(places):
        sizes = [None] * len(sizes)
    else:
        unknown = (None,) * len(numbers)
        strides = (1,) * len(numbers) if steps == () else steps
        cuts = (numbers, starts or unknown, ends or unknown, strides or unknown)
        for place, start, end, step in zip(*cuts, strict=True):
            sizes[place] = _left(data.shape[place], start, end, step)
    _set(ctx, node.outputs[0], sizes, data.dtype)


def _left(size: Size, start: Size | None, end: Size | None, step: Size | None) -> Size | None:
    """What is left of one size."""
    x, s, e = (_expression(number) for number in (size, start, end))
    if x is None or s is None or e is None or not isinstance(step, int):
        return None
    first = _first_forwards(x, s) if step > 0 else _first_backwards(x, s)
    last = _last_forwards(x, e) if step > 0 else _last_backwards(x, e)
    sums = [sympy.ceiling((a + b) / abs(step)) for a, b in product(first, last)]
    return _size(sympy.Max(0, sympy.Min(*sums))) if sums else None


Bound: TypeAlias = tuple[sympy.Expr, ...]
"""One term of the difference, as the least of these; none where it is not that simple."""


def _last_forwards(x: sympy.Expr, e: sympy.Expr) -> Bound:
    if e.is_negative:
        return (x + e,)
    return (x,) if _far(e) else (x, e)


def _first_forwards(x: sympy.Expr, s: sympy.Expr) -> Bound:
    if s.is_negative:
        return (sympy.S.Zero,) if _far(-s) else (sympy.S.Zero, -x - s)
    return (-x,) if _far(s) else (-s,)


def _first_backwards(x: sympy.Expr, s: sympy.Expr) -> Bound:
    if s == -1 or _far(s):
        return (x - 1,)
    if s.is_negative:
        return (sympy.Max(0, x + s),) if x.is_Integer else ()
    return (x - 1, s)


def _last_backwards(x: sympy.Expr, e: sympy.Expr) -> Bound:
    if e.is_negative:
        return (sympy.S.One,) if _far(-e) else (sympy.S.One, -x - e)
    return (-e,)


def _far(bound: sympy.Expr) -> bool:
    return bool(bound.is_Integer and bound >= FARTHEST)


def split(rule: Rule) -> Rule:
    """Split: the library takes parts whose sizes it does not know for equal ones."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        data, given = node.inputs[0], node.inputs[1] if len(node.inputs) > 1 else None
        if given is None or ir.convenience.get_const_tensor(given) is not None:
            return rule(ctx, node)
        if data is None or data.shape is None:
            return None
        axis = int_attribute(node, "axis", 0)
        parts = _numbers(ctx, node, 1) or (None,) * len(node.outputs)
        for output, part in zip(node.outputs, parts, strict=True):
            sizes: list[Size | None] = list(data.shape)
            sizes[axis] = part
            _set(ctx, output, sizes, data.dtype)
        return None

    return infer


def resized(rule: Rule) -> Rule:
    """Resize: one scale for all axes where the aspect ratio is kept, and sizes are rounded."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        data, policy = node.inputs[0], node.attributes.get("keep_aspect_ratio_policy")
        wanted = _numbers(ctx, node, 3)
        if policy is None or policy.as_string() == "stretch" or wanted == ():
            return rule(ctx, node)
        if data is None or data.shape is None:
            return None
        axes = ints_attribute(node, "axes", tuple(range(len(data.shape))))
        sizes: list[Size | None] = list(data.shape)
        scale = _scale([data.shape[axis] for axis in axes], wanted, policy.as_string())
        for axis in axes:
            sizes[axis] = _scaled(data.shape[axis], scale)
        return _set(ctx, node.outputs[0], sizes, data.dtype)

    return infer


def _scale(sizes: Sequence[Size], wanted: Sizes, policy: str) -> float | None:
    """In single precision, as onnxruntime calculates: halves are rounded."""
    pairs = list(zip(sizes, wanted or (), strict=wanted is not None))
    known = [(a, b) for a, b in pairs if isinstance(a, int) and isinstance(b, int) and a > 0]
    if not known or len(known) < len(pairs):
        return None
    scales = [float(np.float32(b) / np.float32(a)) for a, b in known]
    return min(scales) if policy == "not_larger" else max(scales)


def _scaled(size: Size, scale: float | None) -> int | None:
    if scale is None or not isinstance(size, int):
        return None
    return floor(float(np.float32(scale) * np.float32(size) + np.float32(0.5)))


def unpooled(rule: Rule) -> Rule:
    """MaxUnpool: as large as the map of which every window would be full."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        data = node.inputs[0]
        if data is None or data.shape is None or len(node.inputs) > 2:
            return rule(ctx, node)
        axes = len(data.shape) - 2
        kernel = ints_attribute(node, "kernel_shape", ())
        strides = ints_attribute(node, "strides", (1,) * axes)
        pads = ints_attribute(node, "pads", (0,) * (2 * axes))
        margins = zip(kernel, pads[:axes], pads[axes:], strict=True)
        reaches = [k - begin - end for k, begin, end in margins]
        maps = zip(data.shape[2:], strides, reaches, strict=True)
        sizes = [*data.shape[:2], *((size - 1) * stride + reach for size, stride, reach in maps)]
        return _set(ctx, node.outputs[0], sizes, data.dtype)

    return infer


def upsampled_by_attribute(rule: Rule) -> Rule:
    """Upsample before version 9 of the operators, by the rule of that."""

    def infer(ctx: ShapeInferenceContext, node: ir.Node) -> None:
        data, scales = node.inputs[0], node.attributes.get("scales")
        if data is None or scales is None:
            return
        numbers = ir.tensor(list(scales.as_floats()), ir.DataType.FLOAT)
        copy = ir.val(data.name, data.dtype, data.shape)
        factors = ir.val("scales", const_value=numbers)
        stand_in = ir.Node("", "Upsample", [copy, factors])
        rule(ctx, stand_in)
        ctx.set_shape_and_dtype(node.outputs[0], stand_in.outputs[0].shape, data.dtype)

    return infer


def top_by_attribute(ctx: ShapeInferenceContext, node: ir.Node) -> None:
    """TopK before version 10."""
    data = node.inputs[0]
    if data is None or data.shape is None:
        return
    sizes: list[Size | None] = list(data.shape)
    sizes[int_attribute(node, "axis", -1)] = int_attribute(node, "k", 1)
    for output, dtype in zip(node.outputs, (data.dtype, ir.DataType.INT64), strict=False):
        _set(ctx, output, sizes, dtype)


def _numbers(ctx: ShapeInferenceContext, node: ir.Node, index: int) -> Sizes:
    value = node.inputs[index] if index < len(node.inputs) else None
    return () if value is None else ctx.get_symbolic_value(value)


def _set(
    ctx: ShapeInferenceContext,
    output: ir.Value,
    sizes: Sequence[Size | None],
    dtype: ir.DataType | None,
) -> None:
    """A shape whose unknown sizes are told apart."""
    named = [ctx.new_symbolic_dim() if size is None else size for size in sizes]
    ctx.set_shape_and_dtype(output, ir.Shape(named), dtype)


def _expression(size: Size | None) -> sympy.Expr | None:
    if size is None or isinstance(size, int):
        return None if size is None else sympy.Integer(size)
    try:
        return size._expr
    except ValueError:  # a name that is none in a formula
        return None


def _size(expression: sympy.Expr) -> Size:
    return int(expression) if expression.is_Integer else ir.SymbolicDim(expression)
