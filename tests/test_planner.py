"""A search keeps its limit, is the same twice, and says so where it finds nothing.

No clock is asked: times are made up, or MACs are what is to be made small.
"""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nets import images, network, residual

import gconvtool
from gconvtool.errors import InputError, VerificationError
from gconvtool.goals import goal
from gconvtool.limits import LossLimit
from gconvtool.pipeline import planner, scales
from gconvtool.pipeline.planner import CLOSE, Steering
from gconvtool.pipeline.prices import Price, Prices
from gconvtool.results import Conversion, Interval, Race

MACS = {"objective": "macs"}
DEPTHWISE = """
<ir_version: 8, opset_import: ["": 17]>
depthwise (float[N, 8, 9, 9] x) => (float[N, 8, 7, 7] y) <float[8, 1, 3, 3] w>
{ y = Conv <group = 8> (x, w) }
"""


@pytest.fixture
def data(tmp_path: Path) -> str:
    np.savez(tmp_path / "data.npz", x=images(96))
    return str(tmp_path / "data.npz")


def searched(data: str, **words: str) -> Conversion:
    limit = goal(**words)
    return gconvtool.convert(residual(), data=data, goal=limit, threads=1)


def test_a_relative_error_is_kept(data: str) -> None:
    made = searched(data, max_drop="0.2", **MACS)
    assert made.planning is not None
    assert made.planning.holds
    assert float(made.planning.used) <= 0.2
    assert made.after.macs < made.before.macs
    assert made.drift[0].relative_error is not None
    assert made.drift[0].relative_error < 0.3  # other samples than those of the search


def test_a_tighter_limit_costs_more(data: str) -> None:
    loose, tight = (searched(data, max_drop=most, **MACS) for most in ("0.4", "0.05"))
    assert loose.after.macs < tight.after.macs < tight.before.macs


def test_an_snr_is_kept(data: str) -> None:
    made = searched(data, min_snr="15dB", **MACS)
    assert made.planning is not None
    assert made.planning.holds
    assert float(made.planning.used.removesuffix("dB")) >= 15


def test_points_of_agreement_are_kept(data: str) -> None:
    made = searched(data, max_drop="5%", objective="params")
    assert made.planning is not None
    assert made.planning.holds
    assert made.after.params < made.before.params


def test_so_many_macs_are_left(data: str) -> None:
    made = searched(data, max_macs="50%")
    assert made.planning is not None
    assert made.planning.holds
    assert made.after.macs <= made.before.macs / 2
    assert made.planning.race is None


def test_the_same_search_gives_the_same_file(data: str, tmp_path: Path) -> None:
    for name in "ab":
        limit = goal(max_drop="0.2", objective="macs")
        gconvtool.convert(residual(), tmp_path / f"{name}.onnx", data=data, goal=limit, threads=1)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_what_stays_says_why(data: str) -> None:
    limit = goal(max_drop="0.01", objective="macs")
    made = gconvtool.convert(residual(), data=data, goal=limit, skip=["b"], threads=1)
    reasons = {site.name: site.reason for site in made.sites if site.recipe is None}
    assert reasons.pop("b") == "left out by --skip"
    assert set(reasons.values()) == {scales.NOT_WORTH}


