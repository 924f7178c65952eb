"""A network's memory, parameters, machine and prospects in a line each.

None is a line with nothing to tell.
"""

from __future__ import annotations

from collections.abc import Mapping

from gconvtool.report import words
from gconvtool.report.words import CONVENTIONS, Convention
from gconvtool.results import (
    Analysis,
    Difference,
    LayerChange,
    Role,
    Roofline,
    Stored,
    Totals,
    Unknown,
    WhatIf,
)

LONGEST_FORMULA = 300
"""Characters of a formula that a page has room for; a longer one is left to the document."""
ROLE_NAMES: Mapping[Role, str] = {
    "learned": "learned",
    "statistics": "running statistics",
    "quantisation": "scales and zero points",
    "constants": "constants",
    "unused": "unused",
}
THE_TWO = "1 MAC = 1 multiply + 1 add = 2 FLOPs, of convolutions and matrix products."


def facts(result: Analysis) -> dict[str, str]:
    """What a page tells below the totals, by label."""
    found = {
        "Open": waiting(result),
        "Formula": formula(result.macs_formula),
        "No MACs": no_macs(result.totals),
        "Memory": memory(result),
        "Stored": stored(result.parameters),
    }
    return {label: fact for label, fact in found.items() if fact is not None}


def unexplained(result: Analysis) -> tuple[Unknown, ...]:
    """The unknown nodes that have no formula either."""
    written = {layer.name for layer in result.layers if layer.macs_formula is not None}
    return tuple(node for node in result.unknown if node.node not in written)


def waiting(result: Analysis) -> str | None:
    """How many layers are formulas as long as dimensions are open."""
    count = len(result.unknown) - len(unexplained(result))
    if not count:
        return None
    have = "has a formula" if count == 1 else "have formulas"
    return f"{words.plural(count, 'layer')} {have} until open dimensions are given sizes (--dim)"


def formula(macs: str | None) -> str | None:
    """MACs with open dimensions left open, where there are some."""
    if macs is None or macs.isdecimal():
        return None
    if len(macs) > LONGEST_FORMULA:
        return f"MACs = a sum of {macs.count(' + ') + 1:,} terms, see the JSON"
    return f"MACs = {macs}"


def no_macs(totals: Totals) -> str | None:
    """The columns that are no MACs."""
    parts = []
    if totals.bias_adds is not None:
        parts.append(words.plural(totals.bias_adds, "bias add"))
    if totals.elementwise_ops is not None:
        parts.append(words.plural(totals.elementwise_ops, "elementwise operation"))
    return ", ".join(parts) or None


def memory(result: Analysis) -> str | None:
    """What the weights take, and what is alive at once."""
    totals, parts = result.totals, []
    if totals.weight_bytes is not None:
        parts.append(f"{words.size(totals.weight_bytes)} of weights")
    if totals.peak_activation_bytes is not None:
        at = f", at {result.peak_at}" if result.peak_at else ""
        parts.append(f"at most {words.size(totals.peak_activation_bytes)} of activations{at}")
    return "; ".join(parts) or None


def stored(parameters: Mapping[Role, Stored]) -> str | None:
    """What is stored besides learned numbers, by role."""
    held = {role: found.numbers for role, found in parameters.items() if found.tensors}
    if not held.keys() - {"learned"}:
        return None
    return ", ".join(f"{held[role]:,} {name}" for role, name in ROLE_NAMES.items() if role in held)


def outcome(result: WhatIf, convention: Convention) -> str:
    """A whole network before and after a recipe."""
    before, after = result.before, result.after
    costs = [words.whole_cost(totals, convention) for totals in (before, after)]
    params = [words.number(totals.params) for totals in (before, after)]
    return (
        f"{' → '.join(costs)} {CONVENTIONS[convention]}{_fewer(before, after, 'macs')}; "
        f"{' → '.join(params)} parameters{_fewer(before, after, 'params')}"
    )


def bytes_kept(result: WhatIf) -> str | None:
    """How many layers save arithmetic and no memory traffic."""
    count = sum(prospect.bytes_kept for prospect in result.prospects)
    if not count:
        return None
    return (
        f"In {words.plural(count, 'layer')} the bytes that a run moves do not shrink: where "
        "memory is the limit, nothing is won there."
    )


def roof(result: Roofline) -> str:
    """A machine's two limits, and where they meet."""
    source = "measured" if result.measured else "as given"
    return (
        f"Roofline: {words.decimal(result.peak_gflops)} GFLOP/s and "
        f"{words.decimal(result.bandwidth_gbs)} GB/s ({source}), "
        f"ridge at {words.decimal(result.ridge)} FLOPs/byte"
    )


def under_the_roof(result: Roofline) -> str:
    """How many layers each limit binds, and the least time of them all."""
    bounds = [placement.bound for placement in result.placements]
    least_ms = sum(placement.least_ms for placement in result.placements)
    return (
        f"{words.plural(bounds.count('compute'), 'layer')} bound by compute, "
        f"{bounds.count('memory'):,} by memory; together at least {words.decimal(least_ms)} ms"
    )


def alike(result: Difference) -> str:
    """How many of the layers with a cost differ, and how many do not."""
    layers = costly(result)
    changed = sum(change.a != change.b for change in layers)
    verb = "differs" if changed == 1 else "differ"
    return f"{words.plural(changed, 'layer')} {verb}, {len(layers) - changed:,} alike"


def costly(result: Difference) -> tuple[LayerChange, ...]:
    """Layers with MACs or parameters, or an unknown number of them, on one side at least."""
    return tuple(
        change
        for change in result.layers
        if any(layer and (layer.macs != 0 or layer.params) for layer in (change.a, change.b))
    )


def _fewer(before: Totals, after: Totals, what: str) -> str:
    ratio = words.ratio(before, after, what)
    return f", {ratio}" if ratio else ""
