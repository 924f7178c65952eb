"""A kernel is what its two steps compute, one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.fit.grouping import Grouping
from gconvtool.fit.structure import (
    BottleneckFactors,
    Factors,
    GroupedFactors,
    MonarchFactors,
    PointwiseFirstFactors,
    SeparableFactors,
)

SEEDS = st.integers(0, 2**32 - 1)
G, C, N, TAPS = 2, 8, 12, 3


def convolved(x: np.ndarray, weight: np.ndarray, groups: int) -> np.ndarray:
    """A grouped convolution at one position: x is C × taps, weight N × C/G × taps."""
    shares = zip(np.split(x, groups), np.split(weight, groups), strict=True)
    return np.concatenate([np.einsum("nck,ck->n", w, part) for part, w in shares])


def pointwise(x: np.ndarray, weight: np.ndarray, groups: int) -> np.ndarray:
    return convolved(x[:, None], weight[:, :, None], groups)


def mixed_up(rng: np.random.Generator, count: int, blocks: int) -> np.ndarray:
    """Channels shuffled inside each of G groups, `blocks` blocks each."""
    share = count // G
    return np.concatenate(
        [(g * share + rng.permutation(share)).reshape(blocks, -1) for g in range(G)]
    )


def placed(y: np.ndarray, order: np.ndarray) -> np.ndarray:
    out = np.empty_like(y)
    out[order.ravel()] = y
    return out


@given(SEEDS)
@pytest.mark.parametrize("kind", ["grouped", "dw-pw", "pw-dw", "bottleneck", "monarch"])
def test_the_kernel_computes_what_the_steps_do(kind, seed):
    rng = np.random.default_rng(seed)
    draw, bias = rng.standard_normal, np.zeros(N)
    taps = 1 if kind == "monarch" else TAPS
    x = draw((C, taps))
    factors: Factors
    if kind == "grouped":
        grouping = Grouping(mixed_up(rng, C, 2), mixed_up(rng, N, 2))
        factors = GroupedFactors(draw((N, 2 * TAPS)), bias, grouping, TAPS, G)
        made = convolved(x[grouping.inputs.ravel()], factors.weight.reshape(N, 2, TAPS), 4)
        y = placed(made, grouping.outputs)
    elif kind == "dw-pw":
        factors = SeparableFactors(draw((2, C, TAPS)), draw((2, N, C // G)), bias, G)
        y = sum(
            pointwise(convolved(x, taps[:, None], C), mix, G)
            for taps, mix in zip(factors.depthwise, factors.pointwise, strict=True)
        )
    elif kind == "pw-dw":
        factors = PointwiseFirstFactors(draw((2, N, C // G)), draw((2, N, TAPS)), bias, G)
        y = sum(
            (np.stack([pointwise(x[:, k], mix, G) for k in range(TAPS)], 1) * taps).sum(1)
            for taps, mix in zip(factors.depthwise, factors.pointwise, strict=True)
        )
    elif kind == "bottleneck":
        inputs, width = mixed_up(rng, C, 2), 3
        spatial, mix = draw((4 * width, 2 * TAPS)), draw((N, 2 * width))
        factors = BottleneckFactors(inputs, spatial, mix, bias, TAPS, G)
        y = pointwise(convolved(x[inputs.ravel()], spatial.reshape(-1, 2, TAPS), 4), mix, G)
    else:
        grouping = Grouping(mixed_up(rng, C, 2), mixed_up(rng, N, 2))
        factors = MonarchFactors(draw((8, 2)), draw((N, 2)), bias, grouping, G)
        hidden = pointwise(x[grouping.inputs.ravel(), 0], factors.first, 4)
        y = placed(pointwise(hidden[factors.shuffle], factors.second, 4), grouping.outputs)
    kernel = factors.kernel()
    assert kernel.shape == (N, C // G * taps)
    np.testing.assert_allclose(convolved(x, kernel.reshape(N, -1, taps), G), y, atol=1e-12)
