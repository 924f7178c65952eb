"""From a survey to an analysis: every node's cost and kind, then subtotals and totals.

A weight that several nodes use counts at the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod

from gconvtool import costs
from gconvtool.facts import NodeFact, Skip, Survey
from gconvtool.kinds import kind
from gconvtool.results import Analysis, KindTotal, Layer, Totals, Unknown


def analysis(model: str, survey: Survey, dims: Mapping[str, int]) -> Analysis:
    """What the network costs. Layers are the nodes with a cost, or with an unknown one."""
    seen: set[str] = set()
    layers, unknown = [], []
    for node in survey.nodes:
        macs = costs.macs(node)
        layer = _layer(node, survey, macs, _fresh_parameters(node, seen))
        if isinstance(macs, Skip):
            unknown.append(Unknown(node.name, node.op, macs.reason))
        if layer.macs != 0 or layer.params:
            layers.append(layer)
    return Analysis(
        model, tuple(layers), tuple(unknown), _totals(layers), _kinds(layers), dict(dims)
    )


def _fresh_parameters(node: NodeFact, seen: set[str]) -> int:
    """Learned numbers that no earlier node has used."""
    fresh = {p.name: prod(p.shape) for p in costs.learned(node) if p.name not in seen}
    seen.update(fresh)
    return sum(fresh.values())


def _layer(node: NodeFact, survey: Survey, macs: int | Skip, params: int) -> Layer:
    layer = Layer(
        name=node.name,
        op=node.op,
        kind="unknown" if isinstance(macs, Skip) else costs.layer_kind(node),
        macs=None if isinstance(macs, Skip) else macs,
        params=params,
        input_shape=node.inputs[0] if node.inputs else None,
        output_shape=node.outputs[0] if node.outputs else None,
    )
    site = survey.sites.get(node.name)
    if site is None:
        return layer
    return replace(
        layer,
        kind=kind(site),
        channels=site.channels,
        filters=site.filters,
        groups=site.groups,
        kernel=site.kernel,
        strides=site.strides,
    )


def _totals(layers: Iterable[Layer]) -> Totals:
    rows = tuple(layers)
    return Totals(
        macs=sum(layer.macs or 0 for layer in rows),
        params=sum(layer.params for layer in rows),
        exact=all(layer.macs is not None for layer in rows),
    )


def _kinds(layers: Iterable[Layer]) -> dict[str, KindTotal]:
    kinds: dict[str, KindTotal] = {}
    for layer in layers:
        old = kinds.get(layer.kind, KindTotal(0, 0, 0))
        kinds[layer.kind] = KindTotal(
            old.count + 1,
            None if old.macs is None or layer.macs is None else old.macs + layer.macs,
            old.params + layer.params,
        )
    return kinds
