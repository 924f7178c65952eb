"""Pads are what onnxruntime takes off: its output begins there in the one without any padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import Numbers, model, ort, proto, spread

from gconvtool.facts import ConvSite
from gconvtool.graph.survey import survey


@st.composite
def transposed(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]:
    """Attributes that leave the padding to the runtime, the kernel and the input's size."""
    axes = draw(st.integers(1, 2))

    def each(low: int, high: int) -> list[int]:
        return [draw(st.integers(low, high)) for _ in range(axes)]

    kernel, size, strides, dilations = each(1, 4), each(1, 5), each(1, 3), each(1, 2)
    found: dict[str, Any] = {"strides": strides, "dilations": dilations}
    if draw(st.booleans()):
        found["output_padding"] = [draw(st.integers(0, stride - 1)) for stride in strides]
    mode = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "NOTSET"]))
    if mode == "NOTSET":
        columns = zip(size, kernel, strides, dilations, strict=True)
        spans = [(i, max(i, s * (i - 1) + d * (k - 1) + 1)) for i, k, s, d in columns]
        found["output_shape"] = [draw(st.integers(*span)) for span in spans]
    return {"auto_pad": f'"{mode}"', **found}, tuple(kernel), tuple(size)


def text(attributes: dict[str, Any], size: tuple[int, ...]) -> str:
    dims = ", ".join(map(str, (1, 1, *size)))
    names = ", ".join("NMPQR"[: 2 + len(size)])
    listed = ", ".join(f"{name} = {value}" for name, value in attributes.items())
    return f"g (float[{dims}] x) => (float[{names}] y) {{ y = ConvTranspose <{listed}> (x, w) }}"


def the_site(graph: str, weight: Numbers) -> ConvSite:
    return survey(model(graph, w=weight)).sites["y"]


@given(transposed())
def test_pads_of_a_transposed_convolution_are_what_is_taken_off_in_front(case):
    attributes, kernel, size = case
    draw = np.random.default_rng(0).standard_normal
    x, w = (draw((1, 1, *shape)).astype(np.float32) for shape in (size, kernel))
    graph = text(attributes, size)
    (y,) = ort(proto(graph, w=w), x=x)
    pads = the_site(graph, w).pads
    strides, dilations = attributes["strides"], attributes["dilations"]
    whole, _ = spread(x, w, 1, strides, dilations, (0,) * (2 * len(kernel)))
    whole = np.pad(whole, [(0, 0), (0, 0), *[(0, 4)] * len(kernel)])  # output_padding
    inside = tuple(slice(b, b + n) for b, n in zip(pads, y.shape[2:], strict=False))
    np.testing.assert_allclose(y, whole[(..., *inside)], atol=1e-5)


@pytest.mark.parametrize(
    ("attributes", "pads"),
    [
        ({"auto_pad": '"SAME_UPPER"'}, (1, 0, 1, 1)),  # 3 − 1 and 2 − 1 are left over
        ({"auto_pad": '"SAME_LOWER"', "strides": [2, 2]}, (1, 0, 0, 0)),
        ({"auto_pad": '"VALID"'}, (0, 0, 0, 0)),
        ({"output_shape": [9, 9]}, None),
        ({"output_shape": [8, 7]}, None),  # smaller than the input
    ],
)
def test_only_a_given_output_needs_the_size_of_the_input(attributes, pads):
    graph = text(attributes, (8, 8)).replace("1, 1, 8", "1, 1, H")
    assert the_site(graph, np.ones((1, 1, 3, 2), np.float32)).pads == pads
