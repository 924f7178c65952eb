"""The walk sees what flows: the converted part's inputs, the original's outputs."""

from __future__ import annotations

import nets
import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from gconvtool.fit.factor import SeparableFactors
from gconvtool.fit.moments import Moments
from gconvtool.fit.patches import Window, outputs
from gconvtool.graph import shapes, surgery
from gconvtool.graph.survey import survey
from gconvtool.runtime import calibrate
from gconvtool.runtime.calibrate import Walk
from gconvtool.runtime.inputs import Batch, Data

DENSE = ("a", "b", "d")


def data(count: int, seed: int = 0) -> Data:
    return Data("test", {"x": nets.images(count, seed)})


def values(model: ir.Model, x: np.ndarray, *names: str) -> list[np.ndarray]:
    """Values inside a network, by running it as a whole with more outputs."""
    proto = ir.to_proto(model)
    del proto.graph.output[:]
    proto.graph.output.extend(
        info for info in proto.graph.value_info if info.name in (*names, "scores")
    )
    return ReferenceEvaluator(proto).run(list(names), {"x": x})


def whole(model: ir.Model, work: ir.Model, site: str, source: str, x: np.ndarray) -> Moments:
    """Moments over all positions of all samples at once."""
    facts = survey(model).sites[site]
    window = Window(facts.kernel, facts.strides, facts.dilations, facts.pads)
    (y,) = values(model, x, site)
    seen = x if source == "x" else values(work, x, source)[0]
    rows = np.arange(y.size // y.shape[1])
    return Moments.of(window.patches(seen, rows), outputs(y, rows))


def factors_for(site: str) -> SeparableFactors:
    rng = np.random.default_rng(len(site))
    channels = 8 if site == "a" else 16
    shapes_of = ((1, channels, 9), (1, 16, channels), (16,))
    return SeparableFactors(*(0.3 * rng.standard_normal(shape) for shape in shapes_of))


@pytest.mark.parametrize("batch", [Batch(2), Batch(3), Batch(1, fixed=True)])
def test_moments_are_those_of_the_partly_converted_network(batch, monkeypatch):
    monkeypatch.setattr(calibrate, "ROWS_PER_UNKNOWN", 10**9)
    base = nets.residual()
    shapes.infer(base)
    work, fit, held = base.clone(), data(4), data(2, seed=1)
    walk = Walk(base, work, fit, held, batch, threads=1)
    for site, source in zip(DENSE, ("x", "ra", "r"), strict=True):
        seen, judged = walk.visit(survey(base).sites[site])
        shapes.infer(work)
        for moments, samples in ((seen, fit), (judged, held)):
            expected = whole(base, work, site, source, samples.feeds["x"])
            assert moments.count == expected.count
            np.testing.assert_allclose(moments.xx, expected.xx, atol=1e-4)
            np.testing.assert_allclose(moments.yx, expected.yx, atol=1e-4)
            np.testing.assert_allclose(moments.yy, expected.yy, atol=1e-4)
        surgery.replace(work, site, factors_for(site))


def test_positions_are_capped_by_the_unknowns(monkeypatch):
    monkeypatch.setattr(calibrate, "ROWS_PER_UNKNOWN", 1)
    base = nets.residual()
    shapes.infer(base)
    walk = Walk(base, base.clone(), data(8), data(2), Batch(4), threads=1)
    seen, judged = walk.visit(survey(base).sites["a"])
    assert seen.count == 8 * 9  # one patch for each of C·ΠK unknowns
    assert judged.count == 2 * 25  # all that two held-out maps of 5x5 have
