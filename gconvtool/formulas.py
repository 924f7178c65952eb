"""MACs with open dimensions left open: `1152·N·H·W`, for nodes, bodies and whole networks."""

from __future__ import annotations

from collections.abc import Iterable

from gconvtool import costs
from gconvtool.costs import Terms
from gconvtool.facts import NodeFact, Skip, Survey, nested


def of_nodes(survey: Survey) -> dict[str, str | None]:
    """A formula for every node by name; None where a dimension has not even a name."""
    return {node.name: _written(_node(node)) for node in nested(survey.nodes)}


def of_whole(survey: Survey) -> str | None:
    """The sum over all nodes with like terms merged; None where a part has no formula."""
    return _written(_graph(survey.nodes))


def _written(terms: Terms | None) -> str | None:
    return None if terms is None else costs.total_formula(terms)


def _graph(nodes: Iterable[NodeFact]) -> Terms | None:
    found: list[costs.Term] = []
    for node in nodes:
        terms = _node(node)
        if terms is None:
            return None
        found += terms
    return tuple(found)


def _node(node: NodeFact) -> Terms | None:
    """Trips times the body. Which branch of an If costs more can depend on the open sizes."""
    if not node.bodies:
        terms = costs.terms(node)
        return None if isinstance(terms, Skip) else terms
    found: list[costs.Term] = []
    for body in node.bodies:
        inside = _graph(body.nodes)
        if inside is None or (inside and (body.trips is None or node.op == "If")):
            return None
        found += [term.times(body.trips) for term in inside if body.trips]
    return tuple(found)
