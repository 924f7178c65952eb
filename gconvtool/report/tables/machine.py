"""Layers under a machine's roof."""

from __future__ import annotations

from gconvtool.report import words
from gconvtool.report.tables.table import Table, names, numbers, texts
from gconvtool.results import Roofline


def roofline(result: Roofline) -> Table:
    """Every layer's intensity, what binds it, and the least time that it takes."""
    rows = result.placements
    return Table(
        (
            names("Layer", [row.name for row in rows]),
            numbers("FLOPs/byte", [words.decimal(row.intensity) for row in rows], rank=1),
            texts("Bound by", [row.bound for row in rows]),
            numbers("GFLOP/s at most", [words.decimal(row.roof_gflops) for row in rows], rank=2),
            numbers("ms at least", [words.decimal(row.least_ms) for row in rows]),
        )
    )
