"""`gconvtool analyze`: every option, gates and exit codes, formats and files, several models."""

from __future__ import annotations

import csv
import json
import xml.etree.ElementTree as ET

import models
import nets
import onnx
import pytest
from helpers_cli import (
    CLASSIFIER,
    CLASSIFIER_MACS,
    CLASSIFIER_PARAMS,
    Answer,
    Desk,
    python,
    refused,
)

from gconvtool.pipeline.study import Peaks

OPEN = CLASSIFIER.replace("3, 8, 8] image", "3, H, W] image")
HALF = """g (float[1, 8, 4, 4] x) => (float[1, 8, 4, 4] y) <float[8, 8, 1, 1] w> {
  known = Conv (x, w)
  y = far.away.Blah (known)
}"""
HALF_MACS = 8 * 8 * 4 * 4
STEM, FIRST, SECOND, HEAD = 64 * 8 * 27, 64 * 16 * 72, 64 * 16 * 144, 64
PEAK = 2 * 16 * 64 * 4
"""Bytes: a map of 16 channels is read while another one is written."""
FORMATS = ("table", "json", "csv", "markdown", "github", "junit")
SUFFIXES = {"json": "json", "csv": "csv", "md": "markdown", "xml": "junit", "txt": "table"}


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return Desk(tmp_path, monkeypatch, capfd).furnish()


@pytest.fixture
def furnished(desk):
    """The desk with more on it: open.onnx, half.onnx, old.json, nets/ (one broken) and empty/."""
    onnx.save(nets.network(OPEN), desk.folder / "open.onnx")
    half = models.proto(HALF, domains=["far.away"], w=nets.images(8, shape=(8, 1, 1)))
    onnx.save(half, desk.folder / "half.onnx")
    (desk.folder / "old.json").write_text(desk("analyze", "net.onnx", "--json").out)
    (desk.folder / "empty").mkdir()
    folder = desk.folder / "nets" / "deep"
    folder.mkdir(parents=True)
    (folder / "b.onnx").write_bytes((desk.folder / "net.onnx").read_bytes())
    (folder.parent / "a.onnx").write_bytes(b"junk")
    (folder.parent / "notes.txt").write_text("not a model")
    return desk


def document(desk: Desk, line: str, code: int = 0) -> dict:
    """The document of a call, and of the same with `--format json`."""
    answer = desk("analyze", *line.split(), "--json")
    assert answer.code == code, answer.err
    assert desk("analyze", *line.split(), "--format", "json") == answer
    return answer.document


def gates(desk: Desk, line: str, code: int) -> list[tuple]:
    """What a call's gates say; the exit code does not depend on the format."""
    assert desk("analyze", *line.split()).code == code
    found = document(desk, line, code)["gates"]
    return [(gate["name"], gate["limit"], gate["value"], gate["passed"]) for gate in found]


