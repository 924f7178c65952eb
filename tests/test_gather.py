"""What a fit is given is an even sample, in the form that the memory allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from models import site

from gconvtool.fit.moments import Moments
from gconvtool.fit.per_group import PerGroup
from gconvtool.fit.rows import COPIES, Rows
from gconvtool.runtime import gather
from gconvtool.runtime.gather import observe

RNG = np.random.default_rng(0)
SITE = site(channels=4, filters=6, kernel=(3, 3), pads=(1, 1, 1, 1))
PAIRS = [(RNG.standard_normal((n, 4, 7, 5)), RNG.standard_normal((n, 6, 7, 5))) for n in (3, 3, 1)]
PLENTY = 2**30


def unfolded(pad: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """All patches and outputs, by loops over positions."""
    rows, due = [], []
    for x, y in PAIRS:
        padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        for n in range(len(x)):
            for i in range(7):
                for j in range(5):
                    rows.append(padded[n, :, i : i + 3, j : j + 3].ravel())
                    due.append(y[n, :, i, j])
    return np.array(rows), np.array(due)


@pytest.mark.parametrize("chunk", [1, 500, 10**9])
def test_chunks_add_up_to_all_positions(chunk, monkeypatch):
    monkeypatch.setattr(gather, "CHUNK", chunk)
    found = observe(SITE, PAIRS, 0, 1, PLENTY)
    expected = Moments.of(*unfolded())
    assert found.count == expected.count == 7 * 35
    for name in ("x_mean", "y_mean", "xx", "yx", "yy"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-10)


def test_little_memory_keeps_rows_instead_of_moments():
    found = observe(SITE, PAIRS, 0, 1, 40_000)
    assert COPIES * 8 * 36**2 > 40_000
    assert isinstance(found, Rows)
    x, y = unfolded()
    at = {row.tobytes() for row in np.hstack([x, y]).astype(np.float32)}
    taken = np.hstack([found.x, found.y])
    assert 0 < len(taken) < len(x)
    assert all(row.tobytes() in at for row in taken)


@pytest.mark.parametrize("memory", [PLENTY, 2**14])
def test_each_group_has_its_own(memory):
    grouped = replace(SITE, groups=2)
    found = observe(grouped, PAIRS, 0, 2, memory)
    assert isinstance(found, PerGroup)
    x, y = unfolded()
    for g, part in enumerate(found.parts):
        assert isinstance(part, Moments if memory == PLENTY else Rows)
        if isinstance(part, Moments):
            expected = Moments.of(x[:, 18 * g : 18 * (g + 1)], y[:, 3 * g : 3 * (g + 1)])
            np.testing.assert_allclose(part.xx, expected.xx, atol=1e-10)
            np.testing.assert_allclose(part.yx, expected.yx, atol=1e-10)


def test_samples_are_spread_over_all_batches(monkeypatch):
    monkeypatch.setattr(gather, "ROWS_PER_UNKNOWN", 1)
    monkeypatch.setattr(gather, "CHEAP", 0)
    parts = list(gather._sampled(PAIRS, 36, 0))
    taken = [len(at) for _, at in parts]
    assert sum(taken) == pytest.approx(36, abs=2)
    assert taken[0] == taken[1] == pytest.approx(3 * taken[2], abs=3)
    assert all(np.all(np.diff(at) > 0) for _, at in parts)


UP = site(
    op="ConvTranspose", channels=4, filters=6, kernel=(3, 4), strides=(2, 1), pads=(1, 1, 0, 1)
)
UP_PAIRS = [(x, RNG.standard_normal((len(x), 6, 14, 6))) for x, _ in PAIRS]


def spread_out() -> tuple[np.ndarray, np.ndarray]:
    """Patches of the map with zeros between its rows, by loops: begins are K − 1 − pad."""
    rows, due = [], []
    for x, y in UP_PAIRS:
        padded = np.zeros((len(x), 4, 17, 20))
        padded[:, :, 1:14:2, 2:7] = x
        for n, i, j in np.ndindex(len(x), 14, 6):
            rows.append(padded[n, :, i : i + 3, j : j + 4][:, ::-1, ::-1].ravel())
            due.append(y[n, :, i, j])
    return np.array(rows), np.array(due)


@pytest.mark.parametrize("chunk", [1, 10**9])
@pytest.mark.parametrize("groups", [1, 2])
def test_phases_of_a_transposed_convolution_add_up_to_all_positions(groups, chunk, monkeypatch):
    monkeypatch.setattr(gather, "CHUNK", chunk)
    found = observe(replace(UP, groups=groups), UP_PAIRS, 0, 1, PLENTY)
    x, y = (np.split(numbers, groups, axis=1) for numbers in spread_out())
    parts = found.parts if isinstance(found, PerGroup) else [found]
    for part, *numbers in zip(parts, x, y, strict=True):
        expected = Moments.of(*numbers)
        assert part.count == expected.count
        for name in ("x_mean", "y_mean", "xx", "yx", "yy"):
            np.testing.assert_allclose(getattr(part, name), getattr(expected, name), atol=1e-10)


def test_rows_of_a_transposed_convolution_have_all_taps():
    found = observe(UP, UP_PAIRS, 0, 1, 40_000)
    assert isinstance(found, Rows)
    at = {row.tobytes() for row in np.hstack(spread_out()).astype(np.float32) + 0}
    assert 0 < found.count < 7 * 14 * 6
    assert all(row.tobytes() in at for row in np.hstack([found.x, found.y]))
