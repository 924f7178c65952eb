"""CSV: a row a layer, as any reader of the format finds it."""

from __future__ import annotations

import csv
import io
from dataclasses import fields

from helpers_report import FAILED, LAYERS, RESULTS, STUDY, named
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.report import csv as report
from gconvtool.results import Layer


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_layer_and_every_fact_is_there():
    found = rows(report.study(STUDY))
    assert [row["name"] for row in found] == [layer.name for layer in LAYERS]
    assert found[0].keys() == {field.name for field in fields(Layer)} | {"flops", "intensity"}
    stem, opened = found[:2]
    assert (stem["macs"], stem["flops"], stem["times"]) == ("115605504", "231211008", "1")
    assert (stem["input_shape"], stem["kernel"]) == ("1x64x112x112", "3x3")
    assert (opened["macs"], opened["bias_adds"], opened["parent"]) == ("", "", "")
    assert opened["output_shape"] == "1x16x(floor((H - 1)/2) + 1)x?"


def test_several_models_are_told_apart_and_a_failure_is_not_lost():
    found = rows(report.several(RESULTS))
    assert next(iter(found[0])) == "model"
    assert [row["model"] for row in found] == [
        *["nets/whole.onnx"] * len(LAYERS), "small.onnx", "broken.onnx",
    ]  # fmt: skip
    assert found[-1]["note"] == f"failed: {FAILED.message}"
    assert found[-1]["macs"] == ""


def test_lines_end_as_told():
    text = report.study(STUDY)
    assert text.endswith("\n")
    assert "\r" not in text
    assert len(text.splitlines()) == len(LAYERS) + 1


@given(st.text(min_size=1))
def test_a_name_never_makes_a_second_line(name):
    text = report.study(named(name))
    assert len(text.split("\n")) == 3
    (row,) = rows(text)
    if name.isprintable():
        assert row["name"] == name
