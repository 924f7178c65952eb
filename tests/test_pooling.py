"""Global average pooling and global depthwise convolution are each other, and nothing else is."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import Numbers, model, ort

from gconvtool.graph import pooling, shapes
from gconvtool.graph.save import serialise


def network(graph: str, **settings: object) -> ir.Model:
    made = model(graph, **settings)
    shapes.infer(made)
    return made


def operators(network: ir.Model) -> list[str]:
    return [node.op_type for node in network.graph]


def inputs(*shape: int, dtype: type = np.float32, seed: int = 1) -> Numbers:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check(network: ir.Model) -> None:
    onnx.checker.check_model(onnx.load_model_from_string(serialise(network.clone(), "m")), True)


AVERAGES = {
    # what averages maps of 4×6: what it becomes
    "y = GlobalAveragePool (x)": ["Conv"],
    "y = AveragePool <kernel_shape = [4, 6], strides = [3, 3]> (x)": ["Conv"],
    'y = AveragePool <kernel_shape = [4, 6], auto_pad = "VALID", ceil_mode = 1> (x)': ["Conv"],
    "y = ReduceMean <axes = [2, 3]> (x)": ["Conv"],
    "y = ReduceMean <axes = [-1, -2], keepdims = 0> (x)": ["Conv", "Flatten"],
    "p = GlobalAveragePool (x) y = Flatten (p)": ["Conv", "Flatten"],
    "p = GlobalAveragePool (x) y = Squeeze (p, axes)": ["Conv", "Squeeze"],
    "p = GlobalAveragePool (x) y = Reshape (p, sizes)": ["Conv", "Reshape"],
}


@pytest.mark.parametrize(("body", "becomes"), AVERAGES.items())
def test_an_average_over_maps_becomes_a_convolution(body: str, becomes: list[str]) -> None:
    constants = {"axes": np.array([2, 3]), "sizes": np.array([0, -1])}
    constants = {name: numbers for name, numbers in constants.items() if f", {name})" in body}
    made = network(f"g (float[N, 5, 4, 6] x) => (float y) {{ {body} }}", **constants)
    x = inputs(3, 5, 4, 6)
    before = ort(made, x=x)[0]
    (certificate,) = pooling.gap_to_gdc(made)
    assert operators(made) == becomes
    assert certificate.site == ("p" if body.startswith("p") else "y")
    assert 0 < certificate.difference <= certificate.bound == 2.0**-24
    after = ort(made, x=x)[0]
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)
    assert made.graph.outputs[0].name == "y"
    assert not pooling.kept_averages(made)


def test_axes_may_be_an_input() -> None:
    graph = "g (float[N, 5, 4, 6] x) => (float y) { y = ReduceMean <keepdims = 0> (x, a) }"
    made = network(graph, opset=18, a=np.array([-1, 2]))
    x = inputs(2, 5, 4, 6)
    assert len(pooling.gap_to_gdc(made)) == 1
    np.testing.assert_allclose(ort(made, x=x)[0], x.mean((2, 3)), rtol=1e-5, atol=1e-6)
    assert "a" not in made.graph.initializers


@given(st.integers(1, 3), st.data())
@settings(max_examples=15)
def test_there_and_back_in_any_number_of_dimensions(axes: int, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 7), min_size=axes, max_size=axes))
    dims = ", ".join(map(str, sizes))
    made = network(f"g (float[N, 3, {dims}] x) => (float y) {{ y = GlobalAveragePool (x) }}")
    certificates = pooling.gap_to_gdc(made)
    assert len(certificates) == (np.prod(sizes) > 1)
    x = inputs(2, 3, *sizes)
    mean = x.mean(tuple(range(2, 2 + axes)), keepdims=True)
    np.testing.assert_allclose(ort(made, x=x)[0], mean, rtol=1e-4, atol=1e-6)
    shapes.infer(made)
    back = pooling.gdc_to_gap(made)
    assert len(back) == len(certificates)
    assert all(c.difference <= c.bound for c in back)
    assert operators(made) == ["GlobalAveragePool"]
    assert not made.graph.initializers


NO_AVERAGES = [
    "y = AveragePool <kernel_shape = [4, 5]> (x)",
    "y = AveragePool <kernel_shape = [4, 6], pads = [0, 1, 0, 0]> (x)",
    "y = ReduceMean <axes = [1, 2, 3]> (x)",
    "y = ReduceMean <axes = [3]> (x)",
    "y = ReduceMean (x)",
    "y = GlobalMaxPool (x)",
]


@pytest.mark.parametrize("body", NO_AVERAGES)
def test_other_reductions_stay_and_are_no_refusals(body: str) -> None:
    made = network(f"g (float[N, 5, 4, 6] x) => (float y) {{ {body} }}")
    assert pooling.gap_to_gdc(made) == ()
    assert not pooling.kept_averages(made)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("float[N, 5, H, 6]", "not known"),
        ("float[N, C, 4, 6]", "not known"),
        ("float[N, 5, 1, 1]", "nothing to average"),
        ("double[N, 5, 4, 6]", "DOUBLE"),
        ("float16[N, 5, 500, 500]", "too small for float16"),
    ],
)
def test_an_average_that_cannot_be_a_convolution_says_why(kind: str, reason: str) -> None:
    made = network(f"g ({kind} x) => (float y) {{ y = GlobalAveragePool (x) }}")
    assert pooling.gap_to_gdc(made) == ()
    assert operators(made) == ["GlobalAveragePool"]
    assert reason in pooling.kept_averages(made)["y"].reason


@pytest.mark.parametrize("kind", ["bfloat16", "double"])
def test_a_network_that_convolves_a_type_may_do_so_once_more(kind: str) -> None:
    dtype = ir.DataType.BFLOAT16 if kind == "bfloat16" else ir.DataType.DOUBLE
    made = network(
        f"g ({kind}[N, 5, 4, 6] x) => ({kind} y) {{ h = Conv (x, w) y = GlobalAveragePool (h) }}",
        w=np.ones((5, 5, 1, 1), dtype.numpy()),
    )
    (certificate,) = pooling.gap_to_gdc(made)
    assert certificate.difference <= certificate.bound
    assert operators(made) == ["Conv", "Conv"]
    weight = made.graph.node(1).inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    assert weight.dtype == dtype
    numbers = weight.const_value.numpy().astype(np.float64)
    np.testing.assert_allclose(numbers, 1 / 24, rtol=2.0**-8 if kind == "bfloat16" else 1e-16)


GDC = "g (float[N, 4, 3, 5] x) => (float y) { y = Conv <group = 4> (INPUTS) }"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("spread", "becomes"),
    [(True, ["Mul", "GlobalAveragePool"]), (False, ["GlobalAveragePool", "Mul"])],
)
def test_a_global_convolution_becomes_a_product_and_an_average(
    bias: bool, spread: bool, becomes: list[str]
) -> None:
    w = inputs(4, 1, 3, 5, seed=2) if spread else inputs(4, 1, 1, 1).repeat(3, 2).repeat(5, 3)
    constants = {"w": w, "b": inputs(4, seed=3)} if bias else {"w": w}
    made = network(GDC.replace("INPUTS", ", ".join(["x", *constants])), **constants)
    x = inputs(2, 4, 3, 5, seed=4)
    # by hand: Σ x·w over a channel's map
    expected = (x * w[:, 0]).sum((2, 3), keepdims=True)
    expected += constants["b"].reshape(4, 1, 1) if bias else 0
    (certificate,) = pooling.gdc_to_gap(made)
    assert operators(made) == [*becomes, *["Add"] * bias]
    assert certificate.difference <= certificate.bound <= 2.0**-24
    check(made)
    np.testing.assert_allclose(ort(made, x=x)[0], expected, rtol=1e-4, atol=1e-5)
    assert all(value.uses() for value in made.graph.initializers.values())


def test_the_plain_average_is_only_for_those_who_ask_and_says_what_is_lost() -> None:
    w = np.zeros((4, 1, 3, 5), np.float32)
    w[:] = np.arange(15).reshape(3, 5)  # mean 7, so Σ(w − 7)² = 280 of Σw² = 1015
    made = network(GDC.replace("INPUTS", "x, w"), w=w)
    x = inputs(2, 4, 3, 5)
    (lost,) = pooling.gdc_to_average(made).values()
    assert lost == pytest.approx(280 / 1015)
    assert operators(made) == ["GlobalAveragePool", "Mul"]
    expected = x.mean((2, 3), keepdims=True) * 105
    np.testing.assert_allclose(ort(made, x=x)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [("group = 4", (8, 1, 3, 5)), ("group = 4", (4, 1, 3, 4)), ("group = 2", (4, 2, 3, 5))],
)
def test_other_convolutions_stay(attributes: str, shape: tuple[int, ...]) -> None:
    made = network(GDC.replace("group = 4", attributes).replace("INPUTS", "x, w"), w=inputs(*shape))
    assert pooling.gdc_to_gap(made) == ()
    assert not pooling.kept_convolutions(made)


def test_factors_that_overflow_are_refused() -> None:
    graph = GDC.replace("float[N", "float16[N").replace("INPUTS", "x, w")
    made = network(graph, w=np.full((4, 1, 3, 5), 6e4, np.float16))  # 15·60,000 > 65,504
    assert pooling.gdc_to_gap(made) == ()
    assert "too large for float16" in pooling.kept_convolutions(made)["y"].reason


def test_old_opsets_are_refused() -> None:
    made = network(GDC.replace("INPUTS", "x, w"), opset=6, ir_version=4, w=inputs(4, 1, 3, 5))
    assert pooling.gdc_to_gap(made) == ()
    assert pooling.gdc_to_average(made) == {}
    assert "opset 6" in pooling.kept_convolutions(made)["y"].reason


def test_weights_that_are_fed_are_refused() -> None:
    graph = GDC.replace("x) =>", "x, float[4, 1, 3, 5] w) =>").replace("INPUTS", "x, w")
    made = network(graph)
    assert pooling.gdc_to_gap(made) == ()
    assert "not plain constants" in pooling.kept_convolutions(made)["y"].reason


def test_a_bias_of_another_size_is_refused() -> None:
    weight, bias = inputs(4, 1, 3, 5), inputs(3)
    made = network(GDC.replace("INPUTS", "x, w, b"), w=weight, b=bias)
    assert pooling.gdc_to_gap(made) == ()
    assert "bias of 3" in pooling.kept_convolutions(made)["y"].reason
