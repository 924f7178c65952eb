"""How often a body of control flow runs.

    If      one of its branches, once
    Loop    M times, if M is constant and its condition cannot end it before
    Scan    once for every slice of its sequences

A Loop whose state changes its size costs something else every time: its trips do not tell its cost.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from gconvtool.facts import Skip
from gconvtool.graph.constants import int_attribute, ints_attribute, number, shape_of


def graphs(node: ir.Node) -> Iterator[tuple[str, ir.Graph]]:
    """The graphs inside a node, with the names of their attributes."""
    for name, attribute in node.attributes.items():
        if attribute.is_ref():
            continue
        if attribute.type is ir.AttributeType.GRAPH:
            yield name, attribute.as_graph()
        elif attribute.type is ir.AttributeType.GRAPHS:
            for index, graph in enumerate(attribute.as_graphs()):
                yield f"{name}_{index}", graph


def trips(node: ir.Node, body: ir.Graph) -> int | Skip:
    """How often a run of the node runs this body, or why that is not known."""
    if node.domain:
        return Skip(f"what {node.op_type} does with its body is not known")
    if node.op_type == "If":
        return 1
    if node.op_type == "Loop":
        return _loop(node, body)
    if node.op_type == "Scan":
        return _scan(node, body)
    return Skip("the length of its sequence is not known")


def _loop(node: ir.Node, body: ir.Graph) -> int | Skip:
    limit = number(node.inputs[0]) if node.inputs else None
    start = node.inputs[1] if len(node.inputs) > 1 else None
    if number(start) is False:
        return 0
    if limit is None:
        return Skip("its number of trips is not known")
    if not _runs_on(start, body):
        return Skip(f"its condition may end it before its {limit:,} trips")
    if _changes_size(node, body):
        return Skip(f"a value that it carries changes its size in its {limit:,} trips")
    return max(0, int(limit))


def _runs_on(start: ir.Value | None, body: ir.Graph) -> bool:
    """The condition is true whatever happens: constant, or the one that came in."""
    if start is not None and number(start) is not True:
        return False
    if not body.outputs:
        return False
    goes_on = body.outputs[0]
    while (maker := goes_on.producer()) is not None and maker.op_type in ("Identity", "Cast"):
        source = maker.inputs[0] if maker.inputs else None
        if source is None:
            return False
        goes_on = source
    return number(goes_on) is True or (len(body.inputs) > 1 and goes_on is body.inputs[1])


def _changes_size(node: ir.Node, body: ir.Graph) -> bool:
    carried = zip(node.inputs[2:], body.outputs[1:], strict=False)
    return any(shape_of(first) != shape_of(next_one) for first, next_one in carried)


def _scan(node: ir.Node, body: ir.Graph) -> int | Skip:
    if len(node.inputs) != len(body.inputs):  # as in version 8 of the operators
        return Skip("it scans batches of sequences of their own lengths")
    count = int_attribute(node, "num_scan_inputs", 0)
    states = len(node.inputs) - count
    axes = ints_attribute(node, "scan_input_axes", ())
    shape = shape_of(node.inputs[states]) if 0 < count <= len(node.inputs) else None
    axis = axes[0] if axes else 0
    length = shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None
    if not isinstance(length, int) or length < 0:
        return Skip("the length of its sequence is not known")
    return length
