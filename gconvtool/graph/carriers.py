"""Constants behind operators that only rename, cast or reshape them, and what those make of them.

    stored → Identity, Cast, Transpose, Reshape, Squeeze, Unsqueeze → what a convolution reads

Quantisation is none of these: its scales belong to the numbers, and a runtime wants to see both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.graph.constants import int_attribute, ints_attribute
from gconvtool.graph.load import numbers

Array: TypeAlias = NDArray[Any]
TYPES = "BFLOAT16 BOOL DOUBLE FLOAT FLOAT16 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64"
CASTS = frozenset(ir.DataType[name].value for name in TYPES.split())
"""Types to which numpy casts as runtimes do."""


def root(value: ir.Value | None) -> ir.Value | None:
    """The value at which carriers begin: stored, computed or fed."""
    for carrier in _upwards(value):
        value = carrier.inputs[0]
    return value


def is_constant(value: ir.Value | None) -> bool:
    """Its numbers are stored, as they are or behind carriers; they are not read for that."""
    return _stored(root(value)) is not None


def carried(value: ir.Value | None) -> Array | None:
    """The numbers of a constant, in the type and shape in which they arrive; None where computed.

    Raises:
        ValueError: they do not fit what is made of them.
    """
    tensor, carriers = _stored(root(value)), list(_upwards(value))
    if tensor is None:
        return None
    found = numbers(tensor)
    for carrier in reversed(carriers):
        found = CARRIED[carrier.op_type](carrier, found)
    return found


def way(value: ir.Value | None) -> tuple[object, ...]:
    """Where a constant is stored, and what is made of it from there; equal ones hold the same."""
    made = (_said(carrier) for carrier in _upwards(value) if carrier.op_type != "Identity")
    return (root(value), *made)


def integers(node: ir.Node, name: str, index: int) -> tuple[int, ...] | None:
    """A list that is an attribute, or from some opset on an input; None if absent or computed."""
    if name in node.attributes:
        return ints_attribute(node, name, ())
    found = carried(node.inputs[index]) if index < len(node.inputs) else None
    return None if found is None else tuple(int(n) for n in found.reshape(-1))


def _upwards(value: ir.Value | None) -> Iterator[ir.Node]:
    """The carriers from a value up to where it is stored, or computed."""
    while value is not None and _stored(value) is None:
        node = value.producer()
        if node is None or not _carries(node):
            return
        yield node
        value = node.inputs[0]


def _stored(value: ir.Value | None) -> ir.TensorProtocol | None:
    if value is None or value.is_graph_input():
        return None
    return ir.convenience.get_const_tensor(value)


def _carries(node: ir.Node) -> bool:
    """It is one of them, and all that it is told is stored."""
    if node.op_type not in CARRIED or node.domain or not node.inputs:
        return False
    if node.op_type == "Cast" and int_attribute(node, "to", 0) not in CASTS:
        return False
    return all(value is None or _stored(value) is not None for value in node.inputs[1:])


def _said(node: ir.Node) -> tuple[object, ...]:
    """All that a carrier is told."""
    told = (numbers(tensor) for x in node.inputs[1:] if (tensor := _stored(x)) is not None)
    lists = tuple((array.shape, array.tobytes()) for array in told)
    attributes = sorted((name, repr(held.value)) for name, held in node.attributes.items())
    return (node.op_type, tuple(attributes), lists)


def _cast(node: ir.Node, x: Array) -> Array:
    with np.errstate(all="ignore"):  # what is too large becomes infinite, as it does in runtimes
        return np.asarray(x, ir.DataType(int_attribute(node, "to", 0)).numpy())


def _transpose(node: ir.Node, x: Array) -> Array:
    return np.transpose(x, ints_attribute(node, "perm", tuple(reversed(range(x.ndim)))))


def _reshape(node: ir.Node, x: Array) -> Array:
    """A size of 0 is that of the input, if nothing else is said."""
    sizes = integers(node, "shape", 1) or ()
    if not int_attribute(node, "allowzero", 0):
        pairs = zip_longest(sizes, x.shape[: len(sizes)], fillvalue=0)
        sizes = tuple(size or same for size, same in pairs)
    return x.reshape(sizes)


def _squeeze(node: ir.Node, x: Array) -> Array:
    return np.squeeze(x, integers(node, "axes", 1))


def _unsqueeze(node: ir.Node, x: Array) -> Array:
    return np.expand_dims(x, integers(node, "axes", 1) or ())


CARRIED: Mapping[str, Callable[[ir.Node, Array], Array]] = {
    "Cast": _cast,
    "Identity": lambda node, x: x,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
