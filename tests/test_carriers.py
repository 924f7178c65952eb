"""Constants behind other operators are what onnxruntime makes of them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import model, ort

from gconvtool.graph.carriers import carried, is_constant

W = np.random.default_rng(0).standard_normal((4, 3, 2)).astype(np.float32)
HUGE = np.array([1e6, -70000.0, 65519.9, 1e-8, 3.14159], np.float32)


def behind(body: str, opset: int = 17, **constants: np.ndarray) -> ir.Model:
    """A model that hands out `v`."""
    text = f"g (float[1] x) => (y) {{ {body} y = Identity (v) }}"
    return model(text, opset=opset, **constants)


def value(network: ir.Model) -> ir.Value:
    return ir.convenience.create_value_mapping(network.graph)["v"]


def assert_as_onnxruntime(network: ir.Model) -> None:
    found = carried(value(network))
    (expected,) = ort(network, x=np.zeros(1, np.float32))
    assert found is not None
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("body", "opset"),
    [
        ("v = Identity (w)", 17),
        ("v = Transpose (w)", 17),
        ("v = Transpose <perm = [1, 2, 0]> (w)", 17),
        ("s = Constant <value_ints = [0, -1]> () v = Reshape (w, s)", 17),
        ("s = Constant <value_ints = [2, 0, 4]> () v = Reshape (w, s)", 17),
        ("s = Constant <value_ints = [24]> () v = Reshape <allowzero = 1> (w, s)", 17),
        ("a = Constant <value_ints = [0, -1]> () v = Unsqueeze (w, a)", 17),
        ("v = Unsqueeze <axes = [1, 3]> (w)", 11),
        ("a = Unsqueeze <axes = [1, 3]> (w) v = Squeeze <axes = [3]> (a)", 11),
        ("b = Constant <value_ints = [2]> () a = Unsqueeze (w, b) v = Squeeze (a)", 17),
        ("v = Cast <to = 11> (w)", 17),
        ("a = Cast <to = 10> (w) b = Transpose (a) v = Cast <to = 1> (b)", 17),
        ("c = Constant <value = float[2] {1.5, -2.5}> () v = Identity (c)", 17),
        ("c = Constant <value_ints = [7, -300]> () v = Cast <to = 3> (c)", 17),
    ],
)
def test_each_carrier_does_what_it_does_in_onnxruntime(body: str, opset: int) -> None:
    constants = {"w": W} if "(w" in body else {}
    assert_as_onnxruntime(behind(body, opset, **constants))


@pytest.mark.parametrize("to", [10, 11, 16])
def test_casts_round_and_overflow_alike(to: int) -> None:
    network = behind(f"a = Cast <to = {to}> (w) v = Cast <to = 1> (a)", w=HUGE)
    assert_as_onnxruntime(network)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.permutations(range(3)), min_size=1, max_size=4))
def test_chains_of_any_length_are_followed(orders: list[list[int]]) -> None:
    names = ["w", *(f"t{i}" for i in range(1, len(orders))), "v"]
    body = " ".join(
        f"{made} = Transpose <perm = {list(order)}> ({read})"
        for order, read, made in zip(orders, names[:-1], names[1:], strict=True)
    )
    expected = W
    for order in orders:
        expected = np.moveaxis(expected, order, range(3))
    np.testing.assert_array_equal(carried(value(behind(body, w=W))), expected)


@pytest.mark.parametrize(
    "body",
    [
        "v = Identity (x)",
        "v = Relu (w)",
        "a = Shape (x) v = Reshape (w, a)",
        "s = Constant <value_float = 0.1> () z = Cast <to = 3> (s) v = DequantizeLinear (z, s)",
        "v = Cast <to = 8> (w)",
        "v = my.Identity (w)",
        "s = Constant <value_ints = [2]> () v = ConstantOfShape (s)",
    ],
)
def test_what_is_computed_fed_quantised_or_foreign_is_no_constant(body: str) -> None:
    constants = {"w": W} if "(w" in body else {}
    network = model(
        f"g (float[1] x) => (y) {{ {body} y = Identity (v) }}", domains=["my"], **constants
    )
    assert not is_constant(value(network))
    assert carried(value(network)) is None


def test_what_a_caller_may_feed_is_no_constant() -> None:
    network = model("g (float[4, 3, 2] w) => (y) { v = Transpose (w) y = Identity (v) }", w=W)
    assert not is_constant(value(network))
