"""Putting fitted weights into a graph, under the names that were there before."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from gconvtool.fit.moments import Array
from gconvtool.fit.structure import Factors
from gconvtool.fit.transposed import turned
from gconvtool.graph.bodies import find, forget
from gconvtool.graph.constants import int_attribute
from gconvtool.graph.emit import Writer
from gconvtool.graph.parts import array, replace_node
from gconvtool.graph.spelling import write
from gconvtool.spellings import Spelling

__all__ = ["Factors", "find", "replace", "storable", "weight_and_bias"]


def weight_and_bias(model: ir.Model, site: str) -> tuple[Array, Array]:
    """A convolution's weights as N × C/G·ΠK and its bias (zeros if it has none), in float64."""
    node = find(model, site)
    weight = array(node.inputs[1])
    assert weight is not None, f"{site} was surveyed with a constant weight"
    bias = array(node.inputs[2]) if len(node.inputs) > 2 else None
    if node.op_type == "ConvTranspose":
        weight = turned(weight, int_attribute(node, "group", 1))
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    return rows, np.zeros(len(rows)) if bias is None else bias.astype(np.float64)


def storable(model: ir.Model, site: str, factors: Factors) -> bool:
    """Whether new weights stay finite in the type of the old ones."""
    weight = array(find(model, site).inputs[1])
    assert weight is not None, f"{site} was surveyed with a constant weight"
    parts = (part for part in vars(factors).values() if isinstance(part, np.ndarray))
    with np.errstate(over="ignore"):
        rounded = [part.astype(weight.dtype).astype(np.float64) for part in parts]
    return all(np.isfinite(numbers).all() for numbers in rounded)


def replace(model: ir.Model, site: str, factors: Factors, spelling: Spelling = "auto") -> None:
    """Put new weights in the place of a convolution, in place; its output keeps its name.

    Weights that nothing else reads go; shapes of the values in between are not inferred.
    """
    node = find(model, site)
    writer, inputs = Writer(model, node, groups_allowed=spelling != "split"), node.inputs
    result = write(writer, factors, spelling)
    replace_node(node, writer.nodes, result)
    for value in inputs[1:]:
        forget(value)
