"""What is told of a measurement, and that every format tells it."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import fields, replace
from xml.etree import ElementTree

import pytest
from helpers_bench import BOXES, CALIBRATION, COMPARISON, EVERY, GRID, RANKING, SOLO, VERIFICATION
from helpers_cli import comparison
from junitparser import JUnitXml
from rich.console import Console

from gconvtool.report import csv as tables
from gconvtool.report import document, github, junit, markdown, stories
from gconvtool.report.terminal import story_page
from gconvtool.results import Drift, Placed, Timing

KINDS = pytest.mark.parametrize("result", EVERY.values(), ids=EVERY)


def page(result, width=120):
    """A result's page at this width."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(story_page(stories.of(result)))
    return console.file.getvalue()


def line(text, start):
    """The one line that starts so, its spaces made single."""
    lines = [" ".join(part.split()) for part in text.splitlines()]
    (found,) = [part for part in lines if part.startswith(start)]
    return found


@pytest.mark.parametrize(
    ("name", "start", "text"),
    [
        ("comparison", "A 1.83", "A 1.83 ms 1.83 ms 4,000 400"),
        ("comparison", "B 1.00", "B 1.00 ms – 1,000 100"),
        ("comparison", "Drift", "Drift relative error 2 %, SNR 34.0 dB, cosine 0.99980"),
        ("comparison", "on 2", "on 2,000 samples of test.npz"),
        ("comparison", "Timing", "Timing 98 of 100 rounds undisturbed, wall time, batch 1"),
        ("comparison", "Start", "Start loading 18.3 ms and 10.0 ms, first run 3.66 ms and 2.00 ms"),
        ("comparison", "Before", "Before speed-up 1.90x in old.json; now 0.963 times that "
                                 "(95 % 0.93–0.99)"),
        ("comparison", "Gate --max-p95", "Gate --max-p95 12.5: cannot tell (unknown)"),
        ("solo", "1.83 ms 1.83", "1.83 ms 1.83 ms 4,000 400"),
        ("solo", "Timing", "Timing 6 samples in 2 fresh sessions, batch 1"),
        ("solo", "1.83 ms a run", "1.83 ms a run (95 % 1.80–1.87), 546 samples/s (95 % 535–556) "
                                  "on CPU, 2 threads, batch 1"),
        ("calibration", "Floor", "Floor effects below 1.1 % drown in the noise"),
        ("calibration", "A true", "A true difference of 3.1 % would be found in 9 of 10 runs like "
                                  "this on CPU, 2 threads"),
        ("ranking", "small.onnx", "small.onnx 1.00 ms 2.50x 2.40–2.60 faster 2 % 1,000"),
        ("ranking", "a.onnx", "a.onnx 1.83 ms 1.00x the first 4,000"),
        ("ranking", "Timing", "Timing 392 of 400 rounds undisturbed, each model with the first"),
        ("grid", "8 1", "8 1 1.83 ms 1.00 ms 1.50x 1.40–1.60 faster"),
        ("grid", "Where", "Where B is faster from batch 8 on (1 thread)"),
        ("grid", "Gates", "Gates 2 of 4 held"),
        ("grid", "Gate batch 8", "Gate batch 8, 1 thread: --max-accuracy-drop 1: FAILED "
                                 "(1.30 points)"),
        ("verification", "scores", "scores 2.13 % 33.4 dB 0.999770 0.5 0.01 0.008 0.02 0.3 97.0 % "
                                   "99.9 %"),
        ("verification", "boxes", "boxes 0 % 1.000000 0 0 0 0 0"),
        ("verification", "Quality", "Quality top-1 92.4 % → 91.1 % on 2,000 samples"),
        ("verification", "Gate --max-abs", "Gate --max-abs 0.1: FAILED (0.50)"),
    ],
)  # fmt: skip
def test_a_page_tells_everything(name, start, text):
    assert line(page(EVERY[name]), start) == text


