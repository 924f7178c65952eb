"""Layers: those with MACs, those that could not be counted, and what holds them."""

from __future__ import annotations

from collections.abc import Sequence

from gconvtool.report import words
from gconvtool.report.tables.table import Column, Table, counts, names, numbers, shapes, texts
from gconvtool.report.words import CONVENTIONS, Convention
from gconvtool.results import Analysis, Layer

BAR = 12
"""Columns of the largest layer's bar."""


def layers(result: Analysis, convention: Convention) -> Table:
    """A row a layer; parts of a layer are dim and indented under it."""
    rows, depths = shown(result.layers), _depths(result.layers)
    columns = (*_words(rows, depths), *_figures(rows, result, convention))
    return Table(columns, tuple("dim" if layer.parent else "" for layer in rows))


def shown(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Layers that have MACs or an unknown number of them, and those that they are a part of."""
    parents = {layer.name: layer.parent for layer in layers}
    kept: set[str | None] = {None}
    for layer in layers:
        name = None if layer.macs == 0 else layer.name
        while name not in kept:
            kept.add(name)
            name = parents.get(name or "")
    return tuple(layer for layer in layers if layer.name in kept)


def _depths(layers: Sequence[Layer]) -> dict[str, int]:
    """How deep in control flow each layer is."""
    parents = {layer.name: layer.parent for layer in layers}
    depths: dict[str, int] = {}
    for layer in layers:
        above = [layer.name]
        while (parent := parents.get(above[-1])) is not None and parent not in above:
            above.append(parent)
        depths[layer.name] = len(above) - 1
    return depths


def _words(rows: Sequence[Layer], depths: dict[str, int]) -> tuple[Column, ...]:
    titles = [f"{'  ' * depths[row.name]}{row.name}  {words.trips(row)}".rstrip() for row in rows]
    return (
        names("Layer", titles),
        texts("Op", [row.op for row in rows], rank=8),
        texts("Kind", [row.kind for row in rows], rank=5),
        shapes("Input", [words.feature_map(row.input_shape) for row in rows], rank=7),
        shapes("Output", [words.feature_map(row.output_shape) for row in rows], rank=4),
        texts("Kernel", [words.kernel(row) for row in rows], rank=6),
    )


def _figures(rows: Sequence[Layer], result: Analysis, convention: Convention) -> tuple[Column, ...]:
    shares = ["" if row.parent else words.share(row.macs, result.totals) for row in rows]
    return (
        counts("Params", [row.params for row in rows], rank=2),
        numbers(CONVENTIONS[convention], [words.layer_cost(row, convention) for row in rows]),
        numbers("Share", shares, rank=3),
        Column("", _bars(rows), "bars", rank=9),
    )


def _bars(rows: Sequence[Layer]) -> tuple[str, ...]:
    macs = [0 if row.parent else row.macs or 0 for row in rows]
    largest = max(macs, default=0) or 1
    return tuple("█" * round(BAR * part / largest) for part in macs)
