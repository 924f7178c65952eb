"""Taps that are zero go, wherever the window is, and the output stays where it was."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from models import model, ort

from gconvtool.graph import window

SEEDS = st.integers(0, 2**32 - 1)
RNG = np.random.default_rng(0)
CENTRE = [(1, 1)]


def with_taps(kernel, taps, n=4, c=3, rng=RNG):
    """Weights that are zero but for these taps."""
    w = np.zeros((n, c, *kernel), np.float32)
    for at in taps:
        w[(..., *at)] = rng.uniform(1, 2, (n, c))
    return w


def convolution(w, attributes, *, size=9, groups=1, known=True, opset=17):
    axes, channels = w.ndim - 2, w.shape[1] * groups
    sizes = [2, channels, *([size] * axes if known else [f"s{i}" for i in range(axes)])]
    text = (
        f"g (float[{', '.join(map(str, sizes))}] x) => "
        f"(float[{', '.join(f'd{i}' for i in range(axes + 2))}] y) "
        f"{{ y = Conv <group = {groups}{attributes}> (x, w) }}"
    )
    x = RNG.standard_normal((2, channels, *[size] * axes)).astype(np.float32)
    return model(text, w=w, opset=opset), x


def shrunk(made, x):
    """The convolution afterwards, which is valid and computes the same."""
    (before,) = ort(made, x=x)
    certificates = window.shrink(made)
    assert all(c.difference <= c.bound for c in certificates)
    assert [c.site for c in certificates] == ["y"] * len(certificates)
    onnx.checker.check_model(ir.to_proto(made), full_check=True)
    np.testing.assert_allclose(ort(made, x=x)[0], before, rtol=1e-4, atol=1e-5)
    return next(node for node in made.graph if node.op_type == "Conv")


def kernel(node):
    return tuple(node.attributes["kernel_shape"].as_ints())


@given(
    SEEDS,
    st.sampled_from([(3,), (5, 3), (4, 5), (3, 2, 3)]),
    st.integers(1, 3),
    st.integers(1, 2),
    st.booleans(),
    st.data(),
)
def test_any_window_is_made_smaller_without_moving(seed, shape, stride, dilation, known, data):
    rng, axes = np.random.default_rng(seed), len(shape)
    taps = data.draw(st.lists(st.tuples(*[st.integers(0, k - 1) for k in shape]), min_size=1))
    pads = data.draw(st.lists(st.integers(0, 3), min_size=2 * axes, max_size=2 * axes))
    size = data.draw(st.integers(2, 9))
    reach = [dilation * (k - 1) + 1 for k in shape]
    assume(all(size + a + b >= r for a, b, r in zip(pads, pads[axes:], reach, strict=False)))
    window_ = f", strides = {[stride] * axes}, dilations = {[dilation] * axes}, pads = {pads}"
    made, x = convolution(with_taps(shape, taps, rng=rng), window_, size=size, known=known)
    (before,) = ort(made, x=x)
    window.shrink(made)
    np.testing.assert_allclose(ort(made, x=x)[0], before, rtol=1e-4, atol=1e-5)
    used = [{tap[axis] for tap in taps} for axis in range(axes)]
    if all(pad >= dilation * (k - 1) for pad, k in zip(pads, [*shape, *shape], strict=True)):
        now = made.graph.node(0).inputs[1].const_value.shape.numpy()[2:]
        spans = [max(at) - min(at) + 1 for at in used]
        assert all(left <= span for left, span in zip(now, spans, strict=True))


def test_a_centre_tap_is_a_pointwise_convolution():
    made, x = convolution(with_taps((3, 3), CENTRE), ", pads = [1, 1, 1, 1], strides = [2, 1]")
    conv = shrunk(made, x)
    assert kernel(conv) == (1, 1)
    assert conv.attributes["pads"].as_ints() == (0, 0, 0, 0)
    assert made.graph.node(0) is conv


def test_a_border_of_zeros_goes():
    inner = [(i, j) for i in (1, 2, 3) for j in (1, 2, 3)]
    conv = shrunk(*convolution(with_taps((5, 5), inner), ", pads = [2, 2, 2, 2]"))
    assert kernel(conv) == (3, 3)
    assert conv.attributes["pads"].as_ints() == (1, 1, 1, 1)


def test_zeros_between_taps_are_a_dilation():
    taps = [(i, j) for i in (0, 2, 4) for j in (0, 3)]
    conv = shrunk(*convolution(with_taps((5, 4), taps), ", dilations = [1, 2]"))
    assert kernel(conv) == (3, 2)
    assert conv.attributes["dilations"].as_ints() == (2, 6)


@pytest.mark.parametrize("opset", [9, 17])
@pytest.mark.parametrize("known", [False, True])
def test_what_is_not_padded_is_cropped(opset, known):
    made, x = convolution(with_taps((3, 3), CENTRE), "", known=known, opset=opset)
    conv = shrunk(made, x)
    assert kernel(conv) == (1, 1)
    assert [node.op_type for node in made.graph if node.op_type != "Constant"] == ["Slice", "Conv"]


def test_depthwise_convolutions_are_not_cropped():
    made, x = convolution(with_taps((3, 3), CENTRE, 4, 1), ", pads = [1, 0, 1, 0]", groups=4)
    assert kernel(shrunk(made, x)) == (1, 3)
    assert [node.op_type for node in made.graph] == ["Conv"]


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(("stride", "known"), [(1, False), (1, True), (2, True)])
def test_automatic_padding_is_resolved(mode, stride, known):
    attributes = f', auto_pad = "{mode}", strides = [{stride}, {stride}]'
    w = with_taps((4, 3), [(2, 0)]) if known else with_taps((3, 3), CENTRE)
    conv = shrunk(*convolution(w, attributes, known=known))
    assert kernel(conv) == (1, 1)
    assert "auto_pad" not in conv.attributes


def test_padding_that_depends_on_an_open_size_is_left():
    attributes = ', auto_pad = "SAME_UPPER", strides = [2, 2]'
    made, _ = convolution(with_taps((3, 3), CENTRE), attributes, known=False)
    assert window.shrink(made) == ()


@pytest.mark.parametrize(("tap", "changes"), [(2.0**-25, True), (2.0**-23, False)])
def test_a_tap_is_zero_only_if_it_is_less_than_rounding(tap, changes):
    w = with_taps((3, 3), CENTRE)
    w[..., 1, 1] = 1
    w[0, 0, [0, 2, 1, 1], [1, 1, 0, 2]] = tap
    found = [certificate.difference for certificate in window.shrink(convolution(w, "")[0])]
    assert found == ([tap] if changes else [])


@pytest.mark.parametrize(
    ("other", "sites"),
    [
        ("pads = [1, 1, 1, 1]", ["y", "z"]),
        ('group = 1, auto_pad = "SAME_UPPER", strides = [2, 2]', []),
    ],
)
def test_a_shared_weight_is_smaller_for_all_or_none(other, sites):
    made = model(
        f"g (float[1, 3, h, h] x) => (float[a, b, c, d] y, float[a, b, e, f] z) "
        f"{{ y = Conv (x, w)\n z = Conv <{other}> (x, w) }}",
        w=with_taps((3, 3), CENTRE),
    )
    x = RNG.standard_normal((1, 3, 6, 6)).astype(np.float32)
    before = ort(made, x=x)
    assert [c.site for c in window.shrink(made)] == sites
    weights = {node.inputs[1] for node in made.graph if node.op_type == "Conv"}
    assert len(weights) == 1
    for one, other_ in zip(ort(made, x=x), before, strict=True):
        np.testing.assert_allclose(one, other_, rtol=1e-5, atol=1e-5)
