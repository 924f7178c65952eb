"""Global average pooling and global depthwise convolution, each written as the other.

    mean over H·W positions of x      =  x ∗ w + 0           every weight of w 1/(H·W)
    x ∗ w + b                         =  mean(x ⊙ H·W·w) + b
                                      =  mean(x)·H·W·w + b   where w is one number a channel

The second line holds for any weights, the third spares the multiplication of the whole map, and the
whole factor where it is 1. What is lost where w is not one number a channel, and the third line is
used all the same with Σw for H·W·w, is another network: `gdc_to_average` is for those who ask for
it. What follows a pooling (Flatten, Reshape, Squeeze) stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from gconvtool.facts import ConvSite, Shape, Skip, describe_shape
from gconvtool.fit.hidden import rounding
from gconvtool.fit.moments import Array
from gconvtool.graph.bodies import forget, fresh, home, named
from gconvtool.graph.constants import int_attribute, ints_attribute, shape_of
from gconvtool.graph.parts import (
    FIRST_OPSET_THAT_BROADCASTS,
    Numbers,
    array,
    constant,
    opset,
    replace_node,
)
from gconvtool.graph.sites import conv_site, convolved, misfit
from gconvtool.kinds import kind
from gconvtool.results.conversion import Certificate

Types: TypeAlias = Collection[ir.DataType | None]


def gap_to_gdc(model: ir.Model) -> tuple[Certificate, ...]:
    """Write every global average that `kept_averages` does not name as a convolution, in place."""
    types = convolved(model)
    found = [(name, node, _average(node, types)) for name, node in named(model.graph)]
    return tuple(
        _convolve(model, name, node, average)
        for name, node, average in found
        if isinstance(average, _Average)
    )


def kept_averages(model: ir.Model) -> Mapping[str, Skip]:
    """The averages over whole maps that cannot become convolutions, by their names, and why."""
    types = convolved(model)
    found = ((name, _average(node, types)) for name, node in named(model.graph))
    return {name: skip for name, skip in found if isinstance(skip, Skip)}


def gdc_to_gap(model: ir.Model) -> tuple[Certificate, ...]:
    """Write every global depthwise convolution that `kept_convolutions` does not name as a
    product and an average, in place."""
    found = list(_globals(model))
    return tuple(
        _pool(model, name, node, conv) for name, node, conv in found if isinstance(conv, _Global)
    )


def kept_convolutions(model: ir.Model) -> Mapping[str, Skip]:
    """The global depthwise convolutions that cannot become averages, and why."""
    return {name: skip for name, _, skip in _globals(model) if isinstance(skip, Skip)}


def gdc_to_average(model: ir.Model) -> Mapping[str, float]:
    """Replace global depthwise convolutions by plain averages times Σw, in place. Not exact.

    Returns:
        The share of each kernel's energy that is lost, by its site: Σ(w − w̄)² / Σw².
    """
    lost = dict[str, float]()
    for name, node, conv in list(_globals(model)):
        if isinstance(conv, _Global):
            flat = conv.averaged()
            lost[name] = float(np.square(conv.weight - flat.weight).sum() / conv.energy)
            _pool(model, name, node, flat)
    return lost


# Averages that are there.


@dataclass(frozen=True)
class _Average:
    """Over maps of these C channels and sizes; `flat` where the map's axes are gone afterwards."""

    channels: int
    sizes: tuple[int, ...]
    dtype: np.dtype[np.generic]
    flat: bool

    @property
    def weight(self) -> float:
        """1/(H·W)."""
        return 1 / prod(self.sizes)

    @property
    def stored(self) -> Numbers:
        """The same in the type of the map."""
        return np.asarray(self.weight, self.dtype)

    @property
    def difference(self) -> float:
        """By rounding, relative."""
        return abs(float(self.stored) - self.weight) / self.weight


