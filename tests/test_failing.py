"""A call without a result says so wherever its result was meant to go."""

from __future__ import annotations

import csv
import json

import pytest
from helpers_cli import Desk, refused
from junitparser import JUnitXml

from gconvtool.errors import MissingError

FORMS = ("json", "xml", "md", "csv", "txt")
LACKING = "lost.onnx: no such file"


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return Desk(tmp_path, monkeypatch, capfd).furnish()


def outputs(*more):
    return [word for form in FORMS for word in ("-o", f"r.{form}")] + [*more]


def the_case(text):
    """The one case of a report, and what became of it."""
    (suite,) = JUnitXml.fromstring(text)
    (case,) = suite
    (error,) = case.result
    return case.classname, case.name, type(error).__name__, error.message


@pytest.mark.parametrize(
    ("line", "command", "case"),
    [
        ("bench net.onnx lost.onnx", "bench", "is measured"),
        ("bench lost.onnx", "bench", "is measured"),
        ("verify net.onnx lost.onnx", "verify", "is compared"),
    ],
)
def test_every_form_of_the_result_says_why_there_is_none(desk, line, command, case):
    assert refused(desk(*line.split(), *outputs())) == LACKING
    held = {form: (desk.folder / f"r.{form}").read_text() for form in FORMS}
    assert the_case(held["xml"].encode()) == (f"gconvtool.{command}", case, "Error", LACKING)
    document = json.loads(held["json"])
    assert document["schema"] == f"gconvtool.{command}/1"
    assert document["error"] == {"kind": "InputError", "message": LACKING}
    assert document["exit_code"] == 2
    assert [*csv.DictReader(held["csv"].splitlines())] == [{"error": LACKING}]
    assert held["md"] == f"## gconvtool {command}\n\n**error:** {LACKING}\n"
    assert held["txt"] == f"error: {LACKING}\n"


def test_no_earlier_report_is_left_to_be_read_as_this_ones(desk):
    (desk.folder / "r.xml").write_text("<testsuites/>")
    refused(desk("bench", "net.onnx", "lost.onnx", "-o", "r.xml", "--force"))
    assert LACKING in (desk.folder / "r.xml").read_text()


def test_what_may_not_be_replaced_stays(desk):
    (desk.folder / "r.xml").write_text("mine")
    assert "--force" in refused(desk("bench", "net.onnx", "lost.onnx", "-o", "r.xml"))
    assert (desk.folder / "r.xml").read_text() == "mine"


def test_a_kept_baseline_stays(desk):
    (desk.folder / "kept.json").write_text("mine")
    refused(desk("bench", "net.onnx", "lost.onnx", "--save-baseline", "kept.json", "--force"))
    assert (desk.folder / "kept.json").read_text() == "mine"


def test_a_damaged_measurement_cannot_be_judged(desk):
    (desk.folder / "saved.json").write_text("{")
    message = refused(desk("bench", "report", "saved.json", "-o", "r.xml"))
    assert the_case((desk.folder / "r.xml").read_bytes())[-1] == message


def test_an_interruption_leaves_the_files_alone(desk, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gconvtool.pipeline.compare.bench", interrupted)
    (desk.folder / "r.xml").write_text("mine")
    assert desk("bench", "net.onnx", "net.onnx", "-o", "r.xml", "--force").code == 130
    assert (desk.folder / "r.xml").read_text() == "mine"


def test_a_bug_is_reported_too(desk, monkeypatch):
    monkeypatch.setattr("gconvtool.pipeline.compare.bench", lambda *_, **__: 1 // 0)
    answer = desk("bench", "net.onnx", "net.onnx", "-o", "r.xml")
    assert answer.code == 70
    assert answer.err.count("ZeroDivisionError") == 1
    assert "a bug of gconvtool" in the_case((desk.folder / "r.xml").read_bytes())[-1]


def test_where_nothing_can_be_written_the_first_error_is_told(desk, monkeypatch):
    def full(*_, **__):
        raise MissingError("r.xml: not written: no space")

    monkeypatch.setattr("gconvtool.cli.failing.write", full)
    assert refused(desk("verify", "net.onnx", "lost.onnx", "-o", "r.xml")) == LACKING


@pytest.mark.parametrize("words", [("--format", "junit"), ("--format=junit",)])
def test_a_report_on_stdout_is_one_too(desk, words):
    answer = desk("verify", "net.onnx", "lost.onnx", *words)
    assert refused(answer) == LACKING
    assert the_case(answer.out.encode())[2:] == ("Error", LACKING)


def test_a_wrong_command_is_reported_where_a_report_was_asked_for(desk):
    answer = desk("bnech", "net.onnx", "--format", "junit")
    assert the_case(answer.out.encode())[:2] == ("gconvtool.error", "answers")


def test_the_summary_of_a_step_says_it(desk, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(desk.folder / "summary.md"))
    desk("bench", "net.onnx", "lost.onnx", "--ci")
    assert LACKING in (desk.folder / "summary.md").read_text()


def test_a_summary_that_cannot_be_written_hides_no_document(desk, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(desk.folder / "no" / "summary.md"))
    answer = desk("bench", "net.onnx", "lost.onnx", "--ci", "--json")
    assert refused(answer) == LACKING
    assert answer.document["exit_code"] == 2
