"""A graph run in pieces gives what it gives in one."""

from __future__ import annotations

import nets
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gconvtool.graph import shapes
from gconvtool.graph.cut import Cutter
from gconvtool.runtime.session import Session

BRANCHES = """
<ir_version: 8, opset_import: ["": 17]>
branches (float[N, 4] x, float[N, 4] unused_later) => (float[N, 4] y, float[N, 4] early)
  <float[4] shift>
{
  early = Add (x, shift)
  size = ReduceSum <keepdims = 0> (early)
  zero = Constant <value_float = 0.0> ()
  positive = Greater (size, zero)
  mixed = Mul (early, unused_later)
  chosen = If (positive) <
    then_branch = then () => (float[N, 4] t) { t = Sub (mixed, x) },
    else_branch = other () => (float[N, 4] e) { e = Add (mixed, early) }
  >
  y = Relu (chosen)
}
"""


def in_pieces(model: ir.Model, feeds: dict[str, np.ndarray], cuts: list[int]) -> dict:
    """Run the segments between cuts one after the other, keeping only what they say is alive."""
    shapes.infer(model)
    cutter = Cutter(model)
    alive, position = dict(feeds), 0
    for cut in [*cuts, cutter.end]:
        segment = cutter.segment(model, position, cut)
        if segment.model is not None:
            made = Session(segment.model).run({name: alive[name] for name in segment.inputs})
            alive.update(made)
        alive = {name: value for name, value in alive.items() if name in segment.alive}
        position = cut
    return alive


@settings(max_examples=25)
@given(st.sets(st.integers(0, 11)))
def test_pieces_of_a_residual_network_make_the_whole(cuts):
    model, x = nets.residual(), nets.images(2)
    whole = nets.run(model, {"x": x})[0]
    pieces = in_pieces(model, {"x": x}, sorted(cuts))
    assert set(pieces) == {"scores"}
    np.testing.assert_allclose(pieces["scores"], whole, atol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("cut", range(8))
def test_values_that_a_body_reads_from_outside_stay_alive(cut, sign):
    model = ir.from_proto(nets.network(BRANCHES))
    feeds = {
        "x": sign * np.full((2, 4), 9.0, np.float32),
        "unused_later": np.arange(8, dtype=np.float32).reshape(2, 4),
    }
    y, early = nets.run(model, feeds)
    pieces = in_pieces(model, feeds, [cut])
    np.testing.assert_array_equal(pieces["y"], y)
    np.testing.assert_array_equal(pieces["early"], early)


def test_only_what_is_read_later_crosses_a_cut():
    model = nets.residual()
    cutter = Cutter(model)
    assert cutter.alive(0) == {"x"}
    # Behind `b`, its output waits for the addition, and x for the shortcut.
    assert cutter.alive(cutter.position("b") + 1) == {"b", "x"}
    assert cutter.alive(cutter.end) == {"scores"}