def _average(node: ir.Node, types: Types) -> _Average | Skip | None:
    """What a node averages, if it is of these types; None if it is no average over whole maps."""
    x = node.inputs[0] if node.inputs else None
    shape = shape_of(x)
    if node.domain or x is None or node.op_type not in AVERAGES:
        return None
    if not AVERAGES[node.op_type](node, shape):
        return None
    sizes = tuple(dim for dim in (shape or ())[1:] if isinstance(dim, int))
    if shape is None or len(sizes) < len(shape) - 1:
        size = describe_shape(shape)
        return Skip(
            f"the size of its feature map is not known ({size}): export it with fixed sizes"
        )
    if prod(sizes[1:]) < 2 or sizes[0] < 1:
        return Skip(f"its feature map has nothing to average: {describe_shape(shape)}")
    if x.dtype is None or x.dtype not in types:
        return Skip(f"runtimes have no convolution for {x.dtype}, and this network has none")
    flat = node.op_type == "ReduceMean" and int_attribute(node, "keepdims", 1) == 0
    found = _Average(sizes[0], sizes[1:], x.dtype.numpy(), flat)
    fits = found.difference <= rounding(found.dtype)
    return found if fits else Skip(f"1/{prod(found.sizes)} is too small for {found.dtype}")


def _pools_all(node: ir.Node, shape: Shape) -> bool:
    """A window as large as the map, nothing padded: one position, whatever the strides."""
    kernel, ones = ints_attribute(node, "kernel_shape", ()), (1,) * len(shape or ())
    auto = node.attributes.get("auto_pad")
    padded = any(ints_attribute(node, "pads", ())) or (
        auto is not None and auto.as_string() not in ("NOTSET", "VALID")
    )
    dilated = any(dilation != 1 for dilation in ints_attribute(node, "dilations", ones))
    return shape is not None and shape[2:] == kernel and not padded and not dilated


def _reduces_maps(node: ir.Node, shape: Shape) -> bool:
    """Over all axes but the first two."""
    axes = ints_attribute(node, "axes", ())
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is not None:
        numbers = array(given)
        axes = () if numbers is None else tuple(int(axis) for axis in numbers.reshape(-1))
    rank = len(shape or ())
    return rank > 2 and sorted(axis % rank for axis in axes) == list(range(2, rank))


AVERAGES: Mapping[str, Callable[[ir.Node, Shape], bool]] = {
    "GlobalAveragePool": lambda node, shape: True,
    "AveragePool": _pools_all,
    "ReduceMean": _reduces_maps,
}
"""Operators, and when they average over whole maps."""


def _convolve(model: ir.Model, name: str, node: ir.Node, average: _Average) -> Certificate:
    axes = len(average.sizes)
    shape = (average.channels, 1, *average.sizes)
    weight = constant(home(node), f"{name}/gdc.weight", np.full(shape, average.stored))
    nodes = [ir.node("Conv", [node.inputs[0], weight], {"group": average.channels})]
    if average.flat:
        nodes.append(ir.node("Flatten", [nodes[0].outputs[0]], {"axis": 1}))
    batch = (shape_of(node.inputs[0]) or (None,))[0]
    _replace(model, node, nodes, ir.Shape([batch, average.channels, *[1] * axes]))
    because = f"an average is a convolution with weights 1/{prod(average.sizes)}"
    return _certified("gap to gdc", name, because, average.difference, average.dtype)


# Global depthwise convolutions that are there.


@dataclass(frozen=True)
class _Global:
    """C × H·W weights of a global depthwise convolution and its bias, in float64."""

    site: ConvSite
    weight: Array
    bias: Array | None
    dtype: np.dtype[np.generic]

    @property
    def energy(self) -> float:
        """Σw², and 1 where that is nothing."""
        return float(np.square(self.weight).sum()) or 1.0

    @property
    def factors(self) -> Array:
        """H·W·w, one number a channel (C × 1) where that is all that they are."""
        made = self.weight * self.weight.shape[1]
        return np.asarray(made[:, :1] if (made == made[:, :1]).all() else made)

    @property
    def plain(self) -> bool:
        """Whether all factors are 1, to rounding."""
        return bool((np.abs(self.factors - 1) <= rounding(self.dtype)).all())

    @property
    def stored(self) -> Numbers:
        """The factors as they are stored."""
        with np.errstate(over="ignore"):  # which the difference then says
            factors = np.ones_like(self.factors) if self.plain else self.factors
            return np.asarray(factors.astype(self.dtype))

    @property
    def difference(self) -> float:
        """max|W' − W| / max|W|"""
        change = np.abs(self.stored.astype(np.float64) - self.factors).max(initial=0)
        return float(change / (np.abs(self.factors).max(initial=0) or 1.0))

    def averaged(self) -> _Global:
        """The same with all weights of a channel their mean."""
        mean = np.broadcast_to(self.weight.mean(1, keepdims=True), self.weight.shape)
        return _Global(self.site, mean, self.bias, self.dtype)


