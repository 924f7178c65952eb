"""A transposed convolution is its patches times its weights, and a convolution a phase."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from models import spread

from gconvtool.fit.moments import Moments
from gconvtool.fit.transposed import TransposedWindow, turned, widened


@st.composite
def windows(draw: st.DrawFn) -> tuple[TransposedWindow, tuple[int, ...]]:
    """A window in one to three dimensions, and an input size; its output's sizes come later."""
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    return TransposedWindow(each(1, 3), each(1, 3), each(1, 2), each(0, 2), ()), each(2, 4)


def made(x: np.ndarray, w: np.ndarray, window: TransposedWindow) -> np.ndarray:
    """Input by input, with two positions more behind, cut off in front as far as it goes."""
    axes = len(window.kernel)
    whole, _ = spread(x, w, 1, window.strides, window.dilations, (0,) * (2 * axes))
    whole = np.pad(whole, [(0, 0), (0, 0), *[(0, 2)] * axes])
    return whole[(..., *(slice(begin, None) for begin in window.begins))]


@given(windows())
def test_patches_times_weights_are_the_transposed_convolution(case):
    window, sizes = case
    draw = np.random.default_rng(0).standard_normal
    x, w = draw((2, 3, *sizes)), draw((3, 2, *window.kernel))
    y = made(x, w, window)
    window = replace(window, sizes=y.shape[2:])
    rows = np.random.default_rng(1).permutation(y.size // 2)[:40]
    weight = np.stack([w[:, o].ravel() for o in range(2)])
    expected = np.stack([y[:, o].ravel()[rows] for o in range(2)], axis=1)
    np.testing.assert_allclose(window.patches(x, rows) @ weight.T, expected, atol=1e-10)


@given(windows())
def test_a_phase_sees_its_taps_and_no_others(case):
    window, sizes = case
    window = replace(window, sizes=tuple(4 * stride for stride in window.strides))
    x = 1 + np.random.default_rng(0).random((2, 3, *sizes))  # not zero
    rows = np.arange(2 * np.prod(window.sizes))
    phase = window.phase_of(rows)
    assert set(phase) == set(range(window.phases))
    for number in range(window.phases):
        whole = window.patches(x, rows[phase == number]).reshape(-1, 3, np.prod(window.kernel))
        taps = window.taps_of(number)
        some = window.patches(x, rows[phase == number], taps)
        np.testing.assert_array_equal(some, whole[:, :, taps].reshape(len(some), -1))
        others = np.setdiff1d(np.arange(whole.shape[2]), taps)
        assert not whole[:, :, others].any()


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_weights_are_turned_inside_their_groups_and_back(groups, share, filters):
    stored = np.random.default_rng(0).standard_normal((groups * share, filters, 2, 3))
    weight = turned(stored, groups)
    for g, c, o in np.ndindex(groups, share, filters):
        assert (weight[g * filters + o, c] == stored[g * share + c, o]).all()
    np.testing.assert_array_equal(turned(weight, groups), stored)


def test_moments_of_some_taps_are_those_of_all_where_the_others_are_zero():
    draw = np.random.default_rng(0).standard_normal
    x, y = np.zeros((50, 2, 6)), draw((50, 3))
    x[:, :, [1, 4]] = draw((50, 2, 2))
    found = widened(Moments.of(x[:, :, [1, 4]].reshape(50, -1), y), np.array([1, 4]), 6)
    expected = Moments.of(x.reshape(50, -1), y)
    for name in ("x_mean", "y_mean", "xx", "yx", "yy"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-12)
