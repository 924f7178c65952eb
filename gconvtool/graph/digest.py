"""What a small model is to a clock: its operators and their shapes, whatever its names and weights.

Two models with the same digest take the same time. Values are numbered in the order in which they
are met, weights count by type and shape; whole numbers (sizes, orders, axes) count as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import onnx_ir as ir

from gconvtool.graph.constants import shape_of


def digest(model: ir.Model) -> str:
    """64 hexadecimal digits."""
    return sha256("\n".join(_lines(model)).encode()).hexdigest()


def _lines(model: ir.Model) -> Iterator[str]:
    numbers: dict[ir.Value | None, int] = {None: 0}
    yield f"{sorted(model.opset_imports.items())}"
    for value in model.graph.inputs:
        yield f"{_number(value, numbers)} = {value.dtype} {shape_of(value)}"
    for node in model.graph:
        yield from _constants(node, numbers)
        read = [_number(value, numbers) for value in node.inputs]
        made = [_number(value, numbers) for value in node.outputs]
        yield f"{made} = {node.domain} {node.op_type} {read} {_attributes(node)}"
    yield f"{[_number(value, numbers) for value in model.graph.outputs]}"


def _number(value: ir.Value | None, numbers: dict[ir.Value | None, int]) -> int:
    return numbers.setdefault(value, len(numbers))


def _constants(node: ir.Node, numbers: dict[ir.Value | None, int]) -> Iterator[str]:
    """Those that are met here first."""
    for value in node.inputs:
        if value is not None and value.const_value is not None and value not in numbers:
            yield f"{_number(value, numbers)} = {_described(value.const_value)}"


def _attributes(node: ir.Node) -> list[tuple[str, str]]:
    return [
        (name, _described(a.value) if isinstance(a.value, ir.TensorProtocol) else str(a.value))
        for name, a in sorted(node.attributes.items())
    ]


def _described(tensor: ir.TensorProtocol) -> str:
    """Type and shape; and what it holds, unless that are weights."""
    held = "" if tensor.dtype.is_floating_point() else np.asarray(tensor.numpy()).tolist()
    return f"{tensor.dtype} {list(tensor.shape)} {held}"
