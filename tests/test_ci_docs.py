"""The snippets for pipelines: their commands run, and their files are what the pipelines read."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers_cli import Desk, environment
from junitparser import JUnitXml

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
CALL = re.compile(r"\bgconvtool ((?:bench|verify)\b[^'\n]*)")
CALLS = list(dict.fromkeys(call.strip() for _, block in BLOCKS for call in CALL.findall(block)))
ANSWERS = {0, 1, 3}
"""Exit codes of calls that have an answer."""


def of(language: str, holding: str) -> str:
    """The block in a language that holds a text."""
    (found,) = [block for name, block in BLOCKS if name == language and holding in block]
    return found


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    """The folder of the snippets: two models, data, and their configuration."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    desk = Desk(tmp_path, monkeypatch, capfd).furnish()
    for name in ("model.onnx", "small.onnx"):
        shutil.copy(tmp_path / "net.onnx", tmp_path / name)
    (tmp_path / "pyproject.toml").write_text(of("toml", "tool.gconvtool.bench"))
    return desk


def quick(call: str) -> list[str]:
    """A call with the least time to measure in."""
    runs = call.startswith("bench") and not call.startswith("bench report")
    return [*shlex.split(call), *(["--time-budget", "1", "--threads", "1"] if runs else [])]


def test_there_are_calls_to_try():
    assert len(CALLS) >= 8
    assert {"bench", "verify"} <= set(CALLS)


@pytest.mark.slow
def test_every_call_has_an_answer(desk):
    """In their order, since some read what others wrote."""
    for call in CALLS:
        outputs = [desk.folder / name for name in re.findall(r"-o (\S+)", call)]
        for path in outputs:
            path.unlink(missing_ok=True)
        answer = desk(*quick(call))
        assert answer.code in ANSWERS, (call, answer.err)
        assert all(path.stat().st_size for path in outputs)


def test_github_runs_and_uploads_what_is_written():
    job = yaml.safe_load(of("yaml", "upload-artifact"))["jobs"]["bench"]
    (call,) = [step["run"] for step in job["steps"] if "gconvtool bench" in step.get("run", "")]
    upload = job["steps"][-1]
    assert upload["if"] == "always()"
    assert all(Path(name).match(upload["with"]["path"]) for name in re.findall(r"-o (\S+)", call))


def test_the_action_has_the_inputs_that_are_documented():
    steps = yaml.safe_load(of("yaml", "OWNER/gconvtool"))["jobs"]["bench"]["steps"]
    assert steps[-1]["with"].keys() <= ACTION["inputs"].keys()
    table = TEXT.split("| input | meaning |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `([\w-]+)`", table, re.MULTILINE)) == ACTION["inputs"].keys()


def test_gitlab_reads_the_report_that_is_written():
    job = yaml.safe_load(of("yaml", "artifacts:"))["latency"]
    assert job["artifacts"]["when"] == "always"
    assert f"-o {job['artifacts']['reports']['junit']}" in job["script"][-1]


def test_jenkins_reads_the_report_that_is_written():
    block = of("groovy", "junit")
    (name,) = re.findall(r"junit '(.*)'", block)
    assert f"-o {name}'" in block
    assert block.count("{") == block.count("}")


def test_every_input_of_the_action_reaches_a_step():
    used = {
        re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value)[1]
        for step in ACTION["runs"]["steps"]
        for value in step["env"].values()
    }
    assert used == ACTION["inputs"].keys()
    assert not any("inputs." in step["run"] for step in ACTION["runs"]["steps"])


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_action_measures_and_reports(desk):
    program = desk.folder / "gconvtool"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gconvtool "$@"\n')
    program.chmod(0o755)
    summary = desk.folder / "summary.md"
    variables = {
        "COMMAND": "bench",
        "MODELS": "model.onnx small.onnx",
        "DATA": "test.npz",
        "GATES": "--max-accuracy-drop 0 --min-speedup 0",
        "ARGS": "--time-budget 1 --threads 1 -o gconvtool.xml",
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    process = environment(**variables)
    process["PATH"] = f"{desk.folder}:{process['PATH']}"
    step = ACTION["runs"]["steps"][-1]
    assert step["env"].keys() <= variables.keys()
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        env=process, cwd=desk.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = JUnitXml.fromfile(str(desk.folder / "gconvtool.xml"))
    assert (report.tests, report.failures, report.errors) == (3, 0, 0)
    assert summary.read_text().startswith("## gconvtool bench\n")
    assert "::notice title=gconvtool bench::" in done.stderr
