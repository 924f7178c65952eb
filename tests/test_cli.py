"""The command line: help, streams, exit codes, documents, colours and widths."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import models
import nets
import onnx
import pytest
import typer
from helpers_cli import (
    CLASSIFIER,
    CLASSIFIER_MACS,
    CLASSIFIER_PARAMS,
    Answer,
    Desk,
    comparison,
    environment,
    python,
    refused,
)
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import gconvtool
from gconvtool.cli.main import app
from gconvtool.errors import InputError, MissingError, VerificationError
from gconvtool.report import document, terminal
from gconvtool.results import (
    Analysis,
    Conversion,
    Drift,
    Gate,
    KindTotal,
    Layer,
    SiteOutcome,
    Totals,
    Unknown,
)

COMMANDS = ("analyze", "convert", "bench", "verify")
HEAVY = {"numpy", "onnx", "onnxruntime", "onnx_ir", "scipy"}
QUICK = ("--time-budget", 1, "--threads", 1)
UNKNOWN = "g (float[1, 4] x) => (float[1, 4] y) { y = far.away.Blah (x) }"
COLOURS = re.compile(r"\x1b\[(?:[0-9]*;)*(?:3[0-7]|4[0-7]|9[0-7]|10[0-7])m")
MOVES = re.compile(r"\x1b\[(?:\?25|[0-9]*[A-K])|\r")

ANALYSIS = {
    "schema", "tool", "model", "convention", "dims", "totals", "macs_formula", "peak_at", "kinds",
    "parameters", "layers", "unknown", "warnings", "savings", "what_if", "roofline", "sweep",
    "explanations", "gates",
}  # fmt: skip
LAYER = {
    "name", "op", "kind", "macs", "flops", "params", "input_shape", "output_shape", "channels",
    "filters", "groups", "kernel", "strides", "macs_formula", "bias_adds", "elementwise_ops",
    "weight_bytes", "activation_bytes", "intensity", "parent", "times", "note",
}  # fmt: skip
CONVERSION = {
    "schema", "tool", "model", "output", "before", "after", "folded", "samples", "refined",
    "planning", "sites", "certificates", "drift", "drift_source", "warnings",
}  # fmt: skip
SITE = {
    "name", "kind", "recipe", "reason", "error", "training_error", "macs_before", "macs_after",
    "fit",
}  # fmt: skip
TOTALS = {"macs", "flops", "params", "exact"}
OTHER_TOTALS = {
    "bias_adds", "elementwise_ops", "weight_bytes", "activation_bytes", "peak_activation_bytes",
}  # fmt: skip
DRIFT = {
    "output", "samples", "relative_error", "snr_db", "cosine", "top1_agreement",
    "accuracy_before", "accuracy_after", "psnr_before", "psnr_after", "max_abs", "mean_abs",
    "p50_abs", "p90_abs", "p99_abs", "top5_agreement",
}  # fmt: skip
BENCH = {
    "schema", "tool", "model", "models", "speedup", "verdict", "clock", "rounds", "clean_rounds",
    "drift", "drift_source", "gates", "provider", "threads", "batch", "placement", "machine",
    "warnings", "samples", "baseline", "layers",
}  # fmt: skip
TIMING = {
    "path", "median_ms", "p95_ms", "p99_ms", "create_ms", "first_run_ms", "macs", "params",
    "size_bytes", "peak_memory_bytes", "end_to_end_ms", "exact", "p95_low_ms", "p95_high_ms",
}  # fmt: skip
FAILURE = {"schema", "tool", "model", "error", "exit_code"}


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    return Desk(tmp_path, monkeypatch, capfd).furnish()


@pytest.fixture
def answering(monkeypatch):
    """A function that makes `bench` answer at once, or raise."""

    def place(answer: object) -> None:
        def bench(*_: object, **__: object) -> object:
            if isinstance(answer, BaseException):
                raise answer
            return answer

        monkeypatch.setattr("gconvtool.pipeline.compare.bench", bench)

    return place


class TestHelp:
    @pytest.mark.parametrize("flag", ["--help", "-h"])
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_explains_itself_and_its_options(self, desk, command, flag):
        answer = desk(command, flag)
        assert answer.code == 0
        assert answer.err == ""
        assert f"gconvtool {command}" in answer.out
        parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
        for parameter in parameters:
            shown = parameter.opts[-1]
            assert parameter.help, shown
            if shown.startswith("--"):
                assert re.search(rf"{shown}(?![\w-])", answer.out), shown

    def test_the_program_lists_its_commands(self, desk):
        answer = desk("--help")
        assert answer.code == 0
        assert answer.err == ""
        assert all(re.search(rf"^\W*{command} ", answer.out, re.MULTILINE) for command in COMMANDS)

    @pytest.mark.parametrize("words", [["--help"], *([command, "-h"] for command in COMMANDS)])
    def test_help_is_not_cut(self, desk, words):
        assert "…" not in desk(*words).out.replace("0…255", "")

    def test_no_command_is_a_usage_error_and_shows_the_help(self, desk):
        answer = desk()
        assert answer.code == 2
        assert answer.out == ""
        assert "Usage: gconvtool" in answer.err

    def test_the_version_is_one_line(self, desk):
        assert desk("--version") == Answer(0, f"gconvtool {gconvtool.__version__}\n", "")

    def test_help_imports_nothing_heavy(self):
        script = f"""
