"""Raw samples of an earlier measurement judged again, without running anything.

What depends on the samples is made of them anew; limits hold again, except where there are others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from gconvtool.pipeline.gates import Gates, decide, decide_alone, near, require_alone
from gconvtool.pipeline.grid import crossovers
from gconvtool.pipeline.several import ranked
from gconvtool.results import (
    BaselineCheck,
    Calibration,
    Cell,
    Comparison,
    Grid,
    Interval,
    Measurement,
    Ranking,
    Solo,
    Timing,
)
from gconvtool.results.bench import Timed
from gconvtool.timing import stats


def redo_any(saved: Timed, gates: Gates) -> Timed:
    """Judge again whatever was timed; each comparison of several as `redo` does.

    Raises:
        InputError: a gate compares two models, and there is one.
    """
    if isinstance(saved, Comparison):
        return redo(saved, gates)
    if isinstance(saved, Solo):
        return _solo(saved, gates)
    if isinstance(saved, Calibration):
        return _calibration(saved, gates)
    if isinstance(saved, Ranking):
        return ranked(redo(one, gates) for one in saved.comparisons)
    cells = tuple(_cell(cell, gates) for cell in saved.cells)
    return Grid(cells, tuple(crossovers(cells)))


def redo(saved: Comparison, gates: Gates = Gates()) -> Comparison:  # noqa: B008  frozen
    """Judge the raw samples of an earlier comparison again, without running anything.

    Its limits hold again, except where `gates` has others; so does its baseline.
    """
    judgement = stats.judge(saved.measurement)
    again = replace(
        saved,
        a=_of_pair(saved.a, saved.measurement, "a"),
        b=_of_pair(saved.b, saved.measurement, "b"),
        judgement=judgement,
        baseline=saved.baseline and _held_again(saved.baseline, judgement.speedup),
    )
    return replace(again, gates=decide(Gates.of(saved.gates).updated(gates), again))


def _solo(saved: Solo, gates: Gates) -> Solo:
    require_alone(gates)
    model = _timed(stats.timing_of(saved.model.path, saved.recording), saved.model)
    latency_ms = stats.latency(saved.recording)
    return replace(
        saved,
        model=model,
        latency_ms=latency_ms,
        throughput=stats.throughput(latency_ms, saved.batch),
        gates=decide_alone(Gates.of(saved.gates).updated(gates), model),
    )


def _calibration(saved: Calibration, gates: Gates) -> Calibration:
    found = redo(saved.comparison)
    floor, detectable = stats.floor(found.measurement)
    warnings = tuple(dict.fromkeys((*found.warnings, *near(gates, floor))))
    return Calibration(replace(found, warnings=warnings), floor, detectable)


def _cell(saved: Cell, gates: Gates) -> Cell:
    return replace(saved, comparison=redo(saved.comparison, gates))


def _of_pair(saved: Timing, measured: Measurement, which: Literal["a", "b"]) -> Timing:
    return _timed(stats.timing(saved.path, measured, which), saved)


def _timed(again: Timing, saved: Timing) -> Timing:
    """Times from the raw samples; what no sample says is kept."""
    return replace(
        again,
        end_to_end_ms=saved.end_to_end_ms,
        size_bytes=saved.size_bytes,
        peak_memory_bytes=saved.peak_memory_bytes,
    )


def _held_again(check: BaselineCheck, now: Interval) -> BaselineCheck:
    return replace(check, ratio=stats.against(now, check.speedup))
