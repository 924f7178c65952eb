"""A formula gives the counted number at every size, and is None where there is no formula."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import model

from gconvtool import formulas
from gconvtool.facts import Body, NodeFact, Survey
from gconvtool.pipeline.analyze import analyze

W = np.ones((8, 4, 3, 3), np.float32)
V = np.ones((8, 8, 3, 3), np.float32)
M = np.ones((8, 10), np.float32)
NETWORK = """
g (float[N, 4, H, W] x) => (float[N, 10] y) {
  a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w)
  b = MaxPool <kernel_shape = [3, 2], strides = [3, 2], ceil_mode = 1> (a)
  c = Conv <auto_pad = "SAME_UPPER", strides = [2, 3]> (b, v)
  d = ConvTranspose <strides = [2, 2], output_padding = [1, 0]> (c, v)
  e = Add (d, d) f = GlobalAveragePool (e) h = Flatten (f) y = MatMul (h, m)
}
"""


def value(formula: str | None, **sizes: int) -> int:
    """A formula as a reader would work it out."""
    assert formula is not None
    words = {"floor": floor, "ceil": ceil, **sizes}
    return int(eval(formula.replace("·", "*"), {"__builtins__": {}}, words))


@settings(max_examples=25)
@given(n=st.integers(1, 4), h=st.integers(20, 99), w=st.integers(20, 99))
def test_formulas_give_the_numbers_at_any_size(n: int, h: int, w: int) -> None:
    network = model(NETWORK, w=W, v=V, m=M)
    result = analyze(network, dims={"N": n, "H": h, "W": w})
    assert value(result.macs_formula, N=n, H=h, W=w) == result.totals.macs
    for layer in result.layers:
        if layer.macs_formula is not None:
            assert value(layer.macs_formula, N=n, H=h, W=w) == layer.macs, layer.name


def test_a_fixed_network_has_no_formula() -> None:
    graph = "g (float[1, 4, 8, 8] x) => (float[1, 8, 6, 6] y) { y = Conv (x, w) }"
    result = analyze(model(graph, w=W))
    assert result.macs_formula is None
    assert result.layers[0].macs_formula is None


def node(name: str, *inside: Body, op: str = "MatMul", dim: Any = "N") -> NodeFact:
    """5 times N products; with bodies, what holds them."""
    if inside:
        return NodeFact(name, op, "", (), (), {}, bodies=inside)
    return NodeFact(name, "MatMul", "", ((dim, 5), (5, 1)), ((dim, 1),), {})


def test_like_terms_are_merged_and_others_stay_apart() -> None:
    survey = Survey((node("a"), node("b", dim=7), node("c"), node("d", dim="M")), {})
    assert formulas.of_whole(survey) == "10·N + 5·M + 35"
    assert formulas.of_nodes(survey) == {"a": "5·N", "b": "35", "c": "5·N", "d": "5·M"}


@pytest.mark.parametrize("dim", [None])
def test_a_dimension_without_a_name_leaves_no_formula(dim: None) -> None:
    survey = Survey((node("a"), node("b", dim=dim)), {})
    assert formulas.of_whole(survey) is None
    assert formulas.of_nodes(survey) == {"a": "5·N", "b": None}


def test_trips_multiply_all_the_way_down() -> None:
    inner = node("l/k", Body("body", (node("l/k/a"),), 3), op="Loop")
    survey = Survey((node("l", Body("body", (inner, node("l/b")), 4), op="Loop"),), {})
    assert formulas.of_whole(survey) == f"{4 * (3 * 5 + 5)}·N"
    assert formulas.of_nodes(survey)["l/k"] == "15·N"


def test_no_trips_cost_nothing_and_unknown_ones_have_no_formula() -> None:
    none = node("l", Body("body", (node("l/a"),), 0), op="Loop")
    unknown = node("m", Body("body", (node("m/a"),), None, "data"), op="Loop")
    free = node("f", Body("body", (), None, "data"), op="Loop")
    assert formulas.of_whole(Survey((none, free), {})) == "0"
    assert formulas.of_whole(Survey((none, unknown), {})) is None
    assert formulas.of_nodes(Survey((unknown,), {}))["m/a"] == "5·N"


def test_which_branch_costs_more_is_open() -> None:
    bodies = Body("then", (node("i/a"),)), Body("else", (node("i/b", dim="M"),))
    assert formulas.of_whole(Survey((node("i", *bodies, op="If"),), {})) is None
    assert formulas.of_whole(Survey((node("i", Body("then", ()), op="If"),), {})) == "0"
