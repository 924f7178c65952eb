"""Conversions that were made for real, measured, kept and gone on with after an interruption.

No clock is asked: times are made up, or MACs are what is to be made small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nets
import numpy as np
import onnx
import pytest

import gconvtool
from gconvtool import Sweep
from gconvtool.errors import InputError, VerificationError
from gconvtool.pipeline import agenda, points, weighing
from gconvtool.pipeline.jury import Jury
from gconvtool.pipeline.prices import Price, Priced
from gconvtool.results import Interval, Race, SweepPoint, Totals

COUNT = 2


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network, data to fit to and data to judge by."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GCONVTOOL_CACHE", str(tmp_path / "cache"))
    onnx.save(nets.network(nets.RESIDUAL), "net.onnx")
    np.savez("fit.npz", x=nets.images(48))
    np.savez("test.npz", x=nets.images(20, seed=1), labels=np.arange(20) % 5)
    return tmp_path


def swept(**others: Any) -> Sweep:
    words = {"data": "fit.npz", "points": COUNT, "objective": "macs", "threads": 1}
    return gconvtool.sweep("net.onnx", **{**words, **others})


def contents(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def never(*told: object, **kept: object) -> None:
    raise AssertionError("that was done already")


# What is made.


def test_every_point_is_a_model_and_a_plan(desk: Path) -> None:
    found = swept(test_data="test.npz", write_all="out")
    assert [point.number for point in found.points] == [1, 2]
    for point in found.points:
        assert point.model is not None
        there = gconvtool.analyze(point.model).totals
        assert (point.after.macs, point.after.params) == (there.macs, there.params)
        assert point.gain == found.before.macs / there.macs
        (drift,) = gconvtool.verify("net.onnx", point.model, data="test.npz").drift
        assert point.drift[0].relative_error == pytest.approx(drift.relative_error, rel=1e-4)
        gconvtool.convert("net.onnx", "again.onnx", plan=point.plan, data="fit.npz", threads=1)
        assert onnx.load("again.onnx").graph == onnx.load(point.model).graph
        Path("again.onnx").unlink()
    assert sorted(contents("out")) == [
        *sorted(f"point-{i}.{end}" for i in (1, 2) for end in ("onnx", "plan.json")),
        "sweep.json",
    ]


@pytest.mark.parametrize(
    ("also", "measure"),
    [({}, "points"), ({"target": np.zeros((20, 5), np.float32)}, "psnr")],
)
def test_losses_are_counted_in_what_says_most(also: dict[str, Any], measure: str) -> None:
    if also:
        also["target"][:, 0] = 1
    np.savez("test.npz", x=nets.images(20, seed=1), labels=np.arange(20) % 5, **also)
    found = swept(points=1, test_data="test.npz")
    (drift,) = found.points[0].drift
    assert found.measure == measure
    assert drift.accuracy_before is not None
    assert drift.accuracy_after is not None
    lost = 100 * (drift.accuracy_before - drift.accuracy_after)
    if measure == "psnr":
        assert drift.psnr_before is not None
        assert drift.psnr_after is not None
        lost = drift.psnr_before - drift.psnr_after
    assert found.points[0].lost == pytest.approx(max(0, lost))


def test_only_what_was_chosen_is_rewritten() -> None:
    found = swept(only=["d"], points=2)
    assert {site.name for point in found.points for site in point.sites} == {"d"}


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sites save 1 ms of 20; the whole becomes so many times faster, point by point."""

    def timed(*told: Any, **kept: Any) -> Priced:
        prices = {
            name: Price(3e6, {c.recipe: 2e6 for c in candidates})
            for name, candidates in told[3].items()
        }
        return Priced(prices, whole_ns=20e6)

    speedups: list[float] = []

    def race(*told: Any) -> Race:
        speedup = speedups.pop(0)
        return Race(10.0, 10 / speedup, Interval(speedup, speedup - 0.1, speedup + 0.1), "faster")

    monkeypatch.setattr(weighing, "timed", timed)
    monkeypatch.setattr(points, "race", race)
    return speedups


def test_time_is_measured_of_the_whole_and_predicted_from_the_sites(times: list[float]) -> None:
    times += [1.5, 2.5]
    found = swept(objective="latency")
    assert [point.gain for point in found.points] == [1.5, 2.5]
    for point in found.points:
        assert point.predicted_ms == pytest.approx(10 * (1 - len(point.sites) / 20))


# What stands back.


def point(gain: float, lost: float) -> SweepPoint:
    return SweepPoint(1, (), Totals(1, 1, True), (), gain, lost)


def test_the_front_is_what_nothing_dominates() -> None:
    best, gentle, twin = point(3.0, 2.0), point(1.5, 0.5), point(3.0, 2.0)
    beaten = [point(2.9, 2.0), point(1.4, 1.9), point(1.0, 0.4), point(0.9, 0.0)]
    every = Sweep(
        "net", "latency", "points", Totals(1, 1, True), (best, *beaten, gentle, twin), 9, ""
    )
    assert every.front == (best, gentle, twin)


