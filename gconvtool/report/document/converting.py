"""Documents of what rewrites networks: `convert` and `sweep`."""

from __future__ import annotations

from dataclasses import asdict

from gconvtool.report.document.parts import Document, drift, head, outcome, sums
from gconvtool.results import Conversion, Sweep, SweepPoint


def conversion(result: Conversion) -> Document:
    """The document of `convert`."""
    return {
        **head("convert", result.model),
        "output": result.output,
        "before": {**sums(result.before), "exact": result.before.exact},
        "after": {**sums(result.after), "exact": result.after.exact},
        "folded": result.folded,
        "samples": result.samples,
        "refined": None
        if result.refined is None
        else dict(zip(("error_before", "error_after"), result.refined, strict=True)),
        "planning": None if result.planning is None else asdict(result.planning),
        "sites": [outcome(site) for site in result.sites],
        "certificates": [asdict(certificate) for certificate in result.certificates],
        "drift": drift(result.drift),
        "drift_source": result.drift_source,
        "warnings": list(result.warnings),
    }


def sweep(result: Sweep) -> Document:
    """The document of `sweep`."""
    front = result.front
    return {
        **head("sweep", result.model),
        "objective": result.objective,
        "measure": result.measure,
        "before": {**sums(result.before), "exact": result.before.exact},
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
        "after": {**sums(point.after), "exact": point.after.exact},
        "predicted_ms": point.predicted_ms,
        "race": None if point.race is None else asdict(point.race),
        "drift": drift(point.drift),
        "sites": [outcome(site) for site in point.sites],
        "model": point.model,
        "plan": point.plan,
    }
