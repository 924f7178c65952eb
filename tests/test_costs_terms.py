"""Sums of products of shapes: as a number, as a formula and in words."""

from __future__ import annotations

import math

import pytest
from helpers_costs import fact
from hypothesis import given
from hypothesis import strategies as st

from gconvtool import costs
from gconvtool.costs import Factor, Term
from gconvtool.facts import Skip

SIZES = {"N": 3, "H": 10, "W": 7, "floor(H/2) + 1": 6, "ceil(H/4)": 3, "2*W": 14, "T + N": 9}
SHAPES = st.lists(st.sampled_from([*SIZES, 1, 2, 5, 64]), max_size=4).map(tuple)
TERMS = st.lists(st.lists(SHAPES, min_size=1, max_size=3), max_size=4)


def terms(shapes: list[list[tuple[int | str, ...]]]) -> tuple[Term, ...]:
    return tuple(Term(tuple(Factor("output", dims) for dims in term)) for term in shapes)


@given(TERMS)
def test_a_formula_with_sizes_filled_in_is_the_number(shapes: list) -> None:
    numbers = [[tuple(SIZES.get(d, d) for d in dims) for dims in term] for term in shapes]
    text = costs.total_formula(terms(shapes)).replace("·", "*")
    names = {**SIZES, "T": 6, "floor": math.floor, "ceil": math.ceil}
    assert eval(text, {"__builtins__": {}}, names) == costs.count(terms(numbers))


def convolution(batch: object, height: object, width: object) -> costs.Terms:
    node = fact("Conv", None, (64, 128, 3, 3), out=(batch, 64, height, width))
    found = costs.terms(node)
    assert not isinstance(found, Skip)
    return found


@pytest.mark.parametrize(
    ("output", "formula"),
    [
        ((1, 64, 28, 28), "57802752"),
        (("N", 64, 28, 28), "57802752·N"),
        (("N", 64, "H", "W"), "73728·N·H·W"),
        (("N", 1, "H", "W"), "1152·N·H·W"),
        ((1, 1, "floor(H/2) + 1", "ceil(W/2)"), "1152·(floor(H/2) + 1)·ceil(W/2)"),
        ((1, 1, "2*H", "batch size"), "2304·H·(batch size)"),
        ((1, 1, "floor((H + 1)/3)", "floor(H/2)*floor(W/2)"), None),
        (("N", 64, None, "W"), None),
        (None, None),
        ((1, 64, 0, "W"), None),
    ],
    ids=str,
)
def test_open_dimensions_stay_open(output: tuple, formula: str | None) -> None:
    node = fact("Conv", None, (64, 128, 3, 3), out=output)
    if output and "floor((H + 1)/3)" in output:
        formula = "1152·floor((H + 1)/3)·(floor(H/2)*floor(W/2))"
    assert costs.formula(node) == formula


def test_without_an_open_dimension_in_front_no_one_is_written() -> None:
    assert costs.total_formula(terms([[("N", "H")]])) == "N·H"
    assert costs.total_formula(terms([[(1, 1)]])) == "1"


def test_like_terms_of_many_nodes_are_merged_whatever_their_order() -> None:
    parts = terms([[("H", 2)], [("N", "H", 3)], [(7,)], [("H", "N", 5)], [("H",)]])
    assert costs.total_formula(parts) == "8·N·H + 3·H + 7"


def test_a_free_node_has_a_formula_too_and_an_unknown_one_none() -> None:
    assert costs.formula(fact("Relu", ("N", 8), out=("N", 8))) == "0"
    assert costs.formula(fact("NoSuchOperator", ("N", 8))) is None


def test_a_repeated_term_counts_each_trip() -> None:
    (term,) = convolution(1, 2, 2)
    assert costs.count((term.times(10),)) == 10 * 64 * 2 * 2 * 128 * 9
    assert costs.total_formula((term.times("T"),)) == "294912·T"


def test_words_fill_the_numbers_in() -> None:
    node = fact("Conv", (1, 64, 28, 28), (64, 64, 3, 3), out=(1, 64, 28, 28))
    assert costs.explain(node) == (
        "MACs = output 1×64×28×28 · weights of one filter 64×3×3 = 50,176 · 576 = 28,901,376",
    )


def test_words_of_several_products_have_a_line_each_and_a_sum() -> None:
    node = fact("RNN", (5, 2, 3), (1, 4, 3), (1, 4, 4), out=(5, 1, 2, 4))
    assert costs.explain(node) == (
        "input products = steps and batch 5×2 · weights 1×4×3 = 10 · 12 = 120",
        "recurrent products = steps and batch 5×2 · recurrence weights 1×4×4 = 10 · 16 = 160",
        "MACs = 120 + 160 = 280",
    )


def test_words_of_open_dimensions_are_a_formula() -> None:
    node = fact("MatMul", ("N", 3, 4), (4, 5), out=("N", 3, 5))
    assert costs.explain(node) == ("MACs = output N×3×5 · length summed over 4 = 60·N",)


@pytest.mark.parametrize(
    ("op", "shape", "say"),
    [("Relu", (1, 8), "MACs = 0"), ("NoSuch", (1, 8), "no rule"), ("MatMul", None, "not known")],
)
def test_words_say_so_where_there_is_nothing_or_nothing_is_known(
    op: str, shape: tuple | None, say: str
) -> None:
    (line,) = costs.explain(fact(op, shape, shape, out=shape))
    assert say in line


def test_what_is_missing_is_named_with_its_shape() -> None:
    shapes = {"its output has open": ("N", 4), "output is empty": (0, 4), "of its output": None}
    for words, output in shapes.items():
        answer = costs.macs(fact("MatMul", (2, 3), (3, 4), out=output))
        assert isinstance(answer, Skip)
        assert words in answer.reason
