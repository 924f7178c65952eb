"""Everything with a convolution in it that ships with onnx, against loops over the definition.

Its test cases come with the arrays that go in and come out, so that shapes are known without
inferring any; those of whole architectures are onnxruntime's. An operator that ONNX defines as a
function costs what the operators of its definition cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import Numbers, convolve, ort, spread
from wheel import ARCHITECTURES, WEIGHT, Arrays, cases, collected

from gconvtool import analyze

MOST = 100_000
"""Multiplications that are worth doing one by one."""
CASES = cases(WEIGHT)


def _settings(node: onnx.NodeProto) -> dict[str, Any]:
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def _same_pads(
    mode: bytes, sizes: Sequence[int], made: Sequence[int], reach: Sequence[int], s: Sequence[int]
) -> list[int]:
    """What SAME adds on both sides, more at the end (UPPER) or at the begin (LOWER)."""
    lack = [
        max(0, (o - 1) * step + r - n) for n, o, r, step in zip(sizes, made, reach, s, strict=True)
    ]
    small, large = [n // 2 for n in lack], [n - n // 2 for n in lack]
    return [*small, *large] if mode == b"SAME_UPPER" else [*large, *small]


def _multiplied(node: onnx.NodeProto, fed: Arrays, made: Arrays) -> tuple[Numbers, int]:
    """The convolution done by its definition, and how often it multiplied."""
    names = dict(zip(node.input, fed, strict=False))
    x, w = (names[node.input[at]].astype(np.float64) for at in (0, WEIGHT[node.op_type]))
    said, axes = _settings(node), w.ndim - 2
    groups, ones = said.get("group", 1), [1] * axes
    strides, dilations = said.get("strides", ones), said.get("dilations", ones)
    if node.op_type == "ConvTranspose":
        return spread(x, w, groups, strides, dilations, [0] * 2 * axes)
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:], strict=True)]
    pads, mode = said.get("pads", [0] * 2 * axes), said.get("auto_pad", b"NOTSET")
    if mode.startswith(b"SAME"):
        pads = _same_pads(mode, x.shape[2:], made[0].shape[2:], reach, strides)
    if node.op_type == "CausalConvWithState":
        groups, pads = len(w), [w.shape[2] - 1, 0]  # channel by channel, over what came before
    return convolve(x, w, groups, strides, dilations, pads)


def test_onnx_still_ships_its_convolutions() -> None:
    shipped = {found[1].graph.node[0].op_type for found in CASES}
    assert shipped >= WEIGHT.keys() - {"CausalConvWithState"}  # which came with opset 27
    assert len(CASES) > 40


@pytest.mark.parametrize(
    ("model", "fed", "made"), [pytest.param(*found, id=name) for name, *found in CASES]
)
def test_a_convolution_costs_what_its_definition_multiplies(
    model: onnx.ModelProto, fed: Arrays, made: Arrays
) -> None:
    (node,) = model.graph.node
    if made[0].size * fed[WEIGHT[node.op_type]][0].size > MOST:
        pytest.skip("multiplying that often takes too long; test_oracle.py counts it by sizes")
    outcome, multiplied = _multiplied(node, fed, made)
    if node.op_type == "Conv" and len(node.input) == 2:
        np.testing.assert_allclose(outcome, made[0], rtol=1e-4, atol=1e-5)  # it was that one
    result = analyze(ir.from_proto(model))
    assert result.totals.exact
    assert result.totals.macs == multiplied > 0
    (row,) = result.layers
    assert row.output_shape == made[0].shape


EXPANDED = sorted(
    name
    for name, (_, model, *_) in collected().items()
    if model.graph.node[0].op_type in {"Attention", "CausalConvWithState"}
    and f"{name}_expanded" in collected()
)


@pytest.mark.skipif(not EXPANDED, reason="this onnx has no such operators yet")
@pytest.mark.parametrize("name", EXPANDED)
def test_an_operator_costs_what_its_definition_as_a_function_costs(name: str) -> None:
    whole, parts = (
        analyze(ir.from_proto(collected()[key][1])) for key in (name, f"{name}_expanded")
    )
    assert whole.totals.exact
    assert whole.totals.macs > 0
    if parts.totals.exact:
        assert whole.totals.macs == parts.totals.macs


def test_most_of_those_definitions_can_be_counted_themselves() -> None:
    exact = [
        analyze(ir.from_proto(collected()[f"{name}_expanded"][1])).totals.exact for name in EXPANDED
    ]
    assert sum(exact) >= len(exact) / 2


LENGTHS = {"Conv": slice(1, None), "Gemm": slice(1, None), "MatMul": slice(0, 1)}
"""Which dimensions of its weights an output of the operator sums over (Gemm with transB = 1)."""


@pytest.mark.slow
@pytest.mark.parametrize("path", ARCHITECTURES, ids=lambda path: path.stem)
def test_an_architecture_costs_what_the_shapes_of_its_run_say(path: Path) -> None:
    model = onnx.load(path)
    nodes = [node for node in model.graph.node if node.op_type in LENGTHS]
    assert all(_settings(node).get("transB", 0) == 1 for node in nodes if node.op_type == "Gemm")
    made = _values(model, [name for node in nodes for name in (node.output[0], node.input[1])])
    macs = {
        node.output[0]: prod(made[node.output[0]])
        * prod(made[node.input[1]][LENGTHS[node.op_type]])
        for node in nodes
    }
    result = analyze(path)
    assert result.totals.exact
    assert {row.name: row.macs for row in result.layers if row.macs} == macs
    shapes = {row.name: row.output_shape for row in result.layers if row.macs}
    assert shapes == {name: made[name] for name in macs}


def _values(model: onnx.ModelProto, names: list[str]) -> dict[str, tuple[int, ...]]:
    """The shapes that values have when the model runs."""
    held = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    names = sorted({name for name in names if name not in held})
    feeds = {
        value.name: np.zeros([dim.dim_value for dim in value.type.tensor_type.shape.dim], "f4")
        for value in model.graph.input
        if value.name not in held
    }
    model.graph.ClearField("output")
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    made = {name: array.shape for name, array in zip(names, ort(model, **feeds), strict=True)}
    return {**held, **made}
