"""Moments know of the data all that least squares needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.fit.moments import Moments

SEEDS = st.integers(0, 2**32 - 1)


def rows(seed: int, count: int = 50, inputs: int = 6, filters: int = 4) -> tuple[np.ndarray, ...]:
    """Correlated patches with a mean, and outputs that they explain in part."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, inputs)) @ rng.standard_normal((inputs, inputs)) + 3
    y = x @ rng.standard_normal((inputs, filters)) + rng.standard_normal((count, filters)) - 5
    return x, y


@given(SEEDS, st.integers(1, 49))
def test_two_halves_merge_into_the_whole(seed, cut):
    x, y = rows(seed)
    whole = Moments.of(x, y)
    merged = Moments.of(x[:cut], y[:cut]) + Moments.of(x[cut:], y[cut:])
    assert merged.count == whole.count
    for name in ("x_mean", "y_mean", "xx", "yx", "yy"):
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), atol=1e-10)


@given(SEEDS)
def test_moments_are_covariances(seed):
    x, y = rows(seed)
    moments = Moments.of(x, y)
    joint = np.cov(np.hstack([x, y]), rowvar=False, bias=True)
    np.testing.assert_allclose(moments.xx, joint[:6, :6], atol=1e-10)
    np.testing.assert_allclose(moments.yx, joint[6:, :6], atol=1e-10)
    np.testing.assert_allclose(moments.yy, np.diag(joint)[6:], atol=1e-10)


@given(SEEDS)
def test_error_is_the_share_of_variance_that_the_outputs_miss(seed):
    x, y = rows(seed)
    moments = Moments.of(x, y)
    kernel = np.random.default_rng(seed).standard_normal((4, 6))
    residual = y - (x @ kernel.T + moments.bias(kernel))
    expected = np.square(residual).sum() / np.square(y - y.mean(0)).sum()
    assert moments.error(kernel) == pytest.approx(expected, rel=1e-9)


@given(SEEDS)
def test_error_with_another_bias_counts_its_offset(seed):
    x, y = rows(seed)
    moments = Moments.of(x, y)
    rng = np.random.default_rng(seed)
    kernel, bias = rng.standard_normal((4, 6)), rng.standard_normal(4)
    expected = np.square(y - x @ kernel.T - bias).sum() / np.square(y - y.mean(0)).sum()
    assert moments.error(kernel, bias) == pytest.approx(expected, rel=1e-9)
    assert moments.error(kernel) <= moments.error(kernel, bias)


def test_weights_alone_are_moments_of_white_patches():
    weight, bias = np.arange(8.0).reshape(2, 4), np.array([1.0, -1.0])
    moments = Moments.of_weights(weight, bias)
    assert moments.error(weight, bias) == 0
    assert moments.error(np.zeros_like(weight)) == 1
    np.testing.assert_array_equal(moments.bias(weight), bias)


def test_a_constant_output_is_missed_wholly_or_not_at_all():
    x = np.random.default_rng(0).standard_normal((20, 3))
    moments = Moments.of(x, np.full((20, 2), 7.0))
    assert moments.error(np.zeros((2, 3))) == 0
    assert moments.error(np.ones((2, 3))) == float("inf")


def test_ridge_is_stronger_where_rows_are_few():
    x, y = rows(0, count=60)
    few, many = Moments.of(x[:59], y[:59]), Moments.of(x, y)
    assert few.ridge() / np.trace(few.xx) == pytest.approx(1e-3 / 6)
    assert many.ridge() / np.trace(many.xx) == pytest.approx(1e-5 / 6)
