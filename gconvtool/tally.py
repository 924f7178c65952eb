"""From a survey to an analysis: every node's cost and kind, then subtotals and totals.

A weight that several nodes use counts at the first of them. A node that holds others costs what a
run of it runs: the costlier branch of an If, the trips of a Loop or Scan times its body.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gconvtool import costs, formulas, memory, storage
from gconvtool.facts import ConvSite, NodeFact, Shape, Skip, Survey, total
from gconvtool.kinds import kind
from gconvtool.results import Analysis, KindTotal, Layer, Totals, Unknown

COLUMNS = ("macs", "bias_adds", "elementwise_ops", "weight_bytes", "activation_bytes")
"""What a node that holds others adds up over them."""


def analysis(
    model: str, survey: Survey, dims: Mapping[str, int], open_survey: Survey | None = None
) -> Analysis:
    """What the network costs. Layers are the nodes with a cost, or with an unknown one.

    Args:
        model: its name.
        survey: of the network with its sizes given.
        dims: those sizes, by name of the open dimension.
        open_survey: of the same network with open dimensions left open, for formulas.
    """
    counter = _Counter(survey, open_survey)
    tree = [counter.tree(node) for node in survey.nodes]
    rows = tuple(_rows(tree, None, 1))
    peak = memory.peak(survey)
    return Analysis(
        model=model,
        layers=rows,
        unknown=tuple(counter.unknown),
        totals=_totals([node.layer for node in tree], rows, None if peak is None else peak.bytes),
        kinds=_kinds(tree),
        dims=dict(dims),
        parameters=storage.by_role(survey),
        macs_formula=None if open_survey is None else formulas.of_whole(open_survey),
        peak_at=None if peak is None else peak.at,
    )


@dataclass(frozen=True)
class _Branch:
    """The rows of one body, and how many of its trips count."""

    trees: tuple[_Tree, ...]
    times: int | None


@dataclass(frozen=True)
class _Tree:
    """A node's row and the rows inside it."""

    layer: Layer
    branches: tuple[_Branch, ...] = ()


class _Counter:
    """Counts nodes in topological order, and notes what could not be counted."""

    def __init__(self, survey: Survey, open_survey: Survey | None) -> None:
        self.unknown: list[Unknown] = []
        self._sites = survey.sites
        self._formulas = {} if open_survey is None else formulas.of_nodes(open_survey)
        self._constants = memory.constants(survey)
        self._seen: set[str] = set()

    def tree(self, node: NodeFact) -> _Tree:
        """The node's row; with bodies, also what is inside."""
        if node.bodies:
            return self._holder(node)
        macs, family = costs.macs(node), costs.layer_kind(node)
        if isinstance(macs, Skip):
            self._note(node, macs.reason)
            return _Tree(self._row(node, "unknown" if family == "other" else family, None))
        return _Tree(self._row(node, family, macs))

    def _holder(self, node: NodeFact) -> _Tree:
        row = self._row(node, "control", 0)
        inside = [tuple(self.tree(part) for part in body.nodes) for body in node.bodies]
        branches = _counting(node, inside)
        whole = _whole(row, branches)
        if whole.macs is None and (reason := _open_end(node, branches)) is not None:
            self._note(node, reason)
        return _Tree(whole, branches)

    def _row(self, node: NodeFact, family: str, macs: int | None) -> Layer:
        site = self._sites.get(node.name)
        return Layer(
            name=node.name,
            op=node.op,
            kind=family if site is None else kind(site),
            macs=macs,
            params=self._fresh_parameters(node),
            input_shape=node.inputs[0] if node.inputs else None,
            output_shape=_named_output(node),
            channels=None if site is None else site.channels,
            filters=None if site is None else site.filters,
            groups=None if site is None else site.groups,
            kernel=None if site is None else site.kernel,
            strides=None if site is None else site.strides,
            macs_formula=self._formulas.get(node.name),
            bias_adds=costs.bias_adds(node),
            elementwise_ops=costs.elementwise_ops(node),
            weight_bytes=memory.weight_bytes(node, self._constants),
            activation_bytes=memory.activation_bytes(node, self._constants),
            note=None if site is None else _elsewhere_global(site),
        )

    def _fresh_parameters(self, node: NodeFact) -> int:
        """Learned numbers that no earlier node has used."""
        fresh = {p.name: p.numbers for p in costs.learned(node) if p.name not in self._seen}
        self._seen.update(fresh)
        return sum(fresh.values())

    def _note(self, node: NodeFact, reason: str) -> None:
        self.unknown.append(Unknown(node.name, node.op, reason))


