"""Moments know of the data all that least squares needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.fit import moments as moments_room
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


@given(SEEDS)
def test_leaning_is_white_patches_more_that_went_through_the_weights(seed):
    x, y = rows(seed)
    moments, rng = Moments.of(x, y), np.random.default_rng(seed)
    weight = rng.standard_normal((y.shape[1], x.shape[1]))
    level = moments_room.LEAN * min(1, x.shape[1] / len(x)) * np.trace(moments.xx) / x.shape[1]
    white = np.sqrt(level * len(x)) * np.eye(x.shape[1])  # its moments are level·I
    more = [np.vstack([a - a.mean(0), b]) for a, b in ((x, white), (y, white @ weight.T))]
    leaning = moments.leaning(weight)
    for name, expected in {
        "xx": more[0].T @ more[0],
        "yx": more[1].T @ more[0],
        "yy": np.square(more[1]).sum(0),
    }.items():
        np.testing.assert_allclose(getattr(leaning, name), expected / len(x), atol=1e-9)
    assert (leaning.x_mean == moments.x_mean).all()
    known = Moments.of_weights(weight, np.zeros(len(weight)))
    assert known.leaning(weight) is known


@given(SEEDS)
def test_mixed_channels_have_the_moments_of_their_mixtures(seed):
    x, y = rows(seed)
    p = np.random.default_rng(seed).standard_normal((4, 2, 3))  # 3 channels of 2 taps, mixed twice
    made = np.einsum("nck,orc->onrk", x.reshape(50, 3, 2), p).reshape(4, 50, 4)
    expected = [np.cov(rows_of, rowvar=False, bias=True) for rows_of in made]
    np.testing.assert_allclose(Moments.of(x, y).mixed(p), expected, rtol=1e-9, atol=1e-9)
