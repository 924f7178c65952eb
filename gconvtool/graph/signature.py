"""What a model must be fed."""

from __future__ import annotations

import onnx_ir as ir

from gconvtool.errors import InputError
from gconvtool.facts import Input
from gconvtool.graph.constants import shape_of


def signature(model: ir.Model) -> tuple[Input, ...]:
    """The inputs that have no stored value.

    Raises:
        InputError: one is not a tensor of numbers.
    """
    return tuple(_input(value) for value in model.graph.inputs if not value.is_initializer())


def _input(value: ir.Value) -> Input:
    if not isinstance(value.type, ir.TensorType) or value.dtype is None:
        raise InputError(f"input {value.name} is no tensor: such models cannot be fed")
    if value.dtype is ir.DataType.STRING:
        raise InputError(f"input {value.name} holds strings: such models cannot be fed")
    bfloat16 = value.dtype is ir.DataType.BFLOAT16  # which numpy has not: see `graph.twin`
    fed = ir.DataType.FLOAT if bfloat16 else value.dtype
    return Input(value.name or "", fed.numpy().name, shape_of(value))
