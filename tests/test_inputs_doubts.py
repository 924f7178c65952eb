"""Which samples are doubtful to fit to, and that real ones are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.runtime import doubts as room
from gconvtool.runtime.doubts import doubts
from gconvtool.runtime.inputs import Data

RNG = np.random.default_rng(0)
MAPS = RNG.standard_normal((20, 3, 6, 6)).astype(np.float32)


def said(*arrays: np.ndarray) -> tuple[str, ...]:
    return doubts(Data("d.npz", {f"x{i}": array for i, array in enumerate(arrays)}))


@pytest.mark.parametrize("scale", [1.0, 1e-3, 255.0])
@pytest.mark.parametrize("level", [0.0, 100.0])
def test_unlike_samples_are_not_doubted(scale, level):
    assert said((MAPS + level) * scale) == ()


def test_real_samples_are_not_doubted(samples: Path):
    images = np.load(samples / "fashion_calib.npz")["image"]
    assert said(images[:64]) == ()


def test_a_scalar_is_no_sample():
    assert said(np.array(16000), MAPS) == ()
    assert "only 1 distinct" in said(np.array(16000), np.repeat(MAPS[:1], 20, 0))[0]


def test_one_sample_is_not_doubted_for_being_alone():
    assert said(MAPS[:1]) == ()


@pytest.mark.parametrize(("distinct", "times"), [(1, 20), (3, 7), (10, 2)])
def test_repeated_samples_are_counted_once(distinct, times):
    (line,) = said(np.repeat(MAPS[:distinct], times, axis=0))
    assert line.startswith(f"d.npz: only {distinct} distinct among {distinct * times} samples")
    assert "different" in line


def test_a_few_samples_may_come_twice():
    assert said(np.concatenate([MAPS, MAPS[:5]])) == ()


def test_samples_differ_if_one_input_does():
    same = np.repeat(MAPS[:1], 20, axis=0)
    assert said(same, MAPS) == ()
    assert said(same, np.arange(20)) == ()


def test_blank_samples_are_counted():
    blank = MAPS.copy()
    blank[:4] = np.arange(4).reshape(4, 1, 1, 1)
    (line,) = said(blank)
    assert line.startswith("d.npz: 4 of 20 samples hold one number throughout")


def test_a_blank_sample_among_many_does_no_harm():
    blank = MAPS.copy()
    blank[0] = 0
    assert said(blank) == ()


def test_all_zeros_are_blank_and_the_same():
    first, second = said(np.zeros((20, 3, 6, 6), np.uint8))
    assert "20 of 20 samples hold one number" in first
    assert "only 1 distinct among 20" in second


def test_inputs_of_one_number_are_never_blank():
    assert said(np.arange(20.0)) == ()
    assert said(np.arange(20).reshape(20, 1)) == ()


def test_a_flat_input_beside_a_full_one_is_not_blank():
    mask = np.ones((20, 6), np.int64)
    assert said(MAPS, mask) == ()


@pytest.mark.parametrize("level", [0.0, 1e4])
def test_one_sample_with_noise_on_it_is_doubted(level):
    noise = RNG.standard_normal((20, 3, 6, 6))
    assert said(MAPS[:1] + level + 1.0 * noise) == ()
    (line,) = said(MAPS[:1] + level + 0.05 * noise)
    assert "nearly alike" in line
    assert "diverse" in line


def test_levels_of_channels_are_no_content_that_samples_share():
    levels = np.array([-1e4, 0, 1e4], np.float32).reshape(3, 1, 1)
    assert said(MAPS + levels) == ()


@given(st.integers(0, 99), st.sampled_from([(3, 4, 4), (2, 9), (12,)]), st.floats(-3, 3))
def test_the_share_is_that_of_the_sums_of_squares(seed, shape, level):
    """In each channel all squares about the channel's mean = those between + those within."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) + 10.0**level * rng.standard_normal((7, *shape))
    channels = x.reshape(7, shape[0] if len(shape) > 1 else 1, -1)
    between = whole = 0.0
    for c in range(channels.shape[1]):
        columns = channels[:, c]
        whole += ((columns - columns.mean()) ** 2).sum()
        between += sum(((column - column.mean()) ** 2).sum() for column in columns.T)
    np.testing.assert_allclose(room._share_of(x), between / whole, rtol=1e-9)


def test_numbers_that_overflow_are_no_reason_to_fail():
    assert said(MAPS.astype(np.float64) * 1e300) == ()
