"""A convolution is its patches times its weights, whatever its window."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from gconvtool.fit.patches import Window, outputs, spread


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, tuple[int, ...]]:
    """A window in one to three dimensions, and an input size that it fits into."""
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    window = Window(each(1, 3), each(1, 3), each(1, 2), each(0, 2) + each(0, 2))
    return window, each(5, 7)


def convolved(x: np.ndarray, weight: np.ndarray, window: Window) -> np.ndarray:
    """The ONNX reference's answer."""
    node = onnx.helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        strides=window.strides,
        dilations=window.dilations,
        pads=window.pads,
    )
    return ReferenceEvaluator(node).run(None, {"x": x, "w": weight})[0]


@given(windows(), st.integers(0, 2**32 - 1))
def test_patches_times_weights_are_the_convolution(case, seed):
    window, sizes = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 3, *sizes)).astype(np.float32)
    weight = rng.standard_normal((4, 3, *window.kernel)).astype(np.float32)
    y = convolved(x, weight, window)
    rows = rng.permutation(y.size // 4)[:10]
    made = window.patches(x, rows) @ weight.reshape(4, -1).T.astype(np.float64)
    np.testing.assert_allclose(made, outputs(y, rows), atol=1e-4)


@pytest.mark.parametrize("images", [[2], [1, 2], [2, 0], []])
def test_patches_of_some_images_are_those_of_all(images):
    window = Window((3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2, 5, 4)).astype(np.float32)
    every, values = window.patches(x, np.arange(60)), outputs(x, np.arange(60))
    rows = np.array([20 * image + place for image in images for place in (7, 3, 19)], np.intp)
    np.testing.assert_array_equal(window.patches(x, rows), every[rows])
    np.testing.assert_array_equal(outputs(x, rows), values[rows])


@pytest.mark.parametrize(("total", "count"), [(10, 10), (10, 25), (1000, 7), (1000, 999), (1, 1)])
def test_spread_takes_one_of_each_equal_part(total, count):
    chosen = spread(total, count, np.random.default_rng(0))
    kept = min(total, count)
    assert len(chosen) == kept
    parts = np.floor((chosen + 0.5) * kept / total)
    # A part that does not begin at a whole number may give its index to its neighbour.
    assert np.all(np.abs(parts - np.arange(kept)) <= 1)
    assert chosen.min() >= 0
    assert chosen.max() < total
