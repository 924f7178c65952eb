"""The page of `sweep`: a row a conversion, then what all of them were measured on."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from gconvtool.report import tradeoff, words
from gconvtool.report.tables.table import Column, Table, counts, numbers, texts
from gconvtool.report.terminal.prose import line, title
from gconvtool.report.terminal.sheet import Sheet
from gconvtool.results import Interval, Sweep, SweepPoint


def sweep_page(result: Sweep) -> RenderableType:
    """Points by rising loss; those that another one beats stand back."""
    return Group(title(result.model), Text(), Sheet(_points(result)), Text(), *_summary(result))


def _points(result: Sweep) -> Table:
    points, front = result.points, result.front
    return Table(
        (
            counts("Point", [point.number for point in points]),
            numbers(_titled(tradeoff.gained(result)), [f"{point.gain:.2f}x" for point in points]),
            *_times(points),
            numbers(
                _titled(f"{tradeoff.lost(result)} lost"),
                [tradeoff.amount(result, point.lost) for point in points],
            ),
            numbers("Error", [_error(point) for point in points], rank=2),
            counts("MACs", [point.after.macs for point in points], rank=1),
            counts("Params", [point.after.params for point in points], rank=3),
            counts("Converted", [len(point.sites) for point in points], rank=4),
            texts("", ["" if point in front else "dominated" for point in points], rank=1),
        ),
        tuple("" if point in front else "dim" for point in points),
    )


def _times(points: tuple[SweepPoint, ...]) -> Iterator[Column]:
    """Where the clock was asked."""
    races = [point.race for point in points]
    yield numbers("95 %", ["" if race is None else _between(race.speedup) for race in races], 1)
    yield numbers("ms", ["" if race is None else f"{race.after_ms:#.3g}" for race in races])
    guesses = [point.predicted_ms for point in points]
    yield numbers("predicted", ["" if ms is None else f"{ms:#.3g}" for ms in guesses], 2)


def _between(ratio: Interval) -> str:
    return f"{ratio.low:.2f}–{ratio.high:.2f}"


def _error(point: SweepPoint) -> str:
    """The worst output's."""
    known = [drift.relative_error for drift in point.drift if drift.relative_error is not None]
    return words.percent(max(known)) if known else ""


def _titled(text: str) -> str:
    """Beginning with a capital; those that it has stay."""
    return text[:1].upper() + text[1:]


def _summary(result: Sweep) -> Iterator[Text]:
    candidates, before = words.plural(result.candidates, "candidate"), result.before
    yield line(
        f"Before    {words.total(before.macs, before.exact)} MACs, {before.params:,} parameters"
    )
    samples = words.plural(result.points[0].drift[0].samples, "sample")
    yield line(f"Judged    on {samples} of {result.drift_source}; {candidates} tried")
    first = result.points[0].model
    if first is not None:
        yield line(f"Written   {first} to {result.points[-1].model}, with a plan each")
