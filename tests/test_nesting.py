"""Recipes that hold others: shown by kernels, and by what is left out because of that."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from gconvtool.nesting import holds, needless
from gconvtool.notation import parse

CHANNELS, TAPS = 8, 3


def mask(groups: int) -> np.ndarray:
    """Which weights of a grouped kernel, N × C, may be other than zero."""
    return np.kron(np.eye(groups), np.ones((CHANNELS // groups, CHANNELS // groups)))


@pytest.mark.parametrize(("g", "h"), list(product((1, 2, 4, 8), repeat=2)))
def test_groups_hold_those_whose_weights_are_among_theirs(g: int, h: int) -> None:
    among = bool((mask(h) <= mask(g)).all())
    assert holds(parse(f"groups={g}"), parse(f"groups={h}")) == (among and g != h)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("separable:rank=3", "separable:rank=2"),
        ("separable:rank=2,order=pw-dw", "separable:rank=1,order=pw-dw"),
        ("bottleneck:groups=2,width=16", "bottleneck:groups=2,width=8"),
        ("bottleneck:groups=1,width=16", "bottleneck:groups=2,width=8"),
        ("gdc:rank=2", "gdc:rank=1"),
    ],
)
def test_more_of_the_same_holds_less(wide: str, narrow: str) -> None:
    assert holds(parse(wide), parse(narrow))
    assert not holds(parse(narrow), parse(wide))
    assert not holds(parse(wide), parse(wide))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("separable:rank=3", "separable:rank=2,order=pw-dw"),
        ("bottleneck:groups=1,width=16", "bottleneck:groups=2,width=16"),
        ("bottleneck:groups=4,width=16", "bottleneck:groups=2,width=8"),
        ("groups=2", "separable:rank=1"),
        ("monarch:groups=2", "monarch:groups=4"),
        ("groups=2", "groups=3"),
    ],
)
def test_others_do_not(one: str, other: str) -> None:
    assert not holds(parse(one), parse(other))


def test_wide_bottlenecks_of_few_groups_hold_narrow_ones_of_many() -> None:
    """Two groups of one channel between, put side by side, are one group of two."""
    rng = np.random.default_rng(0)
    first = np.zeros((2, CHANNELS * TAPS))
    half = CHANNELS * TAPS // 2
    first[0, :half], first[1, half:] = rng.standard_normal((2, half))
    kernel = rng.standard_normal((CHANNELS, 2)) @ first
    assert np.linalg.matrix_rank(kernel) == 2  # bottleneck(1, 2), not bottleneck(1, 1)
    one, two = parse("bottleneck:groups=2,width=1"), parse("bottleneck:groups=1,width=2")
    assert holds(two, one)
    assert not holds(parse("bottleneck:groups=1,width=1"), one)


def test_what_costs_more_than_what_holds_it_is_needless() -> None:
    two, four, eight = (parse(f"groups={g}") for g in (2, 4, 8))
    costs = {two: 6.0, four: 3.0, eight: 3.5}
    assert [recipe for recipe in costs if needless(recipe, costs)] == [eight]
    assert needless(four, {**costs, two: 3.0})
