"""Einsum, against loops over letters that count what they multiply."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from helpers_costs import fact, ones, ran
from hypothesis import given, settings
from hypothesis import strategies as st
from models import counted

from gconvtool import costs
from gconvtool.facts import Skip

SIZES = dict(zip("abcde", (2, 3, 4, 5, 1), strict=True))


def looped(left: str, right: str, result: str) -> int:
    """Two operands: whatever only one of them has and nobody needs is summed before."""
    left = "".join(letter for letter in left if letter in right + result)
    right = "".join(letter for letter in right if letter in left + result)
    tally, letters = [0], sorted(set(left + right))
    x, y = (
        counted(np.ones([SIZES[letter] for letter in operand]), tally) for operand in (left, right)
    )
    for values in product(*(range(SIZES[letter]) for letter in letters)):
        at = dict(zip(letters, values, strict=True))
        first, second = (tuple(at[letter] for letter in operand) for operand in (left, right))
        np.asarray(x, object)[first] * np.asarray(y, object)[second]
    return tally[0]


@st.composite
def equations(draw: st.DrawFn) -> tuple[str, str, str]:
    """Two operands of up to three letters, which may repeat, and some of them as the output."""
    left, right = (draw(st.text("abcde", min_size=1, max_size=3)) for _ in range(2))
    letters = sorted(set(left + right))
    return left, right, "".join(draw(st.lists(st.sampled_from(letters), unique=True)))


@settings(max_examples=80)
@given(equations())
def test_two_operands_cost_what_loops_multiply(equation: tuple[str, str, str]) -> None:
    left, right, result = equation
    shapes = [tuple(SIZES[letter] for letter in operand) for operand in (left, right)]
    text = f"{left},{right}->{result}"
    node = fact("Einsum", *shapes, out=(), attributes={"equation": text})
    assert np.einsum(text, *map(np.ones, shapes)).shape == tuple(SIZES[x] for x in result)
    assert costs.macs(node) == looped(left, right, result)


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        pytest.param("ij,jk", [(3, 4), (4, 5)], 3 * 4 * 5, id="output not written"),
        pytest.param("i j , j k -> i k", [(3, 4), (4, 5)], 3 * 4 * 5, id="spaces"),
        pytest.param("...ij,...jk->...ik", [(2, 7, 3, 4), (1, 7, 4, 5)], 2 * 7 * 60, id="ellipsis"),
        pytest.param("...ij,jk", [(2, 7, 3, 4), (4, 5)], 2 * 7 * 60, id="ellipsis kept unwritten"),
        pytest.param("...ij,...jk->...ik", [(1, 3, 4), (6, 4, 5)], 6 * 60, id="broadcast"),
        pytest.param("...ij,...jk->...ik", [(3, 4), (4, 5)], 60, id="empty ellipsis"),
        pytest.param("ij->ji", [(3, 4)], 0, id="transpose"),
        pytest.param("ij->", [(3, 4)], 0, id="sum"),
        pytest.param("ii->i", [(3, 3)], 0, id="diagonal"),
        pytest.param("i,j->ij", [(3,), (4,)], 12, id="outer product"),
        pytest.param("ij,ij->ij", [(3, 4), (3, 4)], 12, id="product without a sum"),
        pytest.param("ii,ij->j", [(3, 3), (3, 4)], 12, id="diagonal and a matrix"),
        pytest.param("i,i->", [(3,), (3,)], 3, id="vectors"),
        # (3×4 · 4×5) · 5×6
        pytest.param("ij,jk,kl->il", [(3, 4), (4, 5), (5, 6)], 60 + 90, id="chain"),
        # k is needed by the third, i by nobody after the first product
        pytest.param("ij,jk,k->", [(3, 4), (4, 5), (5,)], 4 * 5 + 5, id="summed early"),
    ],
)
def test_special_equations(equation: str, shapes: list, expected: int) -> None:
    node = ran("Einsum", *(ones(*shape) for shape in shapes), equation=equation)
    assert node.outputs[0] == np.einsum(equation, *map(np.ones, shapes)).shape
    assert costs.macs(node) == expected


def test_a_chain_costs_the_matrix_products_that_it_is() -> None:
    chain = fact("Einsum", (3, 4), (4, 5), (5, 6), attributes={"equation": "ij,jk,kl->il"})
    first = fact("MatMul", (3, 4), (4, 5), out=(3, 5))
    second = fact("MatMul", (3, 5), (5, 6), out=(3, 6))
    assert costs.macs(chain) == costs.macs(first) + costs.macs(second)
    assert prod((3, 4, 5)) == costs.macs(first)


def test_open_sizes_stay_open_and_either_operand_may_know_them() -> None:
    def formula(*shapes: tuple) -> str | None:
        return costs.formula(fact("Einsum", *shapes, attributes={"equation": "bij,bjk->bik"}))

    assert formula(("N", 3, 4), ("N", 4, 5)) == "60·N"
    assert formula((2, 3, None), (2, 4, 5)) == "120"
    assert formula((2, 3, None), (2, None, 5)) is None


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [("ij,jk->ik", [(3, 4)]), ("ij,jk->ik", [(3, 4), (4,)]), ("...ij,jk", [None, (4, 5)])],
)
def test_what_does_not_fit_its_equation_is_unknown(equation: str, shapes: list) -> None:
    assert isinstance(costs.macs(fact("Einsum", *shapes, attributes={"equation": equation})), Skip)
