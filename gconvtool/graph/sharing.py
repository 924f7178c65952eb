"""Convolutions that read one stored weight.

They are converted together or not at all, so that one new weight takes the place of the old one.
For that they have to agree: in their window, since a weight is fitted to patches, and in their
bias, which is fitted with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from gconvtool.facts import ConvSite, Skip
from gconvtool.graph.bodies import forget
from gconvtool.graph.carriers import is_constant, way
from gconvtool.graph.constants import stored
from gconvtool.graph.parts import array, drop_unread
from gconvtool.graph.sites import conv_site, is_convolution

WEIGHTED = ("Conv", "ConvTranspose")
Readers: TypeAlias = tuple[ir.Node, ...]


def families(model: ir.Model) -> tuple[tuple[str, ...], ...]:
    """Names of convolutions of the main graph that share a weight and agree, in their order."""
    return tuple(
        tuple(map(_name, nodes)) for nodes in _sharing(model.graph) if _difference(nodes) is None
    )


def refusals(nodes: Iterable[ir.Node]) -> Mapping[ir.Node, Skip]:
    """Convolutions that share a weight and do not agree."""
    found: dict[ir.Node, Skip] = {}
    for readers in _sharing(nodes):
        if what := _difference(readers):
            first, second, *_ = map(_name, readers)
            for node in readers:
                other = second if node is readers[0] else first
                found[node] = Skip(f"it shares its weight with {other}, which has another {what}")
    return found


def unite(model: ir.Model) -> None:
    """Let convolutions of one graph that read the same of one stored weight, each through operators
    of its own, read one value, in place."""
    first: dict[tuple[object, ...], ir.Value] = {}
    for node in model.graph.all_nodes():
        weight = node.inputs[1] if is_convolution(node) else None
        if weight is None or node.op_type not in WEIGHTED or not is_constant(weight):
            continue
        kept = first.setdefault((node.graph, *way(weight)), weight)
        if kept is not weight:
            node.replace_input_with(1, kept)
            forget(weight)


def merge(graph: ir.Graph, before: set[str]) -> None:
    """Let constants that are alike become one, of those whose names were not there `before`."""
    first: dict[tuple[object, ...], ir.Value] = {}
    for name, value in list(graph.initializers.items()):
        numbers = array(value) if name not in before else None
        if numbers is None:
            continue
        content = sha256(np.ascontiguousarray(numbers).tobytes()).digest()
        kept = first.setdefault((numbers.dtype, numbers.shape, content), value)
        if kept is not value:
            value.replace_all_uses_with(kept)
            drop_unread(graph, value)


def _sharing(nodes: Iterable[ir.Node]) -> Iterator[Readers]:
    """Convolutions by their stored weight, where it has several."""
    readers: dict[ir.Value, list[ir.Node]] = {}
    for node in nodes:
        weighted = node.op_type in WEIGHTED and not node.domain
        weight = node.inputs[1] if weighted and len(node.inputs) > 1 else None
        if weight is not None and stored(weight) is not None:
            readers.setdefault(weight, []).append(node)
    return (tuple(found) for found in readers.values() if len(found) > 1)


def _difference(readers: Readers) -> str | None:
    """What they do not agree in, if so."""
    if len({_window(conv_site(node)) for node in readers}) > 1:
        return "window"
    return "bias" if len({_bias(node) for node in readers}) > 1 else None


def _window(site: ConvSite | None) -> ConvSite | None:
    """All but where it stands."""
    return site and replace(site, name="", input_shape=None, output_shape=None, bias=False)


def _bias(node: ir.Node) -> object:
    """Equal for equal biases."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    numbers = array(value)
    return value if numbers is None else (numbers.dtype, numbers.tobytes())


def _name(node: ir.Node) -> str:
    return node.outputs[0].name or ""
