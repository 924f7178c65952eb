"""A search keeps its limit, is the same twice, and says so where it finds nothing.

No clock is asked: times are made up, or MACs are what is to be made small.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from nets import RESIDUAL, images, network, residual

import gconvtool
from gconvtool.errors import InputError, VerificationError
from gconvtool.facts import Skip
from gconvtool.goals import goal
from gconvtool.pipeline import planner, prices, scales, weighing
from gconvtool.pipeline.prices import Price, Priced
from gconvtool.pipeline.trials import Offers
from gconvtool.results import Conversion, Interval, Race, Verdict

MACS: dict[str, Any] = {"objective": "macs"}
DEPTHWISE = """
<ir_version: 8, opset_import: ["": 17]>
depthwise (float[N, 8, 9, 9] x) => (float[N, 8, 7, 7] y) <float[8, 1, 3, 3] w>
{ y = Conv <group = 8> (x, w) }
"""
STEM = """
<ir_version: 8, opset_import: ["": 17]>
stem (float[N, 3, 9, 9] x) => (float[N, 8, 7, 7] y) <float[8, 3, 3, 3] w>
{ y = Conv (x, w) }
"""
SHARED = """
<ir_version: 8, opset_import: ["": 17]>
shared (float[N, 8, 9, 9] x) => (float[N, 8, 9, 9] y) <float[8, 8, 3, 3] w>
{
  a = Conv <pads = [1, 1, 1, 1]> (x, w)
  ra = Relu (a)
  b = Conv <pads = [1, 1, 1, 1]> (ra, w)
  y = Relu (b)
}
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert set(reasons.values()) <= {scales.NOT_WORTH, prices.NO_GAIN}


@pytest.mark.slow
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


@pytest.mark.slow
def test_of_choices_that_all_lose_too_much_the_nearest_is_reported(data: str) -> None:
    nearest, other = (searched(data, max_drop=most, **MACS) for most in ("1e-12", "0.2"))
    assert nearest.planning is not None
    assert other.planning is not None
    assert not nearest.planning.holds
    assert float(nearest.planning.used) < float(other.planning.used)
    assert len(nearest.converted) == 1


@pytest.mark.parametrize(
    ("text", "reason"), [(DEPTHWISE, "one channel a group"), (STEM, "few input")]
)
def test_nothing_is_gained_where_nothing_can_be_rewritten(
    tmp_path: Path, text: str, reason: str
) -> None:
    model = ir.from_proto(network(text))
    channels = int(model.graph.inputs[0].shape[1])
    np.savez(tmp_path / "data.npz", x=images(8, shape=(channels, 9, 9)))
    with pytest.raises(VerificationError, match=f"nothing is to be gained: .*{reason}"):
        gconvtool.convert(model, data=str(tmp_path / "data.npz"), goal=goal(max_drop="0.1"))


def test_without_data_there_is_no_search() -> None:
    with pytest.raises(InputError, match="give --data"):
        gconvtool.convert(residual(), goal=goal(max_drop="0.1"))


def test_points_need_classes(data: str) -> None:
    maps = ir.from_proto(network(DEPTHWISE.replace(", 1, 3", ", 8, 3").replace("= 8", "= 1")))
    with pytest.raises(InputError, match=r"--max-drop 0\.02"):
        gconvtool.convert(maps, data=data)


# Times that are made up.


def priced(now: float, then: float, kept: Mapping[str, str] = MappingProxyType({})) -> object:
    """Every candidate of every site takes so many nanoseconds, but for those that are kept."""

    def timed(
        request: object,
        found: object,
        fixed: object,
        offers: Offers,
        feeds: object,
        *,
        remember: bool,
    ) -> Priced:
        found_ = {n: Price(now, {c.recipe: then for c in cs}) for n, cs in offers.items()}
        told = {name: Skip(reason) for name, reason in kept.items()}
        return Priced(
            {n: p for n, p in found_.items() if n not in told}, told, ("told",), whole_ns=20e6
        )

    return timed


def by_weights(
    request: object, found: object, fixed: object, offers: Offers, *_: object, remember: bool
) -> Priced:
    """A nanosecond a weight."""
    return Priced(
        {
            name: Price(cs[0].weights_before, {c.recipe: c.weights_after for c in cs})
            for name, cs in offers.items()
        },
        whole_ns=1e5,
    )


