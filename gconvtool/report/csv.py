"""Layers as comma-separated values: a row a layer, all figures as plain numbers, unknown is empty.

Shapes and kernels are sizes joined by `x`, with `?` for a size that is not known. Names are made
printable, so that every row is one line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from io import StringIO

from gconvtool.report.words import printable
from gconvtool.results import Failed, Layer, Study

COLUMNS = (*(field.name for field in fields(Layer)), "flops", "intensity")


def study(result: Study) -> str:
    """The layers of one model under a header."""
    return _written(COLUMNS, (_layer(layer) for layer in result.analysis.layers))


def several(results: Sequence[Study | Failed]) -> str:
    """The layers of several, the model first; one that failed has a row with its reason as note."""
    return _written(("model", *COLUMNS), (row for result in results for row in _model(result)))


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
