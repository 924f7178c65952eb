"""A fully connected layer over a flattened feature map, written as the convolution that it is.

    y = α·x_flat·B + β·c          W[n] = α·B[:, n] as C × H × W,  b = β·c

Flattening puts channel c, position (h, w) at (c·H + h)·W + w, which is the order that a kernel is
stored in: the convolution's kernel is the whole map, one position is left, and what was a row of
the layer's output is its N × M × 1 × 1 output, flattened. An addition behind a MatMul stays.

Runtimes are quicker with the layer, and take less memory for it (onnxruntime half as much), so that
it is written as a convolution only where something else takes that one's place at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias, cast

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.facts import ConvSite, Skip
from gconvtool.fit.hidden import rounding
from gconvtool.fit.moments import Array
from gconvtool.graph import surgery
from gconvtool.graph.bodies import forget, fresh, home, named
from gconvtool.graph.constants import int_attribute, number, shape_of
from gconvtool.graph.parts import (
    FIRST_OPSET_THAT_BROADCASTS,
    Numbers,
    array,
    constant,
    opset,
    replace_node,
)
from gconvtool.graph.sites import FLATTENING, PASSING, convolved, not_stored
from gconvtool.graph.surgery import Factors, find
from gconvtool.results.conversion import Certificate
from gconvtool.spellings import Spelling

Floats: TypeAlias = NDArray[np.floating[Any]]
BECAUSE = "a flattened map and a kernel as large as the map are stored in the same order"


def refusals(model: ir.Model, heads: Mapping[str, ConvSite]) -> Mapping[str, Skip]:
    """The heads (as surveyed) that cannot be written as convolutions, and why."""
    if opset(model) < FIRST_OPSET_THAT_BROADCASTS:
        old = Skip(f"opset {opset(model)}: fully connected layers meant something else then")
        return dict.fromkeys(heads, old)
    nodes, types = dict(named(model.graph)), convolved(model)
    reasons = {name: _refusal(nodes[name], site, types) for name, site in heads.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def as_convolution(model: ir.Model, head: ConvSite) -> tuple[Certificate, ...]:
    """Write a head that is not refused as Conv → Flatten, in place; nothing if it is refused.

    The flattened output has the name that it had; `convolution_of` says what the Conv is called.
    """
    if refusals(model, {head.name: head}):
        return ()
    node = find(model, head.name)
    weight, difference = _weight(node, head)
    bound = rounding(weight.dtype) if difference else 0.0
    if not difference <= bound:
        return ()
    _put(model, node, weight, head)
    return (Certificate("head as convolution", head.name, BECAUSE, difference, bound),)


def replace(model: ir.Model, head: ConvSite, factors: Factors, spelling: Spelling = "auto") -> None:
    """Put new weights in the place of a head that is not refused, in place; its output keeps its
    name and shape."""
    node = find(model, head.name)
    stored = array(node.inputs[1])
    assert stored is not None, "a head that is not refused has a constant weight"
    # Nobody reads these numbers, and zeros that are never touched take no memory.
    unwritten = np.zeros((head.filters, head.channels, *head.kernel), stored.dtype)
    _put(model, node, unwritten, head)
    surgery.replace(model, convolution_of(model, head.name), factors, spelling)


def weight_and_bias(model: ir.Model, head: ConvSite) -> tuple[Floats, Array]:
    """The kernel of a head that is not refused as N × C·ΠK, in the type in which it is stored (it
    may be most of the network), and its bias in float64, zeros if it has none."""
    node = find(model, head.name)
    bias = _bias(node, head.filters)
    rows = cast("Floats", _weight(node, head)[0].reshape(head.filters, -1))
    return rows, bias if isinstance(bias, np.ndarray) else np.zeros(head.filters)


def convolution_of(model: ir.Model, head: str) -> str:
    """The name of the convolution that a head has become: that of what its Flatten reads."""
    node = find(model, head)
    source, made = node.inputs[0], node.outputs[0].name or ""
    assert source is not None
    assert source.name
    return head.removesuffix(made) + source.name


def _refusal(node: ir.Node, head: ConvSite, types: Collection[ir.DataType | None]) -> Skip | None:
    weight = array(node.inputs[1])
    if weight is None:
        return not_stored(node.inputs[1])
    if ir.DataType.from_numpy(weight.dtype) not in types:
        return Skip(f"its weight is {weight.dtype}, and the network has no convolution of that")
    if int_attribute(node, "transA", 0):
        return Skip("it transposes what it reads")
    if any(_drops(passed) for passed in _between(node)):
        return Skip("a Dropout before it is in training mode")
    bias = _bias(node, head.filters)
    return bias if isinstance(bias, Skip) else None


def _between(node: ir.Node) -> list[ir.Node]:
    """What stands between the map and the layer, from the layer upwards; the flattening is last."""
    found = list[ir.Node]()
    while not found or found[-1].op_type not in FLATTENING:
        value = (found[-1] if found else node).inputs[0]
        maker = None if value is None else value.producer()
        assert maker is not None
        assert maker.op_type in (*FLATTENING, *PASSING), "a head was surveyed here"
        found.append(maker)
    return found


def _drops(node: ir.Node) -> bool:
    training = node.inputs[2] if node.op_type == "Dropout" and len(node.inputs) > 2 else None
    return training is not None and number(training) is not False


def _feature_map(node: ir.Node) -> ir.Value:
    source = _between(node)[-1].inputs[0]
    assert source is not None
    return source


def _weight(node: ir.Node, head: ConvSite) -> tuple[Numbers, float]:
    """The kernel, and how far it is from α·B by rounding, relative to the largest."""
    stored, alpha = array(node.inputs[1]), _factor(node, "alpha")
    assert stored is not None
    rows = stored if int_attribute(node, "transB", 0) else stored.T
    shape = (head.filters, head.channels, *head.kernel)
    if alpha == 1:
        return rows.reshape(shape), 0.0
    exact = alpha * rows.astype(np.float64)
    rounded = exact.astype(stored.dtype)
    return rounded.reshape(shape), _difference(rounded, exact)


def _difference(rounded: Numbers, exact: Array) -> float:
    largest = np.abs(exact).max(initial=0)
    change = np.abs(rounded.astype(np.float64) - exact).max(initial=0)
    return float(change / largest) if largest else 0.0


def _bias(node: ir.Node, filters: int) -> Array | Skip | None:
    """β·c as one number a filter; None where there is none."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None:
        return None
    stored = array(value)
    if stored is None:
        return Skip("its bias is not constant")
    if stored.size != 1 and (stored.size, stored.shape[-1]) != (filters, filters):
        return Skip("its bias is another one for each sample")
    scaled = _factor(node, "beta") * stored.astype(np.float64).reshape(-1)
    return np.broadcast_to(scaled, (filters,))


