"""Documents of `analyze`: of one network, of several, and of two side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from gconvtool.report.document.parts import Document, head, judged, sums
from gconvtool.results import (
    Analysis,
    Difference,
    Failed,
    KindTotal,
    Layer,
    LayerChange,
    Roofline,
    Study,
    SweepRow,
    Totals,
    WhatIf,
)

CONVENTION = (
    "1 MAC = 1 multiply + 1 add; flops = 2 * macs; bias, normalisation, "
    "activation and pooling have none"
)
OTHER_FIGURES = (
    "bias_adds",
    "elementwise_ops",
    "weight_bytes",
    "activation_bytes",
    "peak_activation_bytes",
)
"""Totals that are neither MACs nor parameters; null where not known."""


def analysis(result: Analysis) -> Document:
    """The document of `analyze` where nothing else was asked."""
    return study(Study(result))


def study(result: Study) -> Document:
    """The document of `analyze`: the network's costs and what else was asked about it."""
    return {
        **_costs(result.analysis),
        "savings": [asdict(saving) for saving in result.savings],
        "what_if": [_what_if(what_if) for what_if in result.what_if],
        "roofline": result.roofline and _roofline(result.roofline),
        "sweep": [_sweep(row) for row in result.sweep],
        "explanations": [asdict(explanation) for explanation in result.explanations],
        "gates": judged(result.gates),
    }


def several(results: Sequence[Study | Failed]) -> Document:
    """The document of `analyze` for several models, in their order; a failed one has `error`."""
    return {
        **head("analyze-several", None),
        "models": [study(r) if isinstance(r, Study) else _failed(r) for r in results],
    }


def difference(result: Difference) -> Document:
    """The document of `analyze` for two models side by side.

    `difference` is b - a and `ratio` b / a, null where a figure is not known; layers that are
    alike in both are left out.
    """
    a, b = result.a.analysis, result.b.analysis
    changes = [change for change in result.layers if change.a != change.b]
    return {
        **head("analyze-difference", a.model),
        "models": {"a": study(result.a), "b": study(result.b)},
        "totals": {
            name: side_by_side(figure(a.totals, name), figure(b.totals, name))
            for name in ("macs", "flops", "params", *OTHER_FIGURES)
        },
        "kinds": {
            kind: {"a": _kind(a.kinds.get(kind)), "b": _kind(b.kinds.get(kind))}
            for kind in {**a.kinds, **b.kinds}
        },
        "layers": [_change(change) for change in changes],
    }


def figure(totals: Totals, name: str) -> int | None:
    """A total by its name; None where it is a bound only, or not known."""
    if name in ("macs", "flops") and not totals.exact:
        return None
    value: int | None = getattr(totals, name)
    return value


def side_by_side(a: int | None, b: int | None) -> Document:
    """Two figures, their difference and their ratio."""
    if a is None or b is None:
        return {"a": a, "b": b, "difference": None, "ratio": None}
    return {"a": a, "b": b, "difference": b - a, "ratio": b / a if a else None}


def _all_totals(totals: Totals) -> Document:
    others = {name: getattr(totals, name) for name in OTHER_FIGURES}
    return {**sums(totals), "exact": totals.exact, **others}


def _costs(result: Analysis) -> Document:
    return {
        **head("analyze", result.model),
        "convention": CONVENTION,
        "dims": dict(result.dims),
        "totals": _all_totals(result.totals),
        "macs_formula": result.macs_formula,
        "peak_at": result.peak_at,
        "kinds": {name: asdict(kind) for name, kind in result.kinds.items()},
        "parameters": {role: asdict(stored) for role, stored in result.parameters.items()},
        "layers": [_layer(layer) for layer in result.layers],
        "unknown": [asdict(unknown) for unknown in result.unknown],
        "warnings": list(result.warnings),
    }


def _layer(layer: Layer) -> Document:
    flops = None if layer.macs is None else 2 * layer.macs
    return {**asdict(layer), "flops": flops, "intensity": layer.intensity}


def _what_if(what_if: WhatIf) -> Document:
    return {
        "recipe": what_if.recipe,
        "before": _all_totals(what_if.before),
        "after": _all_totals(what_if.after),
        "layers": [{**asdict(one), "bytes_kept": one.bytes_kept} for one in what_if.prospects],
    }


def _roofline(roofline: Roofline) -> Document:
    return {
        "peak_gflops": roofline.peak_gflops,
        "bandwidth_gbs": roofline.bandwidth_gbs,
        "ridge": roofline.ridge,
        "measured": roofline.measured,
        "layers": [asdict(placement) for placement in roofline.placements],
    }


def _sweep(row: SweepRow) -> Document:
    peak = row.totals.peak_activation_bytes
    return {
        "sizes": dict(row.sizes),
        **sums(row.totals),
        "exact": row.totals.exact,
        "peak_activation_bytes": peak,
    }


def _failed(result: Failed) -> Document:
    return {"model": result.model, "error": {"message": result.message}}


def _kind(kind: KindTotal | None) -> Document | None:
    return None if kind is None else asdict(kind)


def _change(change: LayerChange) -> Document:
    a, b = change.a and _layer(change.a), change.b and _layer(change.b)
    what = "only_a" if b is None else "only_b" if a is None else "changed"
    return {"name": change.name, "change": what, "a": a, "b": b}
