"""Batch normalisations that stay are found, rewritten exactly, and fitted where that helps."""

from __future__ import annotations

import nets
import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir
import pytest

import gconvtool
from gconvtool import Grouped
from gconvtool.graph import exact, norms, shapes, surgery

PREACTIVATED = """
<ir_version: 8, opset_import: ["": 17]>
net (float[N, 8, 9, 9] x) => (float[N, 8, 9, 9] out)
  <float[8, 8, 3, 3] w1, float[8] scale, float[8] beta, float[8] mean, float[8, 8, 3, 3] w2>
{
  a = Conv <pads = [1, 1, 1, 1]> (x, w1)
  sum = Add (a, x)
  spread = Constant <value_floats = [1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 0.25, 1.0]> ()
  n = BatchNormalization (sum, scale, beta, mean, spread)
  r = Relu (n)
  b = Conv <pads = [1, 1, 1, 1]> (r, w2)
  out = Add (b, sum)
}
"""


@pytest.fixture
def model() -> ir.Model:
    made = ir.from_proto(nets.network(PREACTIVATED))
    assert exact.fold_batch_norms(made) == 0
    shapes.infer(made)
    return made


def value(model: ir.Model, x: np.ndarray, name: str) -> np.ndarray:
    proto = ir.to_proto(model)
    proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return np.asarray(onnx.reference.ReferenceEvaluator(proto).run([name], {"x": x})[0])


def test_a_normalisation_behind_an_addition_stays(model):
    assert norms.standing(model) == ("n",)


def test_it_computes_what_it_is_told_to(model):
    scale, shift = np.linspace(-1, 2, 8), np.linspace(3, -3, 8)
    x = nets.images(2)
    before = value(model, x, "sum")
    norms.rescale(model, "n", scale, shift)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    expected = scale.reshape(8, 1, 1) * before + shift.reshape(8, 1, 1)
    assert value(model, x, "n") == pytest.approx(expected, abs=1e-4)
    now = norms.affine_of(surgery.find(model, "n"))
    assert now.scale == pytest.approx(scale, abs=1e-6)
    assert now.shift == pytest.approx(shift, abs=1e-6)


def test_a_conversion_brings_a_normalisation_nearer_to_what_it_was(tmp_path, model, monkeypatch):
    onnx.save(ir.to_proto(model), tmp_path / "net.onnx")
    np.savez(tmp_path / "fit.npz", x=nets.images(40))
    for name, found in {"with": norms.standing, "without": lambda model: ()}.items():
        monkeypatch.setattr(norms, "standing", found)
        gconvtool.convert(
            tmp_path / "net.onnx",
            tmp_path / f"{name}.onnx",
            recipe=Grouped(4),
            data=str(tmp_path / "fit.npz"),
            only=["a"],
        )
    x = nets.images(20, seed=9)
    wanted = value(model, x, "n")
    left = [
        np.square(value(gconvtool.load(tmp_path / f"{name}.onnx"), x, "n") - wanted).mean((0, 2, 3))
        for name in ("with", "without")
    ]
    assert left[0].sum() < left[1].sum()
