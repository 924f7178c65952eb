"""Coordinates in which all unknowns weigh the same, and the steps that are taken in them."""

from __future__ import annotations

import numpy as np
import pytest

from gconvtool.fit import descent
from gconvtool.fit.descent import Adam, Coordinates, pace


@pytest.fixture
def rows() -> np.ndarray:
    """Patches of two groups of three numbers, correlated, of very unlike sizes."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((4000, 6)) @ (rng.standard_normal((6, 6)) * 10.0 ** np.arange(-3, 3))


@pytest.fixture
def made() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((4000, 4)) * [1, 10, 100, 0]


def test_every_unit_step_moves_its_output_by_its_spread(rows, made, monkeypatch):
    monkeypatch.setattr(descent, "RIDGE", 1e-12)
    where = Coordinates.of(rows, made, 2)
    for filter_, unknown in np.ndindex(4, 3):
        v = np.zeros((4, 3), np.float32)
        v[filter_, unknown] = 1
        group = filter_ // 2
        moved = rows[:, 3 * group : 3 * group + 3] @ where.weight(v)[filter_]
        assert moved.std() == pytest.approx(where.spread[filter_], rel=1e-3)


def test_the_gradient_is_the_adjoint_of_the_weights(rows, made):
    where, rng = Coordinates.of(rows, made, 2), np.random.default_rng(2)
    v, g = rng.standard_normal((2, 4, 3))
    assert np.vdot(where.gradient(g), v) == pytest.approx(np.vdot(g, where.weight(v)), rel=1e-5)


def test_dead_filters_and_dead_patches_have_finite_coordinates(rows, made):
    where = Coordinates.of(0 * rows, made, 2)
    assert np.isfinite(where.whitening).all()
    assert (where.spread > 0).all()


def test_wide_patches_are_only_scaled(rows, made, monkeypatch):
    monkeypatch.setattr(descent, "WIDEST", 2)
    whitening = Coordinates.of(rows, made, 2).whitening
    assert np.count_nonzero(whitening) == 6


def test_the_first_step_moves_every_number_by_its_size():
    adam = Adam([np.zeros(3), np.zeros((2, 2))])
    adam.step([np.array([1e-3, -5.0, 2.0]), np.full((2, 2), 7.0)], 0.1)
    assert adam.position[0] == pytest.approx([-0.1, 0.1, -0.1], rel=1e-4)
    assert adam.position[1] == pytest.approx(np.full((2, 2), -0.1), rel=1e-4)


def test_steps_find_the_bottom_of_a_bowl():
    adam, target = Adam([np.zeros(4)]), np.array([1.0, -2.0, 0.5, 0.0])
    for step in range(400):
        adam.step([adam.position[0] - target], 0.1 * pace(step, 400))
    assert adam.position[0] == pytest.approx(target, abs=1e-3)


def test_the_pace_rises_and_then_sinks_to_nothing():
    paces = [pace(step, 50) for step in range(50)]
    top = int(np.argmax(paces))
    assert (np.diff(paces[: top + 1]) > 0).all()
    assert (np.diff(paces[top:]) < 0).all()
    assert 0 < paces[0] < paces[top] < 1
    assert paces[-1] < 0.01
