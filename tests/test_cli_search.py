"""Searches from the command line: limits, exit codes, documents and what is said of them.

No clock is asked: times are made up, or MACs are what is to be made small.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import nets
import numpy as np
import onnx
import pytest
from helpers_cli import CLASSIFIER, Desk, refused

from gconvtool.pipeline import planner, scales, weighing
from gconvtool.pipeline.prices import Price, Priced
from gconvtool.results import Interval, Race

SEARCH = ("convert", "net.onnx", "-o", "out.onnx", "--threads", 1)
FIT = ("--data", "fit.npz")
MACS = ("--objective", "macs", "--max-drop", "0.3")
PLANNING = {
    "limit", "objective", "used", "holds", "candidates", "metric", "scores", "times",
    "predicted_ms", "race",
}  # fmt: skip
DEPTHWISE = """
<ir_version: 8, opset_import: ["": 17]>
depthwise (float[N, 3, 8, 8] image) => (float[N, 3, 6, 6] y) <float[3, 1, 3, 3] w>
{ y = Conv <group = 3> (image, w) }
"""
MAPS = """
<ir_version: 8, opset_import: ["": 17]>
maps (float[N, 3, 8, 8] image) => (float[N, 8, 6, 6] y) <float[8, 3, 1, 1] v, float[8, 8, 3, 3] w>
{ m = Conv (image, v)  y = Conv (m, w) }
"""
WRONG_WORDS = {
    "": "give --data",
    "--max-drop 1": "--max-drop 1:",
    "--max-drop much": "--max-drop much: write 1%",
    "--min-snr 0": "--min-snr 0:",
    "--min-speedup 1": "--min-speedup 1:",
    "--max-macs 101%": "--max-macs 101%:",
    "--objective speed": "--objective",
    "--objective macs --min-speedup 2": "leave out one of them",
    "--max-drop 1% --max-macs 50%": "give one limit",
    "--max-drop 1% --groups 4": "give none and no plan beside it",
    "--max-drop 1% --dry-run": "leave out --dry-run",
    "--max-drop 1%": "give --data",
    "--max-drop 0.5dB --data fit.npz": "--max-drop 0.5dB: a PSNR needs targets",
    "--max-drop 0.3 --data fit.npz --only zzz*": "zzz*",
    "--metric nowhere:f --data fit.npz": "nowhere:f: ModuleNotFoundError",
    "--metric f --data fit.npz": "f: write module:function",
    "--metric a:b --max-drop 1dB --data fit.npz": "--max-drop 1dB: with --metric write",
    "--metric a:b --max-macs 50% --data fit.npz": "give it with --max-drop",
}
"""Words behind `convert net.onnx -o out.onnx`, and what the message names."""


@pytest.fixture
def desk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, monkeypatch, capfd).furnish()


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every site takes 3 ms, every candidate 1 ms, and the whole of 10 ms half of them."""

    def timed(*told: Any, **kept: Any) -> Priced:
        offers = told[3]
        prices = {n: Price(3e6, {c.recipe: 1e6 for c in cs}) for n, cs in offers.items()}
        return Priced(prices, whole_ns=10e6)

    monkeypatch.setattr(weighing, "timed", timed)
    raced = Race(10.0, 5.0, Interval(2.0, 1.9, 2.1), "faster")
    monkeypatch.setattr(planner, "race", lambda *told: raced)


@pytest.mark.parametrize("words", WRONG_WORDS)
def test_a_wrong_word_is_told_in_one_line(desk: Desk, words: str) -> None:
    before = desk.files()
    plain = desk(*SEARCH, *words.split())
    assert WRONG_WORDS[words] in refused(plain)
    assert plain.out == ""
    assert desk(*SEARCH, *words.split(), "--json").document["exit_code"] == 2
    assert desk.files() == before


