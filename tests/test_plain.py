"""Which convolutions are looked at, which stay, and why."""

from __future__ import annotations

import numpy as np
import pytest
from models import model

from gconvtool.graph.plain import families, refused

W = np.ones((4, 4, 1, 1), np.float32)
TEXT = "g (float[1, 4, 5, 5] x{more}) => (float[a, b, c, d] y, float[e, f, g, h] z) {{ {body} }}"


def graph(body, more="", **constants):
    return model(TEXT.format(body=body, more=more), **constants)


def test_convolutions_of_one_weight_are_a_family():
    made = graph("y = Conv (x, w)\n z = Conv (y, w)", w=W)
    ((first, second),) = families(made)
    assert (first.name, second.name, first.kernel.shape) == ("y", "z", (1, 4, 4, 1))
    assert refused(made) == {}


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (graph("y = Conv (x, w)\n z = Neg (w)", w=W), "more than convolutions read its weight"),
        (
            graph("v = Neg (w)\n y = Conv (x, v)\n z = Neg (x)", w=W),
            "its weight is made by Neg, not stored: fold constants first",
        ),
        (
            graph("y = Conv (x, w)\n z = Neg (x)", ", float[4, 4, 1, 1] w", w=W),
            "its weight is fed, not stored",
        ),
        (
            graph(
                "v = DequantizeLinear (q, s)\n y = Conv (x, v)\n z = Neg (x)",
                q=np.ones((4, 4, 1, 1), np.int8),
                s=np.array(0.1, np.float32),
            ),
            "its weight is quantised: convert the float network, and quantise that",
        ),
        (
            graph("b = Neg (v)\n y = Conv (x, w, b)\n z = Neg (x)", w=W, v=W[:, 0, 0, 0]),
            "its bias is not constant",
        ),
        (graph("y = Conv (x, w)\n z = Neg (x)", w=0 * W), "its weight is zero"),
        (graph("y = Conv (x, w)\n z = Neg (x)", w=W[:0]), "its weight is empty"),
        (
            graph("y = Conv <group = 3> (x, w)\n z = Neg (x)", w=W),
            "its weight does not fit its groups",
        ),
        (
            graph("y = Conv <pads = [1, 1]> (x, w)\n z = Neg (x)", w=W),
            "its pads are 2 numbers, not the 4 of its kernel",
        ),
        (
            graph("y = Conv <strides = [1]> (x, w)\n z = Neg (x)", w=W),
            "its strides are 1 numbers, not the 2 of its kernel",
        ),
        (
            graph("y = Conv (x, w, b)\n z = Neg (x)", w=W, b=W[0, :3, 0, 0]),
            "its bias of 3 is not one for each of its filters",
        ),
    ],
)
def test_what_stays_has_a_reason(made, reason):
    assert [skip.reason for skip in refused(made).values()] == [reason]
    assert list(families(made)) == []
