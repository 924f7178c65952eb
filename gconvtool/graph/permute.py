"""Permutations of channels, carried by the weights around them instead of by a copy.

Grouping leaves a Gather before and behind a convolution, and a Gather leaves the layout that
runtimes are fast in. But channels have no order of their own. Let every value x be held as
x' = x[π], with an order π for each value:

    y = f(x), f alike for all channels      π_y = π_x                      relu, pooling, y + x, …
    y = W·x + b                             W' = W[π_y][:, π_x]            π_x and π_y are free
    y = W·x + b in G groups                 π_x and π_y keep runs of C/G and N/G channels together,
                                            and put the groups into one sequence τ
    y = Concat(a, b), Flatten(a), …         π_y is made of π_a and π_b
    anything else, inputs, outputs          π = 1
    y = x[p], a Gather                      y' = x'[π_x⁻¹·p·π_y], nothing if π_x = p·π_y

So a Gather vanishes if the classes of its x and y can be tied without contradiction (`orders`).
That is tried from the dearest Gather (by elements moved) to the cheapest; then each of those that
are left is tried first, and that is kept if it saves. Only orders change, so results are the same
to the rounding of sums. The values inside are held in other orders under their old names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.graph import shapes
from gconvtool.graph.bodies import forget, from_outside, names
from gconvtool.graph.channels import Channels, Run, Slot, ends, size_of
from gconvtool.graph.classes import Classes, Piece
from gconvtool.graph.constants import shape_of
from gconvtool.graph.orders import Order, Orders
from gconvtool.graph.parts import FIRST_OPSET_THAT_BROADCASTS, array, document

Numbers: TypeAlias = NDArray[np.generic]
MOST_TIES = 50_000
"""Ties that are tried in search of a better choice: all that it takes below some 220 Gathers, and
an end to it in larger networks."""


@dataclass(frozen=True)
class Absorbed:
    """How many Gathers permuted channels before, and how many still do."""

    before: int
    left: int


def absorb(model: ir.Model) -> Absorbed:
    """Remove permuting Gathers wherever weights can take their order, in place.

    Outputs keep the order of their channels. Names of inputs, outputs and convolutions stay, except
    that a convolution behind which a Gather to an output vanishes takes that output's name. Shapes
    are inferred anew.
    """
    if model.opset_imports.get("", 0) < FIRST_OPSET_THAT_BROADCASTS:
        return Absorbed(0, 0)
    done = [_absorb_all(model, graph) for graph in list(model.graphs())]
    return Absorbed(sum(one.before for one in done), sum(one.left for one in done))


def _absorb_all(model: ir.Model, graph: ir.Graph) -> Absorbed:
    """Of one graph; what it shares with others stays in its order."""
    if all(node.op_type != "Gather" for node in graph):
        return Absorbed(0, 0)
    first = last = _absorb_some(model, graph)
    while 0 < last.left < last.before:  # pieces stay where they are, which now is where they should
        last = _absorb_some(model, graph)
    return Absorbed(first.before, last.left)


def _absorb_some(model: ir.Model, graph: ir.Graph) -> Absorbed:
    shapes.infer(model)
    channels = Channels(graph)
    channels.pinned += from_outside(graph)
    classes = Classes(channels)
    orders = _given(channels, classes)
    _choose(orders, tuple(_edges(channels, classes, orders)))
    _Rewriting(graph, channels, classes, orders, names(model)).run()
    left = sum(node.graph is not None for node in channels.moves)
    return Absorbed(len(channels.moves), left)


# What is wanted of orders before any Gather vanishes; that things stay as they are is one way.


def _given(channels: Channels, classes: Classes) -> Orders:
    orders = Orders(classes.sizes)
    for kind in sorted(classes.pinned):
        _pin(orders, kind)
    sequences: dict[ir.Node, int] = {}
    for run in channels.runs:
        if run.conv not in sequences:
            sequences[run.conv] = orders.new((size_of(run.value) or 0) // run.size)
        _keep_groups(run, sequences[run.conv], classes, orders)
    return orders


def _keep_groups(run: Run, sequence: int, classes: Classes, orders: Orders) -> None:
    """Groups may trade places, unless they reach over pieces or cross groups of another size."""
    kind = classes.only(run.value)
    if kind is not None and orders.cut(kind, run.size, sequence, _labels(kind, run, classes)):
        return
    _pin(orders, sequence)
    for piece in classes.pieces[run.value]:
        _keep_places(piece, run, classes, orders)


def _keep_places(piece: Piece, run: Run, classes: Classes, orders: Orders) -> None:
    """Channels may trade places inside their groups, if the piece is made of whole ones."""
    size = classes.sizes[piece.kind]
    if piece.start % run.size == size % run.size == 0:
        sequence = orders.new(size // run.size)
        _pin(orders, sequence)
        if orders.cut(piece.kind, run.size, sequence, _labels(piece.kind, run, classes)):
            return
    _pin(orders, piece.kind)


def _labels(kind: int, run: Run, classes: Classes) -> Order:
    return np.arange(classes.sizes[kind]) // run.size


def _pin(orders: Orders, kind: int) -> None:
    if not orders.pin(kind):
        raise AssertionError("channels can always stay where they are")


# Which Gathers vanish.


@dataclass(frozen=True, eq=False)
class _Edge:
    """A Gather between two classes: channel c of `there` is channel order[c] of `here`.

    A value of several pieces stands for a class that never moves, once its pieces do not either.
    """

    here: int
    there: int
    order: Order
    pieces: frozenset[int]
    elements: int

    def vanishes(self, orders: Orders) -> bool:
        """Tie the classes at both ends, if that can be."""
        mark = orders.mark()
        still = all(orders.pin(kind) for kind in sorted(self.pieces))
        if still and orders.tie(self.here, self.there, self.order):
            return True
        orders.undo(mark)
        return False


def _edges(channels: Channels, classes: Classes, orders: Orders) -> Iterator[_Edge]:
    for node, order in channels.moves.items():
        values = ends(node)
        here, there = (_class_of(value, classes, orders) for value in values)
        pieces = [classes.of(value) for value in values if classes.only(value) is None]
        shape = (shape_of(node.outputs[0]) or ())[1:]
        elements = prod(dim for dim in shape if isinstance(dim, int))
        yield _Edge(here, there, order, frozenset[int]().union(*pieces), elements)


def _class_of(value: ir.Value, classes: Classes, orders: Orders) -> int:
    kind = classes.only(value)
    if kind is None:
        kind = orders.new(size_of(value) or 0)
        _pin(orders, kind)
    return kind


def _choose(orders: Orders, edges: Sequence[_Edge]) -> None:
    """Tie the classes at both ends of Gathers of as many elements as can be."""
    start, best = orders.mark(), sorted(edges, key=lambda edge: -edge.elements)
    gone = _greedy(orders, best)
    left = [edge for edge in best if edge not in gone]
    for first in left[: MOST_TIES // max(1, len(edges))]:
        orders.undo(start)
        order = [first, *(edge for edge in best if edge is not first)]
        trial = _greedy(orders, order)
        if _saved(trial) > _saved(gone):
            best, gone = order, trial
    orders.undo(start)
    _greedy(orders, best)


def _greedy(orders: Orders, edges: Iterable[_Edge]) -> set[_Edge]:
    return {edge for edge in edges if edge.vanishes(orders)}


def _saved(edges: Iterable[_Edge]) -> int:
    """Elements that are moved no more."""
    return sum(edge.elements for edge in edges)


# Rewriting.


class _Rewriting:
    """Puts constants and Gathers into the new orders; Gathers that then do nothing go."""

    def __init__(
        self,
        graph: ir.Graph,
        channels: Channels,
        classes: Classes,
        orders: Orders,
        taken: set[str],
    ) -> None:
        self.graph, self.channels, self.classes, self.orders = graph, channels, classes, orders
        self.taken = taken
        self.made: dict[tuple[object, ...], ir.Value] = {}
        self.moved: dict[tuple[ir.Value, bytes], ir.Value] = {}

    def run(self) -> None:
        """All of it, once."""
        slots: dict[tuple[ir.Node, int], list[Slot]] = defaultdict(list)
        for slot in self.channels.slots:
            slots[slot.node, slot.index].append(slot)
        for found in slots.values():
            self._reorder([(slot, self.order(slot.value)) for slot in found])
        moves = self.channels.moves.items()
        after = [self._between(node, order) for node, order in moves]
        for (node, before), order in zip(moves, after, strict=True):
            self._move(node, before, order)

    def order(self, value: ir.Value) -> Order:
        """Position i of a value holds what was channel order[i]."""
        pieces = self.classes.pieces[value]
        return np.concatenate([piece.start + self._order_of(piece.kind) for piece in pieces])

    def _order_of(self, kind: int) -> Order:
        spread = self.classes.spreads.get(kind)
        if spread is None:
            return self.orders.order(kind)
        runs = self.order(spread.narrow)[:, None] * spread.repeat + np.arange(spread.repeat)
        return np.asarray(runs.reshape(-1))

    def _between(self, gather: ir.Node, order: Order) -> Order:
        """π_x⁻¹·p·π_y"""
        x, y = ends(gather)
        return np.asarray(np.argsort(self.order(x))[order[self.order(y)]])

    def _reorder(self, found: Sequence[tuple[Slot, Order]]) -> None:
        """Reorder a node's constant; those that share one go on so if they reorder it alike."""
        node, index = found[0][0].node, found[0][0].index
        value = node.inputs[index]
        if value is None or all(_is_identity(order) for _, order in found):
            return
        key = (value, *((slot.axis, slot.groups, order.tobytes()) for slot, order in found))
        if key not in self.made:
            self.made[key] = self._constant(f"{value.name}.reordered", _reordered(value, found))
        node.replace_input_with(index, self.made[key])
        forget(value)

    def _move(self, node: ir.Node, before: Order, order: Order) -> None:
        """Give a Gather its new order; or take it out if it does nothing, or nothing new."""
        (x, y), index = ends(node), node.inputs[1]
        same = self.moved.setdefault((x, order.tobytes()), y)
        fixed = x.producer() is None or x.is_graph_output()
        if _is_identity(order) and not (fixed and y.is_graph_output()):
            _take_out(self.graph, node)
        elif same is not y and not y.is_graph_output():
            y.replace_all_uses_with(same)
            self.graph.remove(node, safe=True)
        elif not np.array_equal(order, before):
            numbers = order.astype(np.int64)
            node.replace_input_with(1, self._constant(f"{y.name}.order", numbers))
        forget(index)

    def _constant(self, name: str, numbers: Numbers) -> ir.Value:
        """A new initializer. (`parts.constant` looks through the whole graph for each name.)"""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(numbers), name=name))
        self.graph.register_initializer(value)
        return value