import sys
from gconvtool.cli.main import run
calls = [["--help"], ["--version"], *([name, "-h"] for name in {COMMANDS!r}), ["no"]]
codes = [run(call) for call in calls]
print(codes, sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)
"""
        answer = python("-c", script)
        assert answer.stderr.splitlines()[-1] == f"{[0] * (len(COMMANDS) + 2) + [2]} []"

    def test_the_package_imports_nothing_heavy_until_it_is_used(self):
        script = f"import sys, gconvtool; sys.exit(str(sorted({HEAVY!r} & set(sys.modules))))"
        assert python("-c", script).stderr.strip() == "[]"

    def test_the_module_runs_like_the_program(self):
        answer = python("-m", "gconvtool", "--version")
        assert (answer.returncode, answer.stderr) == (0, "")
        assert answer.stdout == f"gconvtool {gconvtool.__version__}\n"


WRONG_WORDS = {
    "no-such-command": "no-such-command",
    "--no-such-option": "--no-such-option",
    "analyze": "pyproject.toml",
    "analyze net.onnx --no-such-option": "--no-such-option",
    "analyze another.onnx": "another.onnx",
    "analyze net.onnx --dim": "--dim",
    "convert net.onnx --groups 4": "-o",
    "convert net.onnx -o out.onnx": "--groups",
    "convert net.onnx -o out.onnx --groups four": "--groups",
    "convert net.onnx -o out.onnx --groups 1": "--groups",
    "convert net.onnx -o out.onnx --groups 4 --separable": "--separable",
    "convert net.onnx -o out.onnx --groups 4 --rank 2": "--rank",
    "convert net.onnx -o out.onnx --exact --rank 2": "--rank",
    "convert net.onnx -o out.onnx --gdc --separable": "--gdc",
    "convert net.onnx -o out.onnx --gdc --groups 2": "--gdc",
    "convert net.onnx -o out.onnx --gap-to-gdc --gdc-to-gap": "--gap-to-gdc",
    "convert net.onnx -o out.onnx --gdc-to-gap=no": "--gdc-to-gap",
    "convert net.onnx -o out.onnx --exact --only c": "--only",
    "convert net.onnx -o out.onnx --exact --save-plan plan.json": "--save-plan",
    "convert net.onnx -o out.onnx --separable --rank 0": "--rank",
    "convert net.onnx -o out.onnx --groups 4 --samples 1": "--samples",
    "convert net.onnx -o out.onnx --groups 4 --seed -1": "--seed",
    "convert net.onnx -o out.onnx --groups 4 --threads 0": "--threads",
    "convert net.onnx -o out.onnx --groups 4 --threads 1000000": "--threads",
    "convert net.onnx -o out.onnx --groups 4 --std 0": "--std",
    "convert net.onnx -o out.onnx --groups 4 --std nan": "--std",
    "convert net.onnx -o out.onnx --groups 4 --mean x": "--mean",
    "convert net.onnx -o out.onnx --groups 4 --layout x": "--layout",
    "convert net.onnx -o out.onnx --groups 4 --only zzz*": "zzz*",
    "convert net.onnx -o out.onnx --groups 4 --skip zzz*": "zzz*",
    "convert net.onnx -o out.onnx --groups 4 --dim M=1": "--dim",
    "convert net.onnx -o out.onnx --groups 4 --data gone.npz": "gone.npz",
    "bench": "pyproject.toml",
    "bench net.onnx net.onnx --groups 4": "two models",
    "bench net.onnx net.onnx --fit-data fit.npz": "--fit-data",
    "bench net.onnx net.onnx --provider tpu": "tpu",
    "bench net.onnx net.onnx --provider-option x": "--provider-option",
    "bench net.onnx net.onnx --session-option a=1 --session-option a=2": "a is 1 already",
    "bench net.onnx net.onnx --threads 1,x": "--threads",
    "bench net.onnx net.onnx --threads 0": "--threads",
    "bench net.onnx net.onnx --threads 1,2000": "1,024",
    "bench net.onnx net.onnx --batch 1,": "--batch",
    "bench net.onnx net.onnx --batch 1,-8": "--batch",
    "bench net.onnx net.onnx --batch 1,8 --save-baseline b.json": "one setting",
    "bench net.onnx net.onnx --dim N=1 --dim N=1,2": "N: it has a size already",
    "bench net.onnx net.onnx --dim N=1,M=1 --dim N=1,2": "--dim N",
    "bench net.onnx net.onnx --input-shape image:1,x": "--input-shape",
    "bench net.onnx net.onnx --max-relative-error lots": "--max-relative-error",
    "bench net.onnx net.onnx --min-agreement 99": "100%",
    "bench net.onnx net.onnx --max-size big": "--max-size",
    "bench net.onnx net.onnx --max-slowdown -1": "--max-slowdown",
    "bench net.onnx net.onnx --max-p95 inf": "--max-p95",
    "bench net.onnx net.onnx --on-inconclusive maybe": "--on-inconclusive",
    "bench net.onnx net.onnx --host-mismatch fail": "--baseline",
    "bench net.onnx net.onnx --host-mismatch never": "--host-mismatch",
    "bench net.onnx net.onnx --baseline gone.json": "gone.json",
    "bench net.onnx net.onnx --baseline fit.npz": "no JSON",
    "bench net.onnx net.onnx --save-baseline b.txt": ".json",
    "bench net.onnx net.onnx --save-baseline net.onnx": ".json",
    "bench net.onnx net.onnx --save-baseline no/b.json": "folder",
    "bench net.onnx net.onnx --format pdf": "pdf",
    "bench net.onnx net.onnx -o out.pdf": "out.pdf",
    "bench net.onnx net.onnx -o a.json -o a.json": "twice",
    "bench net.onnx net.onnx -o no/a.json": "folder",
    "bench net.onnx net.onnx -o fit.npz": "fit.npz",
    "bench net.onnx net.onnx --calibrate": "--calibrate",
    "bench net.onnx --groups 4 --calibrate": "--calibrate",
    "bench net.onnx --batch 1,8": "two models",
    "bench net.onnx --baseline b.json": "two models",
    "bench net.onnx --min-speedup 2": "second",
    "bench net.onnx net.onnx net.onnx --threads 1,2": "two models",
    "bench report": "name one file",
    "bench report gone.json": "gone.json",
    "bench report gone.json another.json": "name one file",
    "bench report gone.json --batch 8": "--batch",
    "bench report gone.json --layers": "--layers",
    "verify": "two models",
    "verify net.onnx": "two models",
    "verify net.onnx net.onnx net.onnx": "two models",
    "verify net.onnx gone.onnx": "gone.onnx",
    "verify net.onnx net.onnx --max-abs -1": "--max-abs",
    "verify net.onnx net.onnx --max-abs nan": "--max-abs",
    "verify net.onnx net.onnx --min-snr inf": "--min-snr",
    "verify net.onnx net.onnx --min-agreement 1.5": "100%",
    "verify net.onnx net.onnx --max-accuracy-drop 1": "labels",
    "verify net.onnx net.onnx --dim M=1": "M",
    "verify net.onnx net.onnx -o out": "out",
    "bench net.onnx net.onnx --time-budget 0": "--time-budget",
    "bench net.onnx net.onnx --time-budget inf": "--time-budget",
    "bench net.onnx net.onnx --batch 0": "--batch",
    "bench net.onnx net.onnx --seed -1": "--seed",
    "bench net.onnx net.onnx --min-speedup -1": "--min-speedup",
    "bench net.onnx net.onnx --min-speedup inf": "--min-speedup",
    "bench net.onnx net.onnx --min-speedup nan": "--min-speedup",
    "bench net.onnx net.onnx --max-accuracy-drop 1": "labels",
    "bench net.onnx net.onnx --dim M=1": "--dim",
    "bench net.onnx net.onnx --data fit.npz --batch 41": "41",
}
"""Calls that are wrong, and what the message names."""


class TestUsage:
    @pytest.mark.parametrize("line", WRONG_WORDS)
    def test_a_wrong_word_is_told_before_anything_runs(self, desk, monkeypatch, line):
        runtime = ModuleType("onnxruntime")
        runtime.__version__ = "0"
        runtime.get_available_providers = lambda: ["CPUExecutionProvider"]
        runtime.get_all_providers = runtime.get_available_providers
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
        before = desk.files()
        plain = desk(*line.split())
        assert WRONG_WORDS[line] in refused(plain)
        assert plain.out == ""
        documented = desk(*line.split(), "--json")
        refused(documented)
        assert documented.document.keys() == FAILURE
        assert documented.document["exit_code"] == 2
        assert desk.files() == before

    def test_the_debug_flag_shows_where_an_error_came_from(self, desk):
        answer = desk("--debug", "analyze", "gone.onnx")
        assert answer.code == 2
        assert "Traceback" in answer.err
        assert answer.lines[-1] == "error: gone.onnx: no such file"

    def test_markup_and_emoji_in_messages_are_plain_text(self, desk):
        for name in ("no[bold]such.onnx", "no[/]such.onnx", "no:smile:such.onnx", "no\\[x].onnx"):
            assert name in refused(desk("analyze", name))

    def test_a_message_is_one_line_in_a_narrow_terminal(self, desk, monkeypatch):
        monkeypatch.setenv("COLUMNS", "20")
        assert "a-rather-long-name-of-a-file.onnx" in refused(
            desk("analyze", "a-rather-long-name-of-a-file.onnx")
        )


class TestExitCodes:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (InputError("wrong"), 2),
            (MissingError("wrong"), 4),
            (VerificationError("wrong"), 1),
            (InputError("wrong\n  on two lines"), 2),
        ],
    )
    def test_an_error_of_ours_has_its_code_and_its_document(self, desk, answering, error, code):
        answering(error)
        assert refused(desk("bench", "a", "b"), code).startswith("wrong")
        answer = desk("bench", "a", "b", "--json")
        refused(answer, code)
        assert answer.document == {
            "schema": "gconvtool.bench/1",
            "tool": {"name": "gconvtool", "version": gconvtool.__version__},
            "model": None,
            "error": {"kind": type(error).__name__, "message": " ".join(str(error).split())},
            "exit_code": code,
        }

    @pytest.mark.parametrize("error", [ValueError("oh"), KeyError("oh"), RuntimeError("oh")])
    def test_a_bug_traces_and_is_called_one(self, desk, answering, error):
        answering(error)
        answer = desk("bench", "a", "b")
        assert answer.code == 70
        assert answer.out == ""
        assert "Traceback" in answer.err
        assert "bug" in answer.lines[-1]

    def test_too_little_memory_is_a_lack_of_the_environment(self, desk, answering):
        answering(MemoryError())
        assert "memory" in refused(desk("bench", "a", "b"), 4)

    def test_a_bug_leaves_a_document_too(self, desk, answering):
        answering(ValueError("oh"))
        answer = desk("bench", "a", "b", "--json")
        assert answer.code == 70
        assert answer.document.keys() == FAILURE
        assert answer.document["exit_code"] == 70

    def test_an_interruption_is_told_in_one_line(self, desk, answering):
        answering(KeyboardInterrupt())
        answer = desk("bench", "a", "b")
        assert (answer.code, answer.out) == (130, "")
        assert re.fullmatch(r"error: interrupted.*", answer.err.strip())

    def test_an_interruption_leaves_a_document_too(self, desk, answering):
        answering(KeyboardInterrupt())
        answer = desk("bench", "a", "b", "--json")
        assert answer.code == 130
        assert answer.document.keys() == FAILURE
        assert answer.document["exit_code"] == 130

    @pytest.mark.parametrize(
        ("passed", "code"),
        [
            ((), 0),
            ((True,), 0),
            ((True, True), 0),
            ((False,), 1),
            ((None,), 3),
            ((True, None), 3),
            ((False, None), 1),
            ((None, False), 1),
            ((True, False), 1),
        ],
    )
    def test_gates_decide_the_code_of_bench(self, desk, answering, passed, code):
        gates = [Gate("min_speedup", 2.0, 1.83, answer) for answer in passed]
        answering(comparison(gates=gates))
        assert desk("bench", "a", "b").code == code
        answer = desk("bench", "a", "b", "--json")
        assert answer.code == code
        assert [gate["passed"] for gate in answer.document["gates"]] == list(passed)


class TestDocuments:
    def test_analyze(self, desk):
        answer = desk("analyze", "net.onnx", "--json")
        assert (answer.code, answer.err) == (0, "")
        made = answer.document
        assert made.keys() == ANALYSIS
        assert made["schema"] == "gconvtool.analyze/1"
        assert made["tool"] == {"name": "gconvtool", "version": gconvtool.__version__}
        assert made["model"] == "net.onnx"
        assert made["totals"].keys() == TOTALS | OTHER_TOTALS
        assert {name: made["totals"][name] for name in TOTALS} == {
            "macs": CLASSIFIER_MACS,
            "flops": 2 * CLASSIFIER_MACS,
            "params": CLASSIFIER_PARAMS,
            "exact": True,
        }
        assert all(layer.keys() == LAYER for layer in made["layers"])
        names = [layer["name"] for layer in made["layers"] if layer["macs"]]
        assert names == ["stem", "first", "second", "scores"]
        assert [layer["name"] for layer in made["layers"] if not layer["macs"]] == [
            "r0", "r1", "r2", "pooled",
        ]  # fmt: skip
        (first,) = (layer for layer in made["layers"] if layer["name"] == "first")
        assert first["input_shape"] == [1, 8, 8, 8]
        assert {"standard", "linear"} <= made["kinds"].keys()
        assert all(kind.keys() == {"count", "macs", "params"} for kind in made["kinds"].values())
        assert made["dims"] == {"N": 1}
        assert made["macs_formula"] == f"{CLASSIFIER_MACS}·N"
        assert made["unknown"] == []

    def test_what_is_unknown_is_listed(self, desk):
        onnx.save(models.proto(UNKNOWN, domains=["far.away"]), desk.folder / "unknown.onnx")
        made = desk("analyze", "unknown.onnx", "--json").document
        (unknown,) = made["unknown"]
        assert unknown.keys() == {"node", "op", "reason"}
        assert (unknown["node"], unknown["op"]) == ("y", "Blah")
        assert made["totals"]["exact"] is False
        page = desk("analyze", "unknown.onnx").out
        assert "≥ 0 MACs" in page
        assert "Blah" in page
        assert unknown["reason"] in " ".join(page.split())

    @pytest.mark.parametrize("recipe", [["--groups", 4], ["--separable"]])
    def test_convert(self, desk, recipe):
        data = ["--data", "fit.npz", "--test-data", "test.npz"]
        answer = desk("convert", "net.onnx", "-o", "out.onnx", *recipe, *data, "--json")
        assert answer.code == 0
        made = answer.document
        assert made.keys() == CONVERSION
        assert made["schema"] == "gconvtool.convert/1"
        assert (made["model"], made["output"]) == ("net.onnx", "out.onnx")
        assert made["before"].keys() == made["after"].keys() == TOTALS
        assert made["before"]["macs"] == CLASSIFIER_MACS
        assert made["after"]["macs"] < CLASSIFIER_MACS
        assert [site.keys() for site in made["sites"]] == [SITE] * 3
        assert [site["recipe"] is None for site in made["sites"]] == [True, False, False]
        assert made["sites"][0]["reason"]
        assert made["drift"].keys() == DRIFT
        assert made["drift"]["samples"] == 30
        assert made["drift"]["accuracy_before"] is not None
        assert made["drift"]["psnr_before"] is None
        assert made["samples"] == 40
        again = desk("analyze", "out.onnx", "--json").document
        assert {name: again["totals"][name] for name in TOTALS} == made["after"]

    def test_a_dry_run_is_the_same_document_with_nothing_written(self, desk):
        before = desk.files()
        made = desk("convert", "net.onnx", "--groups", 4, "--dry-run", "--json").document
        assert made.keys() == CONVERSION
        assert made["output"] is None
        assert made["drift"] is None
        assert made["after"]["macs"] < made["before"]["macs"]
        assert desk.files() == before

    def test_bench(self, desk):
        answer = desk("bench", "net.onnx", "net.onnx", "--data", "test.npz", "--json", *QUICK)
        assert answer.code == 0
        made = answer.document
        assert made.keys() == BENCH
        assert made["schema"] == "gconvtool.bench/1"
        assert made["model"] == "net.onnx"
        assert made["models"].keys() == {"a", "b"}
        assert all(timing.keys() == TIMING for timing in made["models"].values())
        assert all(timing["median_ms"] > 0 for timing in made["models"].values())
        assert made["models"]["a"]["macs"] == CLASSIFIER_MACS
        assert made["speedup"].keys() == {"estimate", "low", "high"}
        assert 0 < made["speedup"]["low"] <= made["speedup"]["estimate"] <= made["speedup"]["high"]
        assert made["verdict"] in {"faster", "slower", "same", "inconclusive"}
        assert made["drift"].keys() == DRIFT
        assert made["drift"]["relative_error"] == 0
        assert made["drift"]["accuracy_before"] == made["drift"]["accuracy_after"]
        assert made["gates"] == []
        assert (made["provider"], made["threads"], made["batch"]) == ("cpu", 1, 1)
        assert made["placement"].keys() == {"a", "b"}
        assert made["machine"].keys() == {"system", "processor", "cpus", "python", "onnxruntime"}
        assert 0 < made["clean_rounds"] <= made["rounds"]
        assert made["samples"]["blocks"]

    def test_several_outputs_are_all_in_the_document(self):
        found = comparison()
        first, second = found.drift[0], replace(found.drift[0], output="other")
        made = document.comparison(replace(found, drift=(first, second)))
        assert made["drift"].keys() == {*DRIFT, "outputs"}
        assert [part["output"] for part in made["drift"]["outputs"]] == ["scores", "other"]

    def test_names_stay_in_their_own_alphabet(self, desk):
        (desk.folder / "net.onnx").rename(desk.folder / "畳み込み.onnx")
        answer = desk("analyze", "畳み込み.onnx", "--json")
        assert answer.document["model"] == "畳み込み.onnx"
        assert "畳み込み" in answer.out

    @pytest.mark.parametrize("variables", [{"FORCE_COLOR": "1"}, {"COLUMNS": "20"}])
    def test_a_document_is_never_coloured_or_wrapped(self, desk, monkeypatch, variables):
        plain = desk("analyze", "net.onnx", "--json")
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert desk("analyze", "net.onnx", "--json") == plain


class TestBench:
    def test_a_limit_that_cannot_be_met_is_exit_code_1(self, desk):
        words = ["net.onnx", "net.onnx", "--min-speedup", 1000, *QUICK]
        answer = desk("bench", *words)
        assert answer.code == 1
        assert "--min-speedup 1000: FAILED" in answer.out

    def test_limits_that_cannot_be_missed_are_exit_code_0(self, desk):
        limits = ["--min-speedup", 0, "--max-accuracy-drop", 100]
        words = ["net.onnx", "--groups", 4, "--data", "test.npz", "--fit-data", "fit.npz"]
        answer = desk("bench", *words, *limits, *QUICK, "--json")
        assert answer.code == 0
        made = answer.document
        assert [gate["passed"] for gate in made["gates"]] == [True, True]
        assert made["models"]["b"]["macs"] < made["models"]["a"]["macs"]
        assert made["drift"]["samples"] == 30
        assert made["drift"]["relative_error"] > 0
        assert {path.name for path in desk.folder.iterdir()} == {"net.onnx", "fit.npz", "test.npz"}

    def test_a_conversion_in_memory_is_not_judged_by_what_it_was_fitted_to(self, desk):
        answer = desk("bench", "net.onnx", "--separable", "--data", "test.npz", *QUICK, "--json")
        assert answer.code == 0
        assert answer.document["drift"]["samples"] == 6

    def test_the_verdict_is_the_last_line(self, desk):
        answer = desk("bench", "net.onnx", "net.onnx", *QUICK, "--batch", 2)
        assert answer.code == 0
        assert re.search(
            r"^(B is \S+ (faster|slower)|A and B are equally fast|Inconclusive)",
            answer.out,
            re.MULTILINE,
        )
        assert "batch 2" in answer.out

    def test_the_api_compares_too(self, desk):
        found = gconvtool.bench("net.onnx", "net.onnx", time_budget_s=1, threads=1)
        assert isinstance(found, gconvtool.Comparison)
        assert found.gates == ()


def into_a_full_disk(line: str) -> Answer:
    """What a call does whose stdout goes to a disk without space."""
    call = [sys.executable, "-m", "gconvtool", *line.split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            call, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    return Answer(done.returncode, "", done.stderr)


class TestStreams:
    def test_a_page_is_on_stdout_and_warnings_are_on_stderr(self, desk):
        answer = desk("convert", "net.onnx", "-o", "out.onnx", "--groups", 4)
        assert answer.code == 0
        assert "second" in answer.out
        assert "warning" not in answer.out
        assert answer.err.startswith("warning: ")

    def test_nothing_is_on_stderr_where_there_is_nothing_to_say(self, desk):
        answer = desk("analyze", "net.onnx")
        assert (answer.code, answer.err) == (0, "")

    def test_no_escape_goes_into_a_pipe(self, desk):
        for words in (["analyze", "net.onnx"], ["convert", "net.onnx", "--groups", 4, "--dry-run"]):
            answer = desk(*words)
            assert "\x1b" not in answer.out + answer.err

    def test_colour_can_be_forced(self, desk, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert COLOURS.search(desk("analyze", "gone.onnx").err)
        assert "\x1b[1m" in desk("analyze", "net.onnx").out

    def test_colour_can_be_forbidden(self, desk, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("NO_COLOR", "1")
        answer = desk("analyze", "gone.onnx")
        assert not COLOURS.search(answer.err)
        assert "gone.onnx: no such file" in answer.err

    def test_forced_colour_is_no_terminal_for_progress(self, desk, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        answer = desk("convert", "net.onnx", "-o", "out.onnx", "--groups", 4, "--data", "fit.npz")
        assert answer.code == 0
        assert not MOVES.search(answer.err + answer.out)

    @pytest.mark.parametrize(
        "line",
        [
            "--help",
            pytest.param("analyze --help", marks=pytest.mark.slow),
            "analyze net.onnx",
            pytest.param("analyze net.onnx --json", marks=pytest.mark.slow),
        ],
    )
    def test_a_reader_that_goes_away_is_no_error(self, desk, line):
        call = [sys.executable, "-m", "gconvtool", *line.split()]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(call, env=environment(), **pipes) as process:
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait() == 0

    @pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="a device of Linux")
    @pytest.mark.parametrize(
        "line",
        [
            "--version",
            "analyze net.onnx",
            pytest.param("analyze net.onnx --format csv", marks=pytest.mark.slow),
        ],
    )
    def test_a_full_disk_behind_stdout_is_told_in_one_line(self, desk, line):
        assert "No space left" in refused(into_a_full_disk(line), 4)

    @pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="a device of Linux")
    def test_a_full_disk_does_not_hide_what_was_wrong(self, desk):
        answer = into_a_full_disk("analyze gone.onnx --json")
        assert answer.code in {2, 4}
        assert "error: gone.onnx: no such file" in answer.lines
        assert "Traceback" not in answer.err

    @pytest.mark.parametrize("words", [[], ["--json"]])
    def test_a_process_without_stdout_works_in_silence(self, desk, monkeypatch, words):
        monkeypatch.setattr(sys, "stdout", None)
        assert desk("analyze", "net.onnx", *words) == Answer(0, "", "")
        assert desk("convert", "net.onnx", "-o", "out.onnx", "--groups", 4, *words).code == 0
        assert (desk.folder / "out.onnx").exists()
        assert desk("analyze", "gone.onnx", *words).code == 2

    def test_a_process_without_stderr_keeps_stdout_for_the_result(self, desk, monkeypatch):
        monkeypatch.setattr(sys, "stderr", None)
        assert desk("analyze", "gone.onnx") == Answer(2, "", "")
        answer = desk("convert", "net.onnx", "-o", "out.onnx", "--groups", 4, "--json")
        assert answer.document["warnings"]

    @pytest.mark.parametrize("words", [["analyze", "net.onnx"], ["analyze", "net.onnx", "--json"]])
    def test_a_narrow_encoding_is_no_bug(self, desk, words):
        (desk.folder / "net.onnx").rename(desk.folder / "größe.onnx")
        words = [word.replace("net", "größe") for word in words]
        done = python("-m", "gconvtool", *words, PYTHONIOENCODING="ascii")
        assert (done.returncode, done.stderr) == (0, "")
        if "--json" in words:
            assert json.loads(done.stdout)["model"] == "größe.onnx"
        else:
            assert f"{CLASSIFIER_MACS:,}" in done.stdout

    def test_a_name_that_is_no_text_is_told(self, desk):
        done = python("-m", "gconvtool", "analyze", "b\udcffd.onnx")
        assert "no such file" in refused(Answer(done.returncode, "", done.stderr))


def numbers(page: str) -> set[str]:
    """Everything on a page that could be a number or a shape, as it is written."""
    return set(re.findall(r"[\d,.×]*\d", page))


def assert_whole(page: str, result: Analysis) -> None:
    """Every layer has a line with all its numbers, and so have the sums."""
    layers, _, rest = page.partition("Layers")
    rows = [set(line.split()) for line in layers.splitlines()]
    for layer in result.layers:
        if layer.macs:
            row = {
                "×".join(map(str, (layer.output_shape or ())[1:])),
                f"{layer.params:,}",
                f"{layer.macs:,}",
                f"{100 * layer.macs / result.totals.macs:.1f}",
                "%",
            }
            assert any(row <= found for found in rows), (row, page)
    found = set(rest.split())
    for kind in result.kinds.values():
        if kind.macs or kind.params:
            assert {f"{kind.count:,}", f"{kind.params:,}", f"{kind.macs:,}"} <= found
    totals = result.totals
    assert {f"{totals.macs:,}", f"{totals.flops:,}", f"{totals.params:,}"} <= found
    assert "…" not in page


def rendered(page: Any, width: int) -> str:
    """A page as it is printed at this width."""
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(page)
    return console.file.getvalue()


@st.composite
def analyses(draw: st.DrawFn) -> Analysis:
    """Networks with names of any length, and numbers of up to a trillion MACs."""
    layers = tuple(
        Layer(
            name=draw(st.text("ab/_.", min_size=1, max_size=70)) + str(index),
            op=draw(st.sampled_from(["Conv", "ConvTranspose", "QLinearConv", "ConvInteger"])),
            kind=draw(st.sampled_from(["standard", "depthwise-multiplier", "grouped-pointwise"])),
            macs=draw(st.integers(1, 10**12 - 1)),
            params=draw(st.integers(0, 10**9 - 1)),
            input_shape=(1, draw(st.integers(1, 4096)), *[draw(st.integers(1, 1024))] * 2),
            output_shape=(1, draw(st.integers(1, 4096)), *[draw(st.integers(1, 1024))] * 2),
            channels=8,
            filters=8,
            groups=draw(st.sampled_from([1, 2, 1024])),
            kernel=draw(st.sampled_from([(1, 1), (3, 3), (11, 11), (3, 3, 3)])),
            strides=(2, 2),
        )
        for index in range(draw(st.integers(1, 3)))
    )
    macs, params = sum(layer.macs or 0 for layer in layers), sum(layer.params for layer in layers)
    kinds = {"standard": KindTotal(len(layers), macs, params)}
    return Analysis("net.onnx", layers, (), Totals(macs, params), kinds, {"N": 1})


class TestPages:
    def test_samples_that_were_fitted_to_are_not_called_unseen(self, desk):
        data = ["--data", "test.npz", "--test-data", "test.npz"]
        answer = desk("convert", "net.onnx", "-o", "out.onnx", "--groups", 4, *data)
        assert answer.code == 0
        assert "not fitted to" not in " ".join(answer.out.split())

    def test_samples_that_were_held_out_are(self, desk):
        answer = desk("convert", "net.onnx", "-o", "out.onnx", "--groups", 4, "--data", "test.npz")
        assert "6 samples of test.npz that were not fitted to" in " ".join(answer.out.split())

    def test_unknown_costs_are_never_a_zero_or_a_whole(self):
        shape = (1, 16, "H", "W")
        layers = (
            Layer("a", "Conv", "standard", None, 2304, shape, shape),
            Layer("b", "Gemm", "linear", 640, 640, (1, 64), (1, 10)),
        )
        kinds = {"standard": KindTotal(1, None, 2304), "linear": KindTotal(1, 640, 640)}
        unknown = (Unknown("a", "Conv", "its output has open dimensions"),)
        result = Analysis("net.onnx", layers, unknown, Totals(640, 2944, exact=False), kinds)
        page = rendered(terminal.AnalysisPage(result), 100)
        (standard,) = re.findall(r"^ standard +1 +2,304 +(.*?) *$", page, re.MULTILINE)
        assert standard[0] in "?≥"
        assert "100.0 %" not in page

    def test_open_dimensions_keep_their_names_or_have_none(self, desk):
        network = CLASSIFIER.replace("3, 8, 8] image", "3, H, W] image")
        onnx.save(nets.network(network), desk.folder / "open.onnx")
        answer = desk("analyze", "open.onnx")
        assert answer.code == 0
        assert "3×H×W" in answer.out
        assert "unk__" not in answer.out
        assert "unk__" not in desk("analyze", "open.onnx", "--json").out

    def test_one_is_not_many(self):
        unknown = (Unknown("y", "Blah", "no rule"),)
        analysis = Analysis("net.onnx", (), unknown, Totals(0, 0, exact=False), {})
        sites = (SiteOutcome("a", "standard", "grouped(4)"),)
        conversion = Conversion("net.onnx", None, Totals(10, 1), Totals(5, 1), sites, folded=1)
        for page in (terminal.AnalysisPage(analysis), terminal.conversion_page(conversion)):
            text = rendered(page, 100)
            assert not re.search(r"\b1 (nodes|convolutions|(\w+ )?normali[sz]ations)\b", text)

    def test_a_line_does_not_break_off_where_nothing_is_known(self):
        nothing = Totals(0, 0, exact=False)
        conversion = Conversion("net.onnx", "out.onnx", nothing, nothing, ())
        for line in rendered(terminal.conversion_page(conversion), 100).splitlines():
            assert not line.rstrip().endswith(",")


class TestWidths:
    @pytest.mark.parametrize("width", [80, 100, 120])
    @given(result=analyses())
    def test_a_page_never_cuts_a_number(self, width, result):
        page = rendered(terminal.AnalysisPage(result), width)
        assert_whole(page, result)
        assert max(map(len, page.splitlines())) <= width

    @pytest.mark.parametrize("width", [80, 100, 120])
    @pytest.mark.parametrize(
        "name",
        ["alexnet_2groups", "mobilefacenet", "mobilenet_v1", "shufflenet_v1_3groups", "xception"],
    )
    def test_a_sample_network_is_shown_whole(self, desk, samples, monkeypatch, name, width):
        monkeypatch.setenv("COLUMNS", str(width))
        path = samples / f"{name}.onnx"
        page = desk("analyze", path).out
        assert_whole(page, gconvtool.analyze(path))
        tables = [line for line in page.splitlines() if str(path)[:20] not in line]
        assert max(map(len, tables)) <= width

    @pytest.mark.parametrize("width", [80, 100, 120])
    def test_maps_in_three_dimensions_are_shown_whole(self, width):
        shape, macs, params = (1, 512, 128, 128, 128), 123456789012, 12345678
        sizes = (512, 512, 1, (3, 3, 3), (2, 2, 2))
        layer = Layer("up.conv", "ConvTranspose", "standard", macs, params, shape, shape, *sizes)
        totals = Totals(macs, params)
        kinds = {"standard": KindTotal(1, macs, params)}
        result = Analysis("unet.onnx", (layer,), (), totals, kinds)
        page = rendered(terminal.AnalysisPage(result), width)
        assert_whole(page, result)

    @pytest.mark.parametrize("width", [80, 100, 120])
    def test_a_conversions_numbers_are_never_cut(self, width):
        totals = Totals(123456789012, 1234567890), Totals(23456789012, 234567890)
        macs = (totals[0].macs, totals[1].macs)
        reason = "a rather long reason why this one is kept " * 3
        sites = (
            SiteOutcome("a" * 90, "standard", "separable(2)", None, 0.1234, 0.1, *macs),
            SiteOutcome("b", "standard", "separable(2)", None, 0.1234, 0.1, *macs),
            SiteOutcome("c", "standard", None, reason, None, None, 987654321098, 987654321098),
        )
        drift = Drift("scores", 123456, 0.0261, 31.7, 0.99966, 0.985, 0.924, 0.911)
        result = Conversion("net.onnx", "out.onnx", *totals, sites, (drift,), "test.npz", 3, 256)
        page = rendered(terminal.conversion_page(result), width)
        assert "…" not in page
        for number in ("123,456,789,012", "23,456,789,012", "987,654,321,098", "1,234,567,890"):
            assert number in numbers(page)
        assert "12.3 %" in page
        assert max(map(len, page.splitlines())) <= width

    @pytest.mark.parametrize("width", [80, 100, 120])
    def test_a_comparisons_numbers_are_never_cut(self, width):
        totals = Totals(123456789012, 1234567890), Totals(23456789012, 234567890, exact=False)
        result = comparison(totals=totals, times_ms=(123456.7, 0.0123))
        page = rendered(terminal.comparison_page(result), width)
        assert "…" not in page
        a, b = (line.split() for line in page.splitlines() if re.match(r" *[AB]  .* ms", line))
        assert (a[0], a[1], a[-2:]) == ("A", "123457", ["123,456,789,012", "1,234,567,890"])
        assert (b[0], b[-3:]) == ("B", ["≥", "23,456,789,012", "234,567,890"])
        assert float(b[1]) == pytest.approx(0.0123, rel=0.05)
        assert max(map(len, page.splitlines())) <= width

    @pytest.mark.parametrize("name", ["net[bold]/conv", "net[/]/conv", "a:smile:", "[/x]", "\\[b]"])
    def test_names_are_plain_text(self, name):
        layer = Layer(name, "Conv", "standard", 10, 1, (1, 3, 4, 4), (1, 3, 4, 4))
        kinds = {"standard": KindTotal(1, 10, 1)}
        result = Analysis(
            name, (layer,), (Unknown(name, "Op", name),), Totals(10, 1), kinds, {name: 1}
        )
        assert rendered(terminal.AnalysisPage(result), 100).count(name) == 5
        sites = (
            SiteOutcome(name, "standard", "grouped(4)", None, 0.1),
            SiteOutcome(name, "standard", None, name),
        )
        conversion = Conversion(name, name, Totals(10, 1), Totals(5, 1), sites)
        assert rendered(terminal.conversion_page(conversion), 100).count(name) == 5
        found = comparison()
        found = replace(found, a=replace(found.a, path=name), b=replace(found.b, path=name))
        assert rendered(terminal.comparison_page(found), 100).count(name) == 2

    def test_a_pipe_is_100_columns_wide(self, desk, samples):
        lines = desk("analyze", samples / "xception.onnx").out.splitlines()[1:]
        assert 80 < max(map(len, lines)) <= 100

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_the_width_can_be_told(self, desk, samples, monkeypatch, width):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = desk("analyze", samples / "xception.onnx").out.splitlines()
        assert max(map(len, lines)) <= width

    def test_a_nonsense_width_is_ignored(self, desk, monkeypatch):
        plain = desk("analyze", "net.onnx")
        for nonsense in ("", "many", "0", "-5"):
            monkeypatch.setenv("COLUMNS", nonsense)
            assert desk("analyze", "net.onnx") == plain


def test_strict_json_holds_no_nan():
    with pytest.raises(ValueError, match="JSON"):
        document.dumps({"a": float("nan")})
    assert json.loads(document.dumps({"a": None, "é": "→"})) == {"a": None, "é": "→"}
