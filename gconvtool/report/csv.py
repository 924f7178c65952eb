"""Results as comma-separated values: all figures as plain numbers, unknown is empty.

An analysis has a row a layer, a measurement a row a comparison, and a verification a row an output.
Shapes and kernels are sizes joined by `x`, with `?` for a size that is not known. Names are made
printable, so that every row is one line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from io import StringIO

from gconvtool.report.story import Measured
from gconvtool.report.words import printable
from gconvtool.results import (
    Calibration,
    Comparison,
    Drift,
    Failed,
    Grid,
    Layer,
    Ranking,
    Solo,
    Study,
    Timing,
    Verification,
)

COLUMNS = (*(field.name for field in fields(Layer)), "flops", "intensity")
DRIFT = tuple(field.name for field in fields(Drift) if field.name != "output")


def study(result: Study) -> str:
    """The layers of one model under a header."""
    return _written(COLUMNS, (_layer(layer) for layer in result.analysis.layers))


def several(results: Sequence[Study | Failed]) -> str:
    """The layers of several, the model first; one that failed has a row with its reason as note."""
    return _written(("model", *COLUMNS), (row for result in results for row in _model(result)))


def measured(result: Measured) -> str:
    """A measurement: a row a comparison, a model by itself, or an output."""
    if isinstance(result, Verification):
        rows = [{"a": result.a, "b": result.b, **asdict(part)} for part in result.drift]
    elif isinstance(result, Solo):
        rows = [_solo(result)]
    else:
        rows = [_comparison(one, shapes) for one, shapes in _comparisons(result)]
    return _written(list(rows[0]), ({n: _cell(fact) for n, fact in row.items()} for row in rows))


def failure(message: str) -> str:
    """A call that could not answer: no column that a measurement has, but the reason."""
    return _written(["error"], [{"error": printable(message)}])


def _comparisons(
    result: Comparison | Calibration | Ranking | Grid,
) -> Iterable[tuple[Comparison, str]]:
    """All of a result's comparisons, with the sizes that each was made at."""
    if isinstance(result, Grid):
        return ((cell.comparison, cell.shapes) for cell in result.cells)
    if isinstance(result, Ranking):
        return ((one, "") for one in result.comparisons)
    return ((result.comparison if isinstance(result, Calibration) else result, ""),)


def _comparison(result: Comparison, shapes: str) -> dict[str, object]:
    judged, drift = result.judgement, result.drift[0]
    return {
        "a": result.a.path,
        "b": result.b.path,
        **_setting(result),
        "shapes": shapes,
        "verdict": judged.verdict,
        "speedup": judged.speedup.estimate,
        "speedup_low": judged.speedup.low,
        "speedup_high": judged.speedup.high,
        "clock": judged.clock,
        **_timing("a_", result.a),
        **_timing("b_", result.b),
        "a_macs": result.macs[0].macs if result.macs[0].exact else None,
        "b_macs": result.macs[1].macs if result.macs[1].exact else None,
        **{name: getattr(drift, name) for name in DRIFT},
    }


def _solo(result: Solo) -> dict[str, object]:
    return {
        "model": result.model.path,
        **_setting(result),
        "latency_ms": result.latency_ms.estimate,
        "latency_low_ms": result.latency_ms.low,
        "latency_high_ms": result.latency_ms.high,
        "throughput": result.throughput.estimate,
        **_timing("", result.model),
        "macs": result.macs.macs if result.macs.exact else None,
    }


def _setting(result: Comparison | Solo) -> dict[str, object]:
    return {name: getattr(result, name) for name in ("provider", "threads", "batch")}


def _timing(prefix: str, timing: Timing) -> dict[str, object]:
    return {prefix + name: fact for name, fact in asdict(timing).items() if name != "path"}


def _model(result: Study | Failed) -> Iterable[dict[str, str]]:
    if isinstance(result, Failed):
        failed = {"model": result.model, "note": f"failed: {result.message}"}
        return [{name: printable(text) for name, text in failed.items()}]
    model = {"model": printable(result.analysis.model)}
    return (model | _layer(layer) for layer in result.analysis.layers)


def _layer(layer: Layer) -> dict[str, str]:
    flops = None if layer.macs is None else 2 * layer.macs
    facts = asdict(layer) | {"flops": flops, "intensity": layer.intensity}
    return {name: _cell(fact) for name, fact in facts.items()}


def _cell(fact: object) -> str:
    if isinstance(fact, tuple):
        return "x".join(map(_size, fact))
    return "" if fact is None else printable(str(fact))


def _size(size: object) -> str:
    """An expression in parentheses, since an `x` may be in it."""
    text = "?" if size is None else printable(str(size))
    return f"({text})" if " " in text else text


def _written(columns: Sequence[str], rows: Iterable[dict[str, str]]) -> str:
    text = StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
