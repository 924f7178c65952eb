"""What a file claims of its weights, looked at before any of them is read.

Their numbers must fill their shapes, and those in other files have places that a file can have.
ONNX's checker is shown small weights only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from math import prod

import onnx
import onnx_ir as ir

PLACE = re.compile(r"[0-9]{1,18}")
"""Bytes in a file: of 64 bits, and not negative."""
WITHOUT_SIZE = (ir.DataType.UNDEFINED, ir.DataType.STRING)
A_FIELD_EACH = {
    ir.DataType[name].value
    for name in "BFLOAT16 BOOL DOUBLE FLOAT FLOAT16 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 "
    "UINT64".split()
}
"""Types of which tensors that are not raw have a field for every number."""


def troubles(graph: onnx.GraphProto) -> Iterator[str]:
    """What is wrong with the weights of a graph, a line each; what it says of its nodes is left
    to the checker."""
    if graph.sparse_initializer:
        yield "it stores weights as sparse tensors, which are not read; export them dense"
    for name, count in Counter(tensor.name for tensor in graph.initializer).items():
        if count > 1:
            yield f"not a valid ONNX model: {count} weights are called {name}"
    for tensor in graph.initializer:
        yield from (f"weight {tensor.name} {trouble}" for trouble in _troubles(tensor))


def _troubles(tensor: onnx.TensorProto) -> Iterator[str]:
    if min(tensor.dims, default=0) < 0:
        yield f"has the shape {_shape(tensor)}"
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        yield from _misplaced(tensor)
    elif tensor.HasField("raw_data"):
        yield from _unfilled(tensor, len(tensor.raw_data))
    elif tensor.data_type in A_FIELD_EACH:
        count = len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type)))
        if count != prod(tensor.dims):
            yield f"has {count:,} numbers for the shape {_shape(tensor)}"


def _misplaced(tensor: onnx.TensorProto) -> Iterator[str]:
    place = {entry.key: entry.value for entry in tensor.external_data}
    if "\0" in place.get("location", "\0"):
        yield "names no file"
    if tensor.data_type == onnx.TensorProto.STRING:
        yield "is text, for which there are no files"
    for key in ("offset", "length"):
        if not PLACE.fullmatch(place.get(key, "0")):
            yield f"names no place in its file: its {key} is {place[key]!r:.40}"
    if "length" in place:
        yield from _unfilled(tensor, int(place["length"]))


def _unfilled(tensor: onnx.TensorProto, held: int) -> Iterator[str]:
    """So many bytes must fill the shape."""
    if tensor.data_type not in {kind.value for kind in ir.DataType if kind not in WITHOUT_SIZE}:
        return  # the checker knows those
    size = prod(tensor.dims) * ir.DataType(tensor.data_type).bitwidth
    if held != -(-size // 8):
        yield f"has {held:,} bytes for the shape {_shape(tensor)}"


def _shape(tensor: onnx.TensorProto) -> str:
    return "×".join(map(str, tensor.dims)) or "of one number"
