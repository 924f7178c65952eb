"""Refining: gradients are those of the loss, and only what helps unseen samples is kept."""

from __future__ import annotations

from collections.abc import Sequence

import nets
import numpy as np
import onnx_ir as ir
import pytest

from gconvtool.facts import Skip
from gconvtool.fit.structure import SeparableFactors
from gconvtool.graph import shapes, surgery
from gconvtool.runtime.inputs import Data
from gconvtool.runtime.movable import Plan, backward
from gconvtool.runtime.refine import Refined, refine
from gconvtool.runtime.session import Session
from gconvtool.runtime.stream import Settings

SITES = ("a", "b", "d")
ONE = Settings(threads=1)


def data(count: int, seed: int) -> Data:
    return Data("test", {"x": nets.images(count, seed)})


def network(rank: int, sites: Sequence[str] = SITES) -> tuple[ir.Model, ir.Model]:
    """A residual network, and one whose kernels are cut to a rank from their weights alone."""
    base = nets.residual()
    shapes.infer(base)
    work = base.clone()
    for site in sites:
        weight, bias = surgery.weight_and_bias(base, site)
        u, s, v = np.linalg.svd(
            weight.reshape(len(weight), -1, 9).swapaxes(0, 1), full_matrices=False
        )
        mix = (u * s[:, None])[..., :rank].transpose(2, 1, 0)
        taps = v[:, :rank].swapaxes(0, 1)
        surgery.replace(work, site, SeparableFactors(taps, mix, bias))
    return base, work


def outputs(model: ir.Model, samples: Data) -> np.ndarray:
    return nets.run(model, samples.feeds)[0]


def test_held_out_samples_come_nearer_to_the_original():
    base, work = network(rank=2)
    test, held = data(32, seed=9), data(16, seed=2)
    want, before = outputs(base, test), outputs(work, test)
    nodes = [node.name for node in work.graph]
    done = refine(base, work, SITES, data(64, seed=1), held, settings=ONE)
    assert isinstance(done, Refined)
    assert done.steps > 0
    after = outputs(work, test)
    assert np.square(after - want).sum() < 0.7 * np.square(before - want).sum()
    missed = np.square(outputs(work, held) - outputs(base, held)).sum()
    assert missed / np.square(outputs(base, held)).sum() == pytest.approx(
        done.error_after, rel=1e-3
    )
    assert [node.name for node in work.graph] == nodes
    assert outputs(base, test) == pytest.approx(want)


def test_weights_that_cannot_get_better_stay():
    base, work = network(rank=9)
    before = {name: v.const_value.numpy() for name, v in work.graph.initializers.items()}
    done = refine(base, work, SITES, data(32, seed=1), data(8, seed=2), steps=12, settings=ONE)
    assert isinstance(done, Refined)
    assert (done.steps, done.error_after) == (0, done.error_before)
    for name, value in work.graph.initializers.items():
        assert np.array_equal(value.const_value.numpy(), before[name])


def test_the_same_seed_gives_the_same_weights():
    found = []
    for _ in range(2):
        base, work = network(rank=1)
        refine(
            base, work, SITES, data(24, seed=1), data(8, seed=2), steps=6, settings=Settings(1, 3)
        )
        found.append(outputs(work, data(4, seed=5)))
    assert np.array_equal(*found)


def test_a_network_with_nothing_converted_is_refused():
    base, work = network(rank=1, sites=())
    assert isinstance(refine(base, work, SITES, data(4, 1), data(4, 2)), Skip)


def test_why_nothing_can_be_refined_is_said():
    base, work = network(rank=2)
    for model in (base, work):
        for value in model.graph.initializers.values():
            numbers = value.const_value.numpy()
            value.const_value = ir.tensor(numbers.astype(np.float16), name=value.name)
        outputs = (value for node in model.graph for value in node.outputs)
        for value in (*model.graph.inputs, *model.graph.initializers.values(), *outputs):
            value.dtype = ir.DataType.FLOAT16
    done = refine(base, work, SITES, data(4, seed=1), data(4, seed=2))
    assert isinstance(done, Skip)
    assert done.reason == "it moves weights of float32, and these are float16"
    done = refine(base, base, ["y/then_branch/c"], data(4, seed=1), data(4, seed=2))
    assert isinstance(done, Skip)
    assert "bodies" in done.reason


def test_sums_stand_for_the_outputs_that_enter_them():
    base, work = network(rank=1)
    assert Plan(base, work, SITES).targets == ["scores", "a", "sum", "d"]


def test_gradients_are_those_of_the_loss():
    base, work = network(rank=1)
    plan, feeds = Plan(base, work, SITES), data(3, seed=4).feeds
    student, rng = Session(plan.student(), threads=1), np.random.default_rng(0)
    made = student.run({**feeds, **plan.weights})
    values = {**feeds, **made, **plan.constants, **plan.weights}
    upstream = {n: rng.standard_normal(made[n].shape).astype(np.float32) for n in plan.targets}

    def pulled(weights: dict[str, np.ndarray]) -> float:
        now = student.run({**feeds, **weights})
        return sum(np.vdot(upstream[n].astype(np.float64), now[n]) for n in plan.targets)

    gradients = backward(plan.nodes, plan.movable, plan.active, values, upstream)
    assert gradients.keys() == plan.weights.keys()
    for name, weight in plan.weights.items():
        step = 1e-3 * rng.standard_normal(weight.shape).astype(np.float32)
        ahead = pulled({**plan.weights, name: weight + step})
        behind = pulled({**plan.weights, name: weight - step})
        want = (ahead - behind) / 2
        assert np.vdot(gradients[name], step) == pytest.approx(want, rel=2e-2, abs=2e-3), name


def test_what_lies_before_a_node_without_a_rule_is_refined_too():
    base = ir.from_proto(
        nets.network(
            """
            <ir_version: 8, opset_import: ["": 17]>
            stopped (float[N, 8, 9, 9] x) => (float[N, 8, p, q] y)
              <float[8, 8, 3, 3] w>
            {
              a = Conv <pads = [1, 1, 1, 1]> (x, w)
              y = Softplus (a)
            }
            """
        )
    )
    shapes.infer(base)
    work = base.clone()
    rng = np.random.default_rng(0)
    weight, bias = surgery.weight_and_bias(base, "a")
    factors = SeparableFactors(rng.standard_normal((1, 8, 9)), 0.1 * np.ones((1, 8, 8)), bias)
    surgery.replace(work, "a", factors)
    done = refine(base, work, ("a",), data(16, seed=1), data(8, seed=2), settings=ONE)
    assert isinstance(done, Refined)
    assert done.error_after < done.error_before
    assert weight.shape == (8, 72)
