"""A network's twin in float32, for types of numbers that onnxruntime's CPU kernels do not take.

They take bfloat16 nowhere, and float64 in few of the operators that networks are made of; there is
no convolution of it. The twin has the same nodes under the same names, and where types, constants
and casts said one of these, they say float32. That holds every bfloat16 exactly, and what a network
computes in float64 up to rounding. A twin is run, so that there is something to fit to and to
compare; it is never written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from copy import deepcopy

import numpy as np
import onnx_ir as ir

from gconvtool.graph.load import numbers

BFLOAT16, FLOAT32, FLOAT64 = ir.DataType.BFLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE
NOT_IN_FLOAT64 = frozenset(
    "AveragePool Celu Conv ConvTranspose Elu Erf Gelu GlobalAveragePool GlobalMaxPool HardSigmoid "
    "HardSwish InstanceNormalization LRN LeakyRelu LpPool MeanVarianceNormalization Mish PRelu "
    "Resize Selu Softplus Softsign ThresholdedRelu".split()
)
"""Operators that onnxruntime 1.32 has for float32 and not for float64."""
NAMING_A_TYPE = ("to", "dtype", "output_datatype", "output_dtype")
"""Attributes of ONNX's own operators whose number stands for a type."""


def runnable(model: ir.Model) -> ir.Model:
    """The model itself if onnxruntime has its types of numbers, and else its twin."""
    odd = unsupported(model)
    if not odd:
        return model
    twin = model.clone()
    for value in _values(twin):
        _restate(value, odd)
    for node in _nodes(twin):
        for attribute in list(node.attributes.values()):
            if _type_in(node, attribute) in odd:
                node.attributes[attribute.name] = _saying_float32(attribute)
    return twin


def unsupported(model: ir.Model) -> tuple[ir.DataType, ...]:
    """The types of its numbers that onnxruntime does not run it in."""
    found = []
    if BFLOAT16 in _types(model):
        found.append(BFLOAT16)
    if any(_lacks_float64(node) for node in _nodes(model)):
        found.append(FLOAT64)
    return tuple(found)


def _types(model: ir.Model) -> Iterator[int | None]:
    """ONNX's numbers of all types that a model speaks of."""
    yield from (value.dtype for value in _values(model))
    for node in _nodes(model):
        yield from (_type_in(node, attribute) for attribute in node.attributes.values())


def _lacks_float64(node: ir.Node) -> bool:
    here = not node.domain and node.op_type in NOT_IN_FLOAT64
    return here and any(_is_float64(value) for value in node.inputs if value is not None)


def _is_float64(value: ir.Value) -> bool:
    tensor = ir.convenience.get_const_tensor(value) if value.dtype is None else value
    return tensor is not None and tensor.dtype is FLOAT64


def _type_in(node: ir.Node, attribute: ir.Attr) -> int | None:
    """The type that an attribute speaks of; what numbers mean in other domains nobody knows."""
    if attribute.is_ref():
        return None
    if attribute.type is ir.AttributeType.TENSOR:
        return attribute.as_tensor().dtype
    speaks = attribute.type is ir.AttributeType.INT and attribute.name in NAMING_A_TYPE
    return attribute.as_int() if speaks and not node.domain else None


def _restate(value: ir.Value, odd: Collection[ir.DataType]) -> None:
    if value.dtype in odd:
        value.type = deepcopy(value.type)  # copies of a model share it
        value.dtype = FLOAT32
    if value.const_value is not None and value.const_value.dtype in odd:
        value.const_value = _in_float32(value.const_value)


def _saying_float32(attribute: ir.Attr) -> ir.Attr:
    if attribute.type is ir.AttributeType.TENSOR:
        return ir.AttrTensor(attribute.name, _in_float32(attribute.as_tensor()))
    return ir.AttrInt64(attribute.name, FLOAT32.value)


def _in_float32(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    with np.errstate(over="ignore"):
        return ir.tensor(numbers(tensor).astype(np.float32), name=tensor.name)


def _graphs(model: ir.Model) -> Iterator[ir.Graph | ir.Function]:
    yield from model.graphs()
    for function in model.functions.values():
        yield function
        yield from function.subgraphs()


def _nodes(model: ir.Model) -> Iterable[ir.Node]:
    return (node for graph in _graphs(model) for node in graph)


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in _graphs(model):
        yield from graph.inputs
        if isinstance(graph, ir.Graph):
            yield from graph.initializers.values()
        for node in graph:
            yield from node.outputs
