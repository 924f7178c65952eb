"""Documents of `bench` of every kind read back, and what is wrong with one that cannot be."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from helpers_bench import SOLO
from test_report_saved import FULL, LAYERS, MEASURED, made

from gconvtool.errors import InputError
from gconvtool.pipeline.again import redo_any
from gconvtool.pipeline.gates import Gates
from gconvtool.report import document
from gconvtool.report.reread import measured_of
from gconvtool.results import (
    Calibration,
    Cell,
    Comparison,
    Grid,
    Ranking,
    Recording,
    Sample,
    Solo,
    SoloBlock,
)
from gconvtool.results.bench import Timed
from gconvtool.timing import stats


def block(*walls_ms: float) -> SoloBlock:
    return SoloBlock(10.0, 5.0, tuple(Sample(ms, ms, False) for ms in walls_ms))


RECORDED = Recording((block(1, 2, 3), block(8, 8, 8)), 1, ("only 3 samples fitted into a block",))
"""Medians of 2 and 8 ms, whose geometric mean is 4."""
LATENCY = stats.latency(RECORDED)
ALONE = replace(
    SOLO,
    model=replace(SOLO.model, size_bytes=500, peak_memory_bytes=None),
    latency_ms=LATENCY,
    throughput=stats.throughput(LATENCY, 3),
    batch=3,
    recording=RECORDED,
    layers=LAYERS,
    warnings=("a noisy machine",),
)
CELLS = tuple(
    Cell(batch, 2, "H=8", replace(one, batch=batch, threads=2))
    for batch, one in ((1, made()), (8, FULL))
)
EVERY = [
    made(),
    ALONE,
    Ranking((made(), FULL)),
    Grid(CELLS),
    Calibration(made(), *stats.floor(MEASURED)),
]


def written(result: Timed) -> Any:
    return json.loads(document.dumps(document.measured(result)))


@pytest.mark.parametrize("result", EVERY, ids=lambda result: type(result).__name__)
def test_what_was_written_is_read_back(result: Timed) -> None:
    assert measured_of(written(result)) == result


def test_latency_and_throughput_are_made_again_of_the_samples() -> None:
    held = written(ALONE)
    held["latency_ms"] = held["throughput"] = {"estimate": 9.0, "low": 9.0, "high": 9.0}
    found = measured_of(held)
    assert isinstance(found, Solo)
    assert found.latency_ms.estimate == pytest.approx(4.0)
    assert found.throughput.estimate == pytest.approx(3 * 1000 / 4)


@pytest.mark.parametrize(
    ("result", "path", "value", "said"),
    [
        (EVERY[2], ("comparisons",), [], r"^comparisons is \[\], not a list that holds something"),
        (EVERY[2], ("comparisons", 1, "provider"), 3, r"^comparisons\[1\]: provider is 3"),
        (EVERY[3], ("cells", 1), None, r"^cells\[1\] is missing"),
        (EVERY[3], ("cells", 0, "comparison"), None, r"^cells\[0\]: no comparison"),
        (EVERY[4], ("comparison", "samples"), 1, r"^comparison: samples is 1"),
        (ALONE, ("samples", "blocks"), [], r"^samples\.blocks: two blocks at least"),
        (ALONE, ("samples", "blocks", 1, "samples"), [], r"^samples\.blocks\[1\]\.samples: none"),
        (
            ALONE,
            ("samples", "blocks", 0, "samples", 2, "wall_ms"),
            0.0,
            r"^samples\.blocks\[0\]\.samples\[2\]\.wall_ms is 0\.0",
        ),
        (ALONE, ("placement",), {}, r"^placement is \[\], not that of a"),
        (ALONE, ("models", "a", "median_ms"), -1.0, r"^models\.a\.median_ms is -1"),
    ],
)
def test_what_is_damaged_is_named(
    result: Timed, path: tuple[str | int, ...], value: object, said: str
) -> None:
    held = place = written(result)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(InputError, match=said):
        measured_of(held)


@pytest.mark.parametrize(
    "held", [None, [1], {}, {"schema": ["gconvtool.bench/1"]}, {"schema": "gconvtool.verify/1"}]
)
def test_what_is_no_document_of_bench_is_refused(held: object) -> None:
    with pytest.raises(InputError, match=r"^no measurement: its schema is .*`gconvtool bench"):
        measured_of(held)


def test_a_measurement_that_failed_is_refused() -> None:
    with pytest.raises(InputError, match=re.escape("it failed, and nothing was measured")):
        measured_of({"schema": "gconvtool.bench/1", "error": {}})


class TestJudgedAgain:
    """Samples of `made` say that B is exp(0.5) = 1.65 times faster."""

    def test_each_of_several_is_held_against_other_limits(self) -> None:
        for several in (EVERY[2], EVERY[3]):
            found = redo_any(several, Gates(min_speedup=3.0))
            ones = (
                found.comparisons
                if isinstance(found, Ranking)
                else [cell.comparison for cell in found.cells]
                if isinstance(found, Grid)
                else []
            )
            assert len(ones) == 2
            for one in ones:
                assert {gate.name: gate.passed for gate in one.gates}["min_speedup"] is False

    def test_a_ranking_is_sorted_again(self) -> None:
        slow = replace(made(), measurement=turned(MEASURED))
        found = redo_any(Ranking((slow, made())), Gates())
        assert isinstance(found, Ranking)
        speeds = [one.judgement.speedup.estimate for one in found.comparisons]
        assert speeds == [pytest.approx(1.6487, abs=1e-4), pytest.approx(1 / 1.6487, abs=1e-4)]

    def test_crossovers_are_found_again(self) -> None:
        slow = replace(made(), measurement=turned(MEASURED))
        cells = (replace(CELLS[0], comparison=slow), CELLS[1])
        found = redo_any(Grid(cells, ("nonsense",)), Gates())
        assert isinstance(found, Grid)
        assert found.crossovers == ("B is faster from batch 8 on", "B is slower up to batch 1")

    def test_one_model_has_limits_of_its_own(self) -> None:
        found = redo_any(ALONE, Gates(max_size=1.0))
        assert isinstance(found, Solo)
        assert [(gate.name, gate.passed) for gate in found.gates] == [("max_size", False)]
        assert found.model.create_ms == 10.0
        assert found.model.size_bytes == 500
        with pytest.raises(InputError, match="--min-speedup compares two models"):
            redo_any(ALONE, Gates(min_speedup=1.0))

    def test_a_noise_floor_is_held_against_other_limits(self) -> None:
        saved = Calibration(made(gates=()), 0.5, 0.6)
        found = redo_any(saved, Gates(min_speedup=1.0001))
        assert isinstance(found, Calibration)
        assert (found.floor, found.detectable) == stats.floor(MEASURED)
        assert found.comparison.warnings[-1].startswith("--min-speedup 1.0001 is nearer to 1")
        assert redo_any(found, Gates(min_speedup=1.0001)) == found
        assert isinstance(redo_any(made(), Gates()), Comparison)


def turned(measured: Any) -> Any:
    """The same samples with A and B in each other's place."""
    blocks = tuple(
        replace(block, rounds=tuple(replace(one, a=one.b, b=one.a) for one in block.rounds))
        for block in measured.blocks
    )
    return replace(measured, blocks=blocks)
