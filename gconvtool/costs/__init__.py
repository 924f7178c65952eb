"""One MAC is one multiply and one add, FLOPs are twice the MACs; only convolutions and matrix
products have MACs: bias, normalisation, activation and pooling have none.

Shapes in, numbers out. A rule (`rules`) says what meets what, as a sum of products of shapes
(`term`), and from that come the number, the formula and the words. A node that no rule covers is a
`Skip` with its reason and never zero. What is computed besides has conventions of its own (`bias`,
`elementwise`), and so has what a stored tensor is for (`roles`).
"""

from __future__ import annotations

from gconvtool.costs.bias import bias_adds
from gconvtool.costs.elementwise import elementwise_ops
from gconvtool.costs.families import ZERO
from gconvtool.costs.roles import LEARNED, learned, role
from gconvtool.costs.rules import RULES, layer_kind, terms
from gconvtool.costs.term import Factor, Term, Terms, count, total_formula, words
from gconvtool.facts import NodeFact, Skip

__all__ = [
    "LEARNED",
    "RULES",
    "ZERO",
    "Factor",
    "Term",
    "Terms",
    "bias_adds",
    "count",
    "elementwise_ops",
    "explain",
    "formula",
    "layer_kind",
    "learned",
    "macs",
    "role",
    "terms",
    "total_formula",
]


def macs(node: NodeFact) -> int | Skip:
    """The node's multiply-accumulates, exact, or why they are not known."""
    parts = terms(node)
    return parts if isinstance(parts, Skip) else count(parts)


def formula(node: NodeFact) -> str | None:
    """The same with open dimensions left open: `1152·N·H·W`; None where one has no name."""
    parts = terms(node)
    return None if isinstance(parts, Skip) else total_formula(parts)


def explain(node: NodeFact) -> tuple[str, ...]:
    """How the MACs come about, in lines."""
    parts = terms(node)
    if isinstance(parts, Skip):
        return (f"MACs are not known: {parts.reason}",)
    return words(parts) or ("MACs = 0: by the convention, only products of matrices have any",)
