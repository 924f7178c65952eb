"""Results as versioned dicts for JSON. The names are a contract: README.md lists them.

Every document starts with `schema` (`gconvtool.<command>/1`), `tool` and `model`; a figure that
does not apply is null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from gconvtool._version import __version__
from gconvtool.errors import InputError
from gconvtool.report.story import Measured
from gconvtool.results import (
    Analysis,
    CacheInfo,
    Calibration,
    Comparison,
    Conversion,
    Diagnosis,
    Difference,
    Drift,
    Failed,
    Gate,
    Grid,
    KindTotal,
    Layer,
    LayerChange,
    Placed,
    Ranking,
    Roofline,
    SiteOutcome,
    Solo,
    Study,
    Sweep,
    SweepPoint,
    SweepRow,
    Timing,
    Totals,
    Verification,
    WhatIf,
)

Document = dict[str, Any]

LARGEST_COUNT = 2**63 - 1
"""What a count of an earlier document may be."""
ANALYZE = "gconvtool.analyze/1"
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


def dumps(document: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """Strict JSON text."""
    return json.dumps(document, indent=2, ensure_ascii=ascii_only, allow_nan=False)


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
        "gates": _gates(result.gates),
    }


def several(results: Sequence[Study | Failed]) -> Document:
    """The document of `analyze` for several models, in their order; a failed one has `error`."""
    return {
        **_head("analyze-several", None),
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
        **_head("analyze-difference", a.model),
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


def totals_of(document: Mapping[str, Any]) -> Totals:
    """The totals of an earlier document of `analyze`, as a baseline.

    Raises:
        InputError: it is another document, or a figure is missing or no number.
    """
    found = document.get("schema") if isinstance(document, Mapping) else None
    if found != ANALYZE:
        raise InputError(
            f"not a document of one analysis: its schema is {_shown(found)}, not {ANALYZE}; "
            "make one with `gconvtool analyze MODEL --json`"
        )
    totals = document.get("totals")
    if not isinstance(totals, Mapping):
        raise InputError("the document has no totals: its analysis failed, or it is damaged")
    if not isinstance(totals.get("exact"), bool):
        raise InputError(f"totals.exact is {_shown(totals.get('exact'))}, not true or false")
    others = {name: _whole(totals, name, optional=True) for name in OTHER_FIGURES}
    macs, params = _whole(totals, "macs") or 0, _whole(totals, "params") or 0
    return Totals(macs, params, totals["exact"], **others)


def conversion(result: Conversion) -> Document:
    """The document of `convert`."""
    return {
        **_head("convert", result.model),
        "output": result.output,
        "before": {**_totals(result.before), "exact": result.before.exact},
        "after": {**_totals(result.after), "exact": result.after.exact},
        "folded": result.folded,
        "samples": result.samples,
        "refined": None
        if result.refined is None
        else dict(zip(("error_before", "error_after"), result.refined, strict=True)),
        "planning": None if result.planning is None else asdict(result.planning),
        "sites": [_site(site) for site in result.sites],
        "certificates": [asdict(certificate) for certificate in result.certificates],
        "drift": _drift(result.drift),
        "drift_source": result.drift_source,
        "warnings": list(result.warnings),
    }


def _site(site: SiteOutcome) -> Document:
    """JSON has no infinite numbers, which is what is missed of an output that never varies."""
    fields = asdict(site)
    errors = {key: _finite(fields[key]) for key in ("error", "training_error")}
    return {**fields, **errors}


def _finite(number: float | None) -> float | None:
    return None if number is None or not isfinite(number) else number


def verification(result: Verification) -> Document:
    """The document of `verify`."""
    return {
        **_head("verify", result.a),
        "models": {"a": result.a, "b": result.b},
        "drift": [asdict(part) for part in result.drift],
        "drift_source": result.source,
        "gates": _gates(result.gates),
        "provider": result.provider,
        "warnings": list(result.warnings),
    }


def comparison(result: Comparison) -> Document:
    """The document of `bench`, with its raw samples."""
    judged = result.judgement
    return {
        **_head("bench", result.a.path),
        "models": {
            "a": _timing(result.a, result.macs[0]),
            "b": _timing(result.b, result.macs[1]),
        },
        "speedup": asdict(judged.speedup),
        "verdict": judged.verdict,
        "clock": judged.clock,
        "rounds": judged.rounds,
        "clean_rounds": judged.clean_rounds,
        "drift": _drift(result.drift),
        "drift_source": result.drift_source,
        "gates": _gates(result.gates),
        "provider": result.provider,
        "threads": result.threads,
        "batch": result.batch,
        "placement": {key: _placement(placed) for key, placed in result.placement.items()},
        "machine": asdict(result.machine),
        "baseline": None if result.baseline is None else asdict(result.baseline),
        "layers": None if result.layers is None else asdict(result.layers),
        "warnings": [*result.warnings, *judged.warnings, *result.measurement.warnings],
        "samples": asdict(result.measurement),
    }


def solo(result: Solo) -> Document:
    """The document of `bench` for one model by itself, with its raw samples."""
    return {
        **_head("bench-solo", result.model.path),
        "models": {"a": _timing(result.model, result.macs)},
        "latency_ms": asdict(result.latency_ms),
        "throughput": asdict(result.throughput),
        "gates": _gates(result.gates),
        "provider": result.provider,
        "threads": result.threads,
        "batch": result.batch,
        "placement": {"a": _placement(result.placement)},
        "machine": asdict(result.machine),
        "layers": None if result.layers is None else asdict(result.layers),
        "warnings": [*result.warnings, *result.recording.warnings],
        "samples": asdict(result.recording),
    }


def calibration(result: Calibration) -> Document:
    """The document of `bench --calibrate`; `floor` and `detectable` are shares."""
    return {
        **_head("bench-calibration", result.comparison.a.path),
        "floor": result.floor,
        "detectable": result.detectable,
        "comparison": comparison(result.comparison),
    }


def ranking(result: Ranking) -> Document:
    """The document of `bench` for more than two models: each against the first, by speed."""
    return {
        **_head("bench-ranking", result.comparisons[0].a.path),
        "comparisons": [comparison(one) for one in result.comparisons],
    }


def grid(result: Grid) -> Document:
    """The document of `bench` at several settings."""
    return {
        **_head("bench-grid", result.cells[0].comparison.a.path),
        "cells": [
            {
                "batch": cell.batch,
                "threads": cell.threads,
                "shapes": cell.shapes,
                "comparison": comparison(cell.comparison),
            }
            for cell in result.cells
        ],
        "crossovers": list(result.crossovers),
    }


def sweep(result: Sweep) -> Document:
    """The document of `sweep`."""
    front = result.front
    return {
        **_head("sweep", result.model),
        "objective": result.objective,
        "measure": result.measure,
        "before": {**_totals(result.before), "exact": result.before.exact},
        "points": [_point(point, point not in front) for point in result.points],
        "candidates": result.candidates,
        "drift_source": result.drift_source,
        "warnings": list(result.warnings),
    }


def _point(point: SweepPoint, dominated: bool) -> Document:
    return {
        "number": point.number,
        "gain": point.gain,
        "lost": point.lost,
        "dominated": dominated,
        "after": {**_totals(point.after), "exact": point.after.exact},
        "predicted_ms": point.predicted_ms,
        "race": None if point.race is None else asdict(point.race),
        "drift": _drift(point.drift),
        "sites": [_site(site) for site in point.sites],
        "model": point.model,
        "plan": point.plan,
    }


def measured(result: Measured) -> Document:
    """The document of `bench` or `verify`, whatever was measured."""
    if isinstance(result, Comparison):
        return comparison(result)
    if isinstance(result, Solo):
        return solo(result)
    if isinstance(result, Calibration):
        return calibration(result)
    if isinstance(result, Ranking):
        return ranking(result)
    return grid(result) if isinstance(result, Grid) else verification(result)


def diagnosis(result: Diagnosis) -> Document:
    """The document of `doctor`."""
    return {**_head("doctor", None), "checks": [asdict(check) for check in result.checks]}


def cache(result: CacheInfo) -> Document:
    """The document of `cache`."""
    return {**_head("cache", None), **asdict(result)}


def failure(kind: str, message: str, exit_code: int, command: str) -> Document:
    """The document of a command that could not answer."""
    return {
        **_head(command, None),
        "error": {"kind": kind, "message": message},
        "exit_code": exit_code,
    }


def _head(command: str, model: str | None) -> Document:
    tool = {"name": "gconvtool", "version": __version__}
    return {"schema": f"gconvtool.{command}/1", "tool": tool, "model": model}


def _totals(totals: Totals) -> Document:
    return {"macs": totals.macs, "flops": totals.flops, "params": totals.params}


def _all_totals(totals: Totals) -> Document:
    others = {name: getattr(totals, name) for name in OTHER_FIGURES}
    return {**_totals(totals), "exact": totals.exact, **others}


def _costs(result: Analysis) -> Document:
    return {
        **_head("analyze", result.model),
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
        **_totals(row.totals),
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


def _whole(totals: Mapping[str, Any], name: str, *, optional: bool = False) -> int | None:
    """A count of an earlier document; documents of earlier versions lack the optional ones."""
    value = totals.get(name)
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_COUNT:
        raise InputError(
            f"totals.{name} is {_shown(value)}, not a whole number of a network's size"
        )
    return value


def _shown(value: object) -> str:
    """A value of a foreign document, short enough for one line."""
    return "missing" if value is None else repr(value)[:60]


def _timing(timing: Timing, totals: Totals) -> Document:
    costs = {"macs": totals.macs, "params": totals.params, "exact": totals.exact}
    return {**asdict(timing), **costs}


def _placement(providers: Mapping[str, Placed]) -> Document:
    return {provider: asdict(placed) for provider, placed in providers.items()}


def _drift(parts: tuple[Drift, ...]) -> Document | None:
    """The first output's drift; where there are several, all of them under `outputs`."""
    if not parts:
        return None
    first = asdict(parts[0])
    return first if len(parts) == 1 else {**first, "outputs": [asdict(part) for part in parts]}


def _gates(gates: Iterable[Gate]) -> list[Document]:
    return [asdict(gate) for gate in gates]