class TestQuestions:
    def test_a_sweep_has_a_row_for_every_combination(self, furnished):
        rows = document(furnished, "open.onnx --sweep H,W=8,16 --sweep N=1,3")["sweep"]
        assert [(row["sizes"], row["macs"]) for row in rows] == [
            ({"H": size, "W": size, "N": n}, n * (size * size * 3672 + HEAD))
            for size in (8, 16)
            for n in (1, 3)
        ]

    def test_sizes_of_a_sweep_win_over_those_of_the_rest(self, furnished):
        found = document(furnished, "open.onnx --dim H=4,W=8 --sweep H=8")
        assert found["totals"]["macs"] == CLASSIFIER_MACS // 2 + HEAD // 2
        assert found["sweep"][0]["macs"] == CLASSIFIER_MACS

    def test_an_input_shape_fixes_all_sizes(self, furnished):
        found = document(furnished, "open.onnx --input-shape image:1,3,8,8")
        assert found["totals"]["macs"] == CLASSIFIER_MACS

    def test_what_if_counts_what_is_never_made(self, furnished):
        before = furnished.files()
        words = "--what-if groups=4 --what-if separable:rank=2 --what-if groups=4"
        grouped, separable = document(furnished, f"net.onnx {words}")["what_if"]
        assert grouped["after"]["macs"] == STEM + (FIRST + SECOND) // 4 + HEAD
        first, second = (2 * 64 * (c * 9 + c * 16) for c in (8, 16))
        assert separable["after"]["macs"] == STEM + min(FIRST, first) + second + HEAD
        assert furnished.files() == before

    def test_an_explanation_has_the_numbers_in_it(self, furnished):
        for form in ("table", "markdown"):
            page = furnished("analyze", "net.onnx", "--explain", "second", "--format", form).out
            assert f"{SECOND:,}" in page
            assert "1,024 · 144" in page
        assert [one["name"] for one in document(
            furnished, "net.onnx --explain second --explain stem --explain second"
        )["explanations"]] == ["second", "stem"]  # fmt: skip

    def test_an_unknown_layer_is_told_its_like(self, furnished):
        assert "did you mean second?" in refused(
            furnished("analyze", "net.onnx", "--explain", "secnd")
        )

    def test_peaks_place_layers_under_the_roof(self, furnished):
        roof = document(furnished, "net.onnx --peak-gflops 100 --bandwidth 10")["roofline"]
        assert (roof["peak_gflops"], roof["bandwidth_gbs"], roof["ridge"]) == (100, 10, 10)
        assert roof["measured"] is False
        bound = {layer["name"]: layer["bound"] for layer in roof["layers"]}
        moved = 4 * (16 * 144 + 2 * 16 * 64)
        assert bound["second"] == ("compute" if 2 * SECOND / moved > 10 else "memory")
        assert bound["scores"] == "memory"

    def test_peaks_can_be_measured(self, furnished, monkeypatch):
        peaks = Peaks(50.0, 5.0, measured=True)
        monkeypatch.setattr("gconvtool.pipeline.study.measure_peaks", lambda: peaks)
        roof = document(furnished, "net.onnx --measure-peaks")["roofline"]
        assert (roof["peak_gflops"], roof["bandwidth_gbs"], roof["measured"]) == (50, 5, True)

    def test_a_convention_is_for_tables(self, furnished):
        macs = furnished("analyze", "net.onnx").out
        flops = furnished("analyze", "net.onnx", "--convention", "flops").out
        assert macs == furnished("analyze", "net.onnx", "--convention", "macs").out
        assert f"{SECOND:,}" in macs
        assert f"{2 * SECOND:,}" not in macs
        assert f"{2 * SECOND:,}" in flops
        for page in (macs, flops):
            assert "1 MAC = 1 multiply + 1 add = 2 FLOPs" in page
        found = document(furnished, "net.onnx --convention flops")
        assert found == document(furnished, "net.onnx")
        assert found["totals"]["flops"] == 2 * found["totals"]["macs"]


