"""What is said of candidates is what conversions of that site alone show."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from nets import images, residual

import gconvtool
from gconvtool.facts import ConvSite
from gconvtool.menu import menu
from gconvtool.notation import parse
from gconvtool.pipeline.ground import Ground, Request, ground
from gconvtool.pipeline.source import Feed, Network
from gconvtool.pipeline.trials import FEWEST, Trial, passed_on, rewritten, thinned, try_all
from gconvtool.plan import Selection
from gconvtool.recipes import Candidate, propose
from gconvtool.results import Drift

Tried = tuple[Request, Ground, dict[str, tuple[Trial, ...]]]
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
    for candidates in trials.values():
        losses = {str(trial.candidate.recipe): trial.loss for trial in candidates}
        assert losses["separable(2)"] < losses["separable(1)"]


def test_what_is_passed_on_is_the_outputs_error_for_a_loss(tried: Tried) -> None:
    _, found, trials = tried
    seen: list[ir.Model] = []

    def judge(model: ir.Model) -> tuple[Drift, ...]:
        seen.append(model)
        return (Drift("y", 1, 0.2, None, None), Drift("z", 1, None, None, None))

    found_ = passed_on(found, trials, judge, lambda *told: None)
    for name, candidates in trials.items():
        middle = sorted(trial.loss for trial in candidates)[len(candidates) // 2]
        assert found_[name] == pytest.approx(0.04 / middle)
    assert len(seen) == len(trials)
    assert all(model is not found.base for model in seen)


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
