"""A sweep as a picture: what is gained against what is lost, PNG or SVG by the file's suffix."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from math import floor, log10, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gconvtool import files
from gconvtool.errors import InputError, MissingError
from gconvtool.report import tradeoff, words
from gconvtool.results import Sweep, SweepPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
SIZE_INCHES, DOTS_AN_INCH = (7.2, 4.5), 200
ROOM, LINE = 0.14, 0.06
"""Of an axis: beside what is drawn, and what a line of text takes."""
TICK, TICKED = 0.075, 4
"""The least of an axis between two ticks, and how many powers of ten have some."""
INK, SOFT, FAINT, FRONT = "#1f2933", "#7b8794", "#e4e7eb", "#0b6e99"
"""Text, what stands back, the grid, and the front."""
STYLE: dict[Any, Any] = {  # newer types list all names, older ones take any
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.edgecolor": SOFT,
    "text.parse_math": False,  # names may hold dollars
    "svg.hashsalt": "gconvtool",  # the same picture gives the same file
    "svg.fonttype": "path",
}

ASIDE: dict[str, Any] = {
    "color": SOFT,
    "fontsize": 8.5,
    "textcoords": "offset points",
    "in_layout": False,  # a long name is cut off, and the axes stay as wide as they are
}


def require(path: Path, sources: Iterable[Path], force: bool) -> None:
    """See that a picture can be drawn there, before any work.

    Raises:
        InputError: another suffix, or a file that must not be replaced.
        MissingError: matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--plot {path}: a picture is {' or '.join(SUFFIXES)}")
    files.check_target(path, sources, force)
    _require_matplotlib()


def write(result: Sweep, path: Path) -> None:
    """Draw a sweep into a file.

    Raises:
        InputError: it cannot be written.
        MissingError: matplotlib is not installed, or the disk is full.
    """
    files.write(drawn(result, path.suffix.lower().removeprefix(".")), path)


def drawn(result: Sweep, form: str) -> bytes:
    """The picture in a form, `png` or `svg`; the same sweep gives the same bytes."""
    _require_matplotlib()
    from matplotlib import rc_context  # noqa: PLC0415  an extra, and slow to import

    content = io.BytesIO()
    with rc_context(STYLE):
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        _figure(result).savefig(content, format=form, dpi=DOTS_AN_INCH, metadata=metadata)
    return content.getvalue()


def _require_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise MissingError('pictures need matplotlib: pip install "gconvtool[plots]"')


def _figure(result: Sweep) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415  the same

    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    front = sorted(result.front, key=lambda point: point.lost)
    _frame(axes, result)
    _losses(axes, result)
    _stairs(axes, front, axes.get_xlim()[1])
    for level, point in enumerate(result.points, 5):
        _mark(axes, point, (FRONT, "white") if point in front else ("white", SOFT), level)
    _gains(axes, front)
    _name(axes, result)
    return figure


def _frame(axes: Axes, result: Sweep) -> None:
    """Lines where gains are read off, and the original."""
    ends = [end for point in result.points for end in _ends(point)]
    low, high = min(1.0, *ends), max(1.0, *ends)
    span = high - low or 1.0
    axes.set_ylim(low - ROOM * span, high + ROOM / 2 * span)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.tick_params(length=0, pad=6)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_formatter(lambda gain, _: f"{gain:g}x")
    axes.plot(0, 1, "D", markersize=6, color=INK, zorder=4)
    axes.annotate("original", (0, 1), (0, -17), textcoords="offset points", ha="center")


def _losses(axes: Axes, result: Sweep) -> None:
    """An axis on which places go by the square root, with room for what is written beside points:
    small losses matter by their ratios, and there is none at all too."""
    most = max(point.lost for point in result.points) or 1.0
    end = (1 + ROOM) * most
    axes.set_xscale("function", functions=(_root, _square))
    axes.set_xlim(-(ROOM**2) * most, end)
    axes.set_xticks(marks := _marks(end), [tradeoff.count(result, loss) for loss in marks])
    axes.set_xlabel(f"{tradeoff.lost(result)} lost, {tradeoff.unit(result)}", loc="right")


def _root(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """With the sign of what it is taken of."""
    roots: NDArray[np.float64] = np.sign(losses) * np.sqrt(np.abs(losses))
    return roots


def _square(roots: NDArray[np.float64]) -> NDArray[np.float64]:
    """The other way."""
    return roots * np.abs(roots)


def _marks(end: float) -> list[float]:
    """Zero, and 1, 2 and 5 times powers of ten up to the end, where there is room for them."""
    marks, room = list[float](), TICK * sqrt(end)
    left, power = sqrt(end), floor(log10(end))
    for place in range(power, power - TICKED, -1):
        for mark in (float(f"{digit}e{place}") for digit in (5, 2, 1)):
            if room <= sqrt(mark) <= left:
                marks.append(mark)
                left = sqrt(mark) - room
    return [0.0, *reversed(marks)]


def _stairs(axes: Axes, front: Sequence[SweepPoint], end: float) -> None:
    """What can be had for no more than a loss, from the original on."""
    losses = [0.0, *(point.lost for point in front), end]
    gains = [1.0, *(point.gain for point in front)]
    gains.append(gains[-1])
    axes.plot(losses, gains, drawstyle="steps-post", color=FRONT, linewidth=1.4, zorder=2)
    axes.fill_between(losses, gains, 1.0, step="post", color=FRONT, alpha=0.07, linewidth=0)


def _mark(axes: Axes, point: SweepPoint, colours: tuple[str, str], level: int) -> None:
    """A point with its number in it, and its 95 % interval behind it where time was measured."""
    place, (fill, ink) = (point.lost, point.gain), colours
    edge = FRONT if fill == FRONT else SOFT
    axes.vlines(point.lost, *_ends(point), color=edge, linewidth=1.4, alpha=0.6, zorder=3)
    axes.plot(*place, "o", markersize=13, mfc=fill, mec=edge, mew=1.2, zorder=level)
    text = axes.text(*place, str(point.number), color=ink, fontsize=7.5, zorder=level)
    text.set(ha="center", va="center_baseline")


def _gains(axes: Axes, front: Sequence[SweepPoint]) -> None:
    """Above and before the stairs, where nothing else can be; from the top, as far as they fit."""
    low, high = axes.get_ylim()
    room, above = LINE * (high - low), high
    for point in reversed(front):
        if above - point.gain >= room:
            above = point.gain
            axes.annotate(
                f"{point.gain:.2f}x",
                (point.lost, point.gain),
                (-10, 5),
                textcoords="offset points",
                color=FRONT,
                fontweight="bold",
                ha="right",
                zorder=6,
            )


def _ends(point: SweepPoint) -> tuple[float, float]:
    """Of the interval in which the gain is."""
    if point.race is None:
        return point.gain, point.gain
    return point.race.speedup.low, point.race.speedup.high


def _name(axes: Axes, result: Sweep) -> None:
    name = words.printable(Path(result.model).name)
    axes.set_title(name, loc="left", fontsize=12, fontweight="bold", pad=24)
    samples = words.plural(result.points[0].drift[0].samples, "sample")
    source = words.printable(Path(result.drift_source).name)
    told = f"times {tradeoff.gained(result)}, judged on {samples} of {source}"
    axes.annotate(told, (0, 1), (0, 9), xycoords="axes fraction", **ASIDE)
    keys = [] if result.points[0].race is None else ["bars: 95 % intervals"]
    if len(result.front) < len(result.points):
        keys.append("hollow: dominated")
    axes.annotate("; ".join(keys), (0, 0), (0, -28), xycoords="axes fraction", **ASIDE)
