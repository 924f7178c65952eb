"""A sweep as a picture: what is drawn where, the same twice, and refused before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from helpers_sweep import swept
from matplotlib.figure import Figure

from gconvtool.errors import InputError, MissingError
from gconvtool.report import plots
from gconvtool.results import Sweep

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    saved: list[Figure] = []
    save = Figure.savefig

    def keeping(figure: Figure, *told: Any, **kept: Any) -> None:
        saved.append(figure)
        save(figure, *told, **kept)

    monkeypatch.setattr(Figure, "savefig", keeping)
    return saved


def texts(figure: Figure) -> list[str]:
    (axes,) = figure.axes
    return [text.get_text() for text in (*axes.texts, axes.title, axes.xaxis.label)] + [
        axes.get_title("left")
    ]


def test_all_points_are_where_they_were_measured(figures: list[Figure]) -> None:
    result = swept()
    plots.drawn(result, "png")
    (axes,) = figures[0].axes
    marks = [line.get_xydata().tolist()[0] for line in axes.lines if len(line.get_xydata()) == 1]
    assert marks == [[0, 1], *([point.lost, point.gain] for point in result.points)]
    stairs = next(line for line in axes.lines if len(line.get_xydata()) > 1)
    front = [[point.lost, point.gain] for point in result.front]
    assert stairs.get_xydata().tolist()[:-1] == [[0, 1], *front]
    low, high = axes.get_ylim()
    ends = [point.race.speedup for point in result.points if point.race is not None]
    assert low < min(1, *(end.low for end in ends))
    assert high > max(end.high for end in ends)


def test_what_is_written(figures: list[Figure]) -> None:
    plots.drawn(swept(), "png")
    said = texts(figures[0])
    assert {"net.onnx", "1", "2", "3", "1.50x", "2.50x", "original"} <= set(said)
    assert "2.00x" not in said  # dominated
    assert "top-1 agreement lost, points" in said
    assert "times faster, judged on 20 samples of fit.npz" in said
    assert "bars: 95 % intervals; hollow: dominated" in said


def test_counts_have_no_intervals(figures: list[Figure]) -> None:
    plots.drawn(swept("macs"), "png")
    said = texts(figures[0])
    assert "times fewer MACs, judged on 20 samples of fit.npz" in said
    assert "hollow: dominated" in said


@pytest.mark.parametrize(
    ("losses", "marks"),
    [
        ((0.0, 0.0, 0.0), ["0", "0.02", "0.05", "0.1", "0.2", "0.5", "1"]),
        ((0.1, 0.3, 5.1), ["0", "0.05", "0.2", "0.5", "1", "2", "5"]),
        ((1e-7, 1e-7, 4e-7), ["0", "5e-09", "2e-08", "5e-08", "1e-07", "2e-07"]),
    ],
)
def test_losses_have_round_marks(
    figures: list[Figure], losses: tuple[float, ...], marks: list[str]
) -> None:
    """Their square roots are apart by 7.5 % of the axis, which ends 14 % beyond the most."""
    plots.drawn(swept(losses=losses), "png")
    (axes,) = figures[0].axes
    shown = [label.get_text() for label in axes.get_xticklabels()]
    assert shown == marks
    assert [float(label) for label in shown] == axes.get_xticks().tolist()


@pytest.mark.parametrize("form", ["png", "svg"])
def test_the_same_sweep_is_the_same_picture(form: str) -> None:
    first = plots.drawn(swept(), form)
    assert first == plots.drawn(swept(), form)
    assert first.startswith(PNG) or ET.fromstring(first).tag.endswith("svg")


def odd() -> Sweep:
    return swept(model="a/$x_1$ \x1b[1m <b>&.onnx", losses=(0.0, 0.0, 0.0), gains=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("form", ["png", "svg"])
def test_odd_names_and_nothing_gained_can_be_drawn(form: str) -> None:
    assert plots.drawn(odd(), form)


def test_the_suffix_says_the_form(tmp_path: Path) -> None:
    plots.write(swept(), tmp_path / "a.PNG")
    plots.write(swept(), tmp_path / "a.svg")
    assert (tmp_path / "a.PNG").read_bytes().startswith(PNG)
    assert ET.parse(tmp_path / "a.svg")


def test_what_cannot_be_drawn_is_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"a\.pdf: a picture is \.png or \.svg"):
        plots.require(tmp_path / "a.pdf", (), force=False)
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match="exists already; use --force"):
        plots.require(tmp_path / "a.png", (), force=False)
    plots.require(tmp_path / "a.png", (), force=True)
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install \"gconvtool\[plots\]\""):
        plots.require(tmp_path / "b.png", (), force=False)
