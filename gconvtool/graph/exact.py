"""Rewrites that change nothing but rounding.

What scales and shifts channels, y = s·x + t, folds into the convolution before it,

    W'[o] = s_o·W[o]               b'_o = s_o·b_o + t_o

or into all those behind it. A shift does so only where nothing is padded, since zeros around the
input are not shifted:

    W'[o, c] = W[o, c]·s_c         b'_o = b_o + Σ_c t_c·Σ_k W[o, c, k]

Batch normalisation is s = γ/√(σ² + ε), t = β − μ·s. The convolution keeps its output's name, which
then holds what has been scaled and shifted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveInitializersFromInputsPass

from gconvtool.fit.moments import Array
from gconvtool.graph.bodies import forget
from gconvtool.graph.constants import int_attribute, ints_attribute
from gconvtool.graph.load import FIRST_IR_WITH_PRIVATE_INITIALIZERS
from gconvtool.graph.parts import Numbers, array, constant, opset

FIRST_OPSET_WITHOUT_IS_TEST = 7
DEFAULT_EPSILON = 1e-5


def privatise_initializers(model: ir.Model) -> int:
    """Take initializers out of the graph's inputs, in place; returns how many.

    A weight that a caller could override is no constant, for us or for any runtime's fast paths.
    """
    before = len(model.graph.inputs)
    RemoveInitializersFromInputsPass()(model)
    model.ir_version = max(model.ir_version, FIRST_IR_WITH_PRIVATE_INITIALIZERS)
    return before - len(model.graph.inputs)


def fold_batch_norms(model: ir.Model) -> int:
    """Fold batch normalisations into the convolutions before or behind them, in place.

    Arithmetic with a constant a channel, behind a convolution, is folded too; nothing is folded
    from one graph into another. Returns how many nodes are gone for that.
    """
    if opset(model) < FIRST_OPSET_WITHOUT_IS_TEST:
        return 0
    with np.errstate(all="ignore"):  # what is not finite is not folded
        return sum(_fold(graph) for graph in list(model.graphs()))


@dataclass(frozen=True)
class Affine:
    """scale·x + shift, one number each a channel."""

    scale: Array
    shift: Array


@dataclass(frozen=True)
class _Convolution:
    """A Conv or ConvTranspose: its weight as G × N/G × C/G × taps and its bias, in float64.

    `shape` and `dtype` are those of the weight as it is stored.
    """

    node: ir.Node
    weight: Array
    bias: Array
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    @classmethod
    def of(cls, node: ir.Node | None) -> _Convolution | None:
        """None where a node is none of these, or has weights that are computed."""
        if node is None or node.domain or node.op_type not in ("Conv", "ConvTranspose"):
            return None
        stored, groups = array(node.inputs[1]), int_attribute(node, "group", 1)
        if stored is None or stored.size == 0 or stored.ndim < 3:
            return None
        if groups < 1 or len(stored) % groups:
            return None
        first, second, *kernel = stored.shape
        weight = stored.astype(np.float64).reshape(groups, first // groups, second, prod(kernel))
        weight = weight if node.op_type == "Conv" else weight.swapaxes(1, 2)
        bias = _bias(node, groups * weight.shape[1])
        return None if bias is None else cls(node, weight, bias, stored.shape, stored.dtype)

    @property
    def filters(self) -> int:
        """N."""
        return int(self.weight.shape[0] * self.weight.shape[1])

    @property
    def channels(self) -> int:
        """C."""
        return int(self.weight.shape[0] * self.weight.shape[2])

    def followed_by(self, affine: Affine) -> _Convolution:
        """The same, with its output scaled and shifted."""
        scale = affine.scale.reshape(*self.weight.shape[:2], 1, 1)
        bias = self.bias * affine.scale + affine.shift
        return replace(self, weight=self.weight * scale, bias=bias)

    def preceded_by(self, affine: Affine) -> _Convolution:
        """The same, with its input scaled and shifted; without padding, if shifted."""
        shape = (len(self.weight), 1, -1, 1)
        scale, shift = affine.scale.reshape(shape), affine.shift.reshape(shape)
        bias = self.bias + (self.weight * shift).sum((2, 3)).ravel()
        return replace(self, weight=self.weight * scale, bias=bias)

    def pads(self) -> bool:
        """Some output may see less than the whole kernel."""
        if self.node.op_type == "ConvTranspose":
            return True  # at its borders, whatever it pads
        auto = self.node.attributes.get("auto_pad")
        mode = "NOTSET" if auto is None else auto.as_string()
        if mode.startswith("SAME"):
            return int(self.weight.shape[3]) > 1
        return mode == "NOTSET" and any(ints_attribute(self.node, "pads", ()))

    def stored(self) -> tuple[Numbers, Numbers] | None:
        """Weight and bias as they are to be stored; None where their type is too narrow."""
        weight = self.weight if self.node.op_type == "Conv" else self.weight.swapaxes(1, 2)
        rounded, bias = weight.astype(self.dtype), self.bias.astype(self.dtype)
        lost = np.abs(rounded.astype(np.float64) - weight).max()
        usual = float(np.spacing(np.ones((), self.dtype))) * np.abs(weight).max()
        fits = lost <= usual and np.isfinite(bias.astype(np.float64)).all()
        return (rounded.reshape(self.shape), bias) if fits else None


def _bias(node: ir.Node, filters: int) -> Array | None:
    """Zeros where there is none; None where it is computed."""
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return np.zeros(filters)
    bias = array(node.inputs[2])
    return None if bias is None or bias.shape != (filters,) else bias.astype(np.float64)


# What scales and shifts.


def _affine(node: ir.Node, index: int, conv: _Convolution) -> Affine | None:
    """What a node does to its input `index`, which a convolution writes."""
    if node.op_type == "BatchNormalization":
        return normalisation(node, conv.filters) if index == 0 else None
    return _arithmetic(node, index, conv)


def normalisation(node: ir.Node, channels: int) -> Affine | None:
    """A batch normalisation by stored statistics."""
    training = len(node.outputs) > 1  # which is what more outputs meant up to opset 13
    if training or int_attribute(node, "training_mode", 0):
        return None
    stored = [array(value) for value in node.inputs[1:]]
    vectors = [v.astype(np.float64) for v in stored if v is not None and v.shape == (channels,)]
    if len(vectors) < 4:
        return None  # before opset 9 there could be one a position
    gamma, beta, mean, variance = vectors
    given = node.attributes.get("epsilon")
    scale = gamma / np.sqrt(variance + (DEFAULT_EPSILON if given is None else given.as_float()))
    return Affine(scale, beta - mean * scale)


def _arithmetic(node: ir.Node, index: int, conv: _Convolution) -> Affine | None:
    """By a constant that is one number, or one a channel."""
    known = ARITHMETIC.get((node.op_type, index))
    constants = None if known is None else array(node.inputs[1 - index])
    rank = len(conv.shape)
    if known is None or constants is None or constants.ndim > rank:
        return None
    per_channel = ((1,) * (rank - constants.ndim) + constants.shape)[1]
    if per_channel not in (1, conv.filters) or constants.size != per_channel:
        return None
    return known(np.broadcast_to(constants.astype(np.float64).reshape(-1), (conv.filters,)))


def _scaled(c: Array) -> Affine:
    return Affine(c, np.zeros(len(c)))


ARITHMETIC: Mapping[tuple[str, int], Callable[[Array], Affine]] = {
    ("Add", 0): lambda c: Affine(np.ones(len(c)), c),
    ("Add", 1): lambda c: Affine(np.ones(len(c)), c),
    ("Sub", 0): lambda c: Affine(np.ones(len(c)), -c),
    ("Sub", 1): lambda c: Affine(-np.ones(len(c)), c),
    ("Mul", 0): _scaled,
    ("Mul", 1): _scaled,
    ("Div", 0): lambda c: _scaled(1 / c),
}
"""Operators, and which of their inputs is scaled and shifted by the other."""
FOLDABLE = {"BatchNormalization", *(op for op, _ in ARITHMETIC)}


# Folding: decide first, change later.


def _fold(graph: ir.Graph) -> int:
    before = sum(_fold_into_producer(node, graph) for node in list(graph))
    return before + sum(_fold_into_readers(node, graph) for node in list(graph))


def _fold_into_producer(node: ir.Node, graph: ir.Graph) -> bool:
    """Into the convolution that it follows, if nothing else reads that."""
    if node.op_type not in FOLDABLE or node.domain or node.outputs[0].is_graph_output():
        return False
    index = next((i for i, value in enumerate(node.inputs) if array(value) is None), 0)
    source = node.inputs[index]
    if source is None or source.graph is not graph:
        return False
    if len(source.uses()) > 1 or source.is_graph_output():
        return False
    conv = _Convolution.of(source.producer())
    affine = None if conv is None else _affine(node, index, conv)
    new = None if conv is None or affine is None else conv.followed_by(affine).stored()
    if conv is None or new is None:
        return False
    _store(conv.node, graph, *new)
    _take_out(node, conv.node.outputs[0], graph)
    return True


def _fold_into_readers(norm: ir.Node, graph: ir.Graph) -> bool:
    """A batch normalisation into all that reads it, if that is convolutions of this graph alone."""
    if norm.op_type != "BatchNormalization" or norm.domain or norm.outputs[0].is_graph_output():
        return False
    source, value = norm.inputs[0], norm.outputs[0]
    readers = [node for node, index in value.uses() if index == 0 and node.graph is graph]
    folded = [new for node in readers if (new := _preceded(node, norm)) is not None]
    if source is None or not 0 < len(folded) == len(value.uses()):
        return False
    for node, new in zip(readers, folded, strict=True):
        _store(node, graph, *new)
    _take_out(norm, source, graph)
    return True


def _preceded(node: ir.Node, norm: ir.Node) -> tuple[Numbers, Numbers] | None:
    """The new weights of a convolution for itself and the normalisation that it reads."""
    conv = _Convolution.of(node)
    affine = None if conv is None else normalisation(norm, conv.channels)
    if conv is None or affine is None or (affine.shift.any() and conv.pads()):
        return None
    return conv.preceded_by(affine).stored()


def _store(node: ir.Node, graph: ir.Graph, weight: Numbers, bias: Numbers) -> None:
    """Give a convolution new weights; a bias only if it has one to add."""
    old, name = node.inputs[1:], node.outputs[0].name
    numbers = [("weight", weight), ("bias", bias)]
    node.resize_inputs(1)
    for value in old:
        forget(value)
    needed = numbers if len(old) > 1 or bias.any() else numbers[:1]
    node.resize_inputs(1 + len(needed))
    for index, (what, new) in enumerate(needed, 1):
        node.replace_input_with(index, constant(graph, f"{name}.folded_{what}", new))


def _take_out(node: ir.Node, value: ir.Value, graph: ir.Graph) -> None:
    """Let the readers of a node's output read another value."""
    old = node.inputs
    node.outputs[0].replace_all_uses_with(value)
    graph.remove(node, safe=True)
    for constants in old:
        forget(constants)
