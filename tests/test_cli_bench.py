"""`bench`: which question is asked, where the answer goes, and which exit code follows."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest
from helpers_bench import CALIBRATION, COMPARISON, GATES, GRID, RANKING, SOLO
from helpers_cli import Desk, comparison, refused
from junitparser import JUnitXml

from gconvtool.pipeline.baseline import Baseline
from gconvtool.pipeline.gates import Gates
from gconvtool.pipeline.sizes import Sizes
from gconvtool.recipes import Grouped
from gconvtool.results import Gate, Interval

QUICK = ("--time-budget", 1, "--threads", 1)


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Desk(tmp_path, monkeypatch, capfd).furnish()


@pytest.fixture
def asked(monkeypatch):
    """What the pipeline's functions are called with; each answers at once."""
    calls = []

    def stand_in(name, answer):
        def called(*words, **options):
            calls.append((name, words, options))
            return answer

        return called

    for name, answer in (
        ("compare.bench", COMPARISON),
        ("solo.solo", SOLO),
        ("calibration.calibrate", CALIBRATION),
        ("several.rank", RANKING),
        ("grid.grid", GRID),
    ):
        monkeypatch.setattr(f"gconvtool.pipeline.{name}", stand_in(name, answer))
    return calls


@pytest.fixture
def answering(monkeypatch):
    """A function that makes a comparison with these gates the answer."""
    return lambda *gates: monkeypatch.setattr(
        "gconvtool.pipeline.compare.bench", lambda *_, **__: comparison(gates=gates)
    )


class TestQuestions:
    @pytest.mark.parametrize(
        ("line", "name", "words"),
        [
            ("a", "solo.solo", ("a",)),
            ("a --calibrate", "calibration.calibrate", ("a",)),
            ("a b", "compare.bench", ("a", "b")),
            ("a --groups 4", "compare.bench", ("a", None)),
            ("a b c", "several.rank", (("a", "b", "c"),)),
            ("a b --batch 1,8", "grid.grid", ("a", "b")),
            ("a b --threads 1,2", "grid.grid", ("a", "b")),
            ("a b --dim H=8,16", "grid.grid", ("a", "b")),
            ("a --groups 4 --batch 1,8", "grid.grid", ("a", None)),
        ],
    )
    def test_models_and_settings_say_what_is_asked(self, desk, asked, line, name, words):
        desk("bench", *line.split())
        ((called, given, options),) = asked
        assert (called, given) == (name, words)
        if "--groups" in line:
            assert options["recipe"] == Grouped(4)

    def test_options_are_handed_on(self, desk, asked):
        line = (
            "a b --data d.npz --batch 8 --threads 2 --dim N=1 --input-shape x:1,3,8,8 --layers "
            "--memory --provider cuda --provider-option device_id=1 --session-option a.b=c=d "
            "--no-strict-provider --seed 3 --time-budget 7"
        )
        desk("bench", *line.split())
        options = asked[0][2]
        assert options.items() >= {
            "data": "d.npz", "batch": 8, "threads": 2, "dims": {"N": 1},
            "input_shapes": {"x": (1, 3, 8, 8)}, "layers": True, "memory": True,
            "provider": "cuda", "provider_options": {"device_id": "1"},
            "session_options": {"a.b": "c=d"}, "strict": False, "seed": 3, "time_budget_s": 7,
            "gates": Gates(), "baseline": None,
        }.items()  # fmt: skip

    def test_limits_become_gates(self, desk, asked):
        line = (
            "a b --min-speedup 1.5 --max-slowdown 1.1 --max-p95 12.5 --max-relative-error 2% "
            "--min-agreement 0.99 --max-accuracy-drop 1 --max-size 5MB"
        )
        desk("bench", *line.split())
        assert asked[0][2]["gates"] == Gates(
            min_speedup=1.5,
            max_slowdown=1.1,
            max_p95=12.5,
            max_relative_error=0.02,
            min_agreement=0.99,
            max_accuracy_drop=1,
            max_size=5_000_000,
        )

    def test_several_sizes_are_all_combinations(self, desk, asked):
        line = "a b --dim H,W=8,16 --dim N=1 --input-shape x:1,3 --input-shape x:1,4 --batch 2,2"
        desk("bench", *line.split())
        options = asked[0][2]
        assert options["batches"] == (2,)
        assert options["threads"] == (None,)
        assert options["shapes"] == tuple(
            Sizes({"H": side, "W": side, "N": 1}, {"x": (1, width)})
            for width in (3, 4)
            for side in (8, 16)
        )

    @pytest.mark.parametrize(("words", "seconds"), [((), 60), (("--ci",), 30)])
    def test_a_pipeline_takes_less_time_unless_told(self, desk, asked, words, seconds):
        desk("bench", "a", "b", *words)
        assert asked[0][2]["time_budget_s"] == seconds


