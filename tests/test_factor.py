"""The new weights are the best that their structure allows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import strategies as st
from often import often

from gconvtool.fit.blocks import balanced_parts
from gconvtool.fit.factor import (
    bottleneck,
    grouped,
    monarch,
    pointwise_first,
    separable,
)
from gconvtool.fit.grouping import Grouping, contiguous
from gconvtool.fit.least_squares import SMALLEST
from gconvtool.fit.moments import Moments

SEEDS = st.integers(0, 2**32 - 1)
C, N, TAPS = 6, 8, 4


def seen(seed: int, rows: int = 500) -> tuple[np.ndarray, Moments]:
    """A dense kernel, and well-known moments of correlated patches that went through it."""
    rng = np.random.default_rng(seed)
    kernel = rng.standard_normal((N, C * TAPS))
    x = rng.standard_normal((rows, C * TAPS)) @ rng.standard_normal((C * TAPS, C * TAPS)) + 1
    return kernel, replace(Moments.of(x, x @ kernel.T + 2), count=10**6)


@often(12, 100, SEEDS)
def test_full_rank_leaves_no_error(seed):
    _, moments = seen(seed)
    factors = separable(moments, TAPS, rank=TAPS)
    assert moments.error(factors.kernel(), factors.bias) < 1e-6


@often(12, 100, SEEDS, st.integers(1, TAPS))
def test_weights_of_low_rank_are_found_again(seed, rank):
    rng = np.random.default_rng(seed)
    weight = np.einsum(
        "crk,crn->nck", rng.standard_normal((C, rank, TAPS)), rng.standard_normal((C, rank, N))
    ).reshape(N, -1)
    moments = Moments.of_weights(weight, np.zeros(N))
    assert moments.error(separable(moments, TAPS, rank).kernel()) < 1e-8


@often(6, 30, SEEDS)
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


@often(12, 100, SEEDS)
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


@often(12, 100, SEEDS)
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


def in_groups(groups: int) -> np.ndarray:
    return np.arange(C).reshape(groups, -1)


@often(12, 100, SEEDS)
def test_full_width_leaves_no_error(seed):
    _, moments = seen(seed)
    for groups in (1, 2, 3):
        factors = bottleneck(moments, in_groups(groups), TAPS, N)
        assert moments.error(factors.kernel(), factors.bias) < 1e-6


@often(6, 30, SEEDS, st.sampled_from([1, 2, 3, 6]))
def test_error_never_rises_with_the_width(seed, groups):
    _, moments = seen(seed)
    errors = [
        moments.error(bottleneck(moments, in_groups(groups), TAPS, width).kernel())
        for width in (1, 2, 3, 4)
    ]
    assert all(b <= a + 1e-4 for a, b in pairwise(errors))


@often(12, 100, SEEDS)
def test_a_bottleneck_of_single_channels_is_separable(seed):
    _, moments = seen(seed)
    channels = np.random.default_rng(seed).permutation(C)[:, None]
    one, other = bottleneck(moments, channels, TAPS, 2), separable(moments, TAPS, 2)
    assert one.spatial.shape == (2 * C, TAPS)
    # Channels take turns in another order.
    assert moments.error(one.kernel()) == pytest.approx(moments.error(other.kernel()), abs=0.02)


@often(12, 100, SEEDS, st.integers(1, 4))
def test_low_rank_is_the_best_there_is(seed, width):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((N, C * TAPS))
    moments = Moments.of_weights(weight, np.zeros(N))
    kernel = bottleneck(moments, in_groups(1), TAPS, width).kernel()
    tail = np.linalg.svd(weight, compute_uv=False)[width:]  # Eckart and Young
    assert moments.error(kernel) == pytest.approx((tail**2).sum() / (weight**2).sum(), rel=1e-6)


@often(6, 30, SEEDS)
def test_pointwise_first_finds_kernels_of_low_rank_and_gets_better_with_rank(seed):
    _, moments = seen(seed)
    errors = [moments.error(pointwise_first(moments, TAPS, r).kernel()) for r in (1, 2, 3, TAPS)]
    assert all(b <= a + 1e-3 for a, b in pairwise(errors))
    rng = np.random.default_rng(seed)
    p, v = rng.standard_normal((N, 2, C)), rng.standard_normal((N, 2, TAPS))
    weight = np.einsum("nrc,nrk->nck", p, v).reshape(N, -1)
    known = Moments.of_weights(weight, np.zeros(N))
    assert known.error(pointwise_first(known, TAPS, 2).kernel()) < 1e-6


@often(12, 100, SEEDS)
def test_a_monarch_kernel_is_found_again(seed):
    rng = np.random.default_rng(seed)
    grouping = Grouping(rng.permutation(6).reshape(2, 3), rng.permutation(N).reshape(2, 4))
    weight = np.zeros((N, 6))
    for inputs in grouping.inputs:
        for outputs in grouping.outputs:
            weight[np.ix_(outputs, inputs)] = np.outer(
                rng.standard_normal(4), rng.standard_normal(3)
            )
    moments = Moments.of_weights(weight, np.zeros(N))
    factors = monarch(moments, grouping, 1)
    assert (factors.first.shape, factors.second.shape) == ((4, 3), (N, 2))
    assert moments.error(factors.kernel(), factors.bias) < 1e-6


@pytest.mark.parametrize("alive", [0, 1, C])
def test_whatever_is_dead_every_fit_is_finite(alive):
    rng = np.random.default_rng(3)
    x = np.zeros((10, C * TAPS))
    x[:, : alive * TAPS] = rng.standard_normal((10, alive * TAPS))
    moments = Moments.of(x, x @ rng.standard_normal((C * TAPS, N)))
    for factors in (
        separable(moments, TAPS, 2),
        pointwise_first(moments, TAPS, 2),
        bottleneck(moments, in_groups(2), TAPS, 3),
        bottleneck(moments, in_groups(1), TAPS, 3),
        grouped(moments, contiguous(C, N, 2), TAPS),
    ):
        kernel = factors.kernel()
        assert np.isfinite(kernel).all()
        assert np.abs(kernel).max() < 1e3
        assert moments.error(kernel, factors.bias) <= 1


def test_a_dead_part_is_zero_on_both_sides():
    u, v = np.ones((1, 3, 2)), np.full((1, 2, 4), 1e50)
    u[:, :, 1] = 0
    mix, taps = balanced_parts(u, v)
    np.testing.assert_allclose(mix @ taps, u @ v)
    assert not mix[:, :, 1].any()
    assert not taps[:, 1].any()
