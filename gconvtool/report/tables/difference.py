"""Two models side by side: totals, kinds, and the layers that differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gconvtool.report import words
from gconvtool.report.sentences import costly
from gconvtool.report.tables.table import Column, Table, counts, names, numbers, texts
from gconvtool.report.tables.totals import telling
from gconvtool.report.words import CONVENTIONS, Convention
from gconvtool.results import Difference, Layer, LayerChange

FIGURES = {
    "Parameters": "params",
    "Bias adds": "bias_adds",
    "Elementwise operations": "elementwise_ops",
    "Bytes of weights": "weight_bytes",
    "Bytes moved of activations": "activation_bytes",
    "Peak bytes of activations": "peak_activation_bytes",
}
"""Totals besides MACs, by what a table calls them."""


def changed_totals(result: Difference, convention: Convention) -> Table:
    """A row a figure; how much B has more, and how many times as much."""
    whole = result.a.analysis.totals, result.b.analysis.totals
    found: dict[str, list[int | None]] = {
        label: [getattr(totals, name) for totals in whole] for label, name in FIGURES.items()
    }
    known = {label: pair for label, pair in found.items() if pair != [None, None]}
    exact = [words.cost(t.macs, convention) if t.exact else None for t in whole]
    pairs = [exact, *known.values()]
    sums = [[words.whole_cost(t, convention) for t in whole]]
    sums += [[words.number(value) for value in pair] for pair in known.values()]
    return Table(
        (
            texts("", [CONVENTIONS[convention], *known]),
            numbers("A", [a for a, _ in sums]),
            numbers("B", [b for _, b in sums]),
            numbers("Difference", [words.difference(a, b) for a, b in pairs], rank=2),
            numbers("Ratio", [words.times(a, b) for a, b in pairs], rank=1),
        )
    )


def kinds_beside(result: Difference, convention: Convention) -> Table:
    """A row a kind of either."""
    both = result.a.analysis.kinds, result.b.analysis.kinds
    kinds = [dict(telling(kinds)) for kinds in both]
    every = list({**kinds[0], **kinds[1]})
    found = [[side.get(kind) for kind in every] for side in kinds]
    macs = [[words.cost(k.macs, convention) if k else 0 for k in side] for side in found]
    layers = [[k.count if k else 0 for k in side] for side in found]
    params = [[k.params if k else 0 for k in side] for side in found]
    return Table(
        (
            texts("Kind", every),
            counts("Layers A", layers[0], rank=3),
            counts("B", layers[1], rank=3),
            counts("Params A", params[0], rank=2),
            counts("B", params[1], rank=2),
            *_beside(CONVENTIONS[convention], *macs),
        )
    )


def changed_layers(result: Difference, convention: Convention) -> Table:
    """A row a layer that has a cost and differs, with what became of it."""
    rows = [change for change in costly(result) if change.a != change.b]
    sides = [[row.a for row in rows], [row.b for row in rows]]
    params = [[layer.params if layer else 0 for layer in side] for side in sides]
    macs = [[words.cost(layer.macs, convention) if layer else 0 for layer in s] for s in sides]
    return Table(
        (
            names("Layer", [row.name for row in rows]),
            texts("Change", [_became(row) for row in rows]),
            counts("Params A", params[0], rank=2),
            counts("B", params[1], rank=2),
            *_beside(CONVENTIONS[convention], *macs),
        )
    )


def _beside(unit: str, a: Sequence[int | None], b: Sequence[int | None]) -> tuple[Column, ...]:
    differences = [words.difference(*pair) for pair in zip(a, b, strict=True)]
    return (
        counts(f"{unit} A", a),
        counts("B", b),
        numbers("Difference", differences, rank=1),
    )


def _became(row: LayerChange) -> str:
    if row.a is None or row.b is None:
        return "only in A" if row.b is None else "only in B"
    pairs = [(fact(row.a), fact(row.b)) for fact in FACTS]
    return ", ".join(f"{a or 'none'} → {b or 'none'}" for a, b in pairs if a != b) or "same form"


FACTS: tuple[Callable[[Layer], str], ...] = (
    lambda layer: layer.op,
    lambda layer: layer.kind,
    words.kernel,
    lambda layer: words.feature_map(layer.output_shape),
)
"""What says in words how a layer changed."""
