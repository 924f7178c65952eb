"""Model-local functions, expanded where they are called, so that every call is counted.

A function of another version of the operators than the model's stays a call, and unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, RemoveUnusedFunctionsPass

from gconvtool.errors import InputError
from gconvtool.graph.load import one_line

MOST_NODES = 100_000
"""Nodes beyond which no expansion ends in useful time: 17 functions that call the next twice."""

Name = tuple[str, str, str]


def expand_functions(model: ir.Model) -> None:
    """Replace calls of the model's own functions by their bodies, in place.

    Raises:
        InputError: functions that call each other in a circle, or expand beyond any measure.
    """
    if not model.functions:
        return
    sizes = _expanded_sizes(model.functions)
    every = ir.traversal.RecursiveGraphIterator(model.graph)
    nodes = sum(sizes.get(node.op_identifier(), 1) for node in every)
    if nodes > MOST_NODES:
        raise InputError(f"its functions expand to {nodes:,} nodes; {MOST_NODES:,} are the most")
    # What nobody calls would be expanded too, without end.
    RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]  # its __init__ has no types
    try:
        InlinePass(criteria=lambda function: _speaks_for(function, model))(model)
    except (ValueError, RuntimeError) as error:  # a call that does not fit its function
        raise InputError(f"its functions cannot be expanded: {one_line(error)}") from error


def _expanded_sizes(functions: Mapping[Name, ir.Function]) -> dict[Name, int]:
    """Nodes of each function when everything in it is expanded."""
    calls = {
        name: [node.op_identifier() for node in function.all_nodes()]
        for name, function in functions.items()
    }
    inner = {name: {call for call in called if call in functions} for name, called in calls.items()}
    sizes: dict[Name, int] = {}
    try:
        for name in TopologicalSorter(inner).static_order():
            sizes[name] = sum(sizes.get(call, 1) for call in calls[name])
    except CycleError as error:
        circle = " → ".join(name[1] for name in error.args[1])
        raise InputError(f"its functions call each other in a circle: {circle}") from None
    return sizes


def _speaks_for(function: ir.Function, model: ir.Model) -> bool:
    """The body means the same in the model: the same versions, no graphs among its attributes."""
    graphs = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return all(
        model.opset_imports.get(domain, version) == version
        for domain, version in function.opset_imports.items()
    ) and not any(attribute.type in graphs for attribute in function.attributes.values())
