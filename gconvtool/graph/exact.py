"""Rewrites that change nothing but rounding.

Batch normalisation after a convolution scales and shifts each filter, so it folds in:

    W' = W · γ/√(σ² + ε)        b' = (b − μ) · γ/√(σ² + ε) + β

The convolution keeps its output's name, which then holds the normalised value.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveInitializersFromInputsPass

from gconvtool.graph.load import readable

FIRST_IR_WITH_PRIVATE_INITIALIZERS = 4
FIRST_OPSET_WITHOUT_IS_TEST = 7


def privatise_initializers(model: ir.Model) -> int:
    """Take initializers out of the graph's inputs, in place; returns how many.

    A weight that a caller could override is no constant, for us or for any runtime's fast paths.
    """
    before = len(model.graph.inputs)
    RemoveInitializersFromInputsPass()(model)
    model.ir_version = max(model.ir_version, FIRST_IR_WITH_PRIVATE_INITIALIZERS)
    return before - len(model.graph.inputs)


def fold_batch_norms(model: ir.Model) -> int:
    """Fold every batch normalisation that follows a convolution alone; returns how many."""
    if model.opset_imports.get("", 0) < FIRST_OPSET_WITHOUT_IS_TEST:
        return 0
    return sum(_fold(node, model.graph) for node in list(model.graph))


def array(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The numbers of a stored constant, in its own type; None for anything computed."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None:
        return None
    with readable(f"weight {value.name}"):
        return tensor.numpy()


def constant(graph: ir.Graph, name: str, numbers: NDArray[np.generic]) -> ir.Value:
    """A new initializer of the graph, under this name or one like it that is free."""
    taken = ir.convenience.create_value_mapping(graph)
    while name in taken:
        name += "_"
    value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(numbers), name=name))
    graph.register_initializer(value)
    return value


def drop_unread(graph: ir.Graph, value: ir.Value | None) -> None:
    """Remove a constant that nothing reads any more."""
    if value is None or value.uses() or value.is_graph_output() or value.is_graph_input():
        return
    maker = value.producer()
    if maker is not None and maker.op_type == "Constant":
        graph.remove(maker, safe=True)
    elif value.name is not None and value.name in graph.initializers:
        del graph.initializers[value.name]


def _fold(norm: ir.Node, graph: ir.Graph) -> bool:
    conv = _foldable(norm)
    if conv is None:
        return False
    weight, *statistics = (array(value) for value in (conv.inputs[1], *norm.inputs[1:]))
    bias = array(conv.inputs[2]) if len(conv.inputs) > 2 and conv.inputs[2] else np.zeros(1)
    if weight is None or bias is None or any(numbers is None for numbers in statistics):
        return False
    gamma, beta, mean, variance = (np.asarray(numbers, np.float64) for numbers in statistics)
    if {numbers.shape for numbers in (gamma, beta, mean, variance)} != {(len(weight),)}:
        return False  # before opset 9 there could be one a position
    epsilon = norm.attributes["epsilon"].as_float() if "epsilon" in norm.attributes else 1e-5
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + epsilon)
        folded = weight.astype(np.float64) * scale.reshape(-1, *[1] * (weight.ndim - 1))
        shift = (bias.astype(np.float64) - mean) * scale + beta
        folded, shift = folded.astype(weight.dtype), shift.astype(weight.dtype)
    if not (np.isfinite(folded).all() and np.isfinite(shift).all()):
        return False
    _replace(conv, norm, graph, folded, shift)
    return True


def _foldable(norm: ir.Node) -> ir.Node | None:
    """The convolution that an inference-mode normalisation follows, if nothing else reads it."""
    if norm.op_type != "BatchNormalization" or norm.domain or norm.outputs[0].is_graph_output():
        return None
    if "training_mode" in norm.attributes and norm.attributes["training_mode"].as_int():
        return None
    source = norm.inputs[0]
    conv = source.producer() if source else None
    if source is None or conv is None or conv.op_type != "Conv" or conv.domain:
        return None
    alone = len(source.uses()) == 1 and not source.is_graph_output()
    training = len(norm.outputs) > 1  # which is what more outputs meant up to opset 13
    return conv if alone and not training else None


def _replace(
    conv: ir.Node,
    norm: ir.Node,
    graph: ir.Graph,
    weight: NDArray[np.generic],
    bias: NDArray[np.generic],
) -> None:
    name, old = conv.outputs[0].name, {*conv.inputs[1:], *norm.inputs[1:]}
    conv.resize_inputs(3)
    conv.replace_input_with(1, constant(graph, f"{name}.folded_weight", weight))
    conv.replace_input_with(2, constant(graph, f"{name}.folded_bias", bias))
    norm.outputs[0].replace_all_uses_with(conv.outputs[0])
    graph.remove(norm, safe=True)
    for value in old:
        drop_unread(graph, value)