class TestGates:
    @pytest.mark.parametrize(
        ("limits", "passed"),
        [
            (f"--max-macs {CLASSIFIER_MACS}", True),
            (f"--max-macs {CLASSIFIER_MACS - 1}", False),
            ("--max-macs 0.3M", True),
            ("--max-macs 0.2M", False),
            (f"--max-params {CLASSIFIER_PARAMS}", True),
            (f"--max-params {CLASSIFIER_PARAMS - 1}", False),
            (f"--max-peak-memory {PEAK}", True),
            ("--max-peak-memory 8KiB", True),
            ("--max-peak-memory 8KB", False),
        ],
    )
    def test_a_budget_is_kept_up_to_its_last_one(self, furnished, limits, passed):
        (gate,) = gates(furnished, f"net.onnx {limits}", 0 if passed else 1)
        assert gate[3] is passed

    def test_a_lower_bound_can_break_a_budget_but_never_keep_one(self, furnished):
        (kept,) = gates(furnished, f"half.onnx --max-macs {HALF_MACS}", 3)
        assert kept == ("max_macs", HALF_MACS, HALF_MACS, None)
        (broken,) = gates(furnished, f"half.onnx --max-macs {HALF_MACS - 1}", 1)
        assert broken[3] is False
        assert gates(furnished, "half.onnx --max-params 64", 0)[0][3] is True

    def test_one_that_is_broken_outweighs_one_that_is_open(self, furnished):
        found = gates(furnished, "half.onnx --max-macs 1M --max-params 1", 1)
        assert [gate[3] for gate in found] == [None, False]

    def test_growth_is_measured_from_a_baseline(self, furnished):
        words = "--baseline old.json --max-increase macs=0%,params=0,peak-memory=0"
        assert all(gate[3] for gate in gates(furnished, f"net.onnx {words}", 0))
        assert gates(furnished, f"net.onnx --dim N=2 {words}", 1) == [
            ("max_increase_macs_percent", 0, 100, False),
            ("max_increase_params", 0, 0, True),
            ("max_increase_peak_memory", 0, PEAK, False),
        ]

    def test_growth_from_what_is_not_known_is_undecidable(self, furnished):
        half = furnished("analyze", "half.onnx", "--json").out
        (furnished.folder / "half.json").write_text(half)
        words = "--baseline half.json --max-increase macs=999%"
        assert gates(furnished, f"net.onnx {words}", 3)[0][2:] == (None, None)

    def test_a_baseline_of_a_failed_run_is_none(self, furnished):
        failed = furnished("analyze", "gone.onnx", "--json").out
        (furnished.folder / "failed.json").write_text(failed)
        said = refused(
            furnished(
                "analyze", "net.onnx", "--baseline", "failed.json", "--max-increase", "macs=0"
            )
        )
        assert "failed.json" in said
        assert "no totals" in said

    @pytest.mark.parametrize(
        "text",
        ["", "x", "[", "null", "[1]", "{}", '{"schema": "gconvtool.bench/1"}', "[" * 100_000,
         '{"schema": "gconvtool.analyze/1", "totals": {"exact": true, "params": 1, "macs": 1.5}}',
         '{"schema": "gconvtool.analyze/1", "totals": {"exact": 1, "params": 1, "macs": 1}}'],
    )  # fmt: skip
    def test_what_is_no_analysis_is_no_baseline(self, desk, text):
        (desk.folder / "old.json").write_text(text)
        words = ["--baseline", "old.json", "--max-increase", "macs=0"]
        assert refused(desk("analyze", "net.onnx", *words)).startswith("--baseline old.json: ")

    def test_gates_of_several_models_are_one_answer(self, furnished):
        assert furnished("analyze", "net.onnx", "half.onnx", "--max-macs", "1M").code == 3
        assert furnished("analyze", "net.onnx", "half.onnx", "--max-macs", "2K").code == 1

    def test_a_broken_gate_is_told_where_its_page_is_not_seen(self, furnished):
        seen = furnished("analyze", "net.onnx", "--max-macs", "1K")
        assert (seen.code, seen.err) == (1, "")
        assert "FAILED" in seen.out
        unseen = furnished("analyze", "net.onnx", "--max-macs", "1K", "-o", "page.md")
        assert (unseen.code, unseen.out) == (1, "")
        assert "--max-macs 1,000: FAILED" in unseen.err


BUDGETS = """
[tool.gconvtool.analyze]
max-macs = "1K"
max-params = 5_000_000
max-peak-memory = "20MB"
baseline = "old.json"
max-increase = ["macs=0%", "params=0"]
"""


class TestConfiguration:
    @pytest.fixture
    def configured(self, furnished):
        (furnished.folder / "pyproject.toml").write_text(BUDGETS)
        return furnished

    def test_budgets_live_in_a_file(self, configured, monkeypatch):
        monkeypatch.chdir(configured.folder / "empty")
        assert gates(configured, "../net.onnx", 1) == [
            ("max_macs", 1000, CLASSIFIER_MACS, False),
            ("max_params", 5_000_000, CLASSIFIER_PARAMS, True),
            ("max_peak_memory", 20_000_000, PEAK, True),
            ("max_increase_macs_percent", 0, 0, True),
            ("max_increase_params", 0, 0, True),
        ]

    def test_the_command_line_wins_figure_by_figure(self, configured):
        words = "net.onnx --dim N=2 --max-macs 1M --max-increase macs=200%"
        found = {gate[0]: gate[1:] for gate in gates(configured, words, 0)}
        assert found["max_macs"] == (1_000_000, 2 * CLASSIFIER_MACS, True)
        assert found["max_params"][0] == 5_000_000
        assert found["max_increase_macs_percent"] == (200, 100, True)
        assert found["max_increase_params"] == (0, 0, True)

    def test_the_command_line_names_another_baseline(self, configured):
        assert "gone.json" in refused(configured("analyze", "net.onnx", "--baseline", "gone.json"))


