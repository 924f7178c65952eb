"""What two conversions begin alike is fitted once, and comes out as if it were fitted twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from nets import images, residual, run

from gconvtool.notation import parse
from gconvtool.pipeline import fits
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.memo import Memo
from gconvtool.pipeline.rewrite import rewrite
from gconvtool.pipeline.source import Feed, Network
from gconvtool.plan import Channels, Entry, Selection
from gconvtool.planfile import PlanFile

FIRST = {"a": "separable:rank=1", "b": "groups=2", "d": "separable:rank=2"}
LATER = {**FIRST, "d": "separable:rank=1"}
EARLIER = {**FIRST, "a": "separable:rank=2"}
MORE_GROUPS = {**FIRST, "d": "groups=2"}


def plan(recipes: dict[str, str]) -> PlanFile:
    return PlanFile(tuple(Entry(name, parse(recipe)) for name, recipe in recipes.items()))


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    np.savez(tmp_path / "data.npz", x=images(48))
    feed = Feed(str(tmp_path / "data.npz"))
    return Request(Network.open(residual()), None, Selection(), feed, 48, 0, 1, lambda *told: None)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of sites, as often as they are fitted."""
    names, make = list[str](), fits._fitted

    def counted(step: fits.Candidate, *rest: object) -> object:
        names.append(step.site.name)
        return make(step, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(fits, "_fitted", counted)
    return names


def made(request: Request, recipes: dict[str, str]) -> ir.Model:
    return rewrite(replace(request, recipe=plan(recipes))).model


@pytest.mark.parametrize(
    ("second", "anew"),
    [
        (FIRST, []),
        (LATER, ["d"]),
        (EARLIER, ["a", "b", "d"]),
        (MORE_GROUPS, ["a", "b", "d"]),  # groups on one stream are found together
    ],
)
def test_only_what_differs_is_fitted_anew(
    request_: Request, fitted: list[str], second: dict[str, str], anew: list[str]
) -> None:
    knowing = replace(request_, memo=Memo())
    made(knowing, FIRST)
    assert fitted == ["a", "b", "d"]
    fitted.clear()
    again = made(knowing, second)
    assert fitted == anew
    x = images(8, seed=5)
    expected, found = (run(model, {"x": x})[0] for model in (made(request_, second), again))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_nothing_is_kept_unless_that_is_wanted(request_: Request, fitted: list[str]) -> None:
    made(request_, FIRST)
    made(request_, FIRST)
    assert fitted == ["a", "b", "d"] * 2


def test_channels_that_a_plan_gives_are_not_mixed_up_with_others(
    request_: Request, fitted: list[str]
) -> None:
    knowing = replace(request_, memo=Memo())
    made(knowing, {"b": "groups=2"})
    halves = tuple(tuple(range(start, 16, 2)) for start in (0, 1))
    given = PlanFile((Entry("b", parse("groups=2"), Channels(halves, halves)),))
    rewrite(replace(knowing, recipe=given))
    assert fitted == ["b", "b"]
