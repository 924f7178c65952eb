"""Structure that was put into a kernel and shuffled is found; what is only near it is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.fit import hidden

SEEDS = st.integers(0, 2**32 - 1)
U = 2.0**-24


def blocks(rng, parts, sizes, taps=1):
    """A block diagonal N × C × taps, its channels and filters in a random order."""
    kernel = np.zeros((parts * sizes[0], parts * sizes[1], taps))
    for i in range(parts):
        rows, columns = (slice(i * size, (i + 1) * size) for size in sizes)
        kernel[rows, columns] = rng.uniform(1, 2, (*sizes, taps))
    return kernel[rng.permutation(len(kernel))][:, rng.permutation(kernel.shape[1])]


def put_back(factors, groups=1):
    """The kernel that a grouped convolution between two permutations computes, by loops."""
    into, out = factors.grouping.inputs, factors.grouping.outputs
    share = into.size // groups
    kernel = np.zeros((out.size, share, factors.taps))
    for g, (channels, filters) in enumerate(zip(into, out, strict=True)):
        weight = factors.weight.reshape(*out.shape, into.shape[1], factors.taps)[g]
        for i, o in enumerate(filters):
            for j, c in enumerate(channels):
                kernel[o, c % share] = weight[i, j]
    return kernel


@given(
    SEEDS, st.integers(1, 3), st.sampled_from([2, 3, 4, 6]), st.integers(1, 3), st.integers(1, 3)
)
def test_hidden_groups_are_found(seed, groups, parts, filters, channels):
    rng = np.random.default_rng(seed)
    kernel = np.stack([blocks(rng, parts, (filters, channels), 2) for _ in range(groups)])
    factors = hidden.grouped(kernel, np.zeros(0), U)
    assert factors is not None
    assert len(factors.grouping.inputs) == groups * parts
    made = put_back(factors, groups).reshape(kernel.shape)
    np.testing.assert_array_equal(made, kernel)


@given(SEEDS)
def test_parts_share_bins_and_what_is_zero_fills_them(seed):
    rng = np.random.default_rng(seed)
    kernel = np.zeros((12, 12, 1))
    at = 0
    for size in (3, 2, 1, 3):  # of 12, three channels and filters are zero: {3, 1}, {3}, {2} fit
        kernel[at : at + size, at : at + size] = 1 + rng.random((size, size, 1))
        at += size
    kernel = kernel[rng.permutation(12)][:, rng.permutation(12)]
    factors = hidden.grouped(kernel[None], np.zeros(12), U)
    assert factors is not None
    assert len(factors.grouping.inputs) == 4
    np.testing.assert_array_equal(put_back(factors), kernel)


def test_groups_that_lie_side_by_side_stay_so():
    kernel = np.kron(np.eye(4), np.ones((3, 2)))[None, :, :, None]
    kernel[0, 0, 0] = kernel[0, 0, 1] = 0  # a filter that is zero
    factors = hidden.grouped(kernel, np.zeros(12), U)
    assert factors is not None
    np.testing.assert_array_equal(factors.grouping.inputs.ravel(), np.arange(8))
    np.testing.assert_array_equal(factors.grouping.outputs.ravel(), np.arange(12))


@pytest.mark.parametrize(("size", "groups"), [(0.9, 4), (1.1, None)])
def test_what_is_more_than_rounding_joins_groups(size, groups):
    kernel = np.kron(np.eye(4), np.ones((2, 2)))[None, :, :, None]
    kernel[0, :, 7] *= 1e-3  # small channels have smaller zeros
    for row, column in ((0, 2), (2, 4), (4, 6)):
        kernel[0, row, column] = size * U
    kernel[0, 0, 7] = size * U * 1e-3
    factors = hidden.grouped(kernel, np.zeros(8), U)
    assert (None if factors is None else len(factors.grouping.inputs)) == groups


def test_one_group_too_large_for_halves_is_left():
    kernel = np.zeros((1, 4, 4, 1))
    kernel[0, :3, :3] = kernel[0, 3, 3] = 1
    assert hidden.grouped(kernel, np.zeros(4), U) is None


def test_taps_that_are_not_zero_are_found_along_each_axis():
    kernel = np.zeros((1, 2, 3, 5, 7))
    kernel[0, 0, 0, 1, 2] = kernel[0, 1, 2, 3, 2] = 1
    kernel[0, 1, 2, 0, 6] = 1e-9
    rows, columns = hidden.offsets(kernel.reshape(1, 2, 3, 35), (5, 7), U)
    assert (rows.tolist(), columns.tolist()) == ([1, 3], [2])


@pytest.mark.parametrize(
    ("dtype", "expected"), [(np.float16, 2**-11), (np.float32, 2**-24), (np.float64, 2**-53)]
)
def test_rounding_is_half_the_distance_of_numbers(dtype, expected):
    assert hidden.rounding(np.dtype(dtype)) == expected


def test_a_small_filter_that_moved_is_not_close_however_large_the_others():
    kernel = np.ones((1, 2, 2, 1))
    kernel[0, 1] = 1e-9
    factors = hidden.grouped(np.eye(2)[None, :, :, None], np.zeros(2), U)
    assert factors is not None
    off = hidden.closeness(np.diag([1, 1 + 1e-9])[None, :, :, None] * kernel, factors, U)
    assert not off.holds
