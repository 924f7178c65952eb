"""Layers of two networks side by side: each once, in an order that both would recognise."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gconvtool.differences import difference
from gconvtool.results import Analysis, Layer, LayerChange, Study, Totals


def study(names: str, macs: int = 1) -> Study:
    """A network with a layer a letter."""
    layers = tuple(Layer(name, "Conv", "standard", macs, 0, None, None) for name in names)
    return Study(Analysis("m", layers, (), Totals(macs * len(names), 0), {}))


def changes(a: str, b: str) -> tuple[LayerChange, ...]:
    return difference(study(a), study(b, macs=2)).layers


def order(a: str, b: str) -> str:
    return "".join(change.name for change in changes(a, b))


def test_what_both_have_stands_side_by_side() -> None:
    both, only_b, only_a = changes("xa", "xb")
    assert (both.name, only_a.name, only_b.name) == ("x", "a", "b")
    assert both.a is not None
    assert both.b is not None
    assert (both.a.macs, both.b.macs) == (1, 2)
    assert (only_a.a is None, only_a.b is None) == (False, True)
    assert (only_b.a is None, only_b.b is None) == (True, False)


def test_what_only_b_has_follows_what_stands_before_it_there() -> None:
    assert order("abc", "abc") == "abc"
    assert order("abc", "axbyc") == "axbyc"
    assert order("abc", "xyabc") == "xyabc"
    assert order("abc", "xyz") == "xyzabc"
    assert order("abc", "cxba") == "abcx"
    assert order("", "xy") == "xy"
    assert order("ab", "") == "ab"
    assert order("ab", "axyb") == "axyb"


def test_both_studies_are_handed_on() -> None:
    a, b = study("a"), study("b")
    found = difference(a, b)
    assert (found.a, found.b) == (a, b)


LETTERS = st.lists(st.sampled_from("abcdefgh"), unique=True).map("".join)


@given(a=LETTERS, b=LETTERS)
def test_every_layer_stands_once_and_a_keeps_its_order(a: str, b: str) -> None:
    names = order(a, b)
    assert sorted(names) == sorted(set(a) | set(b))
    assert "".join(name for name in names if name in a) == a
    for change in changes(a, b):
        assert (change.a is not None, change.b is not None) == (change.name in a, change.name in b)


@given(a=LETTERS, b=LETTERS)
def test_what_is_new_keeps_bs_order_between_what_is_old(a: str, b: str) -> None:
    names = order(a, b)
    for first, second in pairwise(b):
        if second not in a:
            assert names.index(second) > names.index(first)