class TestFormats:
    @pytest.mark.parametrize("form", FORMATS)
    def test_every_format_is_a_text_that_ends_in_one_line_end(self, furnished, form):
        for line in ("net.onnx", "net.onnx half.onnx", "net.onnx half.onnx open.onnx"):
            answer = furnished("analyze", *line.split(), "--format", form)
            assert answer.code == 0
            assert answer.out.endswith("\n")
            assert not answer.out.endswith("\n\n")
            assert furnished("analyze", *line.split(), "--format", form) == answer

    def test_csv_has_a_row_a_layer(self, furnished):
        out = furnished("analyze", "net.onnx", "--format", "csv").out
        macs = {row["name"]: row["macs"] for row in csv.DictReader(out.splitlines())}
        assert (macs["stem"], macs["second"], macs["r0"]) == (str(STEM), str(SECOND), "0")
        out = furnished("analyze", "net.onnx", "half.onnx", "--format", "csv").out
        (blah,) = (row for row in csv.DictReader(out.splitlines()) if row["name"] == "y")
        assert (blah["model"], blah["macs"]) == ("half.onnx", "")

    def test_junit_has_a_case_a_gate(self, furnished):
        words = ["half.onnx", "--max-macs", "1M", "--max-params", "1", "--format", "junit"]
        answer = furnished("analyze", *words)
        assert answer.code == 1
        report = ET.fromstring(answer.out.split("\n", 1)[1])
        assert len(report.findall(".//failure")) == len(report.findall(".//error")) == 1

    @pytest.mark.parametrize(("suffix", "form"), SUFFIXES.items())
    def test_a_file_has_the_format_of_its_suffix(self, furnished, suffix, form):
        answer = furnished("analyze", "net.onnx", "-o", f"page.{suffix}")
        assert answer == Answer(0, "", "")
        written = (furnished.folder / f"page.{suffix}").read_text(encoding="utf-8")
        assert written == furnished("analyze", "net.onnx", "--format", form).out

    def test_a_format_that_is_said_wins_over_a_suffix(self, furnished):
        for words in (["--json"], ["--format", "json"]):
            answer = furnished("analyze", "net.onnx", "-o", "page.txt", "--force", *words)
            assert answer == Answer(0, "", "")
            assert json.loads((furnished.folder / "page.txt").read_text())["model"] == "net.onnx"

    @pytest.mark.parametrize("form", FORMATS)
    def test_a_name_that_is_no_text_can_be_written(self, desk, form):
        name = "b\udcff.onnx"
        (desk.folder / "net.onnx").rename(desk.folder / name)
        assert desk("analyze", name, "--format", form).code == 0
        assert desk("analyze", name, "--format", form, "-o", "page.txt").code == 0
        page = (desk.folder / "page.txt").read_text(encoding="utf-8")
        assert ("udcff" in page) is (form != "csv")