@KINDS
@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_verdict_is_the_last_line_at_any_width_and_nothing_is_cut(result, width):
    shown = page(result, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    last = shown.rstrip().split("\n\n")[-1]
    assert " ".join(last.split()) == stories.of(result).verdict


@pytest.mark.parametrize(
    ("result", "verdict", "mood"),
    [
        (COMPARISON, "B is 1.83x faster (95 % 1.78–1.88) on CPU, 2 threads", "good"),
        (comparison((1, 0.9, 1.1), "inconclusive"), "Inconclusive: too noisy", "open"),
        (comparison((1, 0.99, 1.01), "same"), "A and B are equally fast", "open"),
        (comparison((0.5, 0.4, 0.625), "slower"), "B is 2.00x slower", "bad"),
        (SOLO, "1.83 ms a run", "plain"),
        (CALIBRATION, "A true difference of 3.1 %", "plain"),
        # 2.45 may be as much as 2.55, and 2.5 as little as 2.4; 1.4 at most 1.5.
        (RANKING, "Fastest and too close to tell apart: small.onnx (2.50x), tiny.onnx (2.45x),",
         "good"),
        (replace(RANKING, comparisons=RANKING.comparisons[2:]), "half.onnx is 1.40x faster",
         "good"),
        (replace(RANKING, comparisons=RANKING.comparisons[3:]), "No model is faster than a.onnx",
         "open"),
        (GRID, "B is faster at 2, slower at 1, not to be told from A at 1 of 4 settings on CPU",
         "open"),
        (replace(GRID, cells=GRID.cells[2:]), "B is faster at 2 of 2 settings on CPU", "good"),
        (replace(GRID, cells=GRID.cells[:1]), "B is slower at 1 of 1 setting on CPU", "bad"),
        (VERIFICATION, "B is too far from A: --max-abs 0.1", "bad"),
        (replace(VERIFICATION, gates=VERIFICATION.gates[1:]),
         "B is as close to A as was asked: --min-snr 30", "good"),
        (replace(VERIFICATION, gates=(replace(VERIFICATION.gates[0], passed=None),)),
         "Cannot tell: --max-abs 0.1", "open"),
        (replace(VERIFICATION, gates=()),
         "B differs from A by: relative error 2.13 %, SNR 33.4 dB", "plain"),
        (replace(VERIFICATION, gates=(), drift=(BOXES,)), "A and B give the same", "good"),
    ],
)  # fmt: skip
def test_the_verdict_and_its_mood(result, verdict, mood):
    story = stories.of(result)
    assert story.verdict.startswith(verdict)
    assert story.mood == mood


def test_what_was_measured_has_a_column():
    whole = replace(COMPARISON.a, end_to_end_ms=2.5, size_bytes=2**20, peak_memory_bytes=2**21)
    shown = page(replace(COMPARISON, a=whole))
    assert line(shown, "Median") == "Median p95 With copies Peak memory Size MACs Params"
    assert line(shown, "A 1.83") == "A 1.83 ms 1.83 ms 2.50 ms 2.0 MiB 1.0 MiB 4,000 400"
    assert line(shown, "B 1.00") == "B 1.00 ms – – ? ? 1,000 100"


def test_what_ran_beside_the_cpu_is_told():
    placed = {"CUDAExecutionProvider": Placed(40, 900, 0.9), "CPUExecutionProvider": Placed(2)}
    shown = page(replace(COMPARISON, placement={"a": placed, "b": COMPARISON.placement["b"]}))
    assert "A: CUDA 40 nodes, 90.0 % of convolution MACs, CPU 2 nodes" in shown
    assert "B: CPU" not in shown


def test_a_provider_that_leaves_everything_to_the_cpu_is_told():
    left = replace(COMPARISON, provider="azure")
    shown = page(left)
    assert "Placed  A: CPU" in shown
    assert "B: CPU" in shown
    assert "A: onnxruntime does not say" in page(replace(left, placement={"a": {}, "b": {}}))
    assert "Placed  CPU" in page(replace(SOLO, provider="azure"))
    assert "Placed  CPU" in page(replace(CALIBRATION, comparison=left))
    assert "Placed  b.onnx: CPU" in page(replace(RANKING, comparisons=(left, left)))
    cells = tuple(replace(cell, comparison=left) for cell in GRID.cells)
    assert "Placed  A: CPU" in page(replace(GRID, cells=cells))
    assert "Placed" not in page(GRID)


def test_outputs_are_told_apart():
    two = (replace(COMPARISON.drift[0], output="first"), replace(COMPARISON.drift[0], output="2nd"))
    shown = page(replace(COMPARISON, drift=two))
    assert "Drift   first: relative error" in shown
    assert "        2nd: relative error" in shown


def test_a_warning_is_told_once():
    assert stories.of(RANKING).warnings == ("a noisy neighbour",)
    alone = (replace(RANKING.comparisons[0], warnings=("a stray cat",)), *RANKING.comparisons[1:])
    assert stories.of(replace(RANKING, comparisons=alone)).warnings == (
        "small.onnx: a stray cat",
        "tiny.onnx; half.onnx; big.onnx: a noisy neighbour",
    )
    one = GRID.cells[1]
    doubtful = replace(one, comparison=replace(one.comparison, warnings=("a stray cat",)))
    cells = (GRID.cells[0], doubtful, *GRID.cells[2:])
    told = stories.of(replace(GRID, cells=cells)).warnings
    assert "batch 1, 2 threads: a stray cat" in told
    assert stories.of(COMPARISON).warnings == ("a noisy neighbour",)


@KINDS
def test_a_document_is_strict_json_under_a_schema_of_its_own(result):
    made = json.loads(document.dumps(document.measured(result)))
    schemas = {document.measured(one)["schema"] for one in EVERY.values()}
    assert len(schemas) == len(EVERY)
    assert re.fullmatch(r"gconvtool\.(bench(-\w+)?|verify)/1", made["schema"])
    assert made["model"] == "a.onnx"


def test_documents_hold_their_comparisons():
    one = document.comparison(COMPARISON)
    assert one["baseline"]["ratio"] == {"estimate": 0.963, "low": 0.93, "high": 0.99}
    ranked = document.measured(RANKING)["comparisons"]
    assert [part["speedup"]["estimate"] for part in ranked] == [2.5, 2.45, 1.4, 0.5]
    cells = document.measured(GRID)["cells"]
    assert [(cell["batch"], cell["threads"]) for cell in cells] == [(1, 1), (1, 2), (8, 1), (8, 2)]
    assert cells[2]["comparison"].keys() == one.keys()
    assert document.measured(CALIBRATION)["floor"] == 0.011
    alone = document.measured(SOLO)
    assert alone["latency_ms"] == {"estimate": 1.83, "low": 1.8, "high": 1.87}
    assert len(alone["samples"]["blocks"]) == 2
    drift = document.measured(VERIFICATION)["drift"]
    assert [part["output"] for part in drift] == ["scores", "boxes"]
    assert drift[0].keys() == {field.name for field in fields(Drift)}


@KINDS
def test_a_table_of_values_has_a_row_a_comparison_or_output(result):
    rows = list(csv.DictReader(io.StringIO(tables.measured(result), newline="")))
    counts = {"ranking": 4, "grid": 4, "verification": 2}
    assert len(rows) == next((counts[name] for name in counts if EVERY[name] is result), 1)


def test_values_are_plain_numbers_and_unknown_is_empty():
    (row,) = csv.DictReader(io.StringIO(tables.measured(COMPARISON), newline=""))
    assert (row["a"], row["b"], row["verdict"], row["speedup"]) == (
        "a.onnx", "b.onnx", "faster", "1.83",
    )  # fmt: skip
    assert (row["a_median_ms"], row["b_p95_ms"], row["relative_error"]) == ("1.83", "", "0.02")
    timed = {f"{side}_{part.name}" for side in "ab" for part in fields(Timing)} - {
        "a_path",
        "b_path",
    }
    assert timed <= row.keys()
    (alone,) = csv.DictReader(io.StringIO(tables.measured(SOLO), newline=""))
    assert (alone["model"], alone["throughput"], alone["size_bytes"]) == ("a.onnx", "546.4", "")


@KINDS
def test_markdown_tells_the_verdict_and_every_number_of_the_page(result):
    story, text = stories.of(result), markdown.story(stories.of(result))
    for part in story.parts:
        for column in part.table.columns:
            if column.content == "numbers":
                assert all(f" {cell} |" in text for cell in column.cells if cell)
    assert markdown.text(story.verdict) in text
    assert text.startswith(f"## gconvtool {story.command}\n")


def test_a_fact_that_goes_on_is_one_bullet():
    assert "- Drift: relative error 2 %, SNR 34.0 dB, cosine 0.99980; on 2,000" in markdown.story(
        stories.of(COMPARISON)
    )


@KINDS
@pytest.mark.parametrize("undecided", ["tell", "pass", "fail"])
def test_junit_counts_what_became_of_gates(result, undecided):
    text = junit.story(stories.of(result), undecided)
    report = JUnitXml.fromstring(text.encode())
    gates = [gate for trial in stories.of(result).trials for gate in trial.gates]
    cases = len(gates) + len(stories.of(result).trials)
    failed = sum(gate.passed is False for gate in gates)
    unknown = sum(gate.passed is None for gate in gates)
    assert report.tests == cases
    assert (report.failures, report.errors, report.skipped) == {
        "tell": (failed, unknown, 0),
        "pass": (failed, 0, unknown),
        "fail": (failed + unknown, 0, 0),
    }[undecided]


def test_means_of_several_runs_are_called_so():
    fast = replace(COMPARISON, measurement=replace(COMPARISON.measurement, runs_per_sample=(1, 46)))
    assert "a sample is the mean of 46 runs of B; percentiles are those of single runs" in page(
        fast
    )
    assert "a sample is the mean" not in page(COMPARISON)
    alone = replace(SOLO, recording=replace(SOLO.recording, runs_per_sample=7))
    assert "a sample is the mean of 7 runs of the model" in page(alone)


def weighed(one):
    """The same, where memory was measured: 3 and 5 MiB."""
    a, b = (replace(t, peak_memory_bytes=n * 2**20) for t, n in ((one.a, 3), (one.b, 5)))
    return replace(one, a=a, b=b)


def test_memory_that_was_asked_for_is_told_in_every_mode():
    ranking = replace(RANKING, comparisons=tuple(map(weighed, RANKING.comparisons)))
    cells = tuple(replace(cell, comparison=weighed(cell.comparison)) for cell in GRID.cells)
    assert page(ranking).count("5.0 MiB") == len(RANKING.comparisons)
    assert page(ranking).count("3.0 MiB") == 1
    shown = page(replace(GRID, cells=cells))
    assert (shown.count("3.0 MiB"), shown.count("5.0 MiB")) == (len(cells), len(cells))


def test_suites_are_named_apart():
    root = ElementTree.fromstring(junit.story(stories.of(GRID)))
    assert [suite.get("name") for suite in root] == [
        "batch 1, 1 thread", "batch 1, 2 threads", "batch 8, 1 thread", "batch 8, 2 threads",
    ]  # fmt: skip
    first = ElementTree.fromstring(junit.story(stories.of(COMPARISON)))[0]
    figures = {part.get("name"): part.get("value") for part in first.iter("property")}
    assert figures["verdict"] == "faster"
    assert (figures["speedup"], figures["a_median_ms"]) == ("1.83", "1.83")


@pytest.mark.parametrize(
    ("undecided", "level"), [("tell", "warning"), ("pass", "notice"), ("fail", "error")]
)
def test_what_did_not_hold_is_annotated_and_the_verdict_is(undecided, level):
    failed, unknown, verdict = github.story(stories.of(COMPARISON), undecided)
    assert failed.startswith("::error title=gconvtool bench%3A a.onnx and b.onnx::--max-accuracy")
    assert unknown.startswith(f"::{level} title=")
    assert verdict.startswith("::notice title=gconvtool bench::B is 1.83x faster (95 %25 1.78")


def test_names_bring_no_markup_and_no_lines():
    name = "a\x1b[31m\n|`<b>.onnx"
    result = replace(COMPARISON, a=replace(COMPARISON.a, path=name))
    assert "\x1b" not in page(result)
    text = markdown.story(stories.of(result))
    assert "<b>" not in text
    assert all(char.isprintable() or char == "\n" for char in text)
    assert len(github.story(stories.of(result))) == 3
    assert all(char.isprintable() for row in github.story(stories.of(result)) for char in row)
