"""A recipe is fitted inside each group, with the weights that it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from models import site

from gconvtool.fit.fitting import fit
from gconvtool.fit.moments import Moments
from gconvtool.fit.per_group import PerGroup
from gconvtool.fit.structure import Factors, side_by_side
from gconvtool.recipes import Bottleneck, Grouped, Monarch, Recipe, Separable

C, N = 8, 16
RECIPES = [
    (Grouped(2), 4),
    (Separable(2), 4),
    (Separable(2, "pw-dw"), 4),
    (Bottleneck(2, 3), 4),
    (Bottleneck(1, 3), 1),
    (Monarch(2), 1),
]


def data(groups: int, taps: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(taps)
    x = rng.standard_normal((count, C * taps)) @ rng.standard_normal((C * taps, C * taps))
    parts = np.split(x, groups, axis=1)
    made = [part @ rng.standard_normal((part.shape[1], N // groups)) for part in parts]
    return x, np.hstack(made) + 0.1 * rng.standard_normal((count, N))


def sizes(factors: Factors) -> int:
    names = "weight depthwise pointwise spatial first second".split()
    return sum(getattr(factors, name).size for name in names if hasattr(factors, name))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("recipe", "taps"), RECIPES, ids=str)
def test_a_fit_has_the_weights_of_its_recipe(recipe: Recipe, taps: int, groups: int) -> None:
    x, y = data(groups, taps)
    seen: Any = Moments.of(x, y) if groups == 1 else PerGroup.of(x, y, groups)
    factors = fit(recipe, seen, taps, np.random.default_rng(0))
    facts = site(channels=C, filters=N, groups=groups, kernel=(taps,))
    assert recipe.objection(facts) is None
    assert sizes(factors) == recipe.weights(facts)
    assert factors.kernel().shape == (N, C // groups * taps)
    assert seen.error(factors.kernel(), factors.bias) < 0.8


@pytest.mark.parametrize(("recipe", "taps"), RECIPES, ids=str)
def test_each_group_is_a_convolution_of_its_own(recipe: Recipe, taps: int) -> None:
    x, y = data(2, taps)
    whole = fit(recipe, PerGroup.of(x, y, 2), taps, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    halves = [
        fit(recipe, Moments.of(x[:, half], y[:, rows]), taps, rng)
        for half, rows in (
            (slice(0, C * taps // 2), slice(0, N // 2)),
            (slice(C * taps // 2, None), slice(N // 2, None)),
        )
    ]
    np.testing.assert_allclose(whole.kernel(), np.vstack([half.kernel() for half in halves]))
    np.testing.assert_allclose(whole.bias, np.concatenate([half.bias for half in halves]))
    np.testing.assert_array_equal(side_by_side(halves).kernel(), whole.kernel())


def test_moments_of_groups_merge_and_err_as_the_whole() -> None:
    x, y = data(2, 3)
    merged = PerGroup.of(x[:150], y[:150], 2) + PerGroup.of(x[150:], y[150:], 2)
    kernel, bias = np.random.default_rng(1).standard_normal((N, C // 2 * 3)), np.ones(N)
    residual = y - bias
    residual[:, : N // 2] -= x[:, :12] @ kernel[: N // 2].T
    residual[:, N // 2 :] -= x[:, 12:] @ kernel[N // 2 :].T
    expected = np.square(residual).sum() / np.square(y - y.mean(0)).sum()
    assert merged.error(kernel, bias) == pytest.approx(expected)
    blind = PerGroup.of_weights(kernel, bias, 2)
    assert blind.error(kernel, bias) == 0
    assert blind.error(np.zeros_like(kernel), bias) == 1
