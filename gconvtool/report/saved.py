"""A comparison read back from the document that `bench` wrote of it.

What was concluded is not read: speedup and verdict follow from the raw samples, are judged again,
and so cannot contradict them. Everything else is read with suspicion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gconvtool.errors import InputError
from gconvtool.report.typed import read, refuse
from gconvtool.results import (
    BaselineCheck,
    Block,
    Comparison,
    Drift,
    Gate,
    Interval,
    Machine,
    Measurement,
    Placed,
    Sample,
    Timing,
    Totals,
)
from gconvtool.results.layers import LayerTimes
from gconvtool.timing import stats
from gconvtool.timing.ratios import ORDERS

SCHEMA = "gconvtool.bench/1"
AGAIN = "make one with `gconvtool bench A B --json`"
SHORTEST_MS, LONGEST_MS = 1e-6, 1e9
"""A nanosecond and eleven days: nothing that was timed lies outside."""


@dataclass(frozen=True)
class _Held:
    """What is read of a document, by its names."""

    placement: Mapping[str, Mapping[str, Placed]]
    drift_source: str
    provider: str
    threads: int
    batch: int
    machine: Machine
    gates: tuple[Gate, ...]
    samples: Measurement
    warnings: tuple[str, ...]
    baseline: BaselineCheck | None = None
    layers: LayerTimes | None = None


@dataclass(frozen=True)
class _Models:
    """Both models' times."""

    a: Timing
    b: Timing


@dataclass(frozen=True)
class _Counted:
    """Both models' costs, which stand beside their times."""

    a: Totals
    b: Totals


@dataclass(frozen=True)
class _Outputs:
    """The drift of several outputs."""

    outputs: tuple[Drift, ...]


def comparison_of(document: object) -> Comparison:
    """The comparison that a document of `bench` is of, judged again.

    Raises:
        InputError: it is another document or a damaged one. The message names the place.
    """
    table = _comparison_table(document)
    held = read(_Held, table)
    _check(held)
    models = read(_Models, table.get("models"), "models")
    counted = read(_Counted, table.get("models"), "models")
    for key, timing in (("a", models.a), ("b", models.b)):
        check_ms(timing.median_ms, f"models.{key}.median_ms")
    judgement = stats.judge(held.samples)
    return Comparison(
        a=models.a,
        b=models.b,
        judgement=judgement,
        drift=_drift(table.get("drift")),
        drift_source=held.drift_source,
        provider=held.provider,
        threads=held.threads,
        batch=held.batch,
        placement=held.placement,
        machine=held.machine,
        macs=(counted.a, counted.b),
        gates=held.gates,
        measurement=held.samples,
        warnings=without(held.warnings, (*judgement.warnings, *held.samples.warnings)),
        layers=held.layers,
        baseline=held.baseline,
    )


def _comparison_table(document: object) -> Mapping[str, Any]:
    """The document, if it is one of a comparison."""
    found = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(document, dict) or found != SCHEMA:
        shown = "missing" if found is None else repr(found)[:60]
        raise InputError(f"no comparison: its schema is {shown}, not {SCHEMA}; {AGAIN}")
    if "error" in document:
        raise InputError(f"no comparison: it failed, and nothing was measured; {AGAIN}")
    return document


def _drift(value: object) -> tuple[Drift, ...]:
    """The first output's, or those of all outputs where there are several."""
    if not isinstance(value, dict) or value.get("outputs") is None:
        return (read(Drift, value, "drift"),)
    return read(_Outputs, value, "drift").outputs or refuse("drift.outputs", [], "one at least")


def without(warnings: tuple[str, ...], again: tuple[str, ...]) -> tuple[str, ...]:
    """The warnings without those that are made again, of the samples and their judgement."""
    return tuple(warning for warning in warnings if warning not in again)


def _check(held: _Held) -> None:
    """What types do not say."""
    if not {"a", "b"} <= held.placement.keys():
        refuse("placement", sorted(held.placement), "that of a and b")
    if min(held.samples.runs_per_sample) < 1:
        refuse("samples.runs_per_sample", held.samples.runs_per_sample, "at least 1 of each")
    if len(held.samples.blocks) < 2:
        raise InputError("samples.blocks: two blocks at least are needed to judge")
    for i, block in enumerate(held.samples.blocks):
        _check_block(block, f"samples.blocks[{i}]")
    if held.baseline is not None:
        _check_interval(held.baseline.speedup, "baseline.speedup")
        _check_interval(held.baseline.ratio, "baseline.ratio")


def _check_block(block: Block, where: str) -> None:
    if {round_.order for round_ in block.rounds} != set(ORDERS):
        raise InputError(f"{where}.rounds: rounds of both orders are needed, AB and BA")
    for i, round_ in enumerate(block.rounds):
        for key, sample in (("a", round_.a), ("b", round_.b)):
            check_sample(sample, f"{where}.rounds[{i}].{key}")


def check_sample(sample: Sample, where: str) -> None:
    """Refuse times that no run takes; `where` is their place in the document.

    Raises:
        InputError: there are such.
    """
    check_ms(sample.wall_ms, f"{where}.wall_ms")
    if sample.cpu_ms != 0:  # the system's grain may be longer than a sample
        check_ms(sample.cpu_ms, f"{where}.cpu_ms")
    if sample.last_ms is not None:
        check_ms(sample.last_ms, f"{where}.last_ms")


def check_ms(ms: float, where: str) -> None:
    """Refuse one, likewise."""
    if not SHORTEST_MS <= ms <= LONGEST_MS:
        refuse(where, ms, "a time in milliseconds")


def _check_interval(interval: Interval, where: str) -> None:
    ends = (interval.low, interval.estimate, interval.high)
    if not (0 < ends[0] <= ends[1] <= ends[2]):
        refuse(where, ends, "a ratio between its bounds")