def _factor(node: ir.Node, name: str) -> float:
    given = node.attributes.get(name)
    return 1.0 if given is None else given.as_float()


def _put(model: ir.Model, node: ir.Node, weight: Numbers, head: ConvSite) -> None:
    """Conv → Flatten in the place of the layer, and nothing unread before it."""
    graph, name = home(node), fresh(model, f"{node.outputs[0].name}/map")
    inputs = [_feature_map(node), constant(graph, f"{name}.weight", weight)]
    bias = _bias(node, head.filters)
    if isinstance(bias, np.ndarray):
        inputs.append(constant(graph, f"{name}.bias", bias.astype(weight.dtype)))
    passed, old = _between(node), node.inputs[1:]
    attributes = {"kernel_shape": list(head.kernel)}
    conv = ir.node("Conv", inputs, attributes, name=name)
    flat = ir.node("Flatten", [conv.outputs[0]], {"axis": 1}, name=f"{name}.flat")
    made, batch = conv.outputs[0], (shape_of(node.outputs[0]) or (None,))[0]
    made.name, made.type = name, node.outputs[0].type
    made.shape = ir.Shape([batch, head.filters, *[1] * len(head.kernel)])
    replace_node(node, [conv, flat], flat.outputs[0])
    for before in passed:
        if not any(value.uses() or value.is_graph_output() for value in before.outputs):
            left = before.inputs[1:]
            home(before).remove(before, safe=True)
            for value in left:
                forget(value)
    for value in old:
        forget(value)
