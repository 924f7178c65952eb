"""A look at one site is what the whole network says, though what comes before it runs once."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from nets import images, network, residual, run

from gconvtool.graph import shapes
from gconvtool.graph.surgery import find
from gconvtool.graph.survey import survey
from gconvtool.pipeline.jury import Glance
from gconvtool.runtime.calibrate import Walk
from gconvtool.runtime.inputs import Batch, Data
from gconvtool.runtime.stream import Settings

TWINS = """
<ir_version: 8, opset_import: ["": 17]>
twins (float[N, 8, 9, 9] x) => (float[N, 8, 9, 9] y, float[N, 8, 9, 9] z)
  <float[8, 8, 3, 3] p, float[8, 8, 3, 3] q, float[8, 8, 3, 3] w, float[8, 8, 3, 3] v>
{
  a = Conv <pads = [1, 1, 1, 1]> (x, p)
  ra = Relu (a)
  b = Conv <pads = [1, 1, 1, 1]> (x, q)
  z = Relu (b)
  c = Conv <pads = [1, 1, 1, 1]> (ra, w)
  d = Conv <pads = [1, 1, 1, 1]> (z, w)
  s = Add (c, d)
  y = Conv <pads = [1, 1, 1, 1]> (s, v)
}
"""
"""Both c and d have the weight w, and neither needs the other; z is an output on the way."""


def changed(model: ir.Model, weight: str) -> ir.Model:
    """A copy in which a weight is not what it was."""
    work = model.clone()
    value = work.graph.initializers[weight]
    assert value.const_value is not None
    value.const_value = ir.tensor(value.const_value.numpy() * np.float32(0.9), name=weight)
    return work


def twins() -> ir.Model:
    model = ir.from_proto(network(TWINS))
    shapes.infer(model)
    return model


def expected(base: ir.Model, work: ir.Model, x: np.ndarray) -> list[float]:
    """Relative errors of the outputs, of whole networks."""
    pairs = zip(run(base, {"x": x}), run(work, {"x": x}), strict=True)
    return [float(np.linalg.norm(b - a) / np.linalg.norm(a)) for a, b in pairs]


@pytest.mark.parametrize("batch", [Batch(4), Batch(2), Batch(1, fixed=True)])
def test_every_site_is_seen_as_in_the_whole(batch: Batch) -> None:
    base, x = residual(), images(4)
    shapes.infer(base)
    glance = Glance(base, ["a", "b", "d"], Data("test", {"x": x}), batch, Settings(threads=1))
    for name in sorted(("a", "b", "d"), key=glance.position):
        weight = find(base, name).inputs[1]
        assert weight is not None
        work = changed(base, weight.name or "")
        for _ in range(2):
            (drift,) = glance.evidence(name, work).drifts
            assert drift.samples == 4
            assert drift.relative_error == pytest.approx(expected(base, work, x)[0], rel=1e-4)


def test_sites_that_share_a_weight_all_change() -> None:
    base, x = twins(), images(4)
    glance = Glance(base, ["a", "b", "c", "d", "y"], Data("test", {"x": x}), Batch(4), Settings(1))
    for name, weight in {"a": "p", "b": "q", "c": "w", "y": "v"}.items():
        work = changed(base, weight)
        seen = {drift.output: drift.relative_error for drift in glance.evidence(name, work).drifts}
        assert seen == pytest.approx(
            dict(zip("yz", expected(base, work, x), strict=True)), rel=1e-4
        )


def test_what_changes_nothing_is_seen_to_change_nothing() -> None:
    base, part = twins(), Data("test", {"x": images(4)})
    glance = Glance(base, ["b", "c", "d"], part, Batch(4), Settings(threads=1))
    for name in ("b", "c"):
        assert [d.relative_error for d in glance.evidence(name, base.clone()).drifts] == [0, 0]


def test_a_walk_sees_new_weights_in_all_that_share_them() -> None:
    """Also where one that comes later in the graph could run before the first of them."""
    base, fit = twins(), Data("test", {"x": images(4)})
    held_out = Data("test", {"x": images(2, seed=1)})
    sites = [survey(base).sites[name] for name in ("a", "b", "c", "d", "y")]
    work = base.clone()
    walk = Walk(
        base, work, fit, held_out, Batch(4), sites, Settings(threads=1), followers={"c": ("d",)}
    )
    assert walk.stops == ["a", "b", "c", "y"]
    for site in sites:
        if site.name == "d":
            continue
        sight = walk.visit(site)
        if site.name == "c":
            new = changed(base, "w").graph.initializers["w"]
            work.graph.initializers["w"].const_value = new.const_value
    ends = ir.Model(ir.convenience.extract(work.graph, ["x"], ["s"]), ir_version=work.ir_version)
    (s,) = run(ends, {"x": fit.feeds["x"]})
    np.testing.assert_allclose(np.concatenate([x for x, _ in sight.converted]), s, atol=1e-5)
