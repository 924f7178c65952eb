"""Convolutions whose weights can be looked at: constant, finite, and read by nothing else.

The weights of a transposed convolution are turned to N × C/G × taps, as a Conv has them: what zeros
and ranks say of its channels and filters is the same then.

A weight that several convolutions share is rewritten for all of them or for none, since otherwise
both the old and the new one would be stored; so those in different graphs are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from gconvtool.facts import ConvSite, Skip
from gconvtool.fit.hidden import rounding
from gconvtool.fit.moments import Array
from gconvtool.fit.transposed import turned
from gconvtool.graph.bodies import fresh, home, named
from gconvtool.graph.carriers import is_constant
from gconvtool.graph.parts import Numbers, array
from gconvtool.graph.sites import MISFIT, conv_site, misfit, not_stored, renamed

FLOATING = "fV"
"""Kinds of numpy's types; V has those of bfloat16."""
Family: TypeAlias = tuple["Plain", ...]
"""The convolutions that share one weight."""


@dataclass(frozen=True, eq=False)
class Plain:
    """A convolution with a constant weight, of whatever graph; `weight` is N × C/G × taps, in the
    type in which it is stored."""

    node: ir.Node
    site: ConvSite
    weight: Numbers

    @property
    def name(self) -> str:
        """Its name in the survey: that of its output, behind those of what holds it."""
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
        if _alone(value, nodes) and _in_one_graph(nodes):
            found = [look(name, node) for name, node in nodes.items()]
            family = tuple(plain for plain in found if isinstance(plain, Plain))
            if len(family) == len(found) and family[0].weight.any():
                yield family


def singles(model: ir.Model) -> Iterator[Plain]:
    """All that have a constant weight, whatever else reads it."""
    for nodes in _by_weight(model).values():
        found = (look(name, node) for name, node in nodes.items())
        yield from (plain for plain in found if isinstance(plain, Plain))


def refused(model: ir.Model) -> Mapping[str, Skip]:
    """Why convolutions are not looked at, by their names in the survey."""
    found: dict[str, Skip] = {}
    for value, nodes in _by_weight(model).items():
        looked = {name: look(name, node) for name, node in nodes.items()}
        own = {name: plain for name, plain in looked.items() if isinstance(plain, Skip)}
        if own:
            others = Skip("it shares its weight with one that cannot be rewritten")
            found |= {name: own.get(name, others) for name in looked}
        elif not _alone(value, nodes):
            found |= dict.fromkeys(looked, Skip("more than convolutions read its weight"))
        elif not _in_one_graph(nodes):
            found |= dict.fromkeys(looked, Skip("it shares its weight with one in another body"))
        elif not any(plain.weight.any() for plain in looked.values() if isinstance(plain, Plain)):
            found |= dict.fromkeys(looked, Skip("its weight is zero"))
    for name, node in named(model.graph):
        if _is_conv(node) and not _has_constant_weight(node):
            found[name] = not_stored(node.inputs[1])
    return found


def look(name: str, node: ir.Node) -> Plain | Skip:
    """A convolution whose weight is constant, whoever else reads that, or why it cannot be used."""
    site = conv_site(node)
    if site is None or site.filters % site.groups:
        return Skip(MISFIT)
    if contradiction := misfit(node, site):
        return contradiction
    weight = array(node.inputs[1])
    assert weight is not None
    if weight.size == 0:
        return Skip("its weight is empty")
    if weight.dtype.kind not in FLOATING:
        return Skip("its weight is not of floating-point numbers")
    if not np.isfinite(weight).all():
        return Skip("its weight has numbers that are not finite")
    upright = turned(weight, site.groups) if site.transposed else weight
    return Plain(node, renamed(site, name), upright)


def times(share: Fraction | float) -> str:
    """`0.25x of its MACs`."""
    return f"{float(share):.2g}x of its MACs"


def insert_before(model: ir.Model, reader: ir.Node, node: ir.Node) -> None:
    """Let what a node makes of another's first input be read instead of that, under a new name."""
    source, (made,) = reader.inputs[0], node.outputs
    assert source is not None
    made.name, made.type = fresh(model, node.name or ""), source.type
    home(reader).insert_before(reader, node)
    reader.replace_input_with(0, made)


def _by_weight(model: ir.Model) -> Mapping[ir.Value, dict[str, ir.Node]]:
    found: dict[ir.Value, dict[str, ir.Node]] = {}
    for name, node in named(model.graph):
        if _is_conv(node) and _has_constant_weight(node):
            weight = node.inputs[1]
            assert weight is not None
            found.setdefault(weight, {})[name] = node
    return found


def _in_one_graph(nodes: Mapping[str, ir.Node]) -> bool:
    return len({node.graph for node in nodes.values()}) == 1


def _alone(value: ir.Value, nodes: Mapping[str, ir.Node]) -> bool:
    """Nothing but these read it."""
    return len(value.uses()) == len(nodes) and not value.is_graph_output()


def _is_conv(node: ir.Node) -> bool:
    return node.op_type in ("Conv", "ConvTranspose") and not node.domain and len(node.inputs) > 1


def _has_constant_weight(node: ir.Node) -> bool:
    return is_constant(node.inputs[1])