class TestFiles:
    def test_nothing_is_replaced_without_force(self, furnished):
        (furnished.folder / "page.json").write_text("mine")
        before = furnished.files()
        assert "--force" in refused(furnished("analyze", "net.onnx", "-o", "page.json"))
        assert furnished.files() == before
        assert furnished("analyze", "net.onnx", "-o", "page.json", "--force").code == 0
        assert json.loads((furnished.folder / "page.json").read_text())

    @pytest.mark.parametrize(
        ("target", "words"),
        [
            ("net.onnx", "net.onnx --format json"),
            ("nets/deep/b.onnx", "nets --format json"),
            ("fit.npz", "net.onnx --format json"),
            ("gone/page.json", "net.onnx"),
            ("nets", "net.onnx --format json"),
            ("page.onnx", "net.onnx"),
            ("page", "net.onnx"),
            ("-", "net.onnx --format json"),
            ("page.json", "gone.onnx"),
            ("page.json", "net.onnx --explain gone"),
        ],
    )
    def test_what_is_refused_leaves_every_file_as_it_was(self, furnished, target, words):
        before = furnished.files()
        refused(furnished("analyze", *words.split(), "-o", target, "--force"))
        assert furnished.files() == before

    def test_a_disk_that_fills_up_leaves_what_was_there(self, desk, monkeypatch):
        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        (desk.folder / "page.json").write_text("mine")
        before = desk.files()
        monkeypatch.setattr("os.fsync", full)
        said = refused(desk("analyze", "net.onnx", "-o", "page.json", "--force"), 4)
        assert "No space left" in said
        assert desk.files() == before

    def test_a_baseline_can_be_renewed_in_place(self, furnished):
        words = ["--baseline", "old.json", "--max-increase", "macs=100%", "--dim", "N=2"]
        assert furnished("analyze", "net.onnx", *words, "-o", "old.json", "--force").code == 0
        assert gates(furnished, "net.onnx --baseline old.json --max-increase macs=0", 0)


class TestSeveral:
    def test_two_models_are_side_by_side(self, furnished):
        found = document(furnished, "net.onnx half.onnx")
        assert found["schema"] == "gconvtool.analyze-difference/1"
        assert {side: study["model"] for side, study in found["models"].items()} == {
            "a": "net.onnx",
            "b": "half.onnx",
        }
        page = furnished("analyze", "net.onnx", "half.onnx").out
        assert f"{CLASSIFIER_MACS:,}" in page
        assert f"≥ {HALF_MACS:,}" in page

    def test_the_same_model_twice_differs_in_nothing(self, furnished):
        found = document(furnished, "net.onnx net.onnx")
        assert found["layers"] == []
        assert found["totals"]["macs"]["difference"] == 0

    def test_more_are_a_row_each_in_the_order_given(self, furnished):
        found = document(furnished, "net.onnx half.onnx net.onnx")
        assert found["schema"] == "gconvtool.analyze-several/1"
        names = [study["model"] for study in found["models"]]
        assert names == ["net.onnx", "half.onnx", "net.onnx"]

    def test_a_folder_is_all_its_models_and_a_broken_one_stops_none(self, furnished):
        answer = furnished("analyze", "nets", "net.onnx")
        assert answer.code == 2
        assert len(answer.lines) == 1
        assert answer.err.startswith("error: nets/a.onnx: ")
        assert [line.split()[0] for line in answer.out.splitlines() if ".onnx" in line] == [
            "nets/a.onnx:", "nets/deep/b.onnx", "net.onnx",
        ]  # fmt: skip
        found = document(furnished, "nets net.onnx", code=2)
        assert [("error" in one, one["model"]) for one in found["models"]] == [
            (True, "nets/a.onnx"), (False, "nets/deep/b.onnx"), (False, "net.onnx"),
        ]  # fmt: skip

    def test_a_folder_of_one_model_is_still_several(self, furnished):
        found = document(furnished, "nets/deep")
        assert found["schema"] == "gconvtool.analyze-several/1"
        assert [one["model"] for one in found["models"]] == ["nets/deep/b.onnx"]

    def test_one_of_two_that_is_broken_leaves_the_other(self, furnished):
        found = document(furnished, "net.onnx gone.onnx", code=2)
        assert found["schema"] == "gconvtool.analyze-several/1"
        assert found["models"][0]["totals"]["macs"] == CLASSIFIER_MACS
        assert "no such file" in found["models"][1]["error"]["message"]

    def test_every_failure_is_a_line_that_names_its_model(self, furnished):
        answer = furnished("analyze", "net.onnx", "gone.onnx", "nets/a.onnx")
        assert answer.code == 2
        assert [line.split(":")[1].strip() for line in answer.lines] == ["gone.onnx", "nets/a.onnx"]

    def test_a_layer_is_explained_where_it_is(self, furnished):
        found = document(furnished, "net.onnx half.onnx --explain stem")["models"]
        assert [e["name"] for e in found["a"]["explanations"]] == ["stem"]
        assert found["b"]["explanations"] == []
        assert "--explain nowhere: no such layer" in refused(
            furnished("analyze", "net.onnx", "half.onnx", "--explain", "nowhere")
        )

    def test_a_folder_without_models_is_refused(self, furnished):
        assert "empty" in refused(furnished("analyze", "net.onnx", "empty"))

    def test_an_empty_name_is_not_the_folder_one_is_in(self, furnished):
        for words in ([""], ["net.onnx", ""]):
            assert "no model" in refused(furnished("analyze", *words))


