"""GitHub: the step's summary and the annotations, escaped as its runner reads them."""

from __future__ import annotations

import re
from dataclasses import replace

from helpers_report import ANALYSIS, RESULTS, SMALL, STEM, STUDY, named
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.report import github, markdown
from gconvtool.results import Failed, Gate, Study

COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)")


def unescaped(text):
    """What the runner makes of it; `%25` last."""
    for escape, char in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, char)
    return text


def read(line):
    level, title, message = COMMAND.fullmatch(line).groups()
    return level, unescaped(title), unescaped(message)


def test_what_did_not_hold_is_annotated_and_the_totals_are():
    assert [read(line) for line in github.annotations(RESULTS)] == [
        ("warning", "nets/whole.onnx", "--max-macs 300,000,000: cannot tell (≥ 116,634,304)"),
        ("error", "nets/whole.onnx", "--max-increase macs=2%: FAILED (+3.2145 %)"),
        ("warning", "nets/whole.onnx", "--max-peak-memory 20,000,000 bytes: cannot tell (unknown)"),
        ("notice", "nets/whole.onnx", "≥ 116,634,304 MACs, 39,592 parameters"),
        ("notice", "small.onnx", "115,605,504 MACs, 36,864 parameters"),
        ("error", "broken.onnx", "broken.onnx: not an ONNX model"),
    ]


@given(st.text("a%:,\r\n0DA☃"), st.text("a%:,\r\n0DA☃"))
def test_an_annotation_is_one_line_whatever_a_name_holds(model, message):
    (line,) = github.annotations([Failed(model, message)])
    level, title, told = read(line)
    assert level == "error"
    escapes = {"\r": "\\r", "\n": "\\n"}
    assert title == "".join(escapes.get(c, c) for c in model)
    assert told.endswith("".join(escapes.get(c, c) for c in message))


def test_a_percent_sign_is_escaped():
    gate = Gate("max_increase_macs_percent", 2, 3, False)
    assert "macs=2%25: FAILED (+3 %25)" in github.annotations([replace(SMALL, gates=(gate,))])[0]


def test_the_summary_is_the_page_of_one_or_the_table_of_several():
    assert github.summary([STUDY]) == markdown.study(STUDY)
    assert github.summary(RESULTS) == markdown.several(RESULTS)
    assert "failed" in github.summary(RESULTS[-1:])
    assert github.summary([named("a\x1bb")]).replace("\n", "").isprintable()


def test_a_summary_that_github_would_refuse_is_written_without_layers():
    layers = tuple(replace(STEM, name=f"conv{i}") for i in range(12000))
    text = github.summary([Study(replace(ANALYSIS, layers=layers))])
    assert len(text.encode()) < 2**20
    assert "116,634,304 MACs" in text
