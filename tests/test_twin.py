"""The twin does the same job in float32 and says so everywhere; the network stays as it is."""

from __future__ import annotations

import re

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import model, ort
from onnx.reference import ReferenceEvaluator

from gconvtool.graph import twin

RNG = np.random.default_rng(0)
W = RNG.standard_normal((4, 3, 3, 3))
X = RNG.standard_normal((2, 3, 5, 5)).astype(np.float32)
BRANCHES = """g (KIND[N, 3, 5, 5] x, bool yes) => (KIND[N, 4, 3, 3] y) {
  c = Conv (x, w)
  y = If (yes) <
    then_branch = a () => (KIND[N, 4, 3, 3] t) {
      two = Constant <value = KIND[1] {TWO}> () t = Mul (c, two) },
    else_branch = b () => (KIND[N, 4, 3, 3] e) {
      f = Cast <to = 1> (c) h = Neg (f) e = Cast <to = NUMBER> (h) }
  > }"""
KINDS = {"bfloat16": ml_dtypes.bfloat16, "double": np.float64}


def branches(kind: str) -> ir.Model:
    number = onnx.TensorProto.DataType.Value(kind.upper())
    two = 0x4000 if kind == "bfloat16" else 2  # in ONNX text, the bits of a bfloat16
    said = {"KIND": kind, "NUMBER": str(number), "TWO": str(two)}
    text = re.sub("|".join(said), lambda word: said[word[0]], BRANCHES)
    return model(text, opset=22, ir_version=10, w=W.astype(KINDS[kind]))


@pytest.mark.parametrize("yes", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_the_same_in_bodies_too(kind: str, yes: bool) -> None:
    network = branches(kind)
    (made,) = ort(twin.runnable(network), x=X, yes=np.array(yes))
    weight = W.astype(KINDS[kind]).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(X.astype(np.float64), (3, 3), (2, 3))
    want = np.einsum("nchwkl,fckl->nfhw", windows, weight) * (2 if yes else -1)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_itself_is_not_touched(kind: str) -> None:
    network = branches(kind)
    before = ir.to_proto(network).SerializeToString(deterministic=True)
    twin.runnable(network)
    assert ir.to_proto(network).SerializeToString(deterministic=True) == before


def test_it_has_the_types_inside_of_functions_and_sequences() -> None:
    network = ir.from_proto(
        onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["": 22, "own": 1]>
        g (bfloat16[2] x) => (bfloat16[2] y) {
          s = SequenceConstruct (x, x) z = Constant <value_int = 0> () a = SequenceAt (s, z)
          y = own.shifted (a) }
        <domain: "own", opset_import: ["": 22]>
        shifted (a) => (b) { k = Constant <value = bfloat16[1] {16448}> () b = Add (a, k) }""")
    )
    (made,) = ort(twin.runnable(network), x=np.array([1, 2], np.float32))
    np.testing.assert_array_equal(made, np.array([4, 5], np.float32))


@pytest.mark.parametrize("kind", ["float16", "float"])
def test_what_onnxruntime_takes_needs_none(kind: str) -> None:
    dtype = {"float16": np.float16, "float": np.float32}[kind]
    text = f"g ({kind}[1, 3, 5, 5] x) => ({kind}[1, 4, 3, 3] y) {{ y = Conv (x, w) }}"
    network = model(text, w=W.astype(dtype))
    assert twin.runnable(network) is network


def test_double_numbers_beside_convolutions_stay_double() -> None:
    text = """g (float[1, 3, 5, 5] x, double[2] u) => (float[1, 4, 3, 3] y, double[2] v) {
      y = Conv (x, w) v = Exp (u) }"""
    network = model(text, w=W.astype(np.float32))
    assert twin.unsupported(network) == ()


def test_weights_in_nodes_show_the_type_where_nothing_else_does() -> None:
    text = """g (double[1, 1, 5, 5] x) => (double[1, 1, 5, 5] y) {
      w = Constant <value = double[1, 1, 1, 1] {2}> () h = Neg (x) y = Conv (h, w) }"""
    assert twin.unsupported(model(text)) == (twin.FLOAT64,)


def test_numbers_of_other_domains_mean_nothing() -> None:
    text = "g (float[4] x) => (float[4] y) { h = own.Slide <to = 16, dtype = 999> (x) y = Neg (h) }"
    assert twin.unsupported(model(text, domains=["own"])) == ()


def test_what_is_too_large_for_float32_is_infinite_as_in_a_cast() -> None:
    big = np.full((1, 3, 1, 1), 1e300)
    network = model("g (double[1, 3, 5, 5] x) => (double[1, 3, 1, 1] y) "
                    "{ p = GlobalAveragePool (x) c = Max (p, low) y = Min (c, big) }",
                    low=np.array(-1e300), big=big)  # fmt: skip
    (made,) = ort(twin.runnable(network), x=np.ones((1, 3, 5, 5), np.float32))
    np.testing.assert_array_equal(made, np.ones((1, 3, 1, 1), np.float32))
    whole = ReferenceEvaluator(ir.to_proto(network)).run(None, {"x": np.ones((1, 3, 5, 5))})
    np.testing.assert_array_equal(made, whole[0])
