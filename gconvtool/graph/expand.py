"""Model-local functions, expanded where they are called: all, so that every call is counted, or
those that hold what is to be rewritten.

A function of another version of the operators than the model's stays a call, and unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass, RemoveUnusedFunctionsPass

from gconvtool.errors import InputError
from gconvtool.graph import control
from gconvtool.graph.bodies import fresh
from gconvtool.graph.load import one_line
from gconvtool.graph.sites import CONVOLUTIONS

MOST_NODES = 100_000
"""Nodes beyond which no expansion ends in useful time: 17 functions that call the next twice."""

Name: TypeAlias = tuple[str, str, str]
Functions: TypeAlias = Mapping[Name, ir.Function]
DOMAINS = ("", "com.microsoft")


ALWAYS = frozenset({*CONVOLUTIONS, "BatchNormalization"})
AT_TIMES = frozenset("AveragePool Gemm GlobalAveragePool MatMul ReduceMean".split())
"""Operators that a conversion rewrites: always, and where that is asked for."""


def expand_functions(model: ir.Model) -> None:
    """Replace calls of the model's own functions by their bodies, in place.

    Those come first that a conversion expands too, so that names are the same in both.

    Raises:
        InputError: functions that call each other in a circle, or expand beyond any measure.
    """
    for operators in (ALWAYS, AT_TIMES, None):
        expand_holders(model, operators)


def expand_holders(model: ir.Model, operators: Set[str] | None) -> int:
    """Replace calls of functions that hold one of these operators, or call one that does; in place.

    Any function is one for None. Returns how many calls of the graph and its bodies are gone.
    """
    _check_size(model)
    holders = _holders(model.functions, operators)
    chosen = {name for name in holders if _speaks_for(model.functions[name], model)}
    calls = [node.op_identifier() for node in model.graph.all_nodes()]
    calls = [name for name in calls if name in chosen]
    if calls:
        _expand(model, _reached(calls, model.functions, chosen))
    return len(calls)


def _expand(model: ir.Model, chosen: Set[Name]) -> None:
    """Others wait aside: what they call means what it means by their versions of the operators."""
    every = dict(model.functions)
    model.functions.clear()
    model.functions.update({name: every[name] for name in every if name in chosen})
    try:
        InlinePass()(model)
    except (ValueError, RuntimeError) as error:  # a call that does not fit its function
        raise InputError(f"its functions cannot be expanded: {one_line(error)}") from error
    _unshadow(model, model.graph)
    model.functions.update(every)
    RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]  # its __init__ has no types


def _unshadow(model: ir.Model, graph: ir.Graph, around: Set[str] = frozenset()) -> None:
    """New names for values in bodies, where what was expanded around them has brought the same."""
    outputs = (value for node in graph for value in node.outputs)
    own = (*graph.inputs, *graph.initializers.values(), *outputs)
    for value in own:
        if value.name and value.name in around:
            value.name = fresh(model, value.name)
    visible = around | {value.name or "" for value in own}
    for node in graph:
        for _, body in control.graphs(node):
            _unshadow(model, body, visible)


def _holders(functions: Functions, operators: Set[str] | None) -> Set[Name]:
    if operators is None:
        return set(functions)
    found = {name for name, function in functions.items() if _has(function, operators)}
    calls = {name: set(_calls(function)) for name, function in functions.items()}
    while more := {name for name, called in calls.items() if called & found} - found:
        found |= more
    return found


def _has(function: ir.Function, operators: Set[str]) -> bool:
    nodes = function.all_nodes()
    return any(node.op_type in operators and node.domain in DOMAINS for node in nodes)


def _reached(calls: Iterable[Name], functions: Functions, among: Set[Name]) -> Set[Name]:
    """What is called, and called by what is called: more would be expanded for nobody."""
    waiting, found = set(calls), set[Name]()
    while waiting:
        found |= waiting
        waiting = {call for name in waiting for call in _calls(functions[name])} & among - found
    return found


def _calls(function: ir.Function) -> Iterator[Name]:
    return (node.op_identifier() for node in function.all_nodes())


def _check_size(model: ir.Model) -> None:
    sizes = _expanded_sizes(model.functions)
    nodes = sum(sizes.get(node.op_identifier(), 1) for node in model.graph.all_nodes())
    if nodes > MOST_NODES:
        raise InputError(f"its functions expand to {nodes:,} nodes; {MOST_NODES:,} are the most")


def _expanded_sizes(functions: Functions) -> dict[Name, int]:
    """Nodes of each function when everything in it is expanded."""
    calls = {name: list(_calls(function)) for name, function in functions.items()}
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
