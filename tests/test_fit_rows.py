"""Rows answer as their moments do, without a D × D matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gconvtool.fit import factor
from gconvtool.fit.grouping import contiguous
from gconvtool.fit.moments import Moments
from gconvtool.fit.rows import Rows, moments_fit, rows_within

SEEDS = st.integers(0, 2**32 - 1)
C, N, TAPS = 6, 8, 4


def both(seed: int, count: int = 120) -> tuple[Rows, Moments]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, C * TAPS)) @ rng.standard_normal((C * TAPS, C * TAPS)) + 3
    y = x @ rng.standard_normal((C * TAPS, N)) + rng.standard_normal((count, N))
    x, y = x.astype(np.float32).astype(float), y.astype(np.float32).astype(float)
    return Rows.of(x[:50], y[:50]) + Rows.of(x[50:], y[50:]), Moments.of(x, y)


@given(SEEDS)
def test_rows_know_what_moments_know(seed):
    rows, moments = both(seed)
    kernel = np.random.default_rng(seed).standard_normal((N, C * TAPS))
    near = {"rtol": 1e-4, "atol": 1e-4 * np.abs(moments.xx).max()}
    some, mixtures = np.arange(5, 11), kernel.reshape(N, TAPS, C)[:, :2]
    assert (rows.count, rows.size, rows.filters) == (120, C * TAPS, N)
    np.testing.assert_allclose(rows.block(some), moments.block(some), **near)
    np.testing.assert_allclose(rows.own_blocks(TAPS), moments.own_blocks(TAPS), **near)
    np.testing.assert_allclose(rows.yx, moments.yx, **near)
    np.testing.assert_allclose(rows.mixed(mixtures), moments.mixed(mixtures), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(rows.through(kernel), moments.through(kernel), rtol=1e-3, atol=1e-1)
    level = (0.01 * C * TAPS / 120 + 1e-5) * np.trace(moments.xx) / (C * TAPS)
    assert rows.ridge() == pytest.approx(level, rel=1e-4)
    bias = np.arange(float(N))
    assert rows.error(kernel, bias) == pytest.approx(moments.error(kernel, bias), rel=1e-4)


@settings(max_examples=10)
@given(SEEDS)
def test_fits_come_out_as_on_moments(seed):
    rows, moments = both(seed)
    for fit in (
        lambda seen: factor.separable(seen, TAPS, 2),
        lambda seen: factor.pointwise_first(seen, TAPS, 2),
        lambda seen: factor.bottleneck(seen, contiguous(C, N, 2).inputs, TAPS, 3),
        lambda seen: factor.bottleneck(seen, contiguous(C, N, 1).inputs, TAPS, 3),
        lambda seen: factor.grouped(seen, contiguous(C, N, 2), TAPS),
    ):
        assert moments.error(fit(rows).kernel()) == pytest.approx(
            moments.error(fit(moments).kernel()), abs=0.02
        )


def test_the_budget_decides():
    assert moments_fit(5000, 2 * 2**30)
    assert not moments_fit(10000, 2 * 2**30)
    held = rows_within(10000, 1000, 2**30)
    assert 2 * 4 * held * 11000 <= 2**30 < 2 * 4 * (held + 1) * 11000
    assert rows_within(10**9, 1, 1) == 1
