"""The new weights are the best that their structure allows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gconvtool.fit.factor import SMALLEST, grouped, separable
from gconvtool.fit.grouping import Grouping
from gconvtool.fit.moments import Moments

SEEDS = st.integers(0, 2**32 - 1)
C, N, TAPS = 6, 8, 4


def seen(seed: int, rows: int = 500) -> tuple[np.ndarray, Moments]:
    """A dense kernel, and the moments of correlated patches that went through it."""
    rng = np.random.default_rng(seed)
    kernel = rng.standard_normal((N, C * TAPS))
    x = rng.standard_normal((rows, C * TAPS)) @ rng.standard_normal((C * TAPS, C * TAPS)) + 1
    return kernel, Moments.of(x, x @ kernel.T + 2)


@given(SEEDS)
def test_full_rank_leaves_no_error(seed):
    _, moments = seen(seed)
    factors = separable(moments, TAPS, rank=TAPS)
    assert moments.error(factors.kernel(), factors.bias) < 1e-6


@given(SEEDS, st.integers(1, TAPS))
def test_weights_of_low_rank_are_found_again(seed, rank):
    rng = np.random.default_rng(seed)
    weight = np.einsum(
        "crk,crn->nck", rng.standard_normal((C, rank, TAPS)), rng.standard_normal((C, rank, N))
    ).reshape(N, -1)
    moments = Moments.of_weights(weight, np.zeros(N))
    assert moments.error(separable(moments, TAPS, rank).kernel()) < 1e-8


@settings(max_examples=30)
@given(SEEDS)
def test_error_never_rises_with_rank_or_with_sweeps(seed):
    _, moments = seen(seed)

    def error(rank: int, sweeps: int = 8) -> float:
        return moments.error(separable(moments, TAPS, rank, sweeps).kernel())

    by_rank = [error(rank) for rank in range(1, TAPS + 1)]
    by_sweeps = [error(2, sweeps) for sweeps in (0, 1, 2, 4, 8)]
    slack = 1e-4  # the ridge is minimised along with the error
    assert all(b <= a + slack for a, b in pairwise(by_rank))
    assert all(b <= a + slack for a, b in pairwise(by_sweeps))


def test_data_aware_beats_weights_alone_on_correlated_data():
    kernel, moments = seen(1)
    blind = separable(Moments.of_weights(kernel, np.zeros(N)), TAPS, 1).kernel()
    assert moments.error(separable(moments, TAPS, 1).kernel()) < 0.7 * moments.error(blind)


@given(SEEDS)
def test_a_group_is_a_least_squares_of_its_own(seed):
    _, moments = seen(seed)
    grouping = Grouping(np.array([[0, 2, 5], [1, 3, 4]]), np.array([[0, 1, 2, 6], [3, 4, 5, 7]]))
    factors = grouped(moments, grouping, TAPS)
    dense = factors.kernel()
    for inputs, outputs in zip(grouping.inputs, grouping.outputs, strict=True):
        block = (inputs[:, None] * TAPS + np.arange(TAPS)).ravel()
        # Normal equations: what is left is uncorrelated with the group's own inputs.
        left = moments.yx[outputs] - dense[outputs] @ moments.xx
        assert np.abs(left[:, block]).max() < 1e-3 * np.abs(moments.yx).max()
        others = np.setdiff1d(np.arange(C * TAPS), block)
        assert not dense[np.ix_(outputs, others)].any()


@pytest.mark.parametrize("rank", [1, 2])
def test_dead_channels_and_few_rows_do_no_harm(rank):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((10, C * TAPS))
    x[:, :TAPS] = 0
    moments = Moments.of(x, x @ rng.standard_normal((C * TAPS, N)))
    factors = separable(moments, TAPS, rank)
    assert all(np.isfinite(part).all() for part in (factors.depthwise, factors.pointwise))
    assert moments.error(factors.kernel(), factors.bias) < 1


def test_no_tiny_weights_come_out():
    weight = np.zeros((N, C * TAPS))
    weight[0, 0] = 1e-30
    weight[1, 5] = 1.0
    moments = Moments.of_weights(weight, np.zeros(N))
    factors = separable(moments, TAPS, 2)
    for part in (factors.depthwise, factors.pointwise):
        assert not np.any((part != 0) & (np.abs(part) < SMALLEST))


@given(SEEDS)
def test_permuting_the_channels_permutes_the_fit(seed):
    kernel, _ = seen(seed)
    order = np.random.default_rng(seed).permutation(C)
    shuffled = kernel.reshape(N, C, TAPS)[:, order].reshape(N, -1)
    plain, permuted = (
        separable(Moments.of_weights(weight, np.zeros(N)), TAPS, 2).kernel()
        for weight in (kernel, shuffled)
    )
    np.testing.assert_allclose(
        plain.reshape(N, C, TAPS)[:, order].reshape(N, -1), permuted, atol=1e-6
    )
