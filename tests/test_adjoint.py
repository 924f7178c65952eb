"""Every rule against the change that the ONNX reference computes for a small step."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import parser
from onnx.reference import ReferenceEvaluator

from gconvtool.graph import shapes
from gconvtool.graph.adjoint import RULES, Call, back, passes

SHAPES = {"x": (2, 4, 3, 3), "z": (2, 4, 3, 3), "g": (2, 4, 1, 1), "m": (2, 6)}
CASES = {
    "Add": "Add (x, z)",
    "Add, broadcast": "Add (x, g)",
    "Clip": "Clip (x, low, high)",
    "Concat": "Concat <axis = 1> (z, x)",
    "Conv": "Conv <group = 2, strides = [2, 1], pads = [1, 0, 0, 1]> (x, w)",
    "DepthToSpace": 'DepthToSpace <blocksize = 2, mode = "CRD"> (x)',
    "Div": "Div (x, two)",
    "Flatten": "Flatten (x)",
    "Gather": "Gather <axis = 1> (x, order)",
    "Gemm": "Gemm <alpha = 0.5> (m, v)",
    "Gemm, transposed": "Gemm <transA = 1, transB = 1> (m, u)",
    "GlobalAveragePool": "GlobalAveragePool (x)",
    "HardSigmoid": "HardSigmoid <alpha = 0.3> (x)",
    "HardSwish": "HardSwish (x)",
    "Identity": "Identity (x)",
    "LeakyRelu": "LeakyRelu <alpha = 0.2> (x)",
    "Mul": "Mul (x, z)",
    "Mul, broadcast": "Mul (x, g)",
    "PRelu": "PRelu (x, slope)",
    "Relu": "Relu (x)",
    "Reshape": "Reshape (x, flat)",
    "Sigmoid": "Sigmoid (x)",
    "Sub": "Sub (z, x)",
    "Tanh": "Tanh (x)",
    "Transpose": "Transpose <perm = [0, 2, 3, 1]> (x)",
}
CONSTANTS = {
    "low": np.array(-0.4),
    "high": np.array(0.7),
    "two": np.full((4, 1, 1), 2.5),
    "order": np.array([2, 0, 3, 1]),
    "slope": np.linspace(0.1, 0.4, 4).reshape(4, 1, 1),
    "flat": np.array([2, -1]),
    "w": np.random.default_rng(1).standard_normal((6, 2, 2, 2)),
    "v": np.random.default_rng(2).standard_normal((6, 5)),
    "u": np.random.default_rng(3).standard_normal((5, 2)),
}


def model(expression: str) -> ir.Model:
    reads = [name.strip() for name in expression.split("(")[1].strip(")").split(",")]
    fed = ", ".join(f"double[{', '.join(map(str, SHAPES[n]))}] {n}" for n in reads if n in SHAPES)
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> one ({fed}) => (double y) {{ y = {expression} }}'
    )
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    made = ir.from_proto(proto)
    for value in [v for v in made.graph[0].inputs if v is not None and v.name in CONSTANTS]:
        value.const_value = ir.tensor(CONSTANTS[value.name or ""], name=value.name)
        made.graph.register_initializer(value)
    shapes.infer(made)
    return made


@pytest.mark.parametrize("case", CASES)
def test_a_rule_is_the_derivative(case):
    made, rng = model(CASES[case]), np.random.default_rng(0)
    node, run = made.graph[0], ReferenceEvaluator(ir.to_proto(made)).run
    feeds = {v.name or "": rng.standard_normal(SHAPES[v.name or ""]) for v in made.graph.inputs}
    (y,) = run(None, feeds)
    g, numbers = rng.standard_normal(y.shape), {**CONSTANTS, **feeds}
    call = Call(node, tuple(numbers[v.name or ""] for v in node.inputs if v is not None), y)
    for index, value in enumerate(node.inputs):
        name = "" if value is None else value.name or ""
        if name not in feeds:
            continue
        assert passes(node, index)
        step = 1e-6 * rng.standard_normal(feeds[name].shape)
        ahead, behind = (
            np.vdot(g, run(None, {**feeds, name: feeds[name] + sign * step})[0]) for sign in (1, -1)
        )
        found = back(call, g, index)
        assert found.shape == feeds[name].shape
        assert np.vdot(found, step) == pytest.approx((ahead - behind) / 2, rel=1e-6)


def test_every_rule_is_tried():
    assert {case.split(",")[0] for case in CASES} == set(RULES)


@pytest.mark.parametrize(
    ("expression", "index"),
    [
        ("Softplus (x)", 0),
        ("Div (z, x)", 1),
        ("Gather <axis = 1> (x, twice)", 0),
        ('DepthToSpace <blocksize = 2, mode = "DCR"> (x)', 0),
    ],
)
def test_gradients_end_where_no_rule_is(expression, index, monkeypatch):
    monkeypatch.setitem(CONSTANTS, "twice", np.array([0, 0, 1, 2]))
    assert not passes(model(expression).graph[0], index)
