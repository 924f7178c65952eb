"""Adjoints of a convolution: what they give, paired with a change, is the change of the output."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from onnx.reference import ReferenceEvaluator

from gconvtool.fit.convolving import to_input, to_weight
from gconvtool.fit.patches import Window


def convolve(x: np.ndarray, weight: np.ndarray, window: Window, groups: int) -> np.ndarray:
    """By the ONNX reference, a sample at a time."""
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        strides=window.strides,
        dilations=window.dilations,
        pads=window.pads,
        group=groups,
    )
    kind, make = helper.np_dtype_to_tensor_dtype(x.dtype), helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "one", [make("x", kind, None), make("w", kind, None)], [make("y", kind, None)]
    )
    return ReferenceEvaluator(helper.make_model(graph)).run(None, {"x": x, "w": weight})[0]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Window, int, tuple[int, ...], tuple[int, int]]:
    """A window over one or two axes, groups, sizes of the map, and channels and filters a group."""
    axes = draw(st.integers(1, 2))
    each = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(axes))  # noqa: E731  short
    window = Window(each(1, 3), each(1, 2), each(1, 2), each(0, 2) + each(0, 2))
    return window, draw(st.sampled_from([1, 2, 3])), each(5, 7), (draw(st.integers(1, 3)), 2)


@given(cases(), st.integers(0, 99))
def test_pairing_with_any_change_gives_the_outputs_change(case, seed):
    window, groups, sizes, (channels, filters) = case
    draw = np.random.default_rng(seed).standard_normal
    x = draw((2, groups * channels, *sizes))
    weight = draw((groups * filters, channels, *window.kernel))
    made = convolve(x, weight, window, groups)
    g, dx, dw = draw(made.shape), draw(x.shape), draw(weight.shape)
    by_weight = np.vdot(to_weight(g, x, window, groups), dw)
    assert by_weight == pytest.approx(np.vdot(g, convolve(x, dw, window, groups)), abs=1e-9)
    by_input = np.vdot(to_input(g, weight, window, groups, sizes), dx)
    assert by_input == pytest.approx(np.vdot(g, convolve(dx, weight, window, groups)), abs=1e-9)


def test_depthwise_convolutions_too():
    window, draw = Window((3, 3), (1, 1), (1, 1), (1, 1, 1, 1)), np.random.default_rng(0)
    x, weight = draw.standard_normal((2, 4, 5, 5)), draw.standard_normal((4, 1, 3, 3))
    g, dw = draw.standard_normal(x.shape), draw.standard_normal(weight.shape)
    want = np.vdot(g, convolve(x, dw, window, 4))
    assert np.vdot(to_weight(g, x, window, 4), dw) == pytest.approx(want)
    want = np.vdot(g, convolve(x, weight, window, 4))
    assert np.vdot(to_input(g, weight, window, 4, (5, 5)), x) == pytest.approx(want)