def _named_output(node: NodeFact) -> Shape:
    """The shape of the output that the node is named after: its first may be absent."""
    pairs = zip(node.writes, node.outputs, strict=False)
    first = node.outputs[0] if node.outputs else None
    return next((shape for name, shape in pairs if name == node.name), first)


def _counting(node: NodeFact, inside: Sequence[tuple[_Tree, ...]]) -> tuple[_Branch, ...]:
    """How often each body counts: of an If the costlier one, and no other."""
    if node.op != "If":
        pairs = zip(inside, node.bodies, strict=True)
        return tuple(_Branch(trees, body.trips) for trees, body in pairs)
    costlier = max(range(len(inside)), key=lambda index: _sum(inside[index], "macs") or 0)
    return tuple(_Branch(trees, int(index == costlier)) for index, trees in enumerate(inside))


def _whole(row: Layer, branches: Sequence[_Branch]) -> Layer:
    """The row of a node that holds others. Unknown parts make the whole unknown, also those of
    an If's other branch, which might be the costlier one."""
    figures: dict[str, Any] = {}
    for column in COLUMNS:
        sums = [(_sum(branch.trees, column), branch.times) for branch in branches]
        known = [part * times for part, times in sums if part is not None and times is not None]
        free = sum(1 for part, times in sums if part == 0 and times is None)
        figures[column] = sum(known) if len(known) + free == len(sums) else None
    return replace(row, **figures)


def _open_end(node: NodeFact, branches: Sequence[_Branch]) -> str | None:
    """Why the node itself is unknown; None where only a part of it is."""
    for body, branch in zip(node.bodies, branches, strict=True):
        trip = _sum(branch.trees, "macs")
        if body.reason is not None and trip != 0:
            known = f"; one trip costs {trip:,} MACs" if trip is not None else ""
            return body.reason + known
    return None


def _rows(trees: Iterable[_Tree], parent: str | None, times: int | None) -> Iterator[Layer]:
    """Rows in order, those inside a node after it; none for what costs nothing."""
    for tree in trees:
        inside = [row for b in tree.branches for row in _rows(b.trees, tree.layer.name, b.times)]
        if inside or _costs(tree.layer):
            yield tree.layer if parent is None else replace(tree.layer, parent=parent, times=times)
        yield from inside


def _costs(layer: Layer) -> bool:
    return any((layer.macs != 0, layer.params, layer.bias_adds != 0, layer.elementwise_ops != 0))


def _leaves(trees: Iterable[_Tree], times: int | None) -> Iterator[tuple[Layer, int | None]]:
    """Rows that hold no others, with how often a run of the network runs them."""
    for tree in trees:
        if not tree.branches:
            yield tree.layer, times
        for branch in tree.branches:
            none = 0 in (times, branch.times)
            both = None if times is None or branch.times is None else times * branch.times
            yield from _leaves(branch.trees, 0 if none else both)


def _kinds(trees: Iterable[_Tree]) -> dict[str, KindTotal]:
    kinds: dict[str, KindTotal] = {}
    for layer, times in _leaves(trees, 1):
        if not _costs(layer):
            continue
        old = kinds.get(layer.kind, KindTotal(0, 0, 0))
        macs = 0 if 0 in (layer.macs, times) else _product(layer.macs, times)
        kinds[layer.kind] = KindTotal(
            old.count + 1,
            None if old.macs is None or macs is None else old.macs + macs,
            old.params + layer.params,
        )
    return kinds


def _totals(outer: Sequence[Layer], rows: Sequence[Layer], peak: int | None) -> Totals:
    """Sums over the outer nodes, those without a row included: moving costs bytes."""
    return Totals(
        macs=sum(row.macs or 0 for row in outer),
        params=sum(row.params for row in rows),
        exact=all(row.macs is not None for row in outer),
        bias_adds=total(row.bias_adds for row in outer),
        elementwise_ops=total(row.elementwise_ops for row in outer),
        weight_bytes=total(row.weight_bytes for row in outer),
        activation_bytes=total(row.activation_bytes for row in outer),
        peak_activation_bytes=peak,
    )


def _sum(trees: Iterable[_Tree], column: str) -> int | None:
    return total(getattr(tree.layer, column) for tree in trees)


def _product(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a * b


def _elsewhere_global(site: ConvSite) -> str | None:
    """A depthwise convolution without padding is a global one where the map is its kernel."""
    if kind(site) != "depthwise" or site.transposed or site.pads is None or any(site.pads):
        return None
    if all(k == 1 for k in site.kernel):
        return None
    return f"gdc where its input map is {'×'.join(map(str, site.kernel))}"