class TestGithub:
    @pytest.fixture
    def summary(self, furnished, monkeypatch):
        path = furnished.folder / "summary.md"
        path.write_text("before\n")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
        return path

    def test_the_page_goes_to_the_summary_and_verdicts_to_stdout(self, furnished, summary):
        words = ["half.onnx", "--max-macs", "1M", "--max-params", "1", "--format", "github"]
        answer = furnished("analyze", *words)
        assert answer.code == 1
        levels = [line.split(" ")[0] for line in answer.out.splitlines()]
        assert levels == ["::warning", "::error", "::notice"]
        page = summary.read_text(encoding="utf-8")
        assert page.startswith("before\n")
        assert f"{HALF_MACS:,}" in page
        assert furnished("analyze", *words).code == 1
        assert summary.read_text(encoding="utf-8") == page + page.removeprefix("before\n")

    def test_a_summary_that_cannot_be_written_is_told(self, furnished, monkeypatch):
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(furnished.folder / "gone" / "summary.md"))
        said = refused(furnished("analyze", "net.onnx", "--format", "github"), 4)
        assert "GITHUB_STEP_SUMMARY" in said

    def test_elsewhere_the_page_is_on_stdout(self, furnished, summary, monkeypatch):
        furnished("analyze", "net.onnx", "--format", "github")
        page = summary.read_text(encoding="utf-8").removeprefix("before\n")
        monkeypatch.delenv("GITHUB_STEP_SUMMARY")
        assert furnished("analyze", "net.onnx", "--format", "github").out == page

    def test_other_formats_leave_the_summary_alone(self, furnished, summary):
        for form in sorted({*FORMATS} - {"github"}):
            furnished("analyze", "net.onnx", "--format", form)
        furnished("analyze", "net.onnx", "--format", "github", "-o", "page.md")
        assert summary.read_text() == "before\n"


WRONG = {
    "net.onnx --format": "--format",
    "net.onnx --format=": "--format ''",
    "net.onnx --format pdf": "junit",
    "net.onnx --convention=": "--convention ''",
    "net.onnx --convention MACs": "macs or flops",
    "net.onnx --output=": "--output",
    "net.onnx --max-macs=": "--max-macs ''",
    "net.onnx --max-params=-1": "--max-params -1",
    "net.onnx --max-peak-memory nan": "20MB",
    "net.onnx --max-increase macs=2%": "--baseline",
    "net.onnx --baseline old.json": "--max-increase",
    "net.onnx --baseline= --max-increase macs=0": "--baseline",
    "net.onnx --baseline nets --max-increase macs=0": "directory",
    "net.onnx --baseline net.onnx --max-increase macs=0": "JSON",
    "net.onnx --sweep=": "--sweep ''",
    "net.onnx --sweep Q=1,2": "no open dimension",
    "static.onnx --sweep H=1,2": "no open dimension",
    "net.onnx --what-if=": "--what-if",
    "net.onnx --what-if groups=0": "--what-if 0 groups",
    "net.onnx --what-if magic": "separable:rank=2",
    "net.onnx --explain=": "--explain",
    "net.onnx --explain flat": "Flatten",
    "net.onnx --peak-gflops 100": "--bandwidth",
    "net.onnx --bandwidth 100": "--peak-gflops",
    "net.onnx --peak-gflops x --bandwidth 1": "--peak-gflops",
    "net.onnx --peak-gflops 0 --bandwidth 1": "--peak-gflops 0",
    "net.onnx --peak-gflops 1 --bandwidth nan": "--bandwidth nan",
    "net.onnx --peak-gflops 1e308 --bandwidth 1": "--peak-gflops 1e+308",
    "net.onnx --peak-gflops 1 --bandwidth 1 --measure-peaks": "--measure-peaks",
    "net.onnx --input-shape image:1,3": "4",
    "/dev/null": "/dev/null",
    "old.json": "old.json",
    "empty": "empty",
}
"""Calls that are wrong, and what the message names."""