def _globals(model: ir.Model) -> Iterator[tuple[str, ir.Node, _Global | Skip]]:
    old = Skip(f"opset {opset(model)}: products and sums over channels meant something else then")
    for name, node in named(model.graph):
        found = _global(node)
        if found is not None:
            yield name, node, old if opset(model) < FIRST_OPSET_THAT_BROADCASTS else found


def _global(node: ir.Node) -> _Global | Skip | None:
    """A global depthwise convolution; None for any other node."""
    site = conv_site(node) if node.op_type == "Conv" and not node.domain else None
    if site is None or kind(site) != "gdc":
        return None
    weight = array(node.inputs[1])
    with_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    bias = array(node.inputs[2]) if with_bias else None
    if weight is None or (with_bias and bias is None):
        return Skip("its weights are not plain constants")
    if contradiction := misfit(node, site):
        return contradiction
    flat = weight.astype(np.float64).reshape(len(weight), -1)
    if not np.isfinite(flat).all():
        return Skip("its weights are not finite")
    found = _Global(site, flat, None if bias is None else bias.astype(np.float64), weight.dtype)
    fits = found.difference <= rounding(found.dtype)
    return found if fits else Skip(f"{flat.shape[1]}·w is too large for {weight.dtype}")


def _pool(model: ir.Model, name: str, node: ir.Node, conv: _Global) -> Certificate:
    """Multiply → average → add, or as little of it as is needed."""
    graph, site, factors = home(node), conv.site, conv.stored
    nodes, per_channel = list[ir.Node](), factors.shape[1] == 1
    ones = [1] * len(site.kernel)

    def follow(op: str, x: ir.Value | None, *more: ir.Value) -> ir.Value:
        nodes.append(ir.node(op, [x, *more]))
        return nodes[-1].outputs[0]

    y = node.inputs[0]
    if not per_channel:
        shape = (site.channels, *site.kernel)
        y = follow("Mul", y, constant(graph, f"{name}/gap.factors", factors.reshape(shape)))
    y = follow("GlobalAveragePool", y)
    if per_channel and not conv.plain:
        shape = (site.channels, *ones)
        y = follow("Mul", y, constant(graph, f"{name}/gap.factors", factors.reshape(shape)))
    if conv.bias is not None and conv.bias.any():
        bias = conv.bias.astype(conv.dtype).reshape(site.channels, *ones)
        follow("Add", y, constant(graph, f"{name}/gap.bias", bias))
    _replace(model, node, nodes, node.outputs[0].shape)
    form = "mean(x)·HW·w" if per_channel else "mean(x ⊙ HW·w)"
    because = f"a kernel as large as the map is {form}"
    return _certified("gdc to gap", name, because, conv.difference, conv.dtype)


# Both.


POOLED = ("Conv", "GlobalAveragePool")
"""Operators whose output is one position a channel; others take their shapes from around them."""


def _certified(
    rewrite: str, site: str, because: str, difference: float, dtype: np.dtype[np.generic]
) -> Certificate:
    bound = rounding(dtype) if difference else 0.0
    return Certificate(rewrite, site, because, difference, bound)


def _replace(model: ir.Model, node: ir.Node, nodes: list[ir.Node], pooled: ir.Shape | None) -> None:
    """Put a chain of nodes in the place of one; the last output has its name and shape."""
    old, prefix = node.inputs[1:], node.outputs[0].name
    for new in nodes:
        new.name = fresh(model, f"{prefix}/{new.op_type}")
        new.outputs[0].name, new.outputs[0].type = new.name, node.outputs[0].type
        new.outputs[0].shape = pooled.copy() if pooled and new.op_type in POOLED else None
    replace_node(node, nodes, nodes[-1].outputs[0])
    for value in old:
        forget(value)