def _reordered(value: ir.Value, found: Iterable[tuple[Slot, Order]]) -> Numbers:
    numbers = array(value)
    assert numbers is not None, "only constants are slots"
    for slot, order in found:
        numbers = _taken(numbers, slot, order)
    return numbers


def _taken(numbers: Numbers, slot: Slot, order: Order) -> Numbers:
    """Numbers along the slot's axis in this order, or in that inside each group of rows."""
    if slot.groups == 1:
        return np.take(numbers, order, slot.axis)
    inside = order.reshape(slot.groups, -1) % (len(order) // slot.groups)
    rows = numbers.reshape(slot.groups, -1, *numbers.shape[1:])
    blocks = [block[:, columns] for block, columns in zip(rows, inside, strict=True)]
    return np.concatenate(blocks)


def _take_out(graph: ir.Graph, node: ir.Node) -> None:
    """Read what a Gather reads. The name of a result or a convolution moves there."""
    x, y = ends(node)
    named = y.is_graph_output() or (x.name or "").startswith(f"{y.name}/")
    y.replace_all_uses_with(x, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    if named and x.producer() is not None:
        x.name, x.shape, x.type = y.name, y.shape, y.type
        document(x, y)


def _is_identity(order: Order) -> bool:
    return np.array_equal(order, np.arange(len(order)))
