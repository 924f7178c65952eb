"""Convolutions whose weights can be looked at: constant, finite, and read by nothing else.

A weight that several convolutions share is rewritten for all of them or for none, since otherwise
both the old and the new one would be stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from gconvtool.facts import ConvSite, Skip
from gconvtool.fit.hidden import rounding
from gconvtool.fit.moments import Array
from gconvtool.graph.parts import Numbers, array
from gconvtool.graph.sites import conv_site

Family: TypeAlias = tuple["Plain", ...]
"""The convolutions that share one weight."""


@dataclass(frozen=True, eq=False)
class Plain:
    """A Conv of the main graph with a constant weight; `weight` as it is stored."""

    node: ir.Node
    site: ConvSite
    weight: Numbers

    @property
    def name(self) -> str:
        """The name of its output."""
        return self.site.name

    @property
    def kernel(self) -> Array:
        """G × N/G × C/G × taps, in float64."""
        groups, second = self.site.groups, self.weight.shape[1]
        shape = (groups, len(self.weight) // groups, second, prod(self.site.kernel))
        return self.weight.astype(np.float64).reshape(shape)

    @property
    def bias(self) -> Array:
        """Zeros where it has none."""
        bias = array(self.node.inputs[2]) if len(self.node.inputs) > 2 else None
        return np.zeros(self.site.filters) if bias is None else bias.astype(np.float64)

    @property
    def u(self) -> float:
        """The rounding of its type."""
        return rounding(self.weight.dtype)


def families(model: ir.Model) -> Iterator[Family]:
    """Convolutions by their weights, which nothing else reads and which are not all zero.

    Weights are read one at a time; those of the last family may be rewritten before the next.
    """
    for value, nodes in _by_weight(model).items():
        if _alone(value, nodes):
            found = [_plain(node) for node in nodes]
            family = tuple(plain for plain in found if isinstance(plain, Plain))
            if len(family) == len(found) and family[0].weight.any():
                yield family


def singles(model: ir.Model) -> Iterator[Plain]:
    """All that have a constant weight, whatever else reads it."""
    for nodes in _by_weight(model).values():
        yield from (plain for node in nodes if isinstance(plain := _plain(node), Plain))


def refused(model: ir.Model) -> Mapping[str, Skip]:
    """Why convolutions of the main graph are not looked at, by their outputs' names."""
    found: dict[str, Skip] = {}
    for value, nodes in _by_weight(model).items():
        looked = {node.outputs[0].name or "": _plain(node) for node in nodes}
        own = {name: plain for name, plain in looked.items() if isinstance(plain, Skip)}
        if own:
            others = Skip("it shares its weight with one that cannot be rewritten")
            found |= {name: own.get(name, others) for name in looked}
        elif not _alone(value, nodes):
            found |= dict.fromkeys(looked, Skip("more than convolutions read its weight"))
        elif not any(plain.weight.any() for plain in looked.values() if isinstance(plain, Plain)):
            found |= dict.fromkeys(looked, Skip("its weight is zero"))
    for node in model.graph:
        if _is_conv(node) and not _has_constant_weight(node):
            found[node.outputs[0].name or ""] = Skip("its weight is not a plain constant")
    return found


def times(share: Fraction | float) -> str:
    """`0.25x of its MACs`."""
    return f"{float(share):.2g}x of its MACs"


def insert_before(graph: ir.Graph, reader: ir.Node, node: ir.Node) -> None:
    """Let what a node makes of another's first input be read instead of that, under a new name."""
    source, (made,) = reader.inputs[0], node.outputs
    assert source is not None
    name, taken = node.name or "", ir.convenience.create_value_mapping(graph)
    while name in taken:
        name += "_"
    made.name, made.type = name, source.type
    graph.insert_before(reader, node)
    reader.replace_input_with(0, made)


def _by_weight(model: ir.Model) -> Mapping[ir.Value, list[ir.Node]]:
    found: dict[ir.Value, list[ir.Node]] = {}
    for node in model.graph:
        if _is_conv(node) and _has_constant_weight(node):
            weight = node.inputs[1]
            assert weight is not None
            found.setdefault(weight, []).append(node)
    return found


def _alone(value: ir.Value, nodes: Sequence[ir.Node]) -> bool:
    """Nothing but these read it."""
    return len(value.uses()) == len(nodes) and not value.is_graph_output()


def _is_conv(node: ir.Node) -> bool:
    return node.op_type == "Conv" and not node.domain and len(node.inputs) > 1


def _has_constant_weight(node: ir.Node) -> bool:
    value = node.inputs[1]
    if value is None or value.is_graph_input():
        return False
    return ir.convenience.get_const_tensor(value) is not None


def _plain(node: ir.Node) -> Plain | Skip:
    site = conv_site(node)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if site is None or site.filters % site.groups:
        return Skip("its weight does not fit its groups")
    if bias is not None and array(bias) is None:
        return Skip("its bias is not constant")
    weight = array(node.inputs[1])
    assert weight is not None
    if weight.size == 0:
        return Skip("its weight is empty")
    if weight.dtype.kind in "biu":
        return Skip("its weight is of whole numbers")
    if not np.isfinite(weight).all():
        return Skip("its weight has numbers that are not finite")
    return Plain(node, site, weight)
