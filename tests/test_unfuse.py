"""Fused convolutions taken apart compute what onnxruntime computes with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from models import model, ort

from gconvtool.graph.unfuse import take_apart
from gconvtool.pipeline.convert import convert
from gconvtool.recipes import Grouped

W = np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32) / 4
B = np.linspace(-1, 1, 8, dtype=np.float32)
X = np.random.default_rng(1).standard_normal((1, 8, 9, 9)).astype(np.float32)
PADDED = "pads = [1, 1, 1, 1]"


def fused(
    attributes: str = "", inputs: str = "x, w, b", opset: int = 17, **also: np.ndarray
) -> ir.Model:
    """Other nodes before and behind, so that the fused one makes no result."""
    body = f"""
    g (float[N, 8, 9, 9] x) => (float[N, 8, H, W] y) {{
      f = com.microsoft.FusedConv <{PADDED}{attributes}> ({inputs})
      y = Neg (f)
    }}
    """
    constants = {name: v for name, v in {"w": W, "b": B}.items() if f", {name}" in inputs}
    return model(body, opset=opset, domains=["com.microsoft"], **constants, **also)


def ops(of: ir.Model) -> list[str]:
    return [node.op_type for node in of.graph]


@pytest.mark.parametrize("opset", [10, 13, 17])
@pytest.mark.parametrize("inputs", ["x, w", "x, w, b", "x, w, , x", "x, w, b, x"])
@pytest.mark.parametrize(
    ("activation", "parameters"),
    [
        ("Relu", ""),
        ("Tanh", ""),
        ("Sigmoid", ""),
        ("LeakyRelu", "0.3"),
        ("Clip", "-0.5, 0.7"),
        ("HardSigmoid", "0.3, 0.4"),
        (None, ""),
    ],
)
def test_its_parts_compute_the_same(
    activation: str | None, parameters: str, inputs: str, opset: int
) -> None:
    attributes = "" if activation is None else f', activation = "{activation}"'
    if parameters:
        attributes += f", activation_params = [{parameters}]"
    made = fused(attributes, inputs, opset)
    (before,) = ort(made, x=X)
    names = take_apart(made)
    alone = activation is None and not inputs.endswith(", x")
    assert names == {"f": "f" if alone else "f/conv"}
    wanted = ["Conv", *["Add"] * inputs.endswith(", x"), *([activation] if activation else [])]
    assert ops(made) == [*wanted, "Neg"]
    assert "com.microsoft" not in made.opset_imports
    onnx.checker.check_model(ir.to_proto(made), full_check=True)
    np.testing.assert_allclose(ort(made, x=X)[0], before, rtol=1e-5, atol=1e-5)


def test_hard_swish_needs_an_opset_that_has_it() -> None:
    made, old = (fused(', activation = "HardSwish"', opset=opset) for opset in (14, 13))
    (before,) = ort(made, x=X)
    assert take_apart(made)
    np.testing.assert_allclose(ort(made, x=X)[0], before, rtol=1e-5, atol=1e-5)
    assert not take_apart(old)


@pytest.mark.parametrize(
    "attributes",
    [
        ', activation = "Gelu"',
        ', activation = "LeakyRelu"',
        ', activation = "Clip", activation_params = [1.0]',
    ],
)
def test_what_onnx_has_no_operator_for_stays(attributes: str) -> None:
    made = fused(attributes)
    assert take_apart(made) == {}
    assert ops(made) == ["FusedConv", "Neg"]
    assert made.opset_imports["com.microsoft"] == 1


def test_one_in_a_branch_is_named_as_the_survey_names_it() -> None:
    made = model(
        """
        g (bool c, float[1, 8, 9, 9] x) => (float[N, M, P, Q] y) {
          y = If (c) <
            then_branch = t () => (float[N, M, P, Q] a)
              { a = com.microsoft.FusedConv <activation = "Relu"> (x, w, b) },
            else_branch = e () => (float[N, M, P, Q] z)
              { z = com.microsoft.FusedConv <activation = "Tanh"> (x, w, b, z0) }
          >
        }
        """,
        domains=["com.microsoft"],
        w=W,
        b=B,
        z0=np.ones((1, 8, 7, 7), np.float32),
    )
    before = [ort(made, x=X, c=np.array(c))[0] for c in (True, False)]
    assert take_apart(made) == {
        "y/then_branch/a": "y/then_branch/a/conv",
        "y/else_branch/z": "y/else_branch/z/conv",
    }
    after = [ort(made, x=X, c=np.array(c))[0] for c in (True, False)]
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_what_onnxruntime_saved_is_converted(tmp_path: Path) -> None:
    """A selection goes by what the fused node made."""
    plain = model(
        f"""
        g (float[1, 8, 9, 9] x) => (float[1, 8, 9, 9] y) {{
          a = Conv <{PADDED}> (x, w, b)
          r = Relu (a)
          c = Conv <{PADDED}> (r, v, b)
          s = Add (c, x)
          y = Relu (s)
        }}
        """,
        w=W,
        v=W[::-1],
        b=B,
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "saved.onnx")
    content = ir.to_proto(plain).SerializeToString()
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    result = convert(tmp_path / "saved.onnx", tmp_path / "out.onnx", recipe=Grouped(2), only=("r",))
    assert {site.name: site.recipe for site in result.sites} == {
        "r/conv": "grouped(2)",
        "c": None,
    }
    assert any("taken apart" in note for note in result.warnings)
    written = ir.load(tmp_path / "out.onnx")
    assert [o.name for o in written.graph.outputs] == ["y"]
