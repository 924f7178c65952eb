"""A multiplier's channels are repeated where that is faster, and the output is the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import model, ort

from gconvtool.graph.repeat import repeat_channels

RNG = np.random.default_rng(0)


def depthwise(channels, multiplier, kernel=(3, 3), kind="float", dtype=np.float32, stride=1):
    sizes = ", ".join(["1", str(channels), *["8"] * len(kernel)])
    strides = [stride] * len(kernel)
    w = RNG.standard_normal((channels * multiplier, 1, *kernel)).astype(dtype)
    return model(
        f"g ({kind}[{sizes}] x) => ({kind}[{', '.join('abcde'[: len(kernel) + 2])}] y) "
        f"{{ y = Conv <group = {channels}, strides = {strides}> (x, w, b) }}",
        w=w,
        b=RNG.standard_normal(len(w)).astype(dtype),
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("multiplier", [2, 4])
def test_the_output_is_what_it_was(multiplier, stride):
    made = depthwise(8, multiplier, stride=stride)
    x = RNG.standard_normal((1, 8, 8, 8)).astype(np.float32)
    (before,) = ort(made, x=x)
    (certificate,) = repeat_channels(made)
    assert (certificate.site, certificate.difference, certificate.bound) == ("y", 0, 0)
    assert [node.op_type for node in made.graph] == ["Gather", "Conv"]
    assert made.graph.node(1).attributes["group"].as_int() == 8 * multiplier
    onnx.checker.check_model(ir.to_proto(made), full_check=True)
    np.testing.assert_allclose(ort(made, x=x)[0], before, atol=1e-5)


@pytest.mark.parametrize(
    "slow",
    [
        depthwise(8, 1),
        depthwise(8, 8),
        depthwise(6, 2),
        depthwise(8, 2, (1, 1)),
        depthwise(8, 2, (3,)),
        depthwise(8, 2, (3, 3, 3)),
        depthwise(8, 2, kind="float16", dtype=np.float16),
    ],
)
def test_what_would_not_be_faster_stays(slow):
    assert repeat_channels(slow) == ()