def test_what_cannot_be_judged_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, calls = Jury.evidence, []

    def sometimes(jury: Jury, session: Any) -> Any:
        calls.append(session)
        if len(calls) == before + 2:
            raise VerificationError("its outputs are not finite")
        return evidence(jury, session)

    monkeypatch.setattr(Jury, "evidence", sometimes)
    before = 99  # of the weighing, which has to be counted first
    swept(points=1, remember=False)
    before = len(calls) - 1
    calls.clear()
    found = swept(remember=False)
    assert [point.number for point in found.points] == [1]
    assert "point 2 is left out: its outputs are not finite" in found.warnings


def test_where_no_point_can_be_judged_nothing_is_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    def rewrite(*told: object) -> None:
        raise InputError("no convolution can be converted")

    monkeypatch.setattr(points, "rewrite", rewrite)
    with pytest.raises(VerificationError, match="nothing is to be gained: no convolution can"):
        swept()


# What is kept.


class Killed(BaseException):
    """Nothing catches that."""


def test_a_finished_sweep_is_only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    first = swept()
    monkeypatch.setattr(agenda, "weighed", never)
    monkeypatch.setattr(points, "rewrite", never)
    assert swept() == first


def test_what_is_not_to_be_remembered_is_not(desk: Path) -> None:
    swept(points=1, remember=False)
    assert not (desk / "cache").exists()


def test_with_other_options_all_is_done_anew() -> None:
    first, other = swept(points=1), swept(points=1, samples=40)
    assert first.points != other.points
    assert swept(points=1) == first


@pytest.mark.parametrize(
    "moment", [2, *(pytest.param(moment, marks=pytest.mark.slow) for moment in (1, 3, 4, 5))]
)
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_been(
    moment: int, monkeypatch: pytest.MonkeyPatch, whole: dict[str, bytes]
) -> None:
    """Killed as its 1st to 5th file is whole, and about to take its place or just there: the
    agenda, then a model, its plan and the ledger for each point."""
    act, renames, made = Path.replace, [0], [0]
    late = moment % 2 == 0

    def dying(path: Path, target: Any) -> Any:
        renames[0] += 1
        if renames[0] == moment and not late:
            raise Killed
        answer = act(path, target)
        if renames[0] == moment:
            raise Killed
        return answer

    rewrite = points.rewrite

    def counted(*told: Any) -> Any:
        made[0] += 1
        return rewrite(*told)

    monkeypatch.setattr(points, "rewrite", counted)
    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(Killed):
        swept(write_all="out")
    assert not [name for name in contents("out") if name.startswith(".")]
    monkeypatch.setattr(Path, "replace", act)
    swept(write_all="out")
    assert made[0] <= COUNT + 1
    assert contents("out") == whole


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run leaves that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("GCONVTOOL_CACHE", str(folder / "cache"))
        onnx.save(nets.network(nets.RESIDUAL), "net.onnx")
        np.savez("fit.npz", x=nets.images(48))
        swept(write_all="out")
        return contents("out")


def test_a_file_that_is_missing_is_made_again(whole: dict[str, bytes]) -> None:
    first = swept(write_all="out")
    Path("out/point-2.onnx").unlink()
    assert swept(write_all="out") == first
    assert contents("out") == whole


def test_a_folder_of_another_sweep_is_only_replaced_with_force() -> None:
    swept(points=2, write_all="out")
    with pytest.raises(InputError, match=r"out/sweep\.json: exists already; use --force"):
        swept(points=1, write_all="out")
    assert len(swept(points=1, write_all="out", force=True).points) == 1


# Wrong input.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"points": 0}, "--points 0: 1 to 50"),
        ({"points": 51}, "--points 51: 1 to 50"),
        ({"objective": "speed"}, "--objective speed: write one of"),
        ({"data": "none.npz"}, "none.npz"),
        ({"test_data": "none.npz"}, "none.npz"),
        ({"only": ["zzz*"]}, r"zzz\* matches no convolution"),
        ({"write_all": "a/b"}, "--write-all a/b: no folder can be made there: No such file"),
        ({"write_all": "net.onnx"}, "--write-all net.onnx: no folder can be made there"),
        ({"samples": 1}, "need 2 samples at least"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(words: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        swept(**words)


def test_a_model_that_is_there_is_not_replaced() -> None:
    Path("out").mkdir()
    Path("out/point-2.onnx").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"out/point-2\.onnx: exists already"):
        swept(write_all="out")
    assert contents("out") == {"point-2.onnx": b"mine"}


def test_nothing_is_gained_where_all_is_depthwise() -> None:
    onnx.save(
        nets.network(
            '<ir_version: 8, opset_import: ["": 17]>'
            "depthwise (float[N, 8, 9, 9] x) => (float[N, 8, 7, 7] y) <float[8, 1, 3, 3] w>"
            "{ y = Conv <group = 8> (x, w) }"
        ),
        "net.onnx",
    )
    with pytest.raises(VerificationError, match="nothing is to be gained"):
        swept()
