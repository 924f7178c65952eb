"""Graphs inside graphs: what their nodes are called, and what goes in and out of them.

A node in a body of control flow goes by the names of what holds it: `y/then_branch/z` makes z in
the one branch of what makes y. Bodies see the values around them, so that a new name must be new in
the whole model.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from gconvtool.graph import control
from gconvtool.graph.carriers import is_constant
from gconvtool.graph.parts import drop_unread


def named(graph: ir.Graph, prefix: str = "") -> Iterator[tuple[str, ir.Node]]:
    """All nodes with their names, each followed by those in its bodies."""
    for node in graph:
        first = next((value.name for value in node.outputs if value.name), node.name)
        name = f"{prefix}{first or ''}"
        yield name, node
        for label, body in control.graphs(node):
            yield from named(body, f"{name}/{label}/")


def find(model: ir.Model, name: str) -> ir.Node:
    """The node of this name."""
    return next(node for found, node in named(model.graph) if found == name)


def home(node: ir.Node) -> ir.Graph:
    """The graph that a node is in."""
    graph = node.graph
    assert isinstance(graph, ir.Graph), "functions are expanded, and nodes of a model are in graphs"
    return graph


def holders(model: ir.Model, node: ir.Node) -> tuple[ir.Node, ...]:
    """The nodes that a node is inside of, the innermost first."""
    owners = {body: owner for owner in model.graph.all_nodes() for _, body in control.graphs(owner)}
    found, graph = list[ir.Node](), home(node)
    while graph in owners:
        found.append(owners[graph])
        graph = home(owners[graph])
    return tuple(found)


def names(model: ir.Model) -> set[str]:
    """The names of all values, in whatever graph."""
    stored = (name for graph in model.graphs() for name in graph.initializers)
    return {*ir.convenience.create_value_mapping(model.graph), *stored}


def fresh(model: ir.Model, name: str) -> str:
    """This name, or one like it that no value of the model has."""
    taken = names(model)
    while name in taken:
        name += "_"
    return name


def from_outside(graph: ir.Graph) -> set[ir.Value]:
    """What a graph and the bodies in it read of the graphs around."""
    inner = {graph, *graph.subgraphs()}
    values = (value for node in graph.all_nodes() for value in node.inputs if value is not None)
    return {value for value in values if value.graph not in inner}


def forget(value: ir.Value | None) -> None:
    """Remove a constant that nothing reads any more, with all that only it was made of, each from
    the graph that it is in."""
    if value is None or value.uses() or not isinstance(value.graph, ir.Graph):
        return
    if not is_constant(value):
        return
    maker = value.producer()
    made_of = () if maker is None else maker.inputs
    drop_unread(value.graph, value)
    for part in made_of:
        forget(part)