class TestExitCodes:
    @pytest.mark.parametrize(
        ("passed", "words", "code"),
        [
            (None, (), 3),
            (None, ("--on-inconclusive", "pass"), 0),
            (None, ("--on-inconclusive", "fail"), 1),
            (False, ("--on-inconclusive", "pass"), 1),
            (True, ("--on-inconclusive", "fail"), 0),
        ],
    )
    def test_an_undecided_gate_is_what_the_user_says(self, desk, answering, passed, words, code):
        answering(Gate("min_speedup", 1.5, 1.6, passed))
        assert desk("bench", "a", "b", *words).code == code

    def test_gates_of_all_settings_count(self, desk, asked):
        assert desk("bench", "a", "b", "--batch", "1,8").code == 1

    def test_the_worst_of_all_settings_counts(self, desk, monkeypatch):
        undecided = replace(GRID, cells=GRID.cells[:2])
        monkeypatch.setattr("gconvtool.pipeline.grid.grid", lambda *_, **__: undecided)
        assert desk("bench", "a", "b", "--batch", "1,8").code == 3


class TestOutlets:
    def test_several_files_are_written_besides_what_is_printed(self, desk, asked):
        answer = desk("bench", "a", "b", *"-o o.json -o o.xml -o o.md -o o.csv -o o.txt".split())
        assert answer.code == 1
        assert answer.out.endswith("B is 1.83x faster (95 % 1.78–1.88) on CPU, 2 threads\n")
        assert (desk.folder / "o.txt").read_text() == answer.out
        read = {path.suffix: path.read_text() for path in desk.folder.glob("o.*")}
        assert json.loads(read[".json"])["verdict"] == "faster"
        assert JUnitXml.fromstring(read[".xml"].encode()).failures == 1
        assert read[".md"].startswith("## gconvtool bench\n")
        assert next(csv.DictReader(read[".csv"].splitlines()))["verdict"] == "faster"

    def test_a_file_is_replaced_by_force_only(self, desk, asked):
        (desk.folder / "o.json").write_text("{}")
        assert "--force" in refused(desk("bench", "a", "b", "-o", "o.json"))
        assert not asked
        desk("bench", "a", "b", "-o", "o.json", "--force")
        assert json.loads((desk.folder / "o.json").read_text())["schema"] == "gconvtool.bench/1"

    @pytest.mark.parametrize(
        ("form", "start"),
        [("table", "A  a.onnx"), ("json", "{"), ("csv", "a,b,"), ("markdown", "## gconvtool bench"),
         ("github", "## gconvtool bench"), ("junit", "<?xml")],
    )  # fmt: skip
    def test_every_format_can_be_printed(self, desk, asked, form, start):
        answer = desk("bench", "a", "b", "--format", form)
        assert answer.out.startswith(start)
        assert answer.err == "warning: a noisy neighbour\n"

    def test_an_undecided_gate_is_the_same_in_a_report(self, desk, answering):
        answering(GATES[2])
        desk("bench", "a", "b", "-o", "o.xml", "--on-inconclusive", "pass")
        assert JUnitXml.fromfile(str(desk.folder / "o.xml")).skipped == 1


