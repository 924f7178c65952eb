"""What `bench` measured, whatever it was, read back from the document that it wrote.

One model by itself, two, two at several settings, several in a ranking, a model against itself: all
but the first are comparisons, or one of them, and each comparison is read as `saved` reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gconvtool.errors import InputError
from gconvtool.report.saved import check_ms, check_sample, comparison_of, without
from gconvtool.report.typed import read, refuse
from gconvtool.results import (
    Calibration,
    Cell,
    Comparison,
    Gate,
    Grid,
    Machine,
    Placed,
    Ranking,
    Recording,
    Solo,
    Timing,
    Totals,
)
from gconvtool.results.bench import Timed
from gconvtool.results.layers import LayerTimes
from gconvtool.timing import stats

Table: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class _Held:
    """What is read of the document of one model, by its names."""

    placement: Mapping[str, Mapping[str, Placed]]
    provider: str
    threads: int
    batch: int
    machine: Machine
    gates: tuple[Gate, ...]
    samples: Recording
    warnings: tuple[str, ...]
    layers: LayerTimes | None = None


@dataclass(frozen=True)
class _Model:
    """Its times."""

    a: Timing


@dataclass(frozen=True)
class _Counted:
    """Its costs, which stand beside them."""

    a: Totals


@dataclass(frozen=True)
class _Setting:
    """What a cell of a grid says beside its comparison."""

    shapes: str


def measured_of(document: object) -> Timed:
    """What a document of `bench` holds, judged again.

    Raises:
        InputError: it is another document or a damaged one. The message names the place.
    """
    schema = document.get("schema") if isinstance(document, dict) else None
    reader = READERS.get(schema) if isinstance(schema, str) else None
    if not isinstance(document, dict) or reader is None:
        shown = "missing" if schema is None else repr(schema)[:60]
        raise InputError(
            f"no measurement: its schema is {shown}; make one with `gconvtool bench … --json`"
        )
    return reader(document)


def _ranking(table: Table) -> Ranking:
    listed = _listed(table, "comparisons")
    return Ranking(tuple(_nested(one, where) for where, one in listed.items()))


def _grid(table: Table) -> Grid:
    """The crossovers follow from the cells, and are made of them again."""
    return Grid(tuple(_cell(one, where) for where, one in _listed(table, "cells").items()))


def _cell(held: object, where: str) -> Cell:
    shapes = read(_Setting, held, where).shapes
    found = _nested(held.get("comparison") if isinstance(held, dict) else None, where)
    return Cell(found.batch, found.threads, shapes, found)


def _calibration(table: Table) -> Calibration:
    found = _nested(table.get("comparison"), "comparison")
    return Calibration(found, *stats.floor(found.measurement))


def _solo(table: Table) -> Solo:
    held = read(_Held, table)
    model = read(_Model, table.get("models"), "models").a
    counted = read(_Counted, table.get("models"), "models").a
    _check(held)
    check_ms(model.median_ms, "models.a.median_ms")
    latency_ms = stats.latency(held.samples)
    return Solo(
        model=model,
        latency_ms=latency_ms,
        throughput=stats.throughput(latency_ms, held.batch),
        provider=held.provider,
        threads=held.threads,
        batch=held.batch,
        placement=held.placement["a"],
        machine=held.machine,
        macs=counted,
        gates=held.gates,
        recording=held.samples,
        warnings=without(held.warnings, held.samples.warnings),
        layers=held.layers,
    )


def _check(held: _Held) -> None:
    """What types do not say."""
    if "a" not in held.placement:
        refuse("placement", sorted(held.placement), "that of a")
    if len(held.samples.blocks) < 2:
        raise InputError("samples.blocks: two blocks at least are needed to judge")
    for i, block in enumerate(held.samples.blocks):
        if not block.samples:
            raise InputError(f"samples.blocks[{i}].samples: none are there")
        for j, sample in enumerate(block.samples):
            check_sample(sample, f"samples.blocks[{i}].samples[{j}]")


def _nested(held: object, where: str) -> Comparison:
    """A comparison inside another document."""
    try:
        return comparison_of(held)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _listed(table: Table, key: str) -> dict[str, object]:
    """The items of a list by their places; there is one at least."""
    items = table.get(key)
    if not isinstance(items, list) or not items:
        refuse(key, items, "a list that holds something")
    return {f"{key}[{i}]": item for i, item in enumerate(items)}


READERS: Mapping[str, Callable[[Table], Timed]] = {
    "gconvtool.bench/1": comparison_of,
    "gconvtool.bench-solo/1": _solo,
    "gconvtool.bench-ranking/1": _ranking,
    "gconvtool.bench-grid/1": _grid,
    "gconvtool.bench-calibration/1": _calibration,
}
"""By the document's schema."""
