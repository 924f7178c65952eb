"""What candidates cost: counted, or measured and believed where it is more than noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nets import images, residual

from gconvtool.facts import Skip
from gconvtool.notation import parse
from gconvtool.pipeline import prices
from gconvtool.pipeline.ground import Ground, Request, ground
from gconvtool.pipeline.source import Feed, Network
from gconvtool.plan import Selection
from gconvtool.recipes import Candidate, propose
from gconvtool.results import Layer
from gconvtool.results.kernels import Estimate, KernelTime
from gconvtool.runtime.cache import Cache, Circumstances
from gconvtool.runtime.kernels import Times

HALF, QUARTER = parse("groups=2"), parse("groups=4")


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Request, Ground, dict[str, tuple[Candidate, ...]]]:
    np.savez(tmp_path / "data.npz", x=images(8))
    feed = Feed(str(tmp_path / "data.npz"))
    request = Request(
        Network.open(residual()), None, Selection(), feed, 8, 0, 1, lambda *told: None
    )
    found = ground(request, every=True)
    proposed = [propose(found.sites["d"], recipe) for recipe in (HALF, QUARTER)]
    return request, found, {"d": tuple(c for c in proposed if isinstance(c, Candidate))}


def time(dense: float, saved: float, error: float) -> KernelTime:
    return KernelTime(
        Estimate(dense - saved, error), Estimate(dense, error), Estimate(saved, error), 12, True
    )


def layer(name: str, macs: int | None, parent: str | None = None, times: int | None = 1) -> Layer:
    return Layer(name, "Conv", "standard", macs, 0, None, None, parent=parent, times=times)


def measured(monkeypatch: pytest.MonkeyPatch, *times: KernelTime | Skip) -> None:
    monkeypatch.setattr(prices, "measure", lambda *_: Times(times, 20.0))


Asked = tuple[Request, Ground, dict[str, tuple[Candidate, ...]]]


def priced(asked: Asked) -> prices.Priced:
    request, found, offers = asked
    feeds = {"x": images(1)}
    return prices.timed(request, found, found.base, offers, feeds, remember=False)


def timed(asked: Asked) -> prices.Prices:
    made = priced(asked)
    assert made.warnings == ()
    assert made.whole_ns == 20
    return made.prices


def test_times_are_prices(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, time(10, 4, 0.1), time(11, 7, 0.1))
    assert timed(asked) == {"d": prices.Price(11, {HALF: 7, QUARTER: 4})}


def test_times_are_those_of_the_provider(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    request, found, offers = asked
    opened, circumstances = [], []

    class Whole:
        def __init__(self, packed: object, provider: str, *others: object) -> None:
            opened.append(provider)

        def runner(self, feeds: object) -> None:
            return None

    def cache(told: Circumstances, folder: object) -> Cache:
        circumstances.append(told)
        return Cache(told, None)

    monkeypatch.setattr(prices, "sessions", lambda provider, threads: opened.append(provider))
    monkeypatch.setattr(prices, "Session", Whole)
    monkeypatch.setattr(prices, "Cache", cache)
    measured(monkeypatch, time(10, 4, 0.1), time(11, 7, 0.1))
    priced((replace(request, provider="elsewhere"), found, offers))
    assert opened == ["elsewhere", "elsewhere"]
    assert [told.provider for told in circumstances] == ["elsewhere"]


def test_what_has_branches_is_timed_in_all_its_ways(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers stand for what is saved as auto, sum, concat and multiplier."""
    request, found, _ = asked
    two = propose(found.sites["d"], parse("separable:rank=2"))
    half = propose(found.sites["d"], HALF)
    assert isinstance(two, Candidate)
    assert isinstance(half, Candidate)
    measured(monkeypatch, *(time(10, saved, 0.1) for saved in (4, 4, 4.1, 6, 5)))
    ((_, price),) = priced((request, found, {"d": (two, half)})).prices.items()
    assert price.then == {two.recipe: 4, HALF: 5}
    assert price.spelled == {two.recipe: "multiplier"}


def test_what_may_be_noise_is_no_price(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, time(10, 4, 3), time(10, -7, 1))
    assert timed(asked) == {"d": prices.Price(10, {QUARTER: 17})}


def test_what_was_not_timed_has_none(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(monkeypatch, Skip("it does not run"), time(10, 4, 0.1))
    assert timed(asked) == {"d": prices.Price(10, {QUARTER: 6})}
    assert priced(asked).kept == {}
    measured(monkeypatch, Skip("it does not run"), Skip("nor this"))
    assert timed(asked) == {}
    assert priced(asked).kept == {"d": Skip("nor this")}


def test_sites_that_share_a_weight_cost_all_their_times(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, found, _ = asked
    monkeypatch.setattr(Ground, "followers", {"d": ["e", "f"]})
    measured(monkeypatch, time(10, 4, 0.1), time(10, 7, 0.1))
    assert timed(asked) == {"d": prices.Price(30, {HALF: 18, QUARTER: 9})}
    assert found.followers == {"d": ["e", "f"]}


def test_macs_and_parameters_are_counted(asked: Asked) -> None:
    _, _, offers = asked
    by_macs = prices.counted(offers, [layer("d", 1000)], {}, "macs")
    assert by_macs.prices == {"d": prices.Price(1000, {HALF: 500, QUARTER: 250})}
    weights = 16 * 16 * 9
    for objective in ("params", "size"):
        by_weights = prices.counted(offers, [], {}, objective)  # type: ignore[arg-type]
        assert by_weights.prices == {
            "d": prices.Price(weights, {HALF: weights // 2, QUARTER: weights // 4})
        }


def test_macs_of_sites_that_share_a_weight_count_together(asked: Asked) -> None:
    _, _, offers = asked
    layers = [layer("d", 1000), layer("e", 200)]
    by_macs = prices.counted(offers, layers, {"d": ["e"]}, "macs")
    assert by_macs.prices == {"d": prices.Price(1200, {HALF: 600, QUARTER: 300})}
    (weights,) = prices.counted(offers, layers, {"d": ["e"]}, "params").prices.values()
    assert weights.now == 16 * 16 * 9


def test_macs_that_are_not_known_are_no_price(asked: Asked) -> None:
    _, _, offers = asked
    for layers in ([layer("d", None)], [], [layer("l", 0, times=None), layer("d", 5, "l")]):
        unknown = prices.counted(offers, layers, {}, "macs")
        assert unknown == prices.Priced({}, {"d": prices.UNCOUNTED})


def test_macs_in_bodies_count_as_often_as_they_are_run() -> None:
    layers = [
        layer("loop", 70),
        layer("loop/b/if", 35, "loop", 2),
        layer("loop/b/if/t/y", 7, "loop/b/if", 5),
        layer("loop/b/if/e/z", 3, "loop/b/if", 0),
        layer("end", 4),
    ]
    found = prices.run_macs(layers)
    assert found["loop/b/if/t/y"] == 2 * 5 * 7
    assert found["loop/b/if/e/z"] == 0
    assert found["end"] == 4


def test_what_costs_no_less_is_not_tried(asked: Asked) -> None:
    _, _, offers = asked
    offers = {**offers, "e": offers["d"], "f": offers["d"]}
    told = {"f": Skip("it does not run")}
    then = {"d": prices.Price(5, {HALF: 7, QUARTER: 4}), "e": prices.Price(5, {HALF: 5})}
    paying, kept = prices.Priced(then, told).paying(offers)
    assert {name: [c.recipe for c in some] for name, some in paying.items()} == {"d": [QUARTER]}
    assert kept == {**told, "e": Skip(prices.NO_GAIN)}
