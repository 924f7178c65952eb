"""What is said of candidates is what conversions of that site alone show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from nets import images, network, residual, run

import gconvtool
from gconvtool.facts import ConvSite
from gconvtool.menu import menu
from gconvtool.notation import parse
from gconvtool.pipeline.ground import Ground, Request, ground
from gconvtool.pipeline.response import Response, kind_of
from gconvtool.pipeline.source import Feed, Network
from gconvtool.pipeline.trials import (
    FEWEST,
    Trial,
    responses,
    rewritten,
    telling,
    thinned,
    try_all,
    worst,
)
from gconvtool.plan import Selection
from gconvtool.recipes import Candidate, Separable, propose
from gconvtool.results import Drift

Tried = tuple[Request, Ground, dict[str, tuple[Trial, ...]]]
LAST = """
<ir_version: 8, opset_import: ["": 17]>
last (float[N, 8, 9, 9] x) => (float[N, 8, 9, 9] y) <float[8, 8, 3, 3] w>
{ y = Conv <pads = [1, 1, 1, 1]> (x, w) }
"""
RECIPES = ("separable:rank=1", "separable:rank=2", "groups=2", "bottleneck:groups=1,width=4")


@pytest.fixture(scope="module")
def tried(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Request, Ground, dict[str, tuple[Trial, ...]]]:
    folder = tmp_path_factory.mktemp("trials")
    np.savez(folder / "data.npz", x=images(64))
    network = Network.open(residual())
    request = Request(
        network, None, Selection(), Feed(str(folder / "data.npz")), 64, 0, 1, lambda *told: None
    )
    found, split = ground(request, every=True), request.split()
    assert split is not None
    offers = {
        name: tuple(
            answer
            for recipe in RECIPES
            if isinstance(answer := propose(found.sites[name], parse(recipe)), Candidate)
        )
        for name in ("a", "b", "d")
    }
    made = try_all(request, found, offers, split)
    return request, found, {n: t for n, t in made.items() if isinstance(t, tuple)}


def test_losses_are_those_of_a_conversion_of_that_site(tried: Tried) -> None:
    request, _, trials = tried
    for name, candidates in trials.items():
        for trial in candidates:
            alone = gconvtool.convert(
                residual(),
                recipe=trial.candidate.recipe,
                data=request.feed.data,
                samples=64,
                only=[name],
                fits=("symmetric",),
                threads=1,
            )
            (site,) = alone.converted
            assert site.error == pytest.approx(trial.loss, rel=1e-6)


def test_more_branches_lose_less(tried: Tried) -> None:
    _, _, trials = tried
    losses = [{str(t.candidate.recipe): t.loss for t in some} for some in trials.values()]
    both = [known for known in losses if "separable(1)" in known]  # elsewhere it misses too much
    assert both
    assert all(known["separable(2)"] < known["separable(1)"] for known in both)


def test_what_arrives_is_the_outputs_squared_error_for_a_loss(tried: Tried) -> None:
    _, found, trials = tried
    seen: list[ir.Model] = []

    def judge(model: ir.Model) -> tuple[Drift, ...]:
        seen.append(model)
        return (Drift("y", 1, 0.2, None, None), Drift("z", 1, None, None, None))

    found_ = responses(trials, by(found, judge), lambda *told: None)
    for name, candidates in trials.items():
        for trial in candidates:
            of_kind = found_[name][kind_of(trial.candidate.recipe)]
            assert of_kind.of(trial.loss) == pytest.approx(0.04)
        separable = [t.loss for t in candidates if isinstance(t.candidate.recipe, Separable)]
        below = found_[name][kind_of(Separable(1))].of(min(separable) / 2)
        assert below == pytest.approx(0.02)
    assert len(seen) == sum(map(len, trials.values()))  # none has three of a kind
    assert all(model is not found.base for model in seen)


def by(
    found: Ground, judge: Callable[[ir.Model], tuple[Drift, ...]]
) -> Callable[[str, Trial], float]:
    """Looks at models that are judged."""
    return lambda name, one: worst(judge(rewritten(found, {name: one})))


def drifted(error: float | None) -> tuple[Drift, ...]:
    return (Drift("y", 1, error, None, None),)


def curves(
    found: Ground,
    trials: Mapping[str, tuple[Trial, ...]],
    judge: Callable[[ir.Model], tuple[Drift, ...]],
) -> dict[str, Response]:
    """The responses of sites that have candidates of one kind only."""
    seen = responses(trials, by(found, judge), lambda *told: None)
    return {name: curve for name, of_site in seen.items() for curve in of_site.values()}


def first_of(trials: dict[str, tuple[Trial, ...]]) -> dict[str, tuple[Trial, ...]]:
    """One candidate a site."""
    return {name: some[:1] for name, some in trials.items()}


def test_what_does_not_arrive_is_as_little_as_the_least_that_does(tried: Tried) -> None:
    _, found, trials = tried
    answers = iter([drifted(0.0), drifted(0.3), drifted(0.2)])
    seen = curves(found, first_of(trials), lambda model: next(answers))
    least = min(seen["b"].of(1.0), seen["d"].of(1.0))
    assert seen["a"].of(0.5) == pytest.approx(least / 2)
    assert least > 0


def test_outputs_that_are_not_finite_are_infinitely_far_off(tried: Tried) -> None:
    _, found, trials = tried
    answers = iter([(), drifted(0.3), drifted(0.2)])
    seen = curves(found, first_of(trials), lambda model: next(answers))
    assert seen["a"].of(trials["a"][0].loss) == inf
    assert seen["b"].of(trials["b"][0].loss) < inf


def test_rounding_tells_nothing_of_what_arrives(tried: Tried) -> None:
    """A site that two of three candidates replace without loss: the third one is looked at."""
    _, found, trials = tried
    losses = (1e-14, 0.25, 1e-15)
    lossless = {"d": tuple(_losing(trials["d"][0], loss) for loss in losses)}
    seen = curves(found, lossless, lambda model: drifted(0.1))
    assert seen["d"].looks == ((0.25, pytest.approx(0.01)),)


@pytest.mark.parametrize(
    ("losses", "looked_at"),
    [
        ((0.5,), (0.5,)),
        ((0.5, 0.1), (0.1, 0.5)),
        ((0.5, 0.1, 0.4, 0.05, 0.005), (0.005, 0.05, 0.5)),
        ((1e-9, 1e-8), (1e-8,)),
        ((0.0,), (0.0,)),
    ],
)
def test_the_least_the_most_and_what_is_halfway_are_looked_at(
    tried: Tried, losses: tuple[float, ...], looked_at: tuple[float, ...]
) -> None:
    some = [_losing(tried[2]["a"][0], loss) for loss in losses]
    assert tuple(trial.loss for trial in telling(some)) == looked_at


def _losing(trial: Trial, loss: float) -> Trial:
    return replace(trial, loss=loss)


def test_a_last_layer_passes_on_all_that_it_loses(tmp_path: Path) -> None:
    """The output is what the site gives, so that E = l·(energy around the mean) / (energy)."""
    model = ir.from_proto(network(LAST))
    np.savez(tmp_path / "data.npz", x=images(64))
    feed = Feed(str(tmp_path / "data.npz"))
    request = Request(Network.open(model), None, Selection(), feed, 64, 0, 1, lambda *told: None)
    found, split = ground(request, every=True), request.split()
    assert split is not None
    halves = propose(found.sites["y"], parse("groups=2"))
    assert isinstance(halves, Candidate)
    (trial,) = (made := try_all(request, found, {"y": (halves,)}, split))["y"]
    x, (changed, original) = split.held_out.feeds["x"], (rewritten(found, {"y": trial}), model)
    b, a = (run(one, {"x": x})[0] for one in (changed, original))
    centred = a - a.mean((0, 2, 3), keepdims=True)
    assert trial.loss == pytest.approx(np.sum((b - a) ** 2) / np.sum(centred**2), rel=1e-3)
    error = float(np.linalg.norm(b - a) / np.linalg.norm(a))
    seen = curves(found, {"y": made["y"]}, lambda m: drifted(error))
    assert seen["y"].of(1.0) == pytest.approx(np.sum(centred**2) / np.sum(a**2), rel=1e-3)


def test_candidates_stand_in_the_place_of_their_sites(tried: Tried) -> None:
    _, found, trials = tried
    model = rewritten(found, {"b": trials["b"][0]})
    names = {value.name for node in model.graph for value in node.outputs}
    assert {"a", "b", "d"} <= names
    assert sum(node.op_type == "Conv" for node in model.graph) > sum(
        node.op_type == "Conv" for node in found.base.graph
    )


@pytest.mark.parametrize(("channels", "fewer"), [(64, False), (512, True)])
def test_wide_layers_have_fewer_candidates(channels: int, fewer: bool) -> None:
    ones, shape = (1, 1), (1, channels, 14, 14)
    site = ConvSite(
        "y", "Conv", channels, channels, 1, (3, 3), ones, ones, (1,) * 4, shape, shape, True
    )
    offered = menu(site)
    assert isinstance(offered, tuple)
    kept = thinned(offered)
    assert kept[0] == offered[0]
    assert kept[-1] == offered[-1]
    assert (len(kept) == FEWEST) is fewer
    assert (len(kept) == len(offered)) is not fewer
