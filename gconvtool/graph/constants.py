"""Constants, followed to where they are stored.

Through the operators that only rename, cast or reshape a tensor, so that a weight counts once, and
at its stored size, however it is wrapped.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from gconvtool.facts import Dim, Parameter, Shape

CARRIERS = frozenset(
    "Cast DequantizeLinear Identity QuantizeLinear Reshape Squeeze Transpose Unsqueeze".split()
)
"""Operators that hand a constant on."""


def stored(value: ir.Value | None) -> Parameter | None:
    """The constant behind a value, followed to where it is stored; None where it is computed."""
    source = origin(value)
    if source is None:
        return None
    if source.const_value is not None:
        return _parameter(source, source.const_value)
    node = source.producer()
    if node is not None and node.op_type == "ConstantOfShape":
        return _filled(source, node)
    tensor = ir.convenience.get_const_tensor(source)
    return None if tensor is None else _parameter(source, tensor)


def origin(value: ir.Value | None) -> ir.Value | None:
    """The value that is stored itself, as which a constant begins."""
    while value is not None and value.const_value is None:
        node = value.producer()
        if node is None:
            return None
        if node.op_type in CARRIERS and node.domain in ("", "com.microsoft"):
            value = node.inputs[0] if node.inputs else None
        else:
            return value if _is_constant(node) else None
    return value


def content(source: ir.Value) -> object:
    """What is stored there. It is one object for all copies of a node, as in calls of a function,
    and lives as long as the model."""
    if source.const_value is not None:
        return source.const_value
    node = source.producer()
    if node is None or node.op_type != "Constant":
        return source
    (found,) = (attribute.value for attribute in node.attributes.values())
    return source if isinstance(found, (int, float, str)) else found


def shape_of(value: ir.Value | None) -> Shape:
    """A value's shape in plain numbers and names; None for an unknown one, () for an absent one."""
    if value is None:
        return ()
    if value.shape is None:
        constant = stored(value)
        return None if constant is None else constant.shape
    return tuple(_dim(dim) for dim in value.shape)


def bits_of(value: ir.Value | None) -> int | None:
    """The size of one element; None where the type is not known, or has no fixed size."""
    if value is None or value.dtype is None or value.dtype is ir.DataType.STRING:
        return None
    return value.dtype.bitwidth


def number(value: ir.Value | None) -> int | bool | None:
    """The one number of a stored constant, if it is that."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.size != 1:
        return None
    found = tensor.numpy().reshape(())[()]
    return bool(found) if found.dtype == np.bool_ else int(found)


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute, or its default."""
    return node.attributes[name].as_int() if name in node.attributes else default


def ints_attribute(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """A list of integers, or its default."""
    return tuple(node.attributes[name].as_ints()) if name in node.attributes else default


def _is_constant(node: ir.Node) -> bool:
    return not node.domain and node.op_type in ("Constant", "ConstantOfShape")


def _dim(dim: int | ir.SymbolicDim) -> Dim:
    if isinstance(dim, int):
        return dim if dim >= 0 else None
    return dim.value


def _parameter(value: ir.Value, tensor: ir.TensorProtocol) -> Parameter:
    text = tensor.dtype is ir.DataType.STRING
    return Parameter(
        value.name or "",
        tuple(tensor.shape.numpy()),
        tensor.dtype.is_floating_point(),
        0 if text else tensor.dtype.bitwidth,
    )


def _filled(value: ir.Value, node: ir.Node) -> Parameter | None:
    """A constant that ConstantOfShape makes."""
    sizes = node.inputs[0] if node.inputs else None
    stored_sizes = None if sizes is None else ir.convenience.get_const_tensor(sizes)
    if stored_sizes is None:
        return None
    fill = node.attributes.get("value")
    dtype = ir.DataType.FLOAT if fill is None else fill.as_tensor().dtype
    shape = tuple(int(size) for size in np.ravel(stored_sizes.numpy()))
    return Parameter(value.name or "", shape, dtype.is_floating_point(), dtype.bitwidth)
