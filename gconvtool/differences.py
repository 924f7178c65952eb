"""Two networks side by side: layers matched by name, since a rewrite keeps its layers' names."""

from __future__ import annotations

from collections.abc import Iterator

from gconvtool.results import Analysis, Difference, LayerChange, Study


def difference(a: Study, b: Study) -> Difference:
    """Every layer of both, in A's order; what only B has follows what stands before it there."""
    return Difference(a, b, tuple(_changes(a.analysis, b.analysis)))


def _changes(a: Analysis, b: Analysis) -> Iterator[LayerChange]:
    old = {layer.name: layer for layer in a.layers}
    new = {layer.name: layer for layer in b.layers}
    followers: dict[str | None, list[str]] = {}
    anchor = None
    for name in new:
        if name in old:
            anchor = name
        else:
            followers.setdefault(anchor, []).append(name)
    for before in (None, *old):
        names = [] if before is None else [before]
        for name in (*names, *followers.get(before, ())):
            yield LayerChange(name, old.get(name), new.get(name))