def race(*speedups: float, width: float = 0.0) -> object:
    left = list(speedups)

    def run(request: object, feeds: object, rewritten: object) -> Race:
        speedup = left.pop(0) if rewritten is not None else 1.0
        interval = Interval(speedup, speedup - width, speedup + width)
        verdict: Verdict = "inconclusive" if width else "faster"
        return Race(10.0, 10.0 / speedup, interval, verdict)

    return run


def test_what_sites_save_is_predicted_of_the_whole(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighing, "timed", priced(3e6, 1e6))
    monkeypatch.setattr(planner, "race", race(2.0))
    made = searched(data, max_drop="0.4")
    assert made.planning is not None
    assert made.planning.race is not None
    assert made.planning.predicted_ms == pytest.approx(10 - len(made.converted))
    assert [t.before_ms - t.after_ms for t in made.planning.times] == [2.0] * len(made.converted)
    assert "told" in made.warnings


def test_one_recipe_everywhere_is_taken_where_it_is_better(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Choices by site are taken away, so that anything is better."""
    monkeypatch.setattr(weighing, "timed", by_weights)
    monkeypatch.setattr(planner, "race", race(2.0))
    monkeypatch.setattr(scales.Scales, "within", lambda self, budget: {})
    made = gconvtool.convert(residual(), data=data, goal=goal(max_drop="0.3"), threads=1)
    assert len({site.recipe for site in made.converted}) == 1
    assert len(made.converted) > 1
    assert made.planning is not None
    assert made.planning.holds


@pytest.mark.slow
def test_sites_are_given_back_where_the_whole_is_not_faster(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighing, "timed", priced(3e6, 1e6))
    monkeypatch.setattr(planner, "race", race(2.0))
    every = len(searched(data, max_drop="0.4").converted)
    monkeypatch.setattr(planner, "race", race(0.9, 1.2))
    assert len(searched(data, max_drop="0.4").converted) == every // 2
    monkeypatch.setattr(planner, "race", race(*[0.9] * 9))
    with pytest.raises(VerificationError, match=r"not faster for certain \(0.90x, 95 % 0.90–0.90"):
        searched(data, max_drop="0.4")


@pytest.mark.slow
def test_what_is_not_certain_is_timed_again(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weighing, "timed", priced(3e6, 1e6))
    monkeypatch.setattr(planner, "race", race(2.0))
    every = len(searched(data, max_drop="0.4").converted)
    monkeypatch.setattr(planner, "race", race(1.1, 1.1, 1.4, width=0.3))
    made = searched(data, max_drop="0.4")
    assert len(made.converted) == every
    assert made.planning is not None
    assert made.planning.race is not None
    assert made.planning.race.speedup.estimate == 1.4
    monkeypatch.setattr(planner, "race", race(*[1.1] * 9, width=0.3))
    with pytest.raises(VerificationError, match=r"not faster for certain \(1.10x, 95 % 0.80–1.40"):
        searched(data, max_drop="0.4")


def test_nothing_that_is_slower_is_taken(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weighing, "timed", priced(1e6, 2e6))
    with pytest.raises(VerificationError, match=f"nothing is to be gained: {prices.NO_GAIN}"):
        searched(data, max_drop="0.4")


def test_what_cannot_be_timed_stays_and_says_why(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighing, "timed", priced(3e6, 1e6, {"d": "it is inside a body"}))
    monkeypatch.setattr(planner, "race", race(2.0))
    reasons = {site.name: site.reason for site in searched(data, max_drop="0.4").sites}
    assert reasons["d"] == "it is inside a body"


def test_a_speedup_is_sought_until_the_whole_has_it(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighing, "timed", priced(3e6, 1e6))
    monkeypatch.setattr(planner, "race", race(1.1, 1.6))
    made = searched(data, min_speedup="1.25")
    assert made.planning is not None
    assert made.planning.holds
    assert made.planning.used == "1.60x"


@pytest.mark.slow
def test_a_speedup_that_is_never_reached_is_not_sought_twice_with_the_same(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighing, "timed", priced(3e6, 1e6))
    monkeypatch.setattr(planner, "race", race(1.1))  # another race would be one too many
    made = searched(data, min_speedup="5")
    assert made.planning is not None
    assert not made.planning.holds
    assert made.planning.used == "1.10x"


# A score of the user's own.


def peak(outputs: Mapping[str, Any], labels: object) -> float:
    """The share of scores above 0, less what is far from the original's."""
    assert labels is None
    return float(np.mean(outputs["scores"] > 0))


def test_a_score_is_kept(data: str) -> None:
    limit = goal(max_drop="0.02", metric=peak, **MACS)
    made = gconvtool.convert(residual(), data=data, goal=limit, threads=1)
    assert made.planning is not None
    assert made.planning.scores is not None
    before, after = made.planning.scores
    assert made.planning.holds
    assert before - after <= 0.02
    assert float(made.planning.used) == pytest.approx(max(0, before - after), abs=1e-3)
    assert made.planning.metric == "peak"
    assert made.after.macs < made.before.macs


@pytest.mark.slow
def test_a_score_that_never_falls_allows_all(data: str) -> None:
    limit = goal(max_drop="1%", metric=lambda outputs, labels: 1.0, **MACS)
    made = gconvtool.convert(residual(), data=data, goal=limit, threads=1)
    least = searched(data, max_macs="1%")
    assert made.after.macs == least.after.macs
    assert made.planning is not None
    assert made.planning.scores == (1.0, 1.0)


# Other kinds of data and networks.


@pytest.mark.slow
def test_a_reader_is_drained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gives is gone then: every round has the samples that were drawn first."""
    np.savez(tmp_path / "data.npz", x=images(96))
    (tmp_path / "reader_here.py").write_text(
        "import numpy as np\n"
        "class Reader:\n"
        "    left = [np.load('data.npz')['x']]\n"
        "    def get_next(self):\n"
        "        return {'x': self.left.pop()} if self.left else None\n"
        "reader = Reader()\n"
    )
    monkeypatch.chdir(tmp_path)
    made = searched("reader_here:reader", max_drop="0.2", **MACS)
    assert made.after.macs == searched("data.npz", max_drop="0.2", **MACS).after.macs


def test_a_fixed_batch_in_half_precision_is_searched(tmp_path: Path) -> None:
    text = RESIDUAL.replace("float[N, 8", "float[8, 8").replace("float[N, 5", "float[8, 5")
    model = ir.from_proto(network(text.replace("float[", "float16[")))
    np.savez(tmp_path / "data.npz", x=images(100))
    limit = goal(max_drop="0.3", objective="macs")
    made = gconvtool.convert(model, data=str(tmp_path / "data.npz"), goal=limit, threads=1)
    assert made.planning is not None
    assert made.planning.holds
    assert made.after.macs < made.before.macs


def test_sites_that_share_a_weight_are_chosen_together(tmp_path: Path) -> None:
    model = ir.from_proto(network(SHARED))
    np.savez(tmp_path / "data.npz", x=images(64))
    limit = goal(max_macs="60%")
    made = gconvtool.convert(model, data=str(tmp_path / "data.npz"), goal=limit, threads=1)
    recipes = {site.name: site.recipe for site in made.sites}
    assert recipes["a"] == recipes["b"] is not None
    assert made.planning is not None
    assert made.planning.holds
    assert made.after.macs >= 0.4 * made.before.macs  # and not twice as much as was asked for


def test_of_several_outputs_the_worst_keeps_the_limit(tmp_path: Path) -> None:
    model = ir.from_proto(network(SHARED.replace("=> (", "=> (float[N, 8, 9, 9] ra, ")))
    np.savez(tmp_path / "data.npz", x=images(64))
    limit = goal(max_drop="0.5", objective="macs")
    made = gconvtool.convert(model, data=str(tmp_path / "data.npz"), goal=limit, threads=1)
    assert made.planning is not None
    assert made.planning.holds
    assert len(made.drift) == 2
    worst = max(drift.relative_error or 0 for drift in made.drift)
    assert worst == pytest.approx(float(made.planning.used), rel=0.15)  # of fewer samples