class TestUsage:
    @pytest.mark.parametrize("line", WRONG)
    def test_a_wrong_word_is_one_line_and_a_document_if_wanted(self, furnished, line):
        network = CLASSIFIER.replace("N, ", "1, ")
        onnx.save(nets.network(network), furnished.folder / "static.onnx")
        before = furnished.files()
        words = line.split()
        documented = furnished("analyze", *words, "--json")
        refused(documented)
        assert documented.document["exit_code"] == 2
        assert documented.document["schema"] == "gconvtool.analyze/1"
        if "--format" not in line:
            assert furnished("analyze", *words, "--format", "json") == documented
        plain = furnished("analyze", *words)
        assert WRONG[line] in refused(plain)
        assert plain.out == ""
        assert furnished.files() == before

    @pytest.mark.parametrize("form", sorted({*FORMATS} - {"json"}))
    def test_json_excludes_every_other_format(self, desk, form):
        answer = desk("analyze", "net.onnx", "--json", "--format", form)
        assert f"--json and --format {form}" in refused(answer)
        assert answer.document["exit_code"] == 2


class TestPages:
    @pytest.mark.parametrize("width", [40, 80, 120])
    @pytest.mark.parametrize(
        "line",
        [
            "net.onnx --what-if groups=4 --explain second --peak-gflops 1 --bandwidth 1",
            "net.onnx half.onnx --max-macs 1",
            "net.onnx half.onnx open.onnx",
            "open.onnx --sweep H,W=8,16",
        ],
    )
    def test_a_page_fits_its_terminal_and_cuts_no_number(self, furnished, monkeypatch, width, line):
        monkeypatch.setenv("COLUMNS", str(width))
        page = furnished("analyze", *line.split()).out
        assert max(map(len, page.splitlines())) <= width
        assert "…" not in page
        for number in (CLASSIFIER_MACS, CLASSIFIER_PARAMS):
            assert f"{number:,}" in page

    def test_a_page_in_a_file_does_not_depend_on_the_terminal(self, furnished, monkeypatch):
        furnished("analyze", "net.onnx", "-o", "plain.txt")
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "40")
        furnished("analyze", "net.onnx", "-o", "forced.txt")
        plain, forced = (furnished.folder / name for name in ("plain.txt", "forced.txt"))
        assert plain.read_text(encoding="utf-8") == forced.read_text(encoding="utf-8")

    @pytest.mark.parametrize("form", FORMATS)
    def test_no_colour_where_none_is_wanted(self, furnished, monkeypatch, form):
        monkeypatch.setenv("NO_COLOR", "1")
        answer = furnished("analyze", "net.onnx", "gone.onnx", "--format", form)
        assert "\x1b[3" not in answer.out + answer.err


def test_analyze_imports_no_runtime(desk):
    script = """
import sys
from gconvtool.cli.main import run
code = run(["analyze", "net.onnx", "--what-if", "gdc", "--explain", "stem", "--json"])
print(code, sorted({"onnxruntime", "scipy"} & set(sys.modules)), file=sys.stderr)
"""
    assert python("-c", script).stderr.splitlines()[-1] == "0 []"
