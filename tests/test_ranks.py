"""Kernels that were made of low rank are found to be; with noise, or of full rank, they are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.fit import hidden, ranks

SEEDS = st.integers(0, 2**32 - 1)
G, N, C, TAPS, MOST = 2, 10, 8, 9, 4
WAYS = {
    "dw-pw": (ranks.separable, "rgnc,rgck->gnck"),
    "pw-dw": (ranks.pointwise_first, "rgnc,rgnk->gnck"),
}


def made(way, rank, rng, spread=2.0):
    """A kernel of this rank, its filters and channels at different scales."""
    other = C if way == "dw-pw" else N
    first, second = (
        rng.standard_normal((rank, G, N, C)),
        rng.standard_normal((rank, G, other, TAPS)),
    )
    scales = (
        np.exp(rng.normal(0, spread, (1, G, N, 1))),
        np.exp(rng.normal(0, spread, (1, G, 1, C))),
    )
    return np.einsum(WAYS[way][1], first * scales[0] * scales[1], second)


def of(way, kernel, dtype, most=MOST):
    kernel = kernel.astype(dtype).astype(np.float64)
    u = hidden.rounding(np.dtype(dtype))
    factors = WAYS[way][0](kernel, np.zeros(G * N), u, most)
    return kernel, None if factors is None else hidden.stored(factors, np.dtype(dtype)), u


@given(SEEDS, st.integers(1, MOST))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("way", WAYS)
def test_the_rank_is_found_and_the_kernel_is_kept(way, dtype, seed, rank):
    kernel, factors, u = of(way, made(way, rank, np.random.default_rng(seed)), dtype)
    assert factors is not None
    assert len(factors.depthwise) == rank
    close = hidden.closeness(kernel, factors, u)
    assert close.holds
    assert close.difference <= close.bound < 16 * (u + 2**-46)


@given(SEEDS, st.integers(1, MOST))
@pytest.mark.parametrize("way", WAYS)
def test_what_was_rounded_to_half_precision_keeps_its_rank(way, seed, rank):
    """Small numbers are rounded to more than their last bit there, so that scales are near 1."""
    kernel, factors, u = of(way, made(way, rank, np.random.default_rng(seed), 0.3), np.float16)
    assert factors is not None
    assert len(factors.depthwise) <= rank
    np.testing.assert_allclose(factors.kernel().reshape(kernel.shape), kernel, atol=8 * u * 30)


@given(SEEDS)
@pytest.mark.parametrize("way", WAYS)
def test_noise_is_not_taken_for_rounding(way, seed):
    rng = np.random.default_rng(seed)
    kernel = made(way, 2, rng)
    noisy = kernel * (1 + 1e-5 * rng.standard_normal(kernel.shape))
    assert of(way, noisy, np.float32)[1] is None


@given(SEEDS, st.integers(1, 5))
def test_low_rank_of_the_whole_is_found(seed, rank):
    rng = np.random.default_rng(seed)
    kernel = np.einsum(
        "gnr,grck->gnck", rng.normal(size=(G, N, rank)), rng.normal(size=(G, rank, C, TAPS))
    )
    kernel = kernel.astype(np.float32).astype(np.float64)
    factors = ranks.low_rank(kernel, np.zeros(G * N), 2.0**-24, 5)
    assert factors is not None
    assert len(factors.spatial) == G * rank
    assert hidden.closeness(kernel, hidden.stored(factors, np.dtype(np.float32)), 2.0**-24).holds
    assert ranks.low_rank(kernel, np.zeros(G * N), 2.0**-24, rank - 1) is None


def test_a_channel_that_is_zero_needs_no_branch():
    kernel = made("dw-pw", 1, np.random.default_rng(0))
    kernel[:, :, 3] = 0
    _, factors, _ = of("dw-pw", kernel, np.float32)
    assert factors is not None
    assert not factors.depthwise[0, [3, 3 + C]].any()


def test_factors_have_one_size_so_that_narrow_types_hold_them():
    kernel = made("dw-pw", 1, np.random.default_rng(0)) * 1e-4
    factors = ranks.separable(kernel, np.zeros(G * N), 2.0**-53, 1)
    assert factors is not None
    per_channel = np.abs(factors.pointwise[0].reshape(G, N, C)).max(1).ravel()
    np.testing.assert_allclose(per_channel, np.abs(factors.depthwise[0]).max(1))
