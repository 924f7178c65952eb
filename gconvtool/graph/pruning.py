"""Channels that add nothing, removed along the whole chain that carries them.

A channel goes if nothing that weighs it would notice: every convolution and fully connected layer
that reads it has only zeros for it, or it is steady (`steady`), the same number k everywhere, and
what it adds moves into their bias:

    W'[o] = W[o] without c           b'_o = b_o + Σ_c k_c·Σ_taps W[o, c]

With k ≠ 0 that needs a reader without padding. A channel has its place in many values at once
(`classes`): all that is added, joined or multiplied with it, depthwise convolutions and
normalisations included, must agree, and all lose it together. So it never goes where something is
between that is not understood, and channels of inputs and outputs stay, as do those that
convolutions in groups read or write. What is left without a reader goes in the next round.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from gconvtool.fit.hidden import rounding
from gconvtool.fit.moments import Array
from gconvtool.graph import shapes
from gconvtool.graph.bodies import forget, from_outside, home, named
from gconvtool.graph.channels import ELEMENTWISE, Channels, Slot, size_of
from gconvtool.graph.classes import Classes
from gconvtool.graph.constants import int_attribute
from gconvtool.graph.parts import (
    FIRST_OPSET_THAT_BROADCASTS,
    Numbers,
    array,
    constant,
    opset,
)
from gconvtool.graph.steady import LAYERS, Layer, Mask, Observer, Steady
from gconvtool.results.conversion import Certificate

SAFE = frozenset(
    "AveragePool BatchNormalization Concat Conv ConvTranspose Dropout Flatten Gemm "
    "GlobalAveragePool GlobalLpPool GlobalMaxPool InstanceNormalization LpPool MatMul MaxPool Pad "
    "ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Reshape Squeeze "
    "Transpose Unsqueeze".split()
) | frozenset(ELEMENTWISE.split()) - {"LayerNormalization"}
"""Operators in which a channel depends on itself alone, and that take any number of them."""
WIDTH, BIAS = 1, 2
"""The axis of channels; the input of a layer that holds its bias."""


def prune(model: ir.Model) -> tuple[Certificate, ...]:
    """Remove all such channels, graph by graph, in place; shapes are inferred anew.

    Nothing is done before opset 7, where axes were matched in another way.
    """
    if opset(model) < FIRST_OPSET_THAT_BROADCASTS:
        return ()
    names = {node: name for name, node in named(model.graph)}
    before = {node: size_of(node.outputs[0]) for node in names if node.op_type in LAYERS}
    folded = dict[str, Certificate]()
    for graph in list(model.graphs()):
        while (found := _round(graph, model.opset_imports, names)) is not None:
            folded.update(found)
            shapes.infer(model)
    removed = (_certificate(node, names[node], filters) for node, filters in before.items())
    return (*(found for found in removed if found is not None), *folded.values())


def _certificate(node: ir.Node, name: str, filters: int | None) -> Certificate | None:
    """Of a layer that had so many filters."""
    left = size_of(node.outputs[0])
    if filters is None or left is None or left == filters:
        return None
    gone = f"{filters - left} of {filters} filters"
    because = f"{gone} add nothing to what reads them, or the same number to all"
    return Certificate("dead channels", name, because, 0.0, 0.0)


def _round(
    graph: ir.Graph, opsets: Mapping[str, int], names: Mapping[ir.Node, str]
) -> dict[str, Certificate] | None:
    """Remove what can be seen to be dead; None if that is nothing."""
    channels = Channels(graph)
    _hold(channels, graph)
    classes, observer = Classes(channels), Observer(graph, channels, opsets)
    readers = [_Reader.of(slot, observer) for slot in channels.slots if _reads(slot)]
    dead = _dead(readers, classes)
    if not dead:
        return None
    removal = _Removal(graph, channels, classes, dead)
    made = [_fold(reader, names[reader.node], removal.kept(reader.value)) for reader in readers]
    folded = {found.site: found for found in made if found is not None}
    removal.run([reader.node for reader, found in zip(readers, made, strict=True) if found])
    return folded


def _hold(channels: Channels, graph: ir.Graph) -> None:
    """Keep what permutations may touch and removals may not."""
    tied = {(link.whole, link.part) for link in channels.links}
    for node in graph:
        reduces = node.op_type.startswith("Reduce")
        alone = reduces and (node.outputs[0], node.inputs[0]) not in tied  # over the channels too
        if node.op_type not in SAFE or alone or not _resizes(node):
            channels.pinned += [value for value in (*node.inputs, *node.outputs) if value]
    channels.pinned += [run.value for run in channels.runs]
    channels.pinned += from_outside(graph)


def _resizes(node: ir.Node) -> bool:
    """A Reshape has its sizes in a constant that can be changed; all others need no change."""
    return node.op_type != "Reshape" or array(node.inputs[1]) is not None


# Who reads a channel.


@dataclass(frozen=True)
class _Reader:
    """What a layer does with the channels of a value: whether it weighs them, and what they are."""

    node: ir.Node
    value: ir.Value
    weighed: Mask
    steady: Steady
    foldable: bool

    @classmethod
    def of(cls, slot: Slot, observer: Observer) -> _Reader:
        weight = array(slot.node.inputs[slot.index])
        assert weight is not None, "only constants are slots"
        others = tuple(axis for axis in range(weight.ndim) if axis != slot.axis)
        weighed = np.asarray((weight != 0).any(others))
        steady = observer.of(slot.value)
        return cls(slot.node, slot.value, weighed, steady, _foldable(slot.node, steady))

    @property
    def indifferent(self) -> Mask:
        """The channels that it would not miss."""
        spared = self.steady.known if self.foldable else self.steady.zero
        return ~self.weighed | spared


def _reads(slot: Slot) -> bool:
    """The weight of a layer along what it reads, unless each channel is its own group."""
    node = slot.node
    reading = slot.index == 1 and node.op_type in LAYERS and slot.value is node.inputs[0]
    return reading and slot.groups == 1 and int_attribute(node, "group", 1) == 1


def _foldable(node: ir.Node, steady: Steady) -> bool:
    """Whether there is a bias, or room for one, and no padding."""
    if node.op_type not in ("Conv", "Gemm") or not steady.numbers.any():
        return False
    layer = Layer.of(node)
    return layer is not None and not layer.pads and layer.holds(steady.numbers)


def _dead(readers: list[_Reader], classes: Classes) -> dict[int, Mask]:
    """Channels that no reader would miss, by class; at least one of each class is kept."""
    dead = dict[int, Mask]()
    for reader in readers:
        for kind, free in _pieces(reader, classes):
            dead[kind] = dead.get(kind, np.ones(len(free), bool)) & free
    for mask in dead.values():
        mask[0] &= not mask.all()
    pinned = classes.pinned
    return {kind: mask for kind, mask in dead.items() if mask.any() and kind not in pinned}


def _pieces(reader: _Reader, classes: Classes) -> Iterator[tuple[int, Mask]]:
    """Its indifference, class by class; flattened channels go with those that they come from."""
    for piece in classes.pieces.get(reader.value, ()):
        end = piece.start + classes.sizes[piece.kind]
        free: Mask = reader.indifferent[piece.start : end]
        spread = classes.spreads.get(piece.kind)
        narrow = None if spread is None else classes.only(spread.narrow)
        if spread is None or narrow is None:
            yield piece.kind, free
        else:
            yield narrow, np.asarray(free.reshape(-1, spread.repeat).all(1))


# Rewriting.


def _fold(reader: _Reader, name: str, kept: Mask) -> Certificate | None:
    """Move what removed channels add into the bias."""
    node, layer = reader.node, Layer.of(reader.node)
    numbers = np.where(kept, 0.0, reader.steady.numbers)
    if layer is None or not (numbers != 0)[reader.weighed].any():
        return None
    bias = layer.bias + layer.makes(numbers)
    old = node.inputs[BIAS] if len(node.inputs) > BIAS else None
    rounded = bias.astype(layer.weight.dtype)
    node.resize_inputs(BIAS + 1)
    node.replace_input_with(BIAS, constant(home(node), f"{name}.steady_bias", rounded))
    forget(old)
    because = f"{int((~kept).sum())} of its inputs are constants, and so are in its bias"
    change, bound = _change(rounded, bias), rounding(rounded.dtype)
    return Certificate("constant channels", name, because, change, bound)


def _change(rounded: Numbers, exact: Array) -> float:
    largest = np.abs(exact).max(initial=0)
    return float(np.abs(rounded.astype(np.float64) - exact).max(initial=0) / (largest or 1.0))


@dataclass(frozen=True)
class _Removal:
    """Takes dead channels out of all constants that have them."""

    graph: ir.Graph
    channels: Channels
    classes: Classes
    dead: Mapping[int, Mask]

    def kept(self, value: ir.Value) -> Mask:
        """The channels of a value that stay."""
        pieces = self.classes.pieces.get(value, ())
        if not pieces:
            return np.ones(size_of(value) or 0, bool)
        return np.concatenate([self._kept(piece.kind) for piece in pieces])

    def _kept(self, kind: int) -> Mask:
        spread = self.classes.spreads.get(kind)
        if spread is not None:
            return np.repeat(self.kept(spread.narrow), spread.repeat)
        dead = self.dead.get(kind)
        return np.ones(self.classes.sizes[kind], bool) if dead is None else ~dead

    def run(self, folded: Collection[ir.Node]) -> None:
        """All of it, once; layers in which something was folded have another bias than before."""
        slots: dict[tuple[ir.Node, int], list[Slot]] = defaultdict(list)
        for slot in self.channels.slots:
            old = slot.node in folded and slot.index == BIAS
            if slot.groups == 1 and not old:  # otherwise each channel is a group of its own
                slots[slot.node, slot.index].append(slot)
        for node in folded:
            slots[node, BIAS].append(Slot(node, BIAS, 0, node.outputs[0]))
        for (node, index), found in slots.items():
            self._narrow(node, index, found)
        for node in self.graph:
            if node.op_type == "Reshape":
                self._resize(node)

    def _narrow(self, node: ir.Node, index: int, found: list[Slot]) -> None:
        value, numbers = node.inputs[index], array(node.inputs[index])
        kept = {slot.axis: self.kept(slot.value) for slot in found}
        if value is None or numbers is None or all(mask.all() for mask in kept.values()):
            return
        for axis, mask in kept.items():
            numbers = np.compress(mask, numbers, axis)
        self._put(node, index, numbers)
        if index == 1 and int_attribute(node, "group", 1) > 1:
            node.attributes["group"] = ir.AttrInt64("group", len(numbers))

    def _resize(self, node: ir.Node) -> None:
        """Sizes may say how many channels there are."""
        kept, sizes = self.kept(node.outputs[0]), array(node.inputs[1])
        if sizes is None or kept.all() or sizes[WIDTH] <= 0:
            return
        sizes = sizes.copy()
        sizes[WIDTH] = kept.sum()
        self._put(node, 1, sizes)

    def _put(self, node: ir.Node, index: int, numbers: Numbers) -> None:
        old = node.inputs[index]
        name = f"{node.outputs[0].name}.pruned_{index}"
        node.replace_input_with(index, constant(self.graph, name, numbers))
        forget(old)
