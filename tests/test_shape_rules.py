"""onnxruntime's own operators carry shapes on, to the sizes that onnxruntime itself makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import Numbers, model, ort
from onnx import TensorProto, helper, numpy_helper
from onnx_shape_inference import ShapeInferenceError, infer_symbolic_shapes

from gconvtool.facts import Shape
from gconvtool.graph.constants import shape_of
from gconvtool.graph.shapes import fix, infer
from gconvtool.pipeline.analyze import analyze

MICROSOFT = "com.microsoft"
BYTES = np.ones((4, 6), np.uint8)
SCALE, ZERO = np.float32(0.5), np.uint8(1)


def shapes(network: ir.Model) -> dict[str, Shape]:
    return {value.name or "": shape_of(value) for node in network.graph for value in node.outputs}


def network(op: str, *inputs: Numbers | None, dtype: int, **attributes: Any) -> onnx.ModelProto:
    """The operator on constants, all but the first, and an Identity behind it."""
    names = ["" if value is None else f"i{index}" for index, value in enumerate(inputs)]
    stored = [
        numpy_helper.from_array(np.asarray(v), n)
        for v, n in zip(inputs, names, strict=True)
        if v is not None
    ][1:]
    data = inputs[0]
    assert data is not None
    kind = helper.np_dtype_to_tensor_dtype(data.dtype)
    graph = helper.make_graph(
        [
            helper.make_node(op, names, ["h"], domain=MICROSOFT, **attributes),
            helper.make_node("Identity", ["h"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("i0", kind, data.shape)],
        [helper.make_tensor_value_info(name, dtype, None) for name in ("h", "y")],
        stored,
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def ones(*shape: int) -> Numbers:
    return np.ones(shape, np.float32)


FLOAT, UINT8, INT32 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT32
CASES: dict[str, tuple[str, tuple[Numbers | None, ...], int, dict[str, Any]]] = {
    "FusedConv": (
        "FusedConv",
        (ones(2, 4, 9, 8), ones(6, 2, 3, 2)),
        FLOAT,
        {"group": 2, "strides": [2, 3], "pads": [1, 0, 2, 1], "activation": "Relu"},
    ),
    "FusedConv with SAME padding": (
        "FusedConv",
        (ones(1, 3, 9, 8), ones(6, 3, 3, 2)),
        FLOAT,
        {"strides": [2, 3], "auto_pad": "SAME_LOWER", "activation": "Relu"},
    ),
    "FusedGemm": (
        "FusedGemm",
        (ones(4, 3), ones(5, 4), ones(5)),
        FLOAT,
        {"transA": 1, "transB": 1, "activation": "Relu"},
    ),
    "FusedMatMul": (
        "FusedMatMul",
        (ones(2, 5, 3), ones(2, 5, 4)),
        FLOAT,
        {"transA": 1},
    ),
    "NhwcMaxPool": (
        "NhwcMaxPool",
        (np.ones((2, 9, 8, 5), np.uint8),),
        UINT8,
        {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [1, 0, 1, 1]},
    ),
    "NhwcMaxPool with SAME padding": (
        "NhwcMaxPool",
        (np.ones((2, 9, 8, 5), np.uint8),),
        UINT8,
        {"kernel_shape": [3, 2], "strides": [2, 3], "auto_pad": "SAME_UPPER"},
    ),
    "QLinearConv with channels last": (
        "QLinearConv",
        (
            np.ones((2, 9, 8, 4), np.uint8),
            SCALE,
            ZERO,
            np.ones((6, 2, 3, 3), np.uint8),
            SCALE,
            ZERO,
            SCALE,
            ZERO,
        ),
        UINT8,
        {"channels_last": 1, "group": 2, "strides": [2, 1]},
    ),
    "DynamicQuantizeMatMul": (
        "DynamicQuantizeMatMul",
        (ones(2, 3, 4), BYTES, SCALE, ZERO),
        FLOAT,
        {},
    ),
    "MatMulIntegerToFloat": (
        "MatMulIntegerToFloat",
        (np.ones((2, 3, 4), np.uint8), BYTES, SCALE, SCALE),
        FLOAT,
        {},
    ),
    "MatMulInteger16": (
        "MatMulInteger16",
        (np.ones((3, 4), np.int16), np.ones((4, 6), np.int16)),
        INT32,
        {},
    ),
    "QGemm": (
        "QGemm",
        (np.ones((3, 4), np.uint8), SCALE, ZERO, BYTES, SCALE, ZERO),
        FLOAT,
        {},
    ),
    "QLinearAdd": (
        "QLinearAdd",
        (np.ones((3, 1), np.uint8), SCALE, ZERO, np.ones((5,), np.uint8), SCALE, ZERO, SCALE, ZERO),
        UINT8,
        {},
    ),
    "QLinearSigmoid": ("QLinearSigmoid", (BYTES, SCALE, ZERO, SCALE, ZERO), UINT8, {}),
    "QLinearLeakyRelu": ("QLinearLeakyRelu", (BYTES, SCALE, ZERO, SCALE, ZERO), UINT8, {}),
    "QLinearGlobalAveragePool": (
        "QLinearGlobalAveragePool",
        (np.ones((2, 3, 4, 5), np.uint8), SCALE, ZERO, SCALE, ZERO),
        UINT8,
        {},
    ),
    "QLinearGlobalAveragePool with channels last": (
        "QLinearGlobalAveragePool",
        (np.ones((2, 3, 4, 5), np.uint8), SCALE, ZERO, SCALE, ZERO),
        UINT8,
        {"channels_last": 1},
    ),
    "QLinearAveragePool": (
        "QLinearAveragePool",
        (np.ones((2, 3, 9, 8), np.uint8), SCALE, ZERO, SCALE, ZERO),
        UINT8,
        {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1},
    ),
    "QLinearSoftmax": (
        "QLinearSoftmax",
        (BYTES, SCALE, ZERO, SCALE, ZERO),
        UINT8,
        {"axis": 1, "opset": 13},
    ),
    "BiasGelu": ("BiasGelu", (ones(2, 3, 4), ones(4)), FLOAT, {}),
    "FastGelu": ("FastGelu", (ones(2, 3, 4), ones(4)), FLOAT, {}),
    "Gelu": ("Gelu", (ones(2, 3, 4),), FLOAT, {}),
    "QuickGelu": ("QuickGelu", (ones(2, 3, 4),), FLOAT, {"alpha": 1.702}),
    "Inverse": ("Inverse", (np.eye(3, dtype=np.float32)[None],), FLOAT, {}),
    "Trilu": ("Trilu", (ones(3, 3),), FLOAT, {}),
    "SkipLayerNormalization": (
        "SkipLayerNormalization",
        (ones(2, 3, 4), ones(2, 3, 4), ones(4)),
        FLOAT,
        {},
    ),
    "Pad": ("Pad", (ones(2, 3), np.array([0, 1, 2, 0])), FLOAT, {"mode": "constant"}),
    "GatherND": ("GatherND", (ones(2, 3, 4), np.array([[0, 1]])), FLOAT, {}),
    "DynamicQuantizeLSTM": (
        "DynamicQuantizeLSTM",
        (
            ones(7, 2, 4),
            np.ones((2, 4, 12), np.uint8),
            np.ones((2, 3, 12), np.uint8),
            None,
            None,
            None,
            None,
            None,
            ones(2),
            np.ones(2, np.uint8),
            ones(2),
            np.ones(2, np.uint8),
        ),
        FLOAT,
        {"hidden_size": 3, "direction": "bidirectional"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_sizes_are_what_onnxruntime_makes(case: str) -> None:
    op, inputs, dtype, attributes = CASES[case]
    made = network(op, *inputs, dtype=dtype, **attributes)
    data = inputs[0]
    assert data is not None
    (expected, _) = ort(made, i0=data)
    found = ir.from_proto(made)
    assert fix(found, {}, {}).contradictions == ()
    assert shapes(found) == {"h": expected.shape, "y": expected.shape}


BY_HAND = {
    # 2 + 3 channels; onnxruntime has it for some of its own graphs only
    "QLinearConcat <axis = 1> (scale, zero, x, scale, zero, other, scale, zero)": (1, 5, 8, 9),
    # channels last: 8 rows of 9 columns have 2 channels more
    "QLinearReduceMean <axes = [-1, 2], keepdims = 0> (x, scale, zero, scale, zero)": (1, 2),
    "QLinearReduceMean <axes = [3]> (x, scale, zero, scale, zero)": (1, 2, 8, 1),
    "NhwcConv <strides = [1, 2]> (x, w)": (1, 1, 3, 6),  # (8 − 3) / 2 + 1 columns, rounded down
    "NhwcFusedConv <pads = [1, 1, 0, 0], strides = [2, 2]> (x, w)": (1, 1, 4, 6),
    "BiasDropout (x, bias)": (1, 2, 8, 9),
    "BiasSoftmax <axis = 1, is_inner_broadcast = 0> (x, x)": (1, 2, 8, 9),
}


@pytest.mark.parametrize("node", BY_HAND)
def test_sizes_that_no_processor_runs_are_those_of_the_definition(node: str) -> None:
    graph = f"g (float[1, 2, 8, 9] x) => (float y) {{ h = {MICROSOFT}.{node} y = Identity (h) }}"
    constants = {
        "scale": SCALE, "zero": ZERO, "other": np.ones((1, 3, 8, 9), np.float32),
        "w": np.ones((6, 9, 2, 3), np.float32), "bias": np.ones(9, np.float32),
    }  # fmt: skip
    found = model(graph, domains=[MICROSOFT], **constants)
    fix(found, {}, {})
    assert shapes(found) == {"h": BY_HAND[node], "y": BY_HAND[node]}


def test_open_sizes_pass_through_as_well() -> None:
    found = model(
        f"""
        g (float[N, H, W, 3] x) => (float y) {{
          a = {MICROSOFT}.NhwcConv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w)
          b = {MICROSOFT}.NhwcMaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a)
          c = {MICROSOFT}.QuickGelu (b)
          d = {MICROSOFT}.QLinearGlobalAveragePool <channels_last = 1> (c, scale, zero, scale, zero)
          e = Flatten (d)
          y = {MICROSOFT}.DynamicQuantizeMatMul (e, bytes, scale, zero)
        }}
        """,
        domains=[MICROSOFT],
        w=np.ones((4, 3, 3, 3), np.float32),
        scale=SCALE,
        zero=ZERO,
        bytes=BYTES,
    )
    infer(found)
    assert shapes(found) == {
        "a": ("N", "ceil(H/2)", "ceil(W/2)", 4),
        "b": ("N", "floor((H + 1)/4)", "floor((W + 1)/4)", 4),
        "c": ("N", "floor((H + 1)/4)", "floor((W + 1)/4)", 4),
        "d": ("N", 1, 1, 4),
        "e": ("N", 4),
        "y": ("N", 6),
    }


def test_pooling_to_one_position_does_not_multiply_what_follows() -> None:
    graph = f"""
    g (uint8[1, 4, 7, 7] x) => (uint8[1, 6] y) {{
      p = {MICROSOFT}.QLinearGlobalAveragePool (x, scale, zero, scale, zero)
      f = Flatten (p)
      y = QLinearMatMul (f, scale, zero, bytes, scale, zero, scale, zero)
    }}
    """
    result = analyze(model(graph, domains=[MICROSOFT], scale=SCALE, zero=ZERO, bytes=BYTES))
    assert result.totals.macs == 4 * 6
    assert result.totals.exact


def test_a_rule_says_nothing_where_its_input_has_no_shape() -> None:
    ops = "NhwcConv (x, w)", "DynamicQuantizeMatMul (x, w)", "QuickGelu (x)"
    more = "QLinearGlobalAveragePool (x, w, w, w, w)", "NhwcMaxPool <kernel_shape = [2, 2]> (x)"
    for node in (*ops, *more):
        graph = f"g (float[] x, float[] w) => (float[] y) {{ y = {MICROSOFT}.{node} }}"
        found = model(graph, domains=[MICROSOFT])
        fix(found, {}, {})
        assert shapes(found) == {"y": None}, node


def test_a_table_is_no_list_of_sizes() -> None:
    """Its 65 numbers would be read as as many dimensions, whose product takes its time."""
    text = "g (float[6, 4] x) => (float[] y) { r = Reshape (x, s) y = Neg (r) }"
    made = model(text, s=np.ones((5, 13), np.float32))
    infer(made)
    assert shapes(made) == {"r": None, "y": None}


def test_somebody_elses_inference_still_hears_what_does_not_fit() -> None:
    graph = "g (float[1, 3, 8, 8] x, float[4, 3, 3, 3] w) => (float y) { y = Conv (x, w) }"
    found = model(graph.replace("Conv", "Conv <strides = [1]>"))
    assert fix(found, {}, {}).contradictions
    with pytest.raises(ShapeInferenceError):
        infer_symbolic_shapes(found)


def test_an_operator_that_is_laid_out_otherwise_is_named_when_it_does_not_fit() -> None:
    node = f"{MICROSOFT}.NhwcConv <strides = [1]> (x, w)"
    graph = f"g (float[1, 8, 8, 3] x, float[4, 3, 3, 3] w) => (float[] y) {{ y = {node} }}"
    found = model(graph, domains=[MICROSOFT])
    assert [said.split(":")[0] for said in fix(found, {}, {}).contradictions] == ["y"]
