"""A scale and a shift a channel are those of a straight line through the points."""

from __future__ import annotations

import numpy as np
import pytest

from gconvtool.fit.affine import ChannelMoments

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 3, 4, 5)) * np.array([1, 5, 0.5]).reshape(1, 3, 1, 1) + 2
Y = 3 * X - 1 + 0.5 * RNG.standard_normal(X.shape)


def test_the_fit_is_the_line_that_polyfit_finds(monkeypatch):
    monkeypatch.setattr("gconvtool.fit.affine.RIDGE", 0)
    seen = ChannelMoments.of([(X[:2], Y[:2]), (X[2:], Y[2:])])
    scale, shift = seen.fit(np.zeros(3))
    lines = [np.polyfit(X[:, c].ravel(), Y[:, c].ravel(), 1) for c in range(3)]
    assert np.stack([scale, shift], 1) == pytest.approx(np.array(lines))


def test_what_is_missed_is_the_mean_square_that_is_left():
    seen = ChannelMoments.of([(X, Y)])
    scale, shift = np.array([1.0, 2, 3]), np.array([0.0, 1, -1])
    left = Y - scale.reshape(3, 1, 1) * X - shift.reshape(3, 1, 1)
    assert seen.missed(scale, shift) == pytest.approx(np.square(left).mean((0, 2, 3)).sum())


def test_channels_that_never_vary_keep_their_scale():
    flat = np.ones_like(X)
    scale, shift = ChannelMoments.of([(flat, flat * 4)]).fit(np.array([1.0, 2, 3]))
    assert scale == pytest.approx([1, 2, 3])
    assert scale + shift == pytest.approx([4, 4, 4])
