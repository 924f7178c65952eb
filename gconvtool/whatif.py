"""What a network would cost if a recipe were applied wherever it is allowed. Nothing is rewritten.

MACs are the recipe's own over the sizes of the site: every weight meets every output position, or
every input position where it is pointwise and comes first, or transposed; parameters differ by the
weights (biases stay). A sum of r branches moves more activations than one convolution from x to y:
each branch reads x and passes a map m from its first to its second part, and r − 1 additions read
two maps and write one. With |·| in bytes, that is more by

    (r − 1)·|x| + 2r·|m| + 4(r − 1)·|y|

Sites that the recipe is allowed at but does not pay for are a loss, and in the totals nevertheless.
An If goes on counting the branch that it counts now; permutations of channels are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from gconvtool import recipes
from gconvtool.facts import ConvSite, NodeFact, Survey, nested, total
from gconvtool.memory import tensor_bytes
from gconvtool.recipes import DEFAULT_RANK, Candidate, Gdc, Grouped, Recipe, Separable
from gconvtool.results import Analysis, Layer, Prospect, Saving, Totals, WhatIf


@dataclass(frozen=True)
class _Added:
    """What a site would cost more than now; None where that is not known."""

    macs: int | None = 0
    params: int = 0
    elementwise_ops: int | None = 0
    weight_bytes: int | None = 0
    activation_bytes: int | None = 0


def what_if(survey: Survey, analysis: Analysis, recipe: Recipe) -> WhatIf:
    """Each convolution and each fully connected head under the recipe, and the whole network."""
    layers = {layer.name: layer for layer in analysis.layers}
    nodes = {node.name: node for node in nested(survey.nodes)}
    prospects: list[Prospect] = []
    after = replace(analysis.totals, peak_activation_bytes=None)
    for site, layer in _sites(survey, analysis):
        reason = recipes.objection(site, recipe)
        added = _Added() if reason else _added(site, layer, nodes[site.name], recipe)
        prospects.append(_prospect(site, layer, recipe, added, reason))
        after = _with(after, added, _runs(layer, layers))
    return WhatIf(str(recipe), tuple(prospects), analysis.totals, after)


def savings(survey: Survey, analysis: Analysis, count: int = 3) -> tuple[Saving, ...]:
    """Where converting would save most MACs, largest first, at what `convert` makes by default."""
    found = [
        saving
        for site, layer in _sites(survey, analysis)
        if site.name not in survey.skipped and layer.parent is None
        if (saving := _saving(site, layer)) is not None
    ]
    found.sort(key=lambda saving: saving.macs_after - saving.macs_before)
    return tuple(found[:count])


def _sites(survey: Survey, analysis: Analysis) -> Iterator[tuple[ConvSite, Layer]]:
    """Convolutions and heads that have a row, in the order of the rows."""
    sites = {**survey.heads, **survey.sites}
    return ((sites[layer.name], layer) for layer in analysis.layers if layer.name in sites)


def _saving(site: ConvSite, layer: Layer) -> Saving | None:
    """None where the recipe does not fit, costs more, or the MACs are not known."""
    recipe = Gdc() if site.op in recipes.HEADS else Separable(DEFAULT_RANK)
    answer = recipes.propose(site, recipe)
    if layer.macs is None or not isinstance(answer, Candidate):
        return None
    after = recipe.macs(site)
    return None if after is None else Saving(site.name, str(recipe), layer.macs, after)


def _added(site: ConvSite, layer: Layer, node: NodeFact, recipe: Recipe) -> _Added:
    before, after = recipes.weights(site), recipe.weights(site)
    extra_ops, extra_bytes = _branch_costs(site, node, recipe)
    return _Added(
        macs=total((recipe.macs(site), None if layer.macs is None else -layer.macs)),
        # A weight that counts at an earlier layer, or is fed, is not among these parameters.
        params=after - before if layer.params >= before else 0,
        elementwise_ops=extra_ops,
        weight_bytes=_weight_bytes_added(node, before, after),
        activation_bytes=extra_bytes,
    )


def _weight_bytes_added(node: NodeFact, before: int, after: int) -> int | None:
    """At the size that a weight has now; None where the weights are not stored."""
    for parameter in node.parameters:
        if parameter is not None and parameter.numbers == before:
            return replace(parameter, shape=(after,)).stored_bytes - parameter.stored_bytes
    return None


def _branch_costs(site: ConvSite, node: NodeFact, recipe: Recipe) -> tuple[int | None, int | None]:
    """Additions between branches, and bytes of activations that one convolution does not move."""
    if isinstance(recipe, Grouped):
        return 0, 0
    made, more = site.output_shape, recipe.branches - 1
    x = tensor_bytes(site.input_shape, node.input_bits[0])
    m, y = (tensor_bytes(shape, node.output_bits[0]) for shape in (recipe.between(site), made))
    values = tensor_bytes(made, 8)  # as many as bytes
    additions = None if values is None else more * values
    if x is None or m is None or y is None:
        return additions, None
    return additions, more * x + 2 * recipe.branches * m + 4 * more * y


def _prospect(
    site: ConvSite, layer: Layer, recipe: Recipe, added: _Added, reason: str | None
) -> Prospect:
    moved = total((layer.weight_bytes, layer.activation_bytes))
    return Prospect(
        name=site.name,
        kind=layer.kind,
        macs_before=layer.macs,
        macs_after=total((layer.macs, added.macs)),
        params_before=layer.params,
        params_after=layer.params + added.params,
        bytes_before=moved,
        bytes_after=total((moved, added.weight_bytes, added.activation_bytes)),
        legal_groups=recipes.legal_groups(site),
        reason=reason,
        loss=reason is None and recipes.share(site, recipe) > 1,
    )


def _runs(layer: Layer, layers: Mapping[str, Layer]) -> int | None:
    """How often a run of the network runs the layer; None where the totals do not tell."""
    times: list[int | None] = []
    while layer.parent is not None:
        times.append(layer.times)
        layer = layers[layer.parent]
        times.append(None if layer.macs is None else 1)
    if 0 in times:
        return 0
    known = [count for count in times if count is not None]
    return prod(known) if len(known) == len(times) else None


def _with(totals: Totals, added: _Added, runs: int | None) -> Totals:
    """Weights are stored once, however often they are used."""
    return replace(
        totals,
        macs=totals.macs + (_times(added.macs, runs) or 0),
        params=totals.params + added.params,
        elementwise_ops=total((totals.elementwise_ops, _times(added.elementwise_ops, runs))),
        weight_bytes=total((totals.weight_bytes, _times(added.weight_bytes, runs))),
        activation_bytes=total((totals.activation_bytes, _times(added.activation_bytes, runs))),
    )


def _times(figure: int | None, runs: int | None) -> int | None:
    """Nothing is added by what never runs, and by any number of runs that add nothing."""
    if 0 in (figure, runs):
        return 0
    return None if figure is None or runs is None else figure * runs
