"""Cutting a graph across, so that it can be run piece by piece with only the cut values kept.

A cut at position p lies before the p-th node. The values that cross it are those produced before
it (or fed) and read after it. Between two cuts lies a segment: a small model of its own, which
holds the constants that it reads; also those that nodes make, since they cross no cut.

Nodes stand in topological order, those that are cut at as late in it as can be: what a site's
output is added to is then there before the site is, wherever it does not depend on it. What is
inside a body of control flow stands where the node stands that holds the body.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from gconvtool.errors import InputError
from gconvtool.graph.bodies import find, holders
from gconvtool.graph.carriers import is_constant
from gconvtool.graph.pack import Packed, pack


@dataclass(frozen=True)
class Segment:
    """A piece of a graph as a model to run, which may be empty, and what crosses its end."""

    model: Packed | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    alive: frozenset[str]


class Cutter:
    """Knows which values of a model are alive at which position.

    Positions and names are the base model's; segments may be cut from another model that has the
    same names at the cuts, such as the partly converted one.
    """

    def __init__(self, model: ir.Model, late: Collection[str] = ()) -> None:
        self._holders = _holders(model, late)
        order = _ordered(model.graph, [self._holders.get(name, name) for name in late])
        self._positions = {v.name: i for i, node in enumerate(order) for v in node.outputs}
        self._end = len(order)
        self._born: dict[str, int] = {v.name or "": 0 for v in model.graph.inputs}
        self._dies: dict[str, int] = {v.name or "": self._end + 1 for v in model.graph.outputs}
        for position, node in enumerate(order):
            if not _is_constant(node):
                self._born.update((v.name, position + 1) for v in node.outputs if v.name)
            for name in _reads(node, model.graph):
                self._dies[name] = max(self._dies.get(name, 0), position + 1)

    def position(self, site: str) -> int:
        """Where the node that makes this value stands, or that holds what makes it."""
        return self._positions[self._holders.get(site, site)]

    def inside(self, site: str) -> bool:
        """Whether this is inside a body."""
        return site in self._holders

    @property
    def end(self) -> int:
        """The cut behind the last node."""
        return self._end

    def alive(self, position: int) -> frozenset[str]:
        """The values that cross a cut."""
        return frozenset(
            name for name, born in self._born.items() if born <= position < self._dies.get(name, 0)
        )

    def segment(self, model: ir.Model, start: int, end: int, extra: Sequence[str] = ()) -> Segment:
        """The piece of `model` between two cuts; `extra` names more values wanted of it."""
        before, after = self.alive(start), self.alive(end)
        wanted = [name for name in self._born if name in (after - before) | set(extra)]
        if not wanted:
            return Segment(None, (), (), after)
        return Segment(*_extract(model, sorted(before), wanted), after)

    def alone(self, model: ir.Model, site: str, wanted: Sequence[str]) -> Segment:
        """The node that holds a site, of a model in which it makes what is wanted."""
        alive = self.alive(self.position(site))
        return Segment(*_extract(model, sorted(alive), wanted), alive)


def _holders(model: ir.Model, sites: Collection[str]) -> dict[str, str]:
    """What the outermost nodes make that hold those sites that are inside of bodies."""
    made = {value.name for node in model.graph for value in node.outputs}
    around = {site: holders(model, find(model, site)) for site in sites if site not in made}
    return {
        site: next(value.name for value in nodes[-1].outputs if value.name)
        for site, nodes in around.items()
    }


def _ordered(graph: ir.Graph, late: Collection[str]) -> list[ir.Node]:
    """Nodes in topological order, as they stand but for those that make late values."""
    nodes = list(graph)
    makers = {v.name: i for i, node in enumerate(nodes) for v in node.outputs if v.name}
    needs = [{makers[name] for name in _reads(node, graph) if name in makers} for node in nodes]
    readers: list[list[int]] = [[] for _ in nodes]
    for reader, makers_read in enumerate(needs):
        for maker in makers_read:
            readers[maker].append(reader)
    last = {makers[name] for name in late}
    ready = [(i in last, i) for i, need in enumerate(needs) if not need]
    order = []
    while ready:
        _, first = heapq.heappop(ready)
        order.append(nodes[first])
        for reader in readers[first]:
            needs[reader].remove(first)
            if not needs[reader]:
                heapq.heappush(ready, (reader in last, reader))
    return order


def _is_constant(node: ir.Node) -> bool:
    return all(is_constant(value) for value in node.outputs)


def _extract(
    model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[Packed, tuple[str, ...], tuple[str, ...]]:
    graph = ir.convenience.extract(model.graph, inputs, outputs)
    unread = [v for v in graph.inputs if not v.uses() and not v.is_graph_output()]
    for value in unread:
        graph.inputs.remove(value)
    for value in (*graph.inputs, *graph.outputs):
        if value.type is None:
            raise InputError(
                f"the type of {value.name} cannot be inferred, so the network cannot be run in "
                "pieces; convert without --data, or leave out the operator that makes it"
            )
    piece = ir.Model(graph, ir_version=model.ir_version, functions=list(model.functions.values()))
    names = tuple(v.name or "" for v in graph.inputs), tuple(v.name or "" for v in graph.outputs)
    return pack(piece, "a piece of the network"), *names


def _reads(node: ir.Node, graph: ir.Graph) -> set[str]:
    """Names of the values that a node reads, also from inside its bodies."""
    inside = (
        inner
        for attribute in node.attributes.values()
        if attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for body in (
            [attribute.as_graph()]
            if attribute.type is ir.AttributeType.GRAPH
            else attribute.as_graphs()
        )
        for inner in ir.traversal.RecursiveGraphIterator(body)
    )
    return {
        value.name or ""
        for reader in (node, *inside)
        for value in reader.inputs
        if value is not None and value.graph is graph and not value.is_initializer()
    }
