"""Batch normalisations that cannot be folded into a convolution, and so stay.

Such a normalisation is y = a·x + c for each channel, with a = γ/√(σ² + ε) and c = β − a·μ. A new a
and c are written as the γ and β that make them; the statistics stay as they are.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from gconvtool.fit.moments import Array
from gconvtool.graph.exact import Affine, normalisation
from gconvtool.graph.parts import array, constant, drop_unread
from gconvtool.graph.surgery import find


def standing(model: ir.Model) -> tuple[str, ...]:
    """Names of the outputs of those that use stored statistics, outside of bodies."""
    return tuple(
        node.outputs[0].name or ""
        for node in model.graph
        if node.op_type == "BatchNormalization" and not node.domain and affine_of(node) is not None
    )


def affine_of(node: ir.Node) -> Affine | None:
    """What a normalisation does to its input; None where that is computed."""
    gamma = array(node.inputs[1]) if len(node.inputs) > 1 else None
    return None if gamma is None or gamma.ndim != 1 else normalisation(node, len(gamma))


def rescale(model: ir.Model, name: str, scale: Array, shift: Array) -> None:
    """Let the normalisation that makes a value compute scale·x + shift, in place."""
    node = find(model, name)
    gamma, beta, mean = (array(value) for value in node.inputs[1:4])
    now = affine_of(node)
    assert now is not None
    assert gamma is not None
    assert beta is not None
    assert mean is not None
    deviation = np.divide(gamma, now.scale, out=np.ones(len(gamma)), where=now.scale != 0)
    written = {
        1: (scale * deviation, gamma),
        2: (shift + scale * mean.astype(np.float64), beta),
    }
    for index, (numbers, old) in written.items():
        value = node.inputs[index]
        new = constant(model.graph, f"{name}.refitted_{index}", numbers.astype(old.dtype))
        node.replace_input_with(index, new)
        drop_unread(model.graph, value)
