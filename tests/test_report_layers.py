"""Profiles in words: which rows there are, what stands out, and that pages keep their width."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from helpers_bench import CALIBRATION
from rich.console import Console

from gconvtool.report import stories
from gconvtool.report.stories.layers import layer_part
from gconvtool.report.story import Story
from gconvtool.report.tables import Table
from gconvtool.report.tables.layer_times import layer_times
from gconvtool.report.terminal.story import story_page
from gconvtool.results import LayerRun, LayerTime, LayerTimes


def run(us: float, macs: int | None = 0, path: str | None = None, reorders: int = 0) -> LayerRun:
    rate = 2e-3 * macs / us if macs else None
    return LayerRun(us, macs, rate, path, reorders, ("k",))  # type: ignore[arg-type]


ADVICE = "groups of 4 → 4 channels do not fill blocks of 16"
PAIR = LayerTimes(
    (
        LayerTime(
            "stem", "Conv", "standard", run(10, 451_584, "blocked"), run(5, 451_584, "blocked")
        ),
        LayerTime(
            "stage1.0.conv1",
            "Conv",
            "standard",
            run(600, 28_901_376, "blocked"),
            run(200, 1_806_336, "fallback", reorders=2),
            realised=3 / 16,
            advice=ADVICE,
        ),
        LayerTime("relu", "Relu", "activation", None, run(1)),
        LayerTime("flat", "Flatten", None, run(1.5), run(1)),
        LayerTime("pool", "MaxPool", "pooling", run(384), run(290)),
        LayerTime("odd", "Odd", "unknown", run(1, None), None),
    ),
    (3.5, 3.0),
    101,
    "cpu",
)
ALONE = LayerTimes(
    tuple(replace(layer, b=None, realised=None) for layer in PAIR.layers if layer.a),
    (3.5, None),
    11,
    "cpu",
)


def cells(table: Table, title: str) -> tuple[str, ...]:
    return next(column.cells for column in table.columns if column.title == title)


def facts(found: LayerTimes) -> dict[str, str]:
    return {label: text for label, text in layer_part(found).facts if label}


def page(found: LayerTimes, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(story_page(Story("bench", {}, (layer_part(found),), (), "done")))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_totals_are_of_all_layers_and_what_belongs_to_none() -> None:
    assert PAIR.total_us == (1000, 500)
    assert PAIR.convolutions_us == (610, 205)
    assert ALONE.total_us == (1000, None)


def test_what_takes_little_and_has_no_macs_shares_a_row() -> None:
    table = layer_times(PAIR)
    assert cells(table, "Layer") == ("stem", "stage1.0.conv1", "pool", "odd", "2 others")
    assert cells(table, "A µs") == ("10", "600", "384", "1", "5")
    assert cells(table, "B µs") == ("5", "200", "290", "", "5")


def test_speed_macs_and_what_was_realised_stand_side_by_side() -> None:
    table = layer_times(PAIR)
    assert cells(table, "Faster") == ("2.00x", "3.00x", "1.32x", "", "")
    assert cells(table, "MACs ÷") == ("", "16.0", "", "", "")
    assert cells(table, "Realised") == ("", "19 %", "", "", "")
    assert cells(table, "Path") == ("blocked", "fallback", "", "", "")
    assert cells(table, "Reorders") == ("", "2", "", "", "")


def test_rates_are_whole_unless_they_are_small() -> None:
    slow = LayerTime("fc", "Gemm", "linear", run(100, 12_000), None)
    assert cells(layer_times(replace(ALONE, layers=(slow,))), "GFLOP/s")[0] == "0.2"
    assert cells(layer_times(ALONE), "GFLOP/s")[1] == "96"


def test_the_slowest_layers_are_marked_and_named() -> None:
    assert layer_times(PAIR).styles == ("", "bold", "bold", "", "dim")
    expected = "A stage1.0.conv1, 600 µs (60.0 %), B pool, 290 µs (58.0 %)"
    assert facts(PAIR)["Slowest"] == expected
    assert facts(ALONE)["Slowest"] == "stage1.0.conv1, 600 µs (60.0 %)"


def test_advice_names_its_layers_once() -> None:
    layers = tuple(replace(PAIR.layers[1], name=f"conv{index}") for index in range(5))
    assert facts(replace(PAIR, layers=layers))["Advice"] == (
        f"conv0, conv1, conv2 and 2 more: {ADVICE}"
    )


def test_the_share_of_convolutions_and_how_it_was_measured() -> None:
    assert facts(PAIR)["Time"] == "convolutions take 61.0 % of A's time and 41.0 % of B's time"
    assert facts(ALONE)["Time"] == "convolutions take 61.0 % of the time"
    assert layer_part(PAIR).facts[-1][1].startswith("medians of 101 profiled runs")


def test_doubts_are_told() -> None:
    assert facts(replace(PAIR, warnings=("no namesakes",)))["Caution"] == "no namesakes"


def test_a_profile_without_layers_is_a_page_all_the_same() -> None:
    assert layer_times(LayerTimes((), (0.0, None), 11, "cpu")).rows == 0
    assert "Slowest" not in facts(LayerTimes((), (0.0, 0.0), 11, "cpu"))


@pytest.mark.parametrize("found", [PAIR, ALONE])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_page_keeps_its_width_and_all_times(found: LayerTimes, width: int) -> None:
    text = page(found, width)
    assert all(len(line) <= width for line in text.splitlines())
    assert "600" in text
    assert "384" in text


def test_eighty_columns_hold_what_matters_most() -> None:
    titles = page(PAIR, 80)
    for title in ("Layer", "A µs", "B µs", "Faster", "MACs ÷", "Realised", "B GFLOP/s", "Path"):
        assert title in titles


def test_a_calibration_tells_them_too():
    found = replace(CALIBRATION.comparison, layers=PAIR)
    told = stories.of(replace(CALIBRATION, comparison=found))
    assert layer_part(PAIR) in told.parts
    assert len(told.parts) == len(stories.of(CALIBRATION).parts) + 1
