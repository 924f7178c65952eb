"""Choices among candidates whose costs and losses are known, and what is needed to know them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx_ir as ir
import pytest
from nets import images, network, residual

from gconvtool.errors import InputError, VerificationError
from gconvtool.facts import ConvSite, Skip
from gconvtool.goals import goal
from gconvtool.notation import parse
from gconvtool.pipeline import scales, trials, weighing
from gconvtool.pipeline.ground import Ground, Request
from gconvtool.pipeline.prices import Price, Priced
from gconvtool.pipeline.response import Look, Response, kind_of
from gconvtool.pipeline.scales import NOT_WORTH, Scales
from gconvtool.pipeline.source import Feed, Network
from gconvtool.pipeline.trials import Trial
from gconvtool.plan import Selection
from gconvtool.recipes import Candidate
from gconvtool.runtime.inputs import Arrays

HALF, QUARTER = parse("groups=2"), parse("groups=4")
COSTS = {"a": (10.0, {HALF: 6.0, QUARTER: 3.0}), "b": (20.0, {HALF: 15.0})}
LOSSES = {"a": {HALF: 0.1, QUARTER: 0.3}, "b": {HALF: 0.2, QUARTER: 0.4}}
GROUPED = kind_of(HALF)
RESPONSES = {n: {GROUPED: Response((Look(1.0, e),))} for n, e in (("a", 1.0), ("b", 0.25))}
"""Of straight lines through zero."""
UNCOUNTABLE = """
<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
odd (float[N, 8, 9, 9] x) => (float[N, 8, 9, 9] y) <float[8, 8, 3, 3] w>
{ c = Conv <pads = [1, 1, 1, 1]> (x, w)  y = com.microsoft.Inverse (c) }
"""


def site(name: str) -> ConvSite:
    ones, shape = (1, 1), (1, 8, 9, 9)
    return ConvSite(name, "Conv", 8, 8, 1, (3, 3), ones, ones, (1,) * 4, shape, shape, False)


def weighed(**others: Any) -> Scales:
    tried = {
        name: tuple(
            Trial(Candidate(site(name), recipe, 2, 1), cast("Any", None), loss)
            for recipe, loss in losses.items()
        )
        for name, losses in LOSSES.items()
    }
    prices = {name: Price(now, then) for name, (now, then) in COSTS.items()}
    known: dict[str, Any] = {
        **dict.fromkeys(("request", "ground", "split", "jury")),
        "trials": tried,
        "responses": RESPONSES,
        "prices": prices,
        "kept": {"stem": Skip("too few channels")},
        "macs": 1000,
        "feeds": {},
        "whole_ns": None,
        "began_s": 0.0,
        "weighed_s": 0.0,
    }
    return Scales(**{**known, **others})


def every() -> list[tuple[float, float, dict[str, Any]]]:
    """Cost, loss and recipes of all choices there are, by loops."""
    found = []
    for a, b in product((None, HALF, QUARTER), (None, HALF)):
        cost = (COSTS["a"][1][a] if a else 10.0) + (COSTS["b"][1][b] if b else 20.0)
        loss = (LOSSES["a"][a] if a else 0) + 0.25 * (LOSSES["b"][b] if b else 0)
        found.append((cost, loss, {n: r for n, r in (("a", a), ("b", b)) if r}))
    return found


def recipes(picks: scales.Picks) -> dict[str, Any]:
    return {name: trial.candidate.recipe for name, trial in picks.items()}


@pytest.mark.parametrize("budget", [0.0, 0.05, 0.1, 0.15, 0.31, 9.0])
def test_the_cheapest_within_a_budget(budget: float) -> None:
    best = min((cost, loss) for cost, loss, _ in every() if loss <= budget)
    picks = recipes(weighed().within(budget))
    assert (*best, picks) in every()


@pytest.mark.parametrize("most", [30.0, 26.0, 22.0, 18.0])
def test_the_gentlest_within_a_cost(most: float) -> None:
    loss, cost = min((loss, cost) for cost, loss, _ in every() if cost <= most)
    assert (cost, loss, recipes(weighed().costing(most))) in every()


def test_where_a_cost_is_out_of_reach_the_cheapest_is_taken() -> None:
    assert recipes(weighed().costing(1.0)) == {"a": QUARTER, "b": HALF}


def test_a_candidate_whose_outputs_are_not_finite_is_never_taken() -> None:
    one = weighed(responses={**RESPONSES, "a": {GROUPED: Response((Look(0.05, float("inf")),))}})
    assert recipes(one.within(float("inf"))) == {"b": HALF}


def test_what_a_choice_saves_and_why_others_stay() -> None:
    picks = weighed().within(0.1)
    assert weighed().saved(picks) == {
        name: COSTS[name][0] - COSTS[name][1][recipe] for name, recipe in recipes(picks).items()
    }
    assert weighed().reasons({}) == {
        "stem": "too few channels",
        "a": NOT_WORTH,
        "b": NOT_WORTH,
    }


def test_sites_that_share_a_weight_are_in_a_plan_together() -> None:
    ground: Any = type("Fake", (), {"followers": {"b": ["c", "d"]}})
    one = weighed(ground=ground)
    names = [entry.name for entry in one.entries(one.within(9.0))]
    assert names == ["a", "b", "c", "d"]


# What is needed to weigh.


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    np.savez(tmp_path / "data.npz", x=images(40))
    feed = Feed(str(tmp_path / "data.npz"))
    return Request(Network.open(residual()), None, Selection(), feed, 40, 0, 1, lambda *told: None)


def weigh(request: Request, **words: str) -> Scales:
    with weighing.weighed(request, goal(**words), remember=False) as found:
        return found


def test_all_sites_are_known_or_have_a_reason(request_: Request) -> None:
    found = weigh(request_, max_drop="0.1", objective="macs")
    assert found.trials.keys() == found.prices.keys() == found.responses.keys()
    assert found.trials.keys() | found.kept.keys() == found.ground.sites.keys()
    assert not found.trials.keys() & found.kept.keys()
    assert all(e.of(0.1) > 0 for of_site in found.responses.values() for e in of_site.values())
    assert {name: array.shape for name, array in found.feeds.items()} == {"x": (1, 8, 9, 9)}


def test_only_what_costs_less_is_tried(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(
        request: Request,
        found: Ground,
        fixed: ir.Model,
        offers: trials.Offers,
        feeds: Arrays,
        *,
        remember: bool,
    ) -> Priced:
        then = {n: {c.recipe: 9.0 for c in cs} | {cs[0].recipe: 1.0} for n, cs in offers.items()}
        return Priced({n: Price(5.0, recipes) for n, recipes in then.items()})

    monkeypatch.setattr(weighing, "timed", timed)
    found = weigh(request_, max_drop="0.1")
    assert found.trials
    assert all(len(tried) == 1 for tried in found.trials.values())


def test_outputs_that_are_not_finite_are_as_far_off_as_can_be(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = weigh(request_, max_drop="0.1", objective="macs")

    def fails(_: object) -> None:
        raise VerificationError("not finite")

    monkeypatch.setattr(found.jury, "evidence", fails)
    assert found.judge(found.ground.base).drifts == ()


def test_where_all_miss_too_much_nothing_is_gained(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    misses = {"a": Skip("it misses too much"), "b": Skip("it misses too much")}
    monkeypatch.setattr(trials, "try_all", lambda *told: misses)
    with pytest.raises(VerificationError, match=r"gained: it misses too much \(2x\)$"):
        weigh(request_, max_drop="0.1", objective="macs")


def test_macs_that_are_not_known_cannot_be_limited(request_: Request) -> None:
    """A layer whose cost nobody knows, though onnxruntime runs it."""
    model = ir.from_proto(network(UNCOUNTABLE))
    with pytest.raises(InputError, match="some MACs of the network are not known"):
        weigh(replace(request_, network=Network.open(model)), max_macs="50%")


def test_one_recipe_everywhere_is_a_choice_of_every_recipe() -> None:
    found = weighed()
    recipes = {recipe for losses in LOSSES.values() for recipe in losses}
    made = {next(iter(p.values())).candidate.recipe: set(p) for p in found.uniform()}
    assert made == {r: {n for n, losses in LOSSES.items() if r in losses} for r in recipes}


def test_what_a_choice_is_thought_to_lose_is_the_sum_over_its_sites() -> None:
    found = weighed()
    for picks in found.uniform():
        expected = sum(
            (0.25 if n == "b" else 1.0) * LOSSES[n][t.candidate.recipe] for n, t in picks.items()
        )
        assert found.loss(picks) == pytest.approx(expected)