def test_what_cannot_be_reached_is_reported_and_not_written(data: str, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    limit = goal(max_macs="1%")
    made = gconvtool.convert(residual(), out, data=data, goal=limit)
    assert made.planning is not None
    assert not made.planning.holds
    assert made.output is None
    assert not out.exists()
    over = gconvtool.convert(residual(), out, data=data, goal=limit, allow_over=True)
    assert over.output == str(out)
    assert out.exists()


def test_nothing_is_gained_where_nothing_may_be_lost(data: str) -> None:
    with pytest.raises(VerificationError, match="nothing is to be gained within"):
        searched(data, max_drop="1e-12", **MACS)


def test_nothing_is_gained_where_all_is_depthwise(data: str) -> None:
    model = ir.from_proto(network(DEPTHWISE))
    with pytest.raises(VerificationError, match="one channel a group"):
        gconvtool.convert(model, data=data, goal=goal(max_drop="0.1"))


def test_without_data_there_is_no_search() -> None:
    with pytest.raises(InputError, match="give --data"):
        gconvtool.convert(residual(), goal=goal(max_drop="0.1"))


def test_points_need_classes(data: str) -> None:
    maps = ir.from_proto(network(DEPTHWISE.replace(", 1, 3", ", 8, 3").replace("= 8", "= 1")))
    with pytest.raises(InputError, match=r"--max-drop 0\.02"):
        gconvtool.convert(maps, data=data)


# Times that are made up.


def priced(now: float, then: float) -> object:
    """Every candidate of every site takes so many nanoseconds."""

    def timed(
        request: object, found: object, fixed: object, offers: scales.Offers, *, remember: bool
    ) -> tuple[Prices, tuple[str, ...]]:
        return {n: Price(now, {c.recipe: then for c in cs}) for n, cs in offers.items()}, ("told",)

    return timed


def race(*speedups: float) -> object:
    left = list(speedups)

    def run(request: object, feeds: object, rewritten: object) -> Race:
        speedup = left.pop(0) if rewritten is not None else 1.0
        return Race(10.0, 10.0 / speedup, Interval(speedup, speedup, speedup), "faster")

    return run


def test_what_sites_save_is_predicted_of_the_whole(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scales, "timed", priced(3e6, 1e6))
    monkeypatch.setattr(planner, "race", race(2.0))
    made = searched(data, max_drop="0.4")
    assert made.planning is not None
    assert made.planning.race is not None
    assert made.planning.predicted_ms == pytest.approx(10 - 2 * len(made.converted))
    assert [t.before_ms - t.after_ms for t in made.planning.times] == [2.0] * len(made.converted)
    assert "told" in made.warnings


def test_sites_are_given_back_where_the_whole_is_not_faster(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scales, "timed", priced(3e6, 1e6))
    monkeypatch.setattr(planner, "race", race(2.0))
    every = len(searched(data, max_drop="0.4").converted)
    monkeypatch.setattr(planner, "race", race(0.9, 1.2))
    assert len(searched(data, max_drop="0.4").converted) == every // 2
    monkeypatch.setattr(planner, "race", race(*[0.9] * 9))
    with pytest.raises(VerificationError, match=r"not faster \(0.90x\)"):
        searched(data, max_drop="0.4")


def test_nothing_that_is_slower_is_taken(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scales, "timed", priced(1e6, 2e6))
    with pytest.raises(VerificationError, match="nothing is to be gained"):
        searched(data, max_drop="0.4")


def test_a_speedup_is_sought_until_the_whole_has_it(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scales, "timed", priced(3e6, 1e6))
    monkeypatch.setattr(planner, "race", race(1.1, 1.6))
    made = searched(data, min_speedup="1.25")
    assert made.planning is not None
    assert made.planning.holds
    assert made.planning.used == "1.60x"


# Steering.


@given(st.floats(1e-6, 1e3), st.floats(1e-4, 1e2), st.floats(0.3, 2.0))
def test_budgets_come_to_what_is_allowed(start: float, allowed: float, power: float) -> None:
    """Losses that grow as a power of the budget; the power that is assumed is another one."""
    steering, budget = Steering(allowed, 2.0), start
    for _ in range(60):
        used = 0.7 * budget**power
        if steering.settled(used):
            break
        budget = steering.next(budget, used)
    assert allowed * CLOSE <= used <= allowed
    assert steering.low <= budget


def test_losses_that_never_come_are_not_waited_for() -> None:
    steering, budget = Steering(1.0, 2.0), 1e-6
    for _ in range(8):
        budget = steering.next(budget, 0.0)
    assert 1 < budget < inf
    assert LossLimit("points", 1).most == 1
