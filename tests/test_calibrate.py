"""The walk sees what flows: the converted part's inputs, the original's outputs."""

from __future__ import annotations

import nets
import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from gconvtool.fit.grouping import contiguous
from gconvtool.fit.moments import Moments
from gconvtool.fit.patches import Window, outputs
from gconvtool.fit.structure import GroupedFactors, SeparableFactors
from gconvtool.graph import shapes, surgery
from gconvtool.graph.survey import survey
from gconvtool.runtime import gather
from gconvtool.runtime.calibrate import Walk
from gconvtool.runtime.inputs import Batch, Data
from gconvtool.runtime.stream import Settings

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


def walk_over(base: ir.Model, work: ir.Model, fit: Data, held: Data, batch: Batch, **how) -> Walk:
    sites = [survey(base).sites[name] for name in DENSE]
    return Walk(base, work, fit, held, batch, sites, Settings(threads=1, **how))


@pytest.mark.parametrize("memory", [0, 2**30])
@pytest.mark.parametrize("batch", [Batch(2), Batch(3), Batch(1, fixed=True)])
def test_moments_are_those_of_the_partly_converted_network(batch, memory, monkeypatch):
    monkeypatch.setattr(gather, "ROWS_PER_UNKNOWN", 10**9)
    monkeypatch.setattr(gather, "moments_fit", lambda size, memory: True)
    base = nets.residual()
    shapes.infer(base)
    work, fit, held = base.clone(), data(4), data(2, seed=1)
    walk = walk_over(base, work, fit, held, batch, memory=memory)
    assert walk.stops == list(DENSE)
    sites = [survey(base).sites[name] for name in DENSE]
    for site, source in zip(sites, ("x", "ra", "r"), strict=True):
        sight = walk.visit(site)
        shapes.infer(work)
        assert sight.changed == (site.name != DENSE[0])
        for moments, model, samples in (
            (sight.asymmetric(), work, fit),
            (sight.judged(), work, held),
            (sight.symmetric(), base, fit),
        ):
            expected = whole(base, model, site.name, source, samples.feeds["x"])
            assert moments.count == expected.count
            np.testing.assert_allclose(moments.xx, expected.xx, atol=1e-4)
            np.testing.assert_allclose(moments.yx, expected.yx, atol=1e-4)
            np.testing.assert_allclose(moments.yy, expected.yy, atol=1e-4)
        surgery.replace(work, site.name, factors_for(site.name))


def test_positions_are_capped_by_the_unknowns(monkeypatch):
    monkeypatch.setattr(gather, "ROWS_PER_UNKNOWN", 1)
    monkeypatch.setattr(gather, "CHEAP", 0)
    base = nets.residual()
    shapes.infer(base)
    walk = walk_over(base, base.clone(), data(8), data(2), Batch(4))
    sight = walk.visit(survey(base).sites["a"])
    assert sight.asymmetric().count == 8 * 9  # one patch for each of C·ΠK unknowns
    assert sight.judged().count == 2 * 25  # all that two held-out maps of 5x5 have


BLOCK = """
<ir_version: 8, opset_import: ["": 17]>
block (float[N, 8, 9, 9] x) => (float[N, 8, 9, 9] out)
  <float[8, 8, 3, 3] w1, float[8, 8, 3, 3] w2, float[8, 8, 1, 1] w3>
{
  a = Conv <pads = [1, 1, 1, 1]> (x, w1)
  ra = Relu (a)
  b = Conv <pads = [1, 1, 1, 1]> (ra, w2)
  SHORTCUT
  out = Add (b, s)
}
"""


@pytest.mark.parametrize("shortcut", ["s = Identity (ra)", "s = Conv (ra, w3)"])
def test_a_site_mends_what_it_is_added_to(shortcut, monkeypatch):
    monkeypatch.setattr(gather, "ROWS_PER_UNKNOWN", 10**9)
    base = ir.from_proto(nets.network(BLOCK.replace("SHORTCUT", shortcut)))
    shapes.infer(base)
    work, fit = base.clone(), data(4)
    sites = survey(base).sites
    walk = Walk(base, work, fit, data(2), Batch(2), [sites["a"], sites["b"]])
    walk.visit(sites["a"])
    zero = np.zeros((8, 72))
    surgery.replace(work, "a", GroupedFactors(zero, np.ones(8), contiguous(8, 8, 1), 9))
    sight = walk.visit(sites["b"])
    (out,) = nets.run(base, fit.feeds)
    after_one = out[:1] * 0 + 1  # what ra has become, everywhere
    weight = {v.name: v.const_value.numpy() for v in base.graph.initializers.values()}
    skipped = (
        after_one
        if "Identity" in shortcut
        else after_one * 0 + weight["w3"].sum((1, 2, 3))[:, None, None]
    )
    due = np.concatenate([y for _, y in sight.converted])
    np.testing.assert_allclose(due + skipped, out, atol=1e-4)
    was = np.concatenate([y for _, y in sight.original])
    np.testing.assert_allclose(was, values(base, fit.feeds["x"], "b")[0], atol=1e-5)
