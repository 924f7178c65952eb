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

FIRST_IR_WITH_PRIVATE_INITIALIZERS = 4


def privatise_initializers(model: ir.Model) -> int:
    """Take initializers out of the graph's inputs, in place; returns how many.

    A weight that a caller could override is no constant, for us or for any runtime's fast paths.
    """
    before = len(model.graph.inputs)
    RemoveInitializersFromInputsPass()(model)
    removed = before - len(model.graph.inputs)
    if removed:
        model.ir_version = max(model.ir_version, FIRST_IR_WITH_PRIVATE_INITIALIZERS)
    return removed


def fold_batch_norms(model: ir.Model) -> int:
    """Fold every batch normalisation that follows a convolution alone; returns how many."""
    return sum(_fold(node, model.graph) for node in list(model.graph))


def array(value: ir.Value | None) -> NDArray[np.generic] | None:
    """The numbers of a stored constant, in its own type; None for anything computed."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def constant(graph: ir.Graph, name: str, numbers: NDArray[np.generic]) -> ir.Value:
    """A new initializer of the graph."""
    value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(numbers), name=name))
    graph.register_initializer(value)
    return value


def _fold(norm: ir.Node, graph: ir.Graph) -> bool:
    conv = _foldable(norm)
    if conv is None:
        return False
    weight, *statistics = (array(value) for value in (conv.inputs[1], *norm.inputs[1:]))
    bias = array(conv.inputs[2]) if len(conv.inputs) > 2 and conv.inputs[2] else np.zeros(1)
    if weight is None or bias is None or any(numbers is None for numbers in statistics):
        return False
    gamma, beta, mean, variance = (np.asarray(numbers, np.float64) for numbers in statistics)
    epsilon = norm.attributes["epsilon"].as_float() if "epsilon" in norm.attributes else 1e-5
    scale = gamma / np.sqrt(variance + epsilon)
    folded = weight.astype(np.float64) * scale.reshape(-1, *[1] * (weight.ndim - 1))
    shift = (bias.astype(np.float64) - mean) * scale + beta
    _replace(conv, norm, graph, folded.astype(weight.dtype), shift.astype(weight.dtype))
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
    spare = any(len(extra.uses()) > 0 for extra in norm.outputs[1:])
    return conv if alone and not spare else None


def _replace(
    conv: ir.Node,
    norm: ir.Node,
    graph: ir.Graph,
    weight: NDArray[np.generic],
    bias: NDArray[np.generic],
) -> None:
    name = conv.outputs[0].name
    conv.resize_inputs(3)
    conv.replace_input_with(1, constant(graph, f"{name}.folded_weight", weight))
    conv.replace_input_with(2, constant(graph, f"{name}.folded_bias", bias))
    norm.outputs[0].replace_all_uses_with(conv.outputs[0])
    graph.remove(norm, safe=True)