@pytest.mark.parametrize("words", ["", "--max-drop 2", "--max-drop 1% --max-macs 50%"])
def test_nothing_runs_before_the_words_are_understood(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    refused(desk(*SEARCH, *words.split()))


def test_a_search_without_a_clock(desk: Desk) -> None:
    answer = desk(*SEARCH, *FIT, *MACS, "--json")
    assert answer.code == 0
    made = answer.document
    planning = made["planning"]
    assert planning.keys() == PLANNING
    assert (planning["limit"], planning["objective"]) == ("--max-drop 0.3", "macs")
    assert planning["holds"] is True
    assert planning["candidates"] > 1
    assert (planning["times"], planning["race"], planning["metric"]) == ([], None, None)
    assert made["after"]["macs"] < made["before"]["macs"]
    assert made["output"] == "out.onnx"
    again = desk("analyze", "out.onnx", "--json").document
    assert again["totals"]["macs"] == made["after"]["macs"]


@pytest.mark.usefixtures("times")
def test_the_page_of_a_search(desk: Desk) -> None:
    answer = desk(*SEARCH, *FIT, "--max-drop", "50%", "--save-plan", "plan.json")
    assert answer.code == 0
    assert "Goal        --max-drop 50%: " in answer.out
    assert "10.0 ms → 5.00 ms, 2.00x faster (95 % 1.90–2.10)" in answer.out
    predicted = 10 - 2 * answer.out.count("separable(") - 2 * answer.out.count("grouped(")
    assert f"predicted from its parts: {predicted:.2f} ms" in answer.out
    assert "ms before" in answer.out
    repeated = desk("convert", "net.onnx", "-o", "again.onnx", "--plan", "plan.json", *FIT)
    assert repeated.code == 0


@pytest.mark.usefixtures("times")
def test_a_search_is_what_is_done_by_default(desk: Desk) -> None:
    made = desk(*SEARCH, *FIT, "--allow-over", "--json").document["planning"]
    assert (made["limit"], made["objective"]) == ("--max-drop 1%", "latency")
    assert made["race"]["speedup"] == {"estimate": 2.0, "low": 1.9, "high": 2.1}
    keys = [sorted(time) for time in made["times"]]
    assert keys == [["after_ms", "before_ms", "name"]] * len(keys)


def test_what_is_over_the_limit_is_not_written(desk: Desk) -> None:
    before = desk.files()
    words = (*SEARCH, *FIT, "--max-macs", "1%", "--save-plan", "plan.json")
    answer = desk(*words)
    assert answer.code == 1
    assert "over the limit" in answer.out
    assert "nothing was written" in answer.out
    assert "--allow-over" in answer.lines[-1]
    assert desk.files() == before
    documented = desk(*words, "--json")
    assert documented.code == 1
    assert documented.document["planning"]["holds"] is False
    assert documented.document["output"] is None
    over = desk(*words, "--allow-over")
    assert over.code == 0
    assert desk.files().keys() - before.keys() == {"out.onnx", "plan.json"}


def test_nothing_to_gain_is_one_line(desk: Desk) -> None:
    onnx.save(nets.network(DEPTHWISE), desk.folder / "net.onnx")
    message = refused(desk(*SEARCH, *FIT, *MACS), code=1)
    assert message.startswith("net.onnx: nothing is to be gained: already grouped (G = 3)")


def test_what_has_no_classes_is_told_which_limits_there_are(desk: Desk) -> None:
    onnx.save(nets.network(MAPS), desk.folder / "net.onnx")
    message = refused(desk(*SEARCH, *FIT))
    assert "--max-drop 1%: no output holds scores of classes" in message
    assert "--max-drop 0.02" in message
    assert "--min-snr 30dB" in message


def test_a_score_of_ones_own(desk: Desk) -> None:
    (desk.folder / "scores_of_mine.py").write_text(
        "def mean(outputs, labels):\n    print('hm')\n    return outputs['scores'].mean() + 5\n"
    )
    words = (*SEARCH, *FIT, "--metric", "scores_of_mine:mean", "--objective", "macs")
    try:
        answer = desk(*words, "--max-drop", "5%")
        assert answer.code == 0
        assert "Goal        --max-drop 5%: " in answer.out
        assert ", by scores_of_mine:mean" in answer.out
        assert "hm" not in answer.out
        made = desk(*words, "--max-drop", "0.25", "--force", "--json").document["planning"]
        assert made["metric"] == "scores_of_mine:mean"
        before, after = made["scores"]
        assert before - after <= 0.25
    finally:
        sys.modules.pop("scores_of_mine", None)


def test_an_interruption_leaves_nothing_behind(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = desk.files()
    for seam in ("judge", "made"):
        with monkeypatch.context() as patch:
            patch.setattr(scales.Scales, seam, _interrupted)
            assert desk(*SEARCH, *FIT, *MACS).code == 130
        assert desk.files() == before


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_a_batch_that_does_not_divide_the_data_is_timed_at_its_own_size(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, times: None
) -> None:
    seen: list[dict[str, Any]] = []
    raced = Race(10.0, 5.0, Interval(2.0, 1.9, 2.1), "faster")
    monkeypatch.setattr(planner, "race", lambda _, feeds, __: seen.append(feeds) or raced)
    text = CLASSIFIER.replace("float[N", "float[" + "8")
    onnx.save(nets.network(text), desk.folder / "net.onnx")
    np.savez(desk.folder / "fit.npz", image=nets.images(45, shape=(3, 8, 8)))
    assert desk(*SEARCH, *FIT, "--max-drop", "50%").code == 0
    assert {feeds["image"].shape for feeds in seen} == {(8, 3, 8, 8)}
    seen.clear()
    onnx.save(nets.network(CLASSIFIER.replace("float[N", "float[" + "N")), desk.folder / "net.onnx")
    assert desk(*SEARCH, *FIT, "--max-drop", "50%", "--force").code == 0
    assert {feeds["image"].shape for feeds in seen} == {(1, 3, 8, 8)}
    seen.clear()
    shape = ("--input-shape", "image:100,3,8,8")
    assert desk(*SEARCH, *FIT, "--max-drop", "50%", "--force", *shape).code == 0
    assert {feeds["image"].shape for feeds in seen} == {(100, 3, 8, 8)}
