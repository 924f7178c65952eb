"""Roundings in roundings become one, and mean the same at every size."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, floor
from typing import Any, TypeAlias

import onnx_ir as ir
import pytest
import sympy
from hypothesis import strategies as st
from often import often

from gconvtool.graph.dims import LARGEST_EXPRESSION, Reader, canonical, is_compound

Step: TypeAlias = tuple[str, int]
ROUNDING = st.one_of(
    st.tuples(st.just("add"), st.integers(-6, 6)),
    st.tuples(st.just("times"), st.integers(1, 3)),
    st.tuples(st.sampled_from(["down", "up"]), st.integers(1, 5)),
)
LEAST = st.tuples(st.just("least"), st.integers(1, 60))
ROUNDINGS = st.lists(ROUNDING, min_size=1, max_size=8)
STEPS = st.lists(st.one_of(ROUNDING, ROUNDING, LEAST), min_size=1, max_size=8)
SIZES = st.lists(st.integers(1, 300), min_size=5, max_size=5)
WORDS = {"floor": floor, "ceil": ceil, "Max": max, "Min": min, "max": max, "min": min}


def symbolic(steps: list[Step], size: Any) -> Any:
    """What shape inference computes with: sizes as symbols."""
    for what, number in steps:
        if what == "add":
            size = size + number
        elif what == "times":
            size = size * number
        elif what == "least":
            least = sympy.Min(getattr(size, "_expr", size), number)
            size = int(least) if least.is_Integer else ir.SymbolicDim(least)
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
        elif what == "least":
            size = min(size, number)
        else:
            size = (size - size % number if what == "down" else size + -size % number) // number
    return size


def value(text: Any, **sizes: int) -> int:
    """An expression as a reader would work it out."""
    return int(eval(str(text), {"__builtins__": {}}, {**WORDS, **sizes}))


@often(25, 100, steps=STEPS, sizes=SIZES)
def test_an_expression_means_what_was_computed(steps: list[Step], sizes: list[int]) -> None:
    read = Reader({"H": "H"}).dim(symbolic(steps, ir.SymbolicDim("H")))
    for size in sizes:
        assert value(read, H=size) == plain(steps, size)


@often(10, 100, steps=STEPS, more=STEPS, sizes=SIZES)
def test_expressions_in_two_names_mean_what_was_computed(
    steps: list[Step], more: list[Step], sizes: list[int]
) -> None:
    one, other = symbolic(steps, ir.SymbolicDim("H")), symbolic(more, ir.SymbolicDim("W"))
    both = one * other - other
    for h, w in pairwise(sizes):
        expected = plain(steps, h) * plain(more, w) - plain(more, w)
        for size in (both, canonical(both)):
            assert value(Reader({"H": "H", "W": "W"}).dim(size), H=h, W=w) == expected


@often(25, 100, steps=STEPS, sizes=SIZES)
def test_a_canonical_size_is_the_same_size_and_stays_as_it_is(
    steps: list[Step], sizes: list[int]
) -> None:
    short = canonical(symbolic(steps, ir.SymbolicDim("H")))
    assert canonical(short) == short
    for size in sizes:
        found = short if isinstance(short, int) else short.evaluate({"H": size})
        assert found == plain(steps, size)


@often(25, 100, steps=ROUNDINGS, more=ROUNDINGS)
def test_equal_sizes_look_equal_whenever_they_are_shortened(
    steps: list[Step], more: list[Step]
) -> None:
    long = symbolic(steps, ir.SymbolicDim("H"))
    assert canonical(symbolic(more, canonical(long))) == canonical(symbolic(more, long))


def test_five_strides_are_one_rounding() -> None:
    size: Any = ir.SymbolicDim("H")
    for _ in range(5):
        size = (size + 2 - 3) // 2 + 1  # a 3×3 convolution padded by 1
    assert Reader({"H": "height"}).dim(size) == "ceil(height/32)"


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([("down", 2)], "floor(H/2)"),
        ([("add", -3), ("down", 2), ("add", 1)], "ceil(H/2) - 1"),
        ([("times", 2), ("add", 3), ("down", 4)], "ceil(H/2)"),
        ([("times", 4), ("down", 2)], "2*H"),
        ([("down", 2), ("times", 2)], "2*floor(H/2)"),
        ([("up", 3), ("down", 2), ("up", 2)], "floor((H + 8)/12)"),
        ([("least", 100), ("add", 1), ("down", 2), ("down", 2)], "min(25, floor((H + 1)/4))"),
    ],
)
def test_short_forms_are_what_a_person_would_write(steps: list[Step], text: str) -> None:
    assert Reader({"H": "H"}).dim(symbolic(steps, ir.SymbolicDim("H"))) == text


def test_a_negative_square_keeps_its_sign() -> None:
    size: Any = ir.SymbolicDim("H")
    short = canonical(size * 200 - size * size)
    assert value(Reader({"H": "H"}).dim(short), H=3) == 591


def test_numbers_and_single_names_stay_as_they_are() -> None:
    assert canonical(7) == 7
    assert canonical(ir.SymbolicDim("H")) == ir.SymbolicDim("H")
    assert not any(is_compound(dim) for dim in (7, ir.SymbolicDim("H"), ir.SymbolicDim(None)))
    size: Any = ir.SymbolicDim("H") + 1
    assert is_compound(size)


@pytest.mark.parametrize("text", [None, "other", "other + 1", "median(H)", "H +"])
def test_what_does_not_follow_from_the_inputs_is_not_known(text: str | None) -> None:
    assert Reader({"H": "H"}).dim(ir.SymbolicDim(text)) is None


def test_an_expression_that_nobody_would_read_is_not_known() -> None:
    size: Any = ir.SymbolicDim("H")
    roundings = [(size + step) // (step + 2) for step in range(LARGEST_EXPRESSION // 3)]
    assert Reader({"H": "H"}).dim(sum(roundings[1:], roundings[0])) is None
