"""JUnit: a suite a model, a case a gate, as an XML reader finds them."""

from __future__ import annotations

from xml.etree import ElementTree

from helpers_report import RESULTS, STUDY, named
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.report.junit import junit


def cases(suite):
    """Each case's name and what became of it."""
    return [(case.get("name"), [part.tag for part in case]) for case in suite.iter("testcase")]


def test_every_model_and_every_gate_is_a_case():
    root = ElementTree.fromstring(junit(RESULTS))
    whole, small, broken = root
    assert cases(whole) == [
        ("is analysed", []),
        ("--max-macs 300,000,000", ["error"]),
        ("--max-params 5,000,000", []),
        ("--max-increase macs=2%", ["failure"]),
        ("--max-peak-memory 20,000,000 bytes", ["error"]),
    ]
    assert cases(small) == [("is analysed", [])]
    assert cases(broken) == [("is analysed", ["error"])]
    assert [suite.get("name") for suite in root] == [
        "nets/whole.onnx", "small.onnx", "broken.onnx",
    ]  # fmt: skip


def test_the_counts_are_those_of_the_cases():
    root = ElementTree.fromstring(junit(RESULTS))
    for found in (root, *root):
        for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            assert int(found.get(name)) == len(list(found.iter(tag)))


def test_a_case_tells_why_it_failed():
    root = ElementTree.fromstring(junit(RESULTS))
    (failure,) = root.iter("failure")
    assert failure.get("message") == "--max-increase macs=2%: FAILED (+3.2145 %)"
    assert root[2][0][0].get("message") == "broken.onnx: not an ONNX model"


def test_figures_are_properties():
    root = ElementTree.fromstring(junit([STUDY]))
    found = {part.get("name"): part.get("value") for part in root.iter("property")}
    assert found == {"macs": "116634304", "params": "39592", "exact": "false"}


def test_the_same_results_give_the_same_text():
    assert junit(RESULTS) == junit(RESULTS)


@given(st.text() | st.just("\udc80\x00\ufffe"))
def test_any_name_gives_readable_xml(name):
    (suite,) = ElementTree.fromstring(junit([named(name)]).encode())
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
    assert suite.get("name") == printable
