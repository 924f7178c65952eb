"""Documents of what runs networks, `bench` and `verify`: with raw samples, to judge again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from gconvtool.report.document.parts import Document, drift, head, judged
from gconvtool.report.story import Measured
from gconvtool.results import (
    Calibration,
    Comparison,
    Grid,
    Placed,
    Ranking,
    Solo,
    Timing,
    Totals,
    Verification,
)


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


def verification(result: Verification) -> Document:
    """The document of `verify`."""
    return {
        **head("verify", result.a),
        "models": {"a": result.a, "b": result.b},
        "drift": [asdict(part) for part in result.drift],
        "drift_source": result.source,
        "gates": judged(result.gates),
        "provider": result.provider,
        "warnings": list(result.warnings),
    }


def comparison(result: Comparison) -> Document:
    """The document of `bench`, with its raw samples."""
    judgement = result.judgement
    return {
        **head("bench", result.a.path),
        "models": {
            "a": _timing(result.a, result.macs[0]),
            "b": _timing(result.b, result.macs[1]),
        },
        "speedup": asdict(judgement.speedup),
        "verdict": judgement.verdict,
        "clock": judgement.clock,
        "rounds": judgement.rounds,
        "clean_rounds": judgement.clean_rounds,
        "drift": drift(result.drift),
        "drift_source": result.drift_source,
        "gates": judged(result.gates),
        "provider": result.provider,
        "threads": result.threads,
        "batch": result.batch,
        "placement": {key: _placement(placed) for key, placed in result.placement.items()},
        "machine": asdict(result.machine),
        "baseline": None if result.baseline is None else asdict(result.baseline),
        "layers": None if result.layers is None else asdict(result.layers),
        "warnings": [*result.warnings, *judgement.warnings, *result.measurement.warnings],
        "samples": asdict(result.measurement),
    }


def solo(result: Solo) -> Document:
    """The document of `bench` for one model by itself, with its raw samples."""
    return {
        **head("bench-solo", result.model.path),
        "models": {"a": _timing(result.model, result.macs)},
        "latency_ms": asdict(result.latency_ms),
        "throughput": asdict(result.throughput),
        "gates": judged(result.gates),
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
        **head("bench-calibration", result.comparison.a.path),
        "floor": result.floor,
        "detectable": result.detectable,
        "comparison": comparison(result.comparison),
    }


def ranking(result: Ranking) -> Document:
    """The document of `bench` for more than two models: each against the first, by speed."""
    return {
        **head("bench-ranking", result.comparisons[0].a.path),
        "comparisons": [comparison(one) for one in result.comparisons],
    }


def grid(result: Grid) -> Document:
    """The document of `bench` at several settings."""
    return {
        **head("bench-grid", result.cells[0].comparison.a.path),
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


def _timing(timing: Timing, totals: Totals) -> Document:
    costs = {"macs": totals.macs, "params": totals.params, "exact": totals.exact}
    return {**asdict(timing), **costs}


def _placement(providers: Mapping[str, Placed]) -> Document:
    return {provider: asdict(placed) for provider, placed in providers.items()}
