"""Roundings in roundings become one, and mean the same at every size."""

from __future__ import annotations

from math import ceil, floor
from typing import Any, TypeAlias

import onnx_ir as ir
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gconvtool.graph.dims import LARGEST_EXPRESSION, Reader, canonical, is_compound

Step: TypeAlias = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(-6, 6)),
        st.tuples(st.just("times"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["down", "up"]), st.integers(1, 5)),
    ),
    min_size=1,
    max_size=8,
)
SIZES = st.lists(st.integers(1, 300), min_size=5, max_size=5)
WORDS = {"floor": floor, "ceil": ceil, "Max": max, "Min": min, "max": max, "min": min}


def symbolic(steps: list[Step], start: int | ir.SymbolicDim) -> int | ir.SymbolicDim:
    """What shape inference computes with: sizes as symbols."""
    size: Any = start
    for what, number in steps:
        if what == "add":
            size = size + number
        elif what == "times":
            size = size * number
        else:
            size = size // number if what == "down" else ceil(size / number)
    return size


def plain(steps: list[Step], size: int) -> int:
    """The same in whole numbers, rounding with remainders."""
    for what, number in steps:
        if what == "add":
            size += number
        elif what == "times":
            size *= number
        else:
            size = (size - size % number if what == "down" else size + -size % number) // number
    return size


def value(text: Any, **sizes: int) -> int:
    """An expression as a reader would work it out."""
    return eval(str(text), {"__builtins__": {}}, {**WORDS, **sizes})  # noqa: S307  our own output


@given(steps=STEPS, sizes=SIZES)
def test_an_expression_means_what_was_computed(steps: list[Step], sizes: list[int]) -> None:
    read = Reader({"H": "H"}).dim(symbolic(steps, ir.SymbolicDim("H")))
    for size in sizes:
        assert value(read, H=size) == plain(steps, size)


@given(steps=STEPS, more=STEPS, sizes=SIZES)
def test_expressions_in_two_names_mean_what_was_computed(
    steps: list[Step], more: list[Step], sizes: list[int]
) -> None:
    both: Any = symbolic(steps, ir.SymbolicDim("H")) * symbolic(more, ir.SymbolicDim("W"))
    read = Reader({"H": "H", "W": "W"}).dim((both + 3) // 2)
    for h, w in zip(sizes, sizes[1:], strict=False):
        assert value(read, H=h, W=w) == (plain(steps, h) * plain(more, w) + 3) // 2


@given(steps=STEPS, sizes=SIZES)
def test_a_canonical_size_is_the_same_size_and_stays_as_it_is(
    steps: list[Step], sizes: list[int]
) -> None:
    short = canonical(symbolic(steps, ir.SymbolicDim("H")))
    assert canonical(short) == short
    for size in sizes:
        found = short if isinstance(short, int) else short.evaluate({"H": size})
        assert found == plain(steps, size)


@given(steps=STEPS, more=STEPS)
def test_going_on_from_a_canonical_size_leads_to_the_same_form(
    steps: list[Step], more: list[Step]
) -> None:
    long = symbolic(steps, ir.SymbolicDim("H"))
    assume(not isinstance(long, int))
    assert canonical(symbolic(more, canonical(long))) == canonical(symbolic(more, long))