class TestPipelines:
    @pytest.fixture
    def workflow(self, desk, monkeypatch):
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(desk.folder / "summary.md"))
        return desk.folder / "summary.md"

    def test_a_workflow_gets_a_summary_and_annotations(self, desk, asked, workflow):
        answer = desk("bench", "a", "b", "--ci", "--json")
        assert answer.document["verdict"] == "faster"
        assert workflow.read_text().startswith("## gconvtool bench\n")
        commands = [line.split(" ", 1)[0] for line in answer.lines if line.startswith("::")]
        assert commands == ["::error", "::warning", "::notice"]

    def test_summaries_of_one_step_follow_each_other(self, desk, asked, workflow):
        desk("bench", "a", "b", "--ci")
        desk("bench", "a", "--ci")
        assert workflow.read_text().count("## gconvtool bench\n") == 2

    def test_nothing_is_written_twice(self, desk, asked, workflow):
        answer = desk("bench", "a", "b", "--ci", "--format", "github")
        assert workflow.read_text().count("## gconvtool bench\n") == 1
        assert answer.out.count("::notice") == 1
        assert "::" not in answer.err

    def test_a_failure_is_annotated(self, desk, workflow):
        answer = desk("bench", "gone.onnx", "gone.onnx", "--ci")
        assert answer.code == 2
        assert answer.lines == [
            "error: gone.onnx: no such file",
            "::error title=gconvtool::gone.onnx: no such file",
        ]

    def test_elsewhere_it_is_a_plain_page(self, desk, asked, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        plain = desk("bench", "a", "b", "--ci")
        assert "\x1b" not in plain.out + plain.err
        assert "::" not in plain.err
        assert "\x1b[" in desk("bench", "a", "b").out

    def test_without_the_option_a_workflow_gets_nothing(self, desk, asked, workflow):
        answer = desk("bench", "a", "b")
        assert not workflow.exists()
        assert "::" not in answer.out + answer.err


class TestBaselines:
    def test_a_comparison_is_kept_and_read_again(self, desk, asked):
        plain = desk("bench", "net.onnx", "net.onnx", "--save-baseline", "b.json")
        assert plain.code == 1
        assert json.loads((desk.folder / "b.json").read_text())["schema"] == "gconvtool.bench/1"

    def test_a_baseline_is_handed_on(self, desk, monkeypatch):
        words = ["net.onnx", "net.onnx", *QUICK]
        desk("bench", *words, "--save-baseline", "b.json")
        saved = json.loads((desk.folder / "b.json").read_text())
        seen = {}
        monkeypatch.setattr(
            "gconvtool.pipeline.compare.bench", lambda *_, **given: seen.update(given) or COMPARISON
        )
        desk("bench", *words, "--baseline", "b.json", "--host-mismatch", "fail")
        baseline = seen["baseline"]
        assert isinstance(baseline, Baseline)
        assert baseline.speedup == Interval(**saved["speedup"])
        assert baseline.macs == saved["models"]["a"]["macs"]
        assert (baseline.path, baseline.provider, baseline.threads, baseline.batch) == (
            "b.json", "cpu", 1, 1,
        )  # fmt: skip
        assert baseline.host_mismatch == "fail"

    @pytest.mark.parametrize("text", ["[]", "{}", '{"schema": "gconvtool.analyze/1"}', "null", "["])
    def test_another_document_is_refused(self, desk, asked, text):
        (desk.folder / "b.json").write_text(text)
        assert "b.json" in refused(desk("bench", "a", "b", "--baseline", "b.json"))
        assert "b.json" in refused(desk("bench", "report", "b.json"))
        assert not asked


class TestReports:
    @pytest.fixture
    def saved(self, desk):
        desk("bench", "net.onnx", "net.onnx", "--min-speedup", 0, *QUICK, "-o", "o.json")
        return json.loads((desk.folder / "o.json").read_text())

    def test_a_verdict_is_redone_without_running(self, desk, saved, monkeypatch):
        monkeypatch.setattr("gconvtool.runtime.session.onnxruntime", None)
        (desk.folder / "net.onnx").unlink()
        again = desk("bench", "report", "o.json", "--json").document
        for name in ("verdict", "speedup", "drift", "samples", "gates", "models"):
            assert again[name] == saved[name]

    def test_gates_may_be_others_and_formats_too(self, desk, saved):
        answer = desk("bench", "report", "o.json", "--min-speedup", 1000, "-o", "o.xml")
        assert answer.code == 1
        assert JUnitXml.fromfile(str(desk.folder / "o.xml")).failures == 1
        assert "--min-speedup 1000: FAILED" in answer.out


def test_one_model_is_timed_by_itself(desk):
    answer = desk("bench", "net.onnx", *QUICK, "--json", "--max-size", "1GB", "--max-p95", 1e9)
    made = answer.document
    assert made["schema"] == "gconvtool.bench-solo/1"
    assert made["latency_ms"]["low"] <= made["latency_ms"]["high"]
    assert made["models"]["a"]["size_bytes"] == (desk.folder / "net.onnx").stat().st_size
    assert made["gates"][-1]["passed"] is True


def test_a_grid_and_a_ranking_are_measured(desk):
    words = ["--time-budget", 1, "--json"]
    made = desk("bench", "net.onnx", "net.onnx", "--batch", "1,2", "--threads", 1, *words).document
    assert [cell["batch"] for cell in made["cells"]] == [1, 2]
    three = ["net.onnx"] * 3
    made = desk("bench", *three, "--threads", 1, *words).document
    assert len(made["comparisons"]) == 2
