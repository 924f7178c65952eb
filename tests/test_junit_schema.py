"""Every JUnit document that we write is one that readers of JUnit take (`junit.xsd`)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from helpers_bench import EVERY
from helpers_report import RESULTS, named
from xmlschema import XMLSchema

from gconvtool.report import junit, stories
from gconvtool.results import Gate

SCHEMA = XMLSchema(Path(__file__).with_name("junit.xsd"))
WHOLE = junit.junit(RESULTS)


def faults(text: str) -> list[str]:
    """What the schema has against a document."""
    return [str(error.reason) for error in SCHEMA.iter_errors(text)]


def test_analyses_are_taken():
    assert faults(WHOLE) == []
    assert faults(junit.junit([named('a <b> & \x00\udc80 "c"')])) == []


@pytest.mark.parametrize("undecided", ["tell", "pass", "fail"])
@pytest.mark.parametrize("result", EVERY.values(), ids=EVERY)
def test_measurements_are_taken(result, undecided):
    assert faults(junit.story(stories.of(result), undecided)) == []


@pytest.mark.parametrize("command", ["analyze", "bench", "verify", "error"])
@pytest.mark.parametrize("message", ["no.onnx: not found", "\x00<![CDATA["])
def test_failures_are_taken(command, message):
    assert faults(junit.failure(command, message)) == []


@pytest.mark.parametrize(
    ("pattern", "wrong", "fault"),
    [
        ("(<testsuites [^>]*)>", r'\1 skipped="0">', "skipped"),
        (r'tests="5"', 'tests="many"', "many"),
        (r' failures="1" skipped', " skipped", "failures"),
        (r'<testsuite name="[^"]*"', "<testsuite", "name"),
        (r'(<error [^>]*/>)', r"\1\1", "error"),
        (r'(<testcase name="is analysed" [^>]*/>)', r"\1\1", "duplicated"),
        ('<property name="macs" value="[^"]*"', '<property name="macs"', "value"),
        (r'<failure message="[^"]*"', "<failure", "message"),
        ("<error ", "<broken ", "broken"),
        ('time="0"', 'time="a while"', "a while"),
        (r'classname="[^"]*"', "", "classname"),
    ],
)  # fmt: skip
def test_what_readers_refuse_is_refused(pattern, wrong, fault):
    document, count = re.subn(pattern, wrong, WHOLE, count=1)
    assert count == 1
    assert any(fault in told for told in faults(document))


def test_suites_count_what_is_skipped_and_the_whole_does_not():
    gates = (Gate("max_p95", 12.5, None, None),)
    story = stories.of(replace(EVERY["comparison"], gates=gates))
    assert re.findall(r'<(\w+)[^>]* skipped="(\d)"', junit.story(story, "pass")) == [
        ("testsuite", "1")
    ]
