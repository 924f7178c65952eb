"""`verify`: how far two networks' outputs are apart, and whether that is too far."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from helpers_cli import Desk, refused
from junitparser import JUnitXml
from onnx import numpy_helper

import gconvtool
from gconvtool import Tolerances

VERIFICATION = {
    "schema", "tool", "model", "models", "drift", "drift_source", "gates", "provider", "warnings",
}  # fmt: skip


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    """A folder with net.onnx, and near.onnx, whose last weights are a little off."""
    desk = Desk(tmp_path, monkeypatch, capfd).furnish()
    model = onnx.load(desk.folder / "net.onnx")
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.name == "w3":
            weights = numpy_helper.to_array(tensor) * np.float32(1.01)
            model.graph.initializer[index].CopyFrom(numpy_helper.from_array(weights, "w3"))
    onnx.save(model, desk.folder / "near.onnx")
    return desk


def outputs(desk, name):
    """What a network gives for all of test.npz."""
    session = onnxruntime.InferenceSession(desk.folder / name, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": np.load(desk.folder / "test.npz")["image"]})
    return found.astype(float)


def test_a_document_says_what_comparing_all_outputs_at_once_does(desk):
    made = desk("verify", "net.onnx", "near.onnx", "--data", "test.npz", "--json").document
    a, b = outputs(desk, "net.onnx"), outputs(desk, "near.onnx")
    errors = np.sort(np.abs(b - a).ravel())
    assert made.keys() == VERIFICATION
    assert made["schema"] == "gconvtool.verify/1"
    assert made["models"] == {"a": "net.onnx", "b": "near.onnx"}
    (drift,) = made["drift"]
    assert (drift["output"], drift["samples"]) == ("scores", 30)
    assert drift["max_abs"] == pytest.approx(errors[-1], rel=1e-4)
    assert drift["mean_abs"] == pytest.approx(errors.mean(), rel=1e-4)
    assert drift["p50_abs"] == pytest.approx(errors[59], rel=0.02)
    assert drift["p99_abs"] == pytest.approx(errors[118], rel=0.02)
    relative = np.linalg.norm(b - a) / np.linalg.norm(a)
    assert drift["relative_error"] == pytest.approx(relative, rel=1e-4)
    assert drift["top1_agreement"] == np.mean(a.argmax(1) == b.argmax(1))
    assert drift["top5_agreement"] is None
    labels = np.arange(30) % 4
    assert drift["accuracy_after"] == pytest.approx(np.mean(b.argmax(1) == labels))


def test_a_network_is_like_itself(desk):
    answer = desk("verify", "net.onnx", "net.onnx", "--max-abs", 0, "--min-snr", 300)
    assert (answer.code, answer.err) == (0, "")
    last = answer.out.splitlines()[-1]
    assert last == "B is as close to A as was asked: --max-abs 0, --min-snr 300"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--max-relative-error", "0.5%"], 1),
        (["--max-relative-error", "1%"], 0),
        (["--max-relative-error", "0.015", "--max-abs", "1e-9"], 1),
        (["--min-agreement", "50%"], 0),
        (["--min-snr", "30"], 0),
        (["--min-snr", "60"], 1),
        (["--max-accuracy-drop", "100", "--data", "test.npz"], 0),
        (["--provider", "tensorrt"], 4),
        (["--data", "gone.npz"], 2),
    ],
)
def test_exit_codes(desk, words, code):
    assert desk("verify", "net.onnx", "near.onnx", *words).code == code


def test_outputs_that_are_not_finite_are_told_in_one_line(desk):
    model = onnx.load(desk.folder / "net.onnx")
    (bias,) = [part for part in model.graph.initializer if part.name == "b3"]
    bias.CopyFrom(numpy_helper.from_array(np.full(4, np.nan, np.float32), "b3"))
    onnx.save(model, desk.folder / "nan.onnx")
    assert "not finite" in refused(desk("verify", "net.onnx", "nan.onnx"), 1)


def test_it_is_written_in_every_format(desk):
    answer = desk("verify", "net.onnx", "near.onnx", "--max-abs", 0, "-o", "o.xml", "-o", "o.json")
    assert answer.code == 1
    assert answer.out.splitlines()[-1] == "B is too far from A: --max-abs 0"
    report = JUnitXml.fromfile(str(desk.folder / "o.xml"))
    assert (report.tests, report.failures) == (2, 1)
    assert json.loads((desk.folder / "o.json").read_text()).keys() == VERIFICATION


def test_the_api_judges_too(desk):
    found = gconvtool.verify("net.onnx", "near.onnx", tolerances=Tolerances(max_abs=0))
    assert [gate.passed for gate in found.gates] == [False]


def test_the_file_names_models_and_tolerances(desk):
    (desk.folder / "pyproject.toml").write_text(
        '[tool.gconvtool.verify]\nmodels = ["net.onnx", "near.onnx"]\nmax-abs = 0\n'
    )
    assert desk("verify").code == 1
    assert desk("verify", "--max-abs", 10).code == 0
