"""Documents: names are a contract, nothing unknown is zero, and what is written can be read."""

from __future__ import annotations

import json

import pytest
from helpers_report import AFTER, DIFFERENCE, RESULTS, SMALL, STUDY, TOTALS

from gconvtool.errors import InputError
from gconvtool.report import document

STUDY_KEYS = {
    "schema", "tool", "model", "convention", "dims", "totals", "kinds", "layers", "unknown",
    "warnings", "macs_formula", "peak_at", "parameters", "savings", "what_if", "roofline", "sweep",
    "explanations", "gates",
}  # fmt: skip
TOTALS_KEYS = {
    "macs", "flops", "params", "exact", "bias_adds", "elementwise_ops", "weight_bytes",
    "activation_bytes", "peak_activation_bytes",
}  # fmt: skip
LAYER_KEYS = {
    "name", "op", "kind", "macs", "flops", "params", "input_shape", "output_shape", "channels",
    "filters", "groups", "kernel", "strides", "macs_formula", "bias_adds", "elementwise_ops",
    "weight_bytes", "activation_bytes", "parent", "times", "note", "intensity",
}  # fmt: skip


def written(made):
    """A document as a reader gets it."""
    return json.loads(document.dumps(made))


def test_a_study_has_a_name_for_everything():
    made = written(document.study(STUDY))
    assert made["schema"] == "gconvtool.analyze/1"
    assert made.keys() == STUDY_KEYS
    assert made["totals"].keys() == TOTALS_KEYS
    assert all(layer.keys() == LAYER_KEYS for layer in made["layers"])
    assert made["parameters"]["unused"] == {"tensors": 2, "numbers": 300, "bytes": 1200}
    assert made["explanations"][0].keys() == {"name", "lines"}
    assert made["gates"][0].keys() == {"name", "limit", "value", "passed"}


def test_a_layers_figures_are_those_of_the_layer():
    stem, opened, *_ = written(document.study(STUDY))["layers"]
    assert stem["flops"] == 231211008
    assert stem["intensity"] == pytest.approx(231211008 / (147456 + 4014080))
    assert (opened["macs"], opened["flops"], opened["intensity"]) == (None, None, None)
    assert opened["input_shape"] == [1, 8, "H", None]


def test_the_answers_to_other_questions():
    made = written(document.study(STUDY))
    (what_if,) = made["what_if"]
    assert what_if.keys() == {"recipe", "before", "after", "layers"}
    assert what_if["before"].keys() == TOTALS_KEYS
    assert [layer["bytes_kept"] for layer in what_if["layers"]] == [False] * 2 + [True] + [
        False
    ] * 5
    assert made["roofline"]["ridge"] == 8
    assert made["roofline"].keys() == {
        "peak_gflops", "bandwidth_gbs", "ridge", "measured", "layers",
    }  # fmt: skip
    assert made["sweep"][0] == {
        "sizes": {"H": 112, "W": 96}, "macs": 112001, "flops": 224002, "params": 39592,
        "exact": True, "peak_activation_bytes": 401408,
    }  # fmt: skip


def test_an_analysis_alone_has_the_same_names():
    made = document.analysis(SMALL.analysis)
    assert made.keys() == STUDY_KEYS
    assert made["roofline"] is None
    assert made["what_if"] == made["gates"] == []


def test_several_models_keep_their_order_and_their_failures():
    made = written(document.several(RESULTS))
    assert made["schema"] == "gconvtool.analyze-several/1"
    assert [model["model"] for model in made["models"]] == [
        "nets/whole.onnx", "small.onnx", "broken.onnx",
    ]  # fmt: skip
    assert made["models"][1] == written(document.study(SMALL))
    assert made["models"][2]["error"] == {"message": "broken.onnx: not an ONNX model"}


def test_a_difference_tells_what_changed():
    made = written(document.difference(DIFFERENCE))
    assert made["schema"] == "gconvtool.analyze-difference/1"
    assert made["models"]["b"] == written(document.analysis(AFTER))
    assert made["totals"]["macs"] == {
        "a": 115605504, "b": 28901376, "difference": -86704128, "ratio": 0.25,
    }  # fmt: skip
    assert made["totals"]["bias_adds"]["difference"] is None
    assert made["kinds"]["grouped"]["a"] is None
    assert [(layer["name"], layer["change"]) for layer in made["layers"]] == [
        ("stem/conv", "changed"), ("dw", "only_a"), ("new", "only_b"),
    ]  # fmt: skip


def test_a_bound_has_no_difference_and_nothing_no_ratio():
    assert document.figure(TOTALS, "flops") is None
    assert document.figure(TOTALS, "params") == 39592
    assert document.side_by_side(0, 5) == {"a": 0, "b": 5, "difference": 5, "ratio": None}


@pytest.mark.parametrize("result", [STUDY, SMALL])
def test_totals_are_read_back(result):
    assert document.totals_of(written(document.study(result))) == result.analysis.totals


def test_totals_of_an_earlier_version_lack_what_it_did_not_count():
    old = {"schema": "gconvtool.analyze/1", "totals": {"macs": 9, "params": 3, "exact": True}}
    found = document.totals_of(old)
    assert (found.macs, found.params, found.bias_adds) == (9, 3, None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": "gconvtool.bench/1"}, "gconvtool.bench/1"),
        ({"schema": None}, "missing"),
        ({"totals": None}, "no totals"),
        ({"totals": {"exact": True, "params": 1}}, "totals.macs is missing"),
        ({"totals": {"exact": True, "macs": "9", "params": 1}}, "totals.macs is '9'"),
        ({"totals": {"exact": True, "macs": True, "params": 1}}, "totals.macs is True"),
        ({"totals": {"exact": True, "macs": -1, "params": 1}}, "totals.macs is -1"),
        ({"totals": {"exact": 1, "macs": 9, "params": 1}}, "totals.exact is 1"),
        ({"totals": {"exact": True, "macs": 9, "params": 1, "bias_adds": 0.5}}, "bias_adds is 0.5"),
        ({"totals": {"macs": 10**400, "params": 1, "exact": True}}, "totals.macs"),
    ],
)
def test_what_is_no_baseline_is_refused_in_a_line(change, told):
    with pytest.raises(InputError) as refusal:
        document.totals_of({**written(document.study(SMALL)), **change})
    assert told in str(refusal.value)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("foreign", [[], None, "text", 3])
def test_other_json_is_refused(foreign):
    with pytest.raises(InputError, match="not a document of one analysis"):
        document.totals_of(foreign)
