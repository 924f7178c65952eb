"""Channels that belong together are found, and shared out exactly."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import strategies as st
from often import often

from gconvtool.fit.factor import grouped
from gconvtool.fit.grouping import Grouping, balanced, columns, find_grouping
from gconvtool.fit.moments import Moments

SEEDS = st.integers(0, 2**32 - 1)


@often(12, 100, SEEDS, st.sampled_from([(4, 2), (6, 2), (6, 3)]))
def test_balanced_is_the_best_of_all_balanced_assignments(seed, size):
    rows, groups = size
    score = np.random.default_rng(seed).standard_normal((rows, groups))
    labels = balanced(score)
    assert np.bincount(labels, minlength=groups).tolist() == [rows // groups] * groups
    every = set(permutations(np.repeat(np.arange(groups), rows // groups).tolist()))
    best = max(score[np.arange(rows), list(other)].sum() for other in every)
    assert score[np.arange(rows), labels].sum() == pytest.approx(best)


def hidden_groups(seed: int, groups: int, taps: int = 3) -> tuple[np.ndarray, np.ndarray, Moments]:
    """Weights 8 x 8 that are block diagonal but for a permutation, seen through white data."""
    rng = np.random.default_rng(seed)
    inputs, outputs = rng.permutation(8) % groups, rng.permutation(8) % groups
    weight = rng.standard_normal((8, 8, taps)) * (outputs[:, None] == inputs)[:, :, None]
    return inputs, outputs, Moments.of_weights(weight.reshape(8, -1), np.zeros(8))


@often(12, 100, SEEDS, st.sampled_from([2, 4]))
def test_hidden_groups_are_found_and_fitted_exactly(seed, groups):
    inputs, outputs, moments = hidden_groups(seed, groups)
    found = find_grouping(moments, 3, groups, np.random.default_rng(0), swaps=100, restarts=16)
    for members, rows in zip(found.inputs, found.outputs, strict=True):
        assert len(set(inputs[members])) == 1
        assert set(outputs[rows]) == set(inputs[members])
    factors = grouped(moments, found, 3)
    assert moments.error(factors.kernel(), factors.bias) < 1e-8


@often(12, 100, SEEDS)
def test_the_same_seed_finds_the_same_grouping(seed):
    _, _, moments = hidden_groups(seed, 2)
    first, second = (
        find_grouping(moments, 3, 2, np.random.default_rng(seed), swaps=10) for _ in range(2)
    )
    np.testing.assert_array_equal(first.inputs, second.inputs)
    np.testing.assert_array_equal(first.outputs, second.outputs)


@often(12, 100, SEEDS)
def test_merging_groups_never_raises_the_error(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((400, 24)) @ rng.standard_normal((24, 24))
    moments = Moments.of(x, x @ rng.standard_normal((24, 8)))
    order = rng.permutation(8)
    fine = Grouping(order.reshape(4, 2), order.reshape(4, 2))
    coarse = Grouping(order.reshape(2, 4), order.reshape(2, 4))
    errors = [moments.error(grouped(moments, g, 3).kernel()) for g in (fine, coarse)]
    assert errors[1] <= errors[0] + 1e-9


def test_columns_are_channel_major():
    assert columns(np.array([2, 0]), 3).tolist() == [6, 7, 8, 0, 1, 2]


@often(12, 100, SEEDS, st.sampled_from([2, 4]))
def test_groups_that_are_given_are_kept_and_the_others_found(seed, groups):
    inputs, outputs, moments = hidden_groups(seed, groups)
    of_inputs, of_outputs = (
        np.stack([np.flatnonzero(labels == g) for g in range(groups)])
        for labels in (inputs, outputs)
    )
    shuffled = np.random.default_rng(seed).permutation(groups)
    for given_groups in (
        {"inputs": of_inputs},
        {"outputs": of_outputs},
        {"inputs": of_inputs, "outputs": of_outputs[shuffled]},
    ):
        found = find_grouping(
            moments, 3, groups, np.random.default_rng(0), swaps=60, **given_groups
        )
        assert grouped(moments, found, 3).kernel() == pytest.approx(moments.yx, abs=1e-4)
        for name, members in given_groups.items():
            assert {*map(tuple, getattr(found, name))} == {*map(tuple, members)}


def test_exchanges_never_move_outputs_that_are_given():
    rng = np.random.default_rng(3)
    x, mix = rng.standard_normal((200, 16)), rng.standard_normal((8, 16))
    moments = Moments.of(x, x @ mix.T)
    given_outputs = np.arange(8).reshape(2, 4)
    start, better = (
        find_grouping(moments, 2, 2, np.random.default_rng(0), swaps=swaps, outputs=given_outputs)
        for swaps in (0, 60)
    )
    assert better.outputs.tolist() == start.outputs.tolist() == given_outputs.tolist()
    errors = [moments.error(grouped(moments, found, 2).kernel()) for found in (better, start)]
    assert errors[0] <= errors[1]
