"""A fully connected layer over a map is a convolution over the map, and what is not stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import Numbers, model, ort

from gconvtool.fit.structure import SeparableFactors
from gconvtool.graph import heads, shapes, surgery
from gconvtool.graph.save import serialise
from gconvtool.graph.survey import survey


def network(body: str, data: str = "float[N, 5, 2, 3] x", **settings: Any) -> ir.Model:
    made = model(f"g ({data}) => (float y) {{ {body} }}", **settings)
    shapes.infer(made)
    return made


def numbers(*shape: int, dtype: type = np.float32, seed: int = 0) -> Numbers:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def operators(network: ir.Model) -> list[str]:
    return [node.op_type for node in network.graph]


def converted(made: ir.Model, site: str = "h") -> ir.Model:
    """A copy with its head as a convolution; it still passes the checker."""
    copy = made.clone()
    shapes.infer(copy)
    found = survey(copy).heads
    assert not heads.refusals(copy, found)
    (certificate,) = heads.as_convolution(copy, found[site])
    assert certificate.site == site
    assert certificate.difference <= certificate.bound
    onnx.checker.check_model(onnx.load_model_from_string(serialise(copy.clone(), "m")), True)
    return copy


def same(made: ir.Model, copy: ir.Model, x: Numbers) -> None:
    before, after = ort(made, x=x)[0], ort(copy, x=x)[0]
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


HEADS = {
    "f = Flatten (x) h = Gemm (f, w) y = Relu (h)": (30, 7),
    "f = Flatten (x) h = Gemm <transB = 1> (f, w, b) y = Relu (h)": (7, 30),
    "f = Flatten (x) h = Gemm <alpha = 0.3, beta = 2.5> (f, w, b) y = Relu (h)": (30, 7),
    "f = Flatten (x) h = Gemm <transB = 1, alpha = 3.0> (f, w, row) y = Relu (h)": (7, 30),
    "f = Flatten (x) h = Gemm (f, w, one) y = Relu (h)": (30, 7),
    "f = Flatten (x) h = MatMul (f, w) y = Add (h, b)": (30, 7),
    "f = Reshape (x, sizes) h = MatMul (f, w) y = Relu (h)": (30, 7),
    "f = Reshape (x, sizes) d = Dropout (f) i = Identity (d) h = Gemm (i, w, b) y = Relu (h)": (
        (30, 7)
    ),
}
CONSTANTS = {
    "b": numbers(7, seed=1),
    "row": numbers(1, 7, seed=1),
    "one": numbers(seed=1),
    "sizes": np.array([0, 30]),
}


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(("body", "shape"), HEADS.items())
def test_a_head_is_a_convolution(body: str, shape: tuple[int, int], batch: int) -> None:
    constants = {name: v for name, v in CONSTANTS.items() if f", {name})" in body}
    made = network(body, w=numbers(*shape), **constants)
    copy = converted(made)
    assert operators(copy) == ["Conv", "Flatten", *operators(made)[-1:]]
    assert copy.graph[1].outputs[0].name == "h"
    assert all(value.uses() for value in copy.graph.initializers.values())
    same(made, copy, numbers(batch, 5, 2, 3, seed=2))


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.booleans(), st.data())
@settings(max_examples=20)
def test_in_any_number_of_dimensions(
    axes: int, channels: int, filters: int, transposed: bool, data: st.DataObject
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    inputs = channels * int(np.prod(sizes))
    dims = ", ".join(map(str, (channels, *sizes)))
    body = f"f = Flatten (x) h = Gemm <transB = {int(transposed)}> (f, w, b) y = Neg (h)"
    w = numbers(filters, inputs) if transposed else numbers(inputs, filters)
    made = network(body, f"float[N, {dims}] x", w=w, b=numbers(filters, seed=1))
    if np.prod(sizes) < 2:
        assert not survey(made).heads
    else:
        same(made, converted(made), numbers(3, channels, *sizes, seed=2))


def test_new_weights_take_its_place_under_its_name() -> None:
    made = network(
        "f = Flatten (x) h = Gemm <alpha = 2.0> (f, w, b) y = Neg (h)",
        w=numbers(30, 7),
        b=CONSTANTS["b"],
    )
    copy, site = made.clone(), survey(made).heads["h"]
    weight, bias = heads.weight_and_bias(made, site)
    np.testing.assert_array_equal(weight, 2 * numbers(30, 7).T)
    # all six taps as six branches: branch j has a one at tap j, and mixes by W[:, :, j]
    depthwise = np.broadcast_to(np.eye(6)[:, None], (6, 5, 6))
    factors = SeparableFactors(depthwise, weight.reshape(7, 5, 6).transpose(2, 0, 1), bias)
    heads.replace(copy, site, factors, "sum")
    assert operators(copy) == [*["Conv", "Conv"] * 6, *["Add"] * 5, "Flatten", "Neg"]
    assert copy.graph[-2].outputs[0].name == "h"
    same(made, copy, numbers(3, 5, 2, 3, seed=2))


def test_the_convolution_that_it_has_become_can_be_found() -> None:
    copy = converted(network("f = Flatten (x) h = Gemm (f, w) y = Neg (h)", w=numbers(30, 7)))
    shapes.infer(copy)
    site = survey(copy).sites[heads.convolution_of(copy, "h")]
    assert (site.channels, site.filters, site.kernel) == (5, 7, (2, 3))
    weight, _ = surgery.weight_and_bias(copy, site.name)
    np.testing.assert_array_equal(weight, numbers(30, 7).T)


def test_a_flattened_map_that_others_read_stays_for_them() -> None:
    made = network(
        "f = Flatten (x) h = Gemm (f, w) k = Gemm (f, w) y = Add (h, k)", w=numbers(30, 7)
    )
    copy = converted(made)
    assert sorted(operators(copy)) == ["Add", "Conv", "Flatten", "Flatten", "Gemm"]
    same(made, copy, numbers(2, 5, 2, 3, seed=2))


def test_a_head_that_is_an_output_keeps_its_name() -> None:
    made = network("f = Flatten (x) y = Gemm (f, w)", w=numbers(30, 7))
    copy = converted(made, "y")
    assert [value.name for value in copy.graph.outputs] == ["y"]
    same(made, copy, numbers(2, 5, 2, 3, seed=2))


def test_half_precision_is_rounded_once() -> None:
    made = network("f = Flatten (x) h = Gemm <alpha = 0.3> (f, w) y = Neg (h)",
                   "float16[N, 5, 2, 3] x", w=numbers(30, 7, dtype=np.float16))  # fmt: skip
    copy = made.clone()
    shapes.infer(copy)
    (certificate,) = heads.as_convolution(copy, survey(copy).heads["h"])
    assert 0 < certificate.difference <= certificate.bound == 2.0**-11


@pytest.mark.parametrize("convolves", [True, False])
def test_a_type_is_convolved_where_the_network_does_so_already(convolves: bool) -> None:
    first = "Conv (x, k)" if convolves else "Relu (x)"
    made = model(
        "g (double[N, 5, 2, 3] x) => (double y) "
        f"{{ c = {first} f = Flatten (c) h = Gemm (f, w) y = Neg (h) }}",
        w=numbers(30, 7, dtype=np.float64),
        k=numbers(5, 5, 1, 1, dtype=np.float64),
    )
    shapes.infer(made)
    if convolves:
        assert operators(converted(made)) == ["Conv", "Conv", "Flatten", "Neg"]
    else:
        (reason,) = heads.refusals(made, survey(made).heads).values()
        assert "no convolution of that" in reason.reason


REFUSED = {
    "it transposes": "f = Flatten (x) h = Gemm <transA = 1> (f, w) y = Neg (h)",
    "bias is not constant": "f = Flatten (x) c = Neg (b) h = Gemm (f, w, c) y = Neg (h)",
    "for each sample": "f = Flatten (x) h = Gemm (f, w, each) y = Neg (h)",
    "training mode": "f = Flatten (x) d = Dropout (f, r, t) h = MatMul (d, w) y = Neg (h)",
    "made by ConstantOfShape": "f = Flatten (x) z = Constant <value_ints = [30, 7]> () "
    "v = ConstantOfShape (z) h = MatMul (f, v) y = Neg (h)",
}


@pytest.mark.parametrize(("reason", "body"), REFUSED.items())
def test_what_is_no_convolution_is_refused_with_its_reason(reason: str, body: str) -> None:
    constants = {
        "b": numbers(7),
        "each": numbers(30, 1),
        "r": np.array(0.5, np.float32),
        "t": np.array(True),
    }
    constants = {
        name: v for name, v in constants.items() if f", {name}" in body or f"({name})" in body
    }
    made = network(body, "float[30, 5, 2, 3] x", w=numbers(30, 7), **constants)
    found = survey(made).heads
    assert reason in heads.refusals(made, found)["h"].reason
    assert heads.as_convolution(made, found["h"]) == ()


def test_old_opsets_are_refused() -> None:
    body = "f = Flatten (x) h = Gemm <broadcast = 1> (f, w, b) y = Neg (h)"
    made = network(body, opset=6, ir_version=4, w=numbers(30, 7), b=numbers(7))
    assert "opset 6" in heads.refusals(made, survey(made).heads)["h"].reason
