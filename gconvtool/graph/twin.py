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
"""Attributes whose number stands for a type."""


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
            _restate_attribute(node, attribute, odd)
    return twin


def unsupported(model: ir.Model) -> tuple[ir.DataType, ...]:
    """The types of its numbers that onnxruntime does not run it in."""
    found = []
    if any(BFLOAT16 in types for types in _types(model)):
        found.append(BFLOAT16)
    if any(_lacks_float64(node) for node in _nodes(model)):
        found.append(FLOAT64)
    return tuple(found)


def _types(model: ir.Model) -> Iterator[Collection[ir.DataType | None]]:
    yield from ((value.dtype,) for value in _values(model))
    for node in _nodes(model):
        yield from map(_named, node.attributes.values())


def _lacks_float64(node: ir.Node) -> bool:
    read = (value.dtype for value in node.inputs if value is not None)
    return not node.domain and node.op_type in NOT_IN_FLOAT64 and FLOAT64 in read


def _named(attribute: ir.Attr) -> tuple[ir.DataType, ...]:
    """The types that an attribute speaks of."""
    if attribute.is_ref():
        return ()
    if attribute.type is ir.AttributeType.INT and attribute.name in NAMING_A_TYPE:
        return (ir.DataType(attribute.as_int()),)
    if attribute.type is ir.AttributeType.TENSOR:
        return (attribute.as_tensor().dtype,)
    return ()


def _restate(value: ir.Value, odd: Collection[ir.DataType]) -> None:
    if value.dtype in odd:
        value.type = deepcopy(value.type)  # copies of a model share it
        value.dtype = FLOAT32
    if value.const_value is not None and value.const_value.dtype in odd:
        value.const_value = _in_float32(value.const_value)


def _restate_attribute(node: ir.Node, attribute: ir.Attr, odd: Collection[ir.DataType]) -> None:
    if not set(_named(attribute)) & set(odd):
        return
    name, tensor = attribute.name, attribute.type is ir.AttributeType.TENSOR
    node.attributes[name] = (
        ir.AttrTensor(name, _in_float32(attribute.as_tensor()))
        if tensor
        else ir.AttrInt64(name, FLOAT32.value)
    )


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
