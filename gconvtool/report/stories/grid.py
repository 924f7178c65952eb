"""Two models at several settings: a row a setting, and from where on B is the faster one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gconvtool.report import words
from gconvtool.report.stories import common
from gconvtool.report.stories.comparison import drifts
from gconvtool.report.story import Mood, Part, Story
from gconvtool.report.tables.table import Table, counts, numbers, shapes, texts
from gconvtool.results import Cell, Grid, Verdict

TOLD: Mapping[Verdict, str] = {
    "faster": "faster",
    "slower": "slower",
    "same": "as fast",
    "inconclusive": "not to be told from A",
}
"""What B is, setting by setting."""


def grid(result: Grid) -> Story:
    """Times at every setting, then the crossovers; how often B won in the last line."""
    first = result.cells[0].comparison
    crossovers = tuple(
        ("" if index else "Where", text) for index, text in enumerate(result.crossovers)
    )
    return Story(
        "bench",
        {"A": first.a.path, "B": first.b.path},
        (
            Part(
                table=_table(result.cells),
                facts=(
                    *drifts(first),
                    *common.placement(first.placement, first.provider),
                    *crossovers,
                ),
            ),
            *_layers(result),
        ),
        tuple(common.trial(setting(cell), cell.comparison) for cell in result.cells),
        _verdict(result.cells),
        _mood(result.cells),
        common.warnings([(setting(cell), cell.comparison) for cell in result.cells]),
    )


def setting(cell: Cell) -> str:
    """What a cell was measured at."""
    threads = words.plural(cell.threads, "thread")
    return ", ".join(filter(None, (f"batch {cell.batch}", threads, cell.shapes)))


def _table(cells: Sequence[Cell]) -> Table:
    found = [cell.comparison for cell in cells]
    speeds = [one.judgement.speedup for one in found]
    return Table(
        (
            counts("Batch", [cell.batch for cell in cells]),
            counts("Threads", [cell.threads for cell in cells]),
            shapes("Sizes", [cell.shapes for cell in cells]),
            numbers("A", [words.milliseconds(one.a.median_ms) for one in found], rank=1),
            numbers("B", [words.milliseconds(one.b.median_ms) for one in found], rank=1),
            numbers("Speed-up", [f"{speed.estimate:.2f}x" for speed in speeds]),
            numbers("95 %", [f"{speed.low:.2f}–{speed.high:.2f}" for speed in speeds], rank=2),
            texts("Verdict", [one.judgement.verdict for one in found]),
            *common.memories("A's peak", [one.a for one in found]),
            *common.memories("B's peak", [one.b for one in found]),
        )
    )


def _layers(result: Grid) -> tuple[Part, ...]:
    return tuple(
        part
        for cell in result.cells
        for part in common.layers(cell.comparison.layers, setting(cell))
    )


def _verdicts(cells: Sequence[Cell]) -> list[str]:
    return [cell.comparison.judgement.verdict for cell in cells]


def _verdict(cells: Sequence[Cell]) -> str:
    verdicts = _verdicts(cells)
    counted = {told: verdicts.count(verdict) for verdict, told in TOLD.items()}
    told = [f"{verdict} at {count}" for verdict, count in counted.items() if count]
    provider = words.provider_name(cells[0].comparison.provider)
    return f"B is {', '.join(told)} of {words.plural(len(cells), 'setting')} on {provider}"


def _mood(cells: Sequence[Cell]) -> Mood:
    verdicts = set(_verdicts(cells))
    return "good" if verdicts == {"faster"} else "bad" if verdicts == {"slower"} else "open"
