"""Rewrites of single convolutions that change nothing, each with its certificate.

    group       no weight joins the channels of one group to the filters of another: G·g groups
    separate    every channel's (or filter's) kernels, or all together, are of low rank: two
                convolutions, wherever those have fewer MACs
    densify     G groups are one dense convolution with zeros between them
    split       G groups are dense convolutions of runs of channels

The first two look for what the weights hide (`fit.hidden`, `fit.ranks`), and a kernel that is
further from the old one than rounding explains is not written. The others are for targets without
grouped convolutions: they move weights and zeros, and cost what they cost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from gconvtool.facts import ConvSite, Skip
from gconvtool.fit import hidden, ranks
from gconvtool.fit.grouping import Grouping
from gconvtool.fit.moments import Array
from gconvtool.fit.structure import (
    BottleneckFactors,
    Factors,
    GroupedFactors,
    PointwiseFirstFactors,
    SeparableFactors,
)
from gconvtool.fit.transposed import turned
from gconvtool.graph import sharing, surgery
from gconvtool.graph.bodies import forget, home, named
from gconvtool.graph.constants import int_attribute
from gconvtool.graph.parts import Numbers, constant, drop_unread
from gconvtool.graph.plain import Plain, families, look, refused, singles, times
from gconvtool.graph.sites import is_convolution, refusals
from gconvtool.recipes import Bottleneck, Candidate, Grouped, Recipe, Separable, weights
from gconvtool.results.conversion import Certificate
from gconvtool.spellings import Spelling

__all__ = ["densify", "group", "kept_groups", "refused", "separate", "split"]

Finder: TypeAlias = Callable[[Array, Array, float, int], Factors | None]
"""From kernel, bias, rounding and the largest rank that helps."""
OfRank: TypeAlias = Callable[[int], Recipe]


@dataclass(frozen=True)
class _Found:
    """What a convolution could be, and what proves it."""

    factors: Factors
    certificate: Certificate


def group(model: ir.Model) -> tuple[Certificate, ...]:
    """Write convolutions in as many groups as their zeros allow, in place.

    Permutations of channels are Gathers; `permute.absorb` takes them out where it can.
    """
    return _rewrite(model, _grouped, "auto")


def separate(model: ir.Model, spelling: Spelling = "auto") -> tuple[Certificate, ...]:
    """Write convolutions of low rank as two where that has fewer MACs, in place."""
    return _rewrite(model, _separated, spelling)


def densify(model: ir.Model) -> tuple[Certificate, ...]:
    """Write the zeros between groups out, in place, wherever there are groups."""
    dense: dict[tuple[ir.Value, int, bool], ir.Value] = {}
    done = []
    for plain in _with_groups(model):
        node, groups, old = plain.node, plain.site.groups, plain.node.inputs[1]
        assert old is not None
        use = old, groups, plain.site.transposed
        if use not in dense:
            numbers, where = _with_zeros(plain.weight, groups), old.graph
            numbers = turned(numbers, 1) if plain.site.transposed else numbers
            assert isinstance(where, ir.Graph), "all that read the old weight see that graph"
            dense[use] = constant(where, f"{plain.name}.dense_weight", numbers)
        node.replace_input_with(1, dense[use])
        node.attributes["group"] = ir.AttrInt64("group", 1)
        forget(old)
        because = f"zeros between its {groups} groups are written out; {times(groups)}"
        done.append(Certificate("densify", plain.name, because, 0.0, 0.0))
    return tuple(done)


def split(model: ir.Model) -> tuple[Certificate, ...]:
    """Write groups as Split, dense convolutions and Concat, in place, wherever there are groups."""
    done, before = [], {graph: set(graph.initializers) for graph in model.graphs()}
    for plain in _with_groups(model):
        _write(model, plain, _as_it_is(plain), "split")
        because = f"each of its {plain.site.groups} groups is a dense convolution; {times(1)}"
        done.append(Certificate("split", plain.name, because, 0.0, 0.0))
    for graph, names in before.items():
        sharing.merge(graph, names)
    return tuple(done)


def kept_groups(model: ir.Model) -> Mapping[str, Skip]:
    """Convolutions whose groups cannot be written out, by their names in the survey, and why."""
    held = {name: node for name, node in named(model.graph) if _has_groups(node)}
    reasons = refusals(held.values())
    found = {name: reasons.get(node) or look(name, node) for name, node in held.items()}
    return {name: skip for name, skip in found.items() if isinstance(skip, Skip)}


def _has_groups(node: ir.Node) -> bool:
    return is_convolution(node) and int_attribute(node, "group", 1) > 1


def _with_groups(model: ir.Model) -> Iterator[Plain]:
    return (plain for plain in singles(model) if plain.site.groups > 1)


# Decide first, change later.


def _rewrite(
    model: ir.Model, decide: Callable[[Plain], _Found | None], spelling: Spelling
) -> tuple[Certificate, ...]:
    done = []
    for family in families(model):
        found = [known for plain in family if (known := decide(plain)) is not None]
        if len(found) < len(family) or len({type(known.factors) for known in found}) > 1:
            continue
        graph = home(family[0].node)
        before = set(graph.initializers)
        for plain, known in zip(family, found, strict=True):
            _write(model, plain, known.factors, spelling)
            done.append(known.certificate)
        if len(family) > 1:
            sharing.merge(graph, before)
    return tuple(done)


def _grouped(plain: Plain) -> _Found | None:
    factors = hidden.grouped(plain.kernel, plain.bias, plain.u)
    if factors is None:
        return None
    groups = len(factors.grouping.inputs)
    because = f"no weight joins one of its {groups} groups of channels to another"
    return _certified(plain, factors, Grouped(groups // plain.site.groups), because)


def _separated(plain: Plain) -> _Found | None:
    """The cheapest of what is possible; of one channel a group there is nothing to separate."""
    if plain.site.channels == plain.site.groups:
        return None
    return min(_separations(plain), key=lambda known: known[0], default=(0, None))[1]


def _separations(plain: Plain) -> Iterator[tuple[Fraction, _Found]]:
    for find, recipe, what in WAYS:
        most = _most(plain.site, recipe)
        factors = find(plain.kernel, plain.bias, plain.u, most) if most else None
        if factors is None:
            continue
        rank = _rank(factors)
        found = _certified(plain, factors, recipe(rank), f"{what} of rank {rank}")
        if found is not None:
            yield _share(plain.site, recipe(rank)), found


def _most(site: ConvSite, recipe: OfRank) -> int:
    """The largest rank that is allowed and cheaper."""

    def good(rank: int) -> bool:
        return not recipe(rank).objection(site) and _share(site, recipe(rank)) < 1

    possible = range(1, site.filters + 2)
    return bisect_left(possible, True, key=lambda rank: not good(rank))


def _share(site: ConvSite, recipe: Recipe) -> Fraction:
    """MACs of a recipe as a share of those that the site has now."""
    return Candidate(site, recipe, weights(site), recipe.weights(site)).share


def _rank(factors: Factors) -> int:
    match factors:
        case BottleneckFactors():
            return len(factors.spatial) // factors.groups
        case SeparableFactors() | PointwiseFirstFactors():
            return len(factors.depthwise)
    raise AssertionError("the others have no rank")


def _certified(plain: Plain, factors: Factors, recipe: Recipe, because: str) -> _Found | None:
    """The factors as they are stored; None where those are too far from the old kernel."""
    rounded = hidden.stored(factors, plain.weight.dtype)
    close = hidden.closeness(plain.kernel, rounded, plain.u)
    if not close.holds:
        return None
    said = f"{because}; {times(_share(plain.site, recipe))}"
    return _Found(
        rounded, Certificate(str(recipe), plain.name, said, close.difference, close.bound)
    )


WAYS: Sequence[tuple[Finder, OfRank, str]] = (
    (ranks.separable, Separable, "the kernels of every channel are"),
    (ranks.pointwise_first, partial(Separable, order="pw-dw"), "the kernels of every filter are"),
    (ranks.low_rank, partial(Bottleneck, 1), "all its kernels together are"),
)


# Writing.


def _write(model: ir.Model, plain: Plain, factors: Factors, spelling: Spelling) -> None:
    """Into the graph; what had no bias gets none where it has one form."""
    graph = home(plain.node)
    before = set(graph.initializers)
    surgery.replace(model, plain.name, factors, spelling)
    if not plain.site.bias and isinstance(factors, GroupedFactors):
        _drop_biases(graph, before)


def _drop_biases(graph: ir.Graph, before: set[str]) -> None:
    for name, value in list(graph.initializers.items()):
        for node, index in value.uses() if name not in before else ():
            if node.op_type in ("Conv", "ConvTranspose") and index == 2:
                node.resize_inputs(2)
                drop_unread(graph, value)


def _as_it_is(plain: Plain) -> GroupedFactors:
    groups, taps = plain.site.groups, plain.kernel.shape[3]
    inputs, outputs = np.arange(plain.site.channels), np.arange(plain.site.filters)
    grouping = Grouping(inputs.reshape(groups, -1), outputs.reshape(groups, -1))
    return GroupedFactors(
        plain.kernel.reshape(len(outputs), -1), plain.bias, grouping, taps, groups
    )


def _with_zeros(weight: Numbers, groups: int) -> Numbers:
    """N × C/G × K… → N × C × K…"""
    filters, channels, *taps = weight.shape
    dense = np.zeros((groups, filters // groups, groups, channels, *taps), weight.dtype)
    every = np.arange(groups)
    dense[every, :, every] = weight.reshape(groups, filters // groups, channels, *taps)
    return dense.reshape(filters, groups * channels, *taps)
