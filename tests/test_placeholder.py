"""Placeholders have the weights that recipes say they have, and fit where fitted ones would."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import site

from gconvtool.fit.placeholder import placeholder
from gconvtool.recipes import Bottleneck, Gdc, Grouped, Monarch, Recipe, Separable

RECIPES: tuple[Recipe, ...] = (
    Grouped(2),
    Grouped(4),
    Separable(1),
    Separable(2),
    Separable(2, "pw-dw"),
    Bottleneck(1, 3),
    Bottleneck(4, 2),
)


@given(
    st.sampled_from(RECIPES),
    st.sampled_from([(8, 16), (16, 16), (24, 8)]),
    st.sampled_from([1, 2]),
    st.sampled_from([(3,), (3, 3), (1, 5), (3, 3, 3)]),
)
def test_there_are_as_many_weights_as_counted(recipe, sizes, groups, kernel) -> None:
    channels, filters = sizes
    dense = site(channels=channels, filters=filters, groups=groups, kernel=kernel)
    check(dense, recipe)


@pytest.mark.parametrize("recipe", [Monarch(2), Monarch(4)])
@pytest.mark.parametrize("groups", [1, 2])
def test_monarchs_too(recipe: Recipe, groups: int) -> None:
    check(site(channels=32, filters=64, groups=groups, kernel=(1, 1)), recipe)


def test_heads_too() -> None:
    check(site(kernel=(10, 10)), Gdc(2))


def check(dense, recipe) -> None:
    made = placeholder(dense, recipe)
    arrays = [a for a in vars(made).values() if isinstance(a, np.ndarray)]
    weights = [a for a in arrays if a.dtype == np.float64 and a.ndim > 1]
    assert sum(a.size for a in weights) == recipe.weights(dense)
    assert made.bias.shape == (dense.filters,)
    share = dense.channels // dense.groups * prod(dense.kernel)
    assert made.kernel().shape == (dense.filters, share)
    assert np.abs(np.concatenate([a.ravel() for a in weights])).min() > np.finfo(np.float32).tiny
