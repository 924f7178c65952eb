"""Sweeps from the command line: the page, the document, the picture, and what is refused.

MACs are what is to be made small, so that no clock is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers_cli import Desk, refused
from helpers_sweep import swept

from gconvtool.cli.console import plain
from gconvtool.pipeline import sweep as sweeping
from gconvtool.report import document, plots, tradeoff
from gconvtool.report.terminal import sweep_page

CALL = ("sweep", "net.onnx", "--data", "fit.npz", "--objective", "macs", "--points", 2)
KEYS = {
    "schema", "tool", "model", "objective", "measure", "before", "points", "candidates",
    "drift_source", "warnings",
}  # fmt: skip
POINT_KEYS = {
    "number", "gain", "lost", "dominated", "after", "predicted_ms", "race", "drift", "sites",
    "model", "plan",
}  # fmt: skip
WRONG = {
    "--points 0": "--points",
    "--points 51": "--points",
    "--objective speed": "--objective",
    "--plot a.pdf": "--plot a.pdf: a picture is .png or .svg",
    "--plot none/a.png": "the folder none does not exist",
    "--plot net.onnx": "a picture is",
    "--plot=": "--plot: empty",
    "--write-all=": "--write-all: empty",
    "--write-all net.onnx": "no folder can be made there",
    "--data none.npz": "none.npz",
    "--test-data none.npz": "none.npz",
    "--only zzz*": "zzz* matches no convolution",
}


@pytest.fixture
def desk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Desk:
    monkeypatch.setenv("GCONVTOOL_CACHE", str(tmp_path / "cache"))
    return Desk(tmp_path, monkeypatch, capfd).furnish()


def test_a_sweep_with_all_its_faces(desk: Desk) -> None:
    page = desk(*CALL, "--plot", "a.svg", "--write-all", "out")
    assert page.code == 0
    assert "Fewer MACs" in page.out
    assert "out/point-1.onnx to out/point-2.onnx" in page.out
    assert {"a.svg", "out/point-1.onnx", "out/point-2.plan.json"} <= desk.files().keys()
    told = desk(*CALL, "--write-all", "out", "--json").document  # what was done is only read
    assert told.keys() == KEYS
    assert told["schema"] == "gconvtool.sweep/1"
    for number, point in enumerate(told["points"], 1):
        assert point.keys() == POINT_KEYS
        assert point["number"] == number
        assert point["race"] is point["predicted_ms"] is None
        assert point["gain"] == told["before"]["macs"] / point["after"]["macs"]
        assert all(site["recipe"] for site in point["sites"])
        again = desk("analyze", point["model"], "--json").document
        assert again["totals"]["macs"] == point["after"]["macs"]


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_word_is_told_in_one_line(desk: Desk, words: str) -> None:
    before = tidy(desk)
    plain_ = desk(*CALL, *words.split())
    assert WRONG[words] in refused(plain_)
    assert plain_.out == ""
    assert desk(*CALL, *words.split(), "--json").document["exit_code"] == 2
    assert tidy(desk) == before


def tidy(desk: Desk) -> dict[str, str | None]:
    """What is on the desk but for the cache."""
    return {name: digest for name, digest in desk.files().items() if not name.startswith("cache")}


def test_without_data_there_is_no_sweep(desk: Desk) -> None:
    assert "no data: give --data PATH" in refused(desk("sweep", "net.onnx"))


def test_without_matplotlib_nothing_is_begun(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    said = refused(desk(*CALL, "--plot", "a.png"), 4)
    assert 'pip install "gconvtool[plots]"' in said
    assert not (desk.folder / "cache").exists()


def test_an_interruption_says_that_it_can_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*told: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeping, "_done", interrupted)
    said = refused(desk(*CALL, "--write-all", "out"), 130)
    assert "the same command goes on from the last finished point" in said
    assert sorted(path.name for path in Path("out").iterdir()) == ["sweep.json"]


def test_what_sweeps_keep_is_told_and_cleared(desk: Desk) -> None:
    desk(*CALL, "--points", 1)
    assert desk("cache", "info", "--json").document["sweeps"] == 1
    assert "1 sweep beside it" in desk("cache", "info").out
    assert desk("cache", "clear", "--json").document["sweeps"] == 0
    assert not list((desk.folder / "cache" / "sweeps").iterdir())


# The page and the document of a sweep that is known.


def rows(page: str) -> list[list[str]]:
    return [words for line in page.splitlines() if (words := line.split()) and words[0].isdigit()]


def test_the_page_has_a_row_a_point() -> None:
    page = plain(sweep_page(swept()))
    first, second, third = rows(page)
    assert first == "1 1.50x 1.40–1.60 6.67 6.00 0.250 points 10.0 % 2,667 100".split()
    assert second[-1] == "dominated"
    assert third[1:4] == ["2.50x", "2.40–2.60", "4.00"]
    assert "4,000 MACs, 400 parameters" in page
    assert "20 samples of fit.npz; 40 candidates tried" in page


def test_a_page_without_times_has_no_columns_for_them() -> None:
    page = plain(sweep_page(swept("params")))
    assert "ms" not in page.split()
    assert "Fewer parameters" in page


def test_the_document_marks_what_is_dominated() -> None:
    told = document.sweep(swept())
    assert [point["dominated"] for point in told["points"]] == [False, True, False]
    assert told["points"][0]["race"]["speedup"] == {"estimate": 1.5, "low": 1.4, "high": 1.6}
    assert told["points"][2]["sites"][0]["recipe"] == "grouped(2)"
    assert document.dumps(told)


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ("points", ("top-1 agreement", "1.50 points", "1.5")),
        ("psnr", ("PSNR", "1.50 dB", "1.5")),
        ("error", ("relative error", "150 %", "150")),
    ],
)
def test_losses_in_words(measure: Any, said: tuple[str, str, str]) -> None:
    result = swept(measure=measure)
    found = (tradeoff.lost(result), tradeoff.amount(result, 1.5), tradeoff.count(result, 1.5))
    assert found == said
