"""A table that fits its page and keeps its numbers whole.

Columns of words fold, the widest first. Where that is not enough, the columns that matter least are
dropped; where even those that matter most do not fit side by side, every row becomes a paragraph.
Widths are chosen once for all rows, so that a table of ten thousand is printed at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from gconvtool.report.tables import Column, Table
from gconvtool.report.words import unstacked

LEAST_WORDS = 10
"""Words fold down to so many columns before something that matters is dropped for them."""
EASY_WORDS = 40
"""Words fold down to so many before a spare column is dropped."""
SPARE = 6
"""Columns of this rank and above are spare."""
GAP, EDGE = 2, 1


@dataclass(frozen=True)
class Track:
    """A column and the widths that it may have."""

    column: Column
    natural: int
    easy: int
    least: int

    @classmethod
    def of(cls, column: Column) -> Track:
        """Measure a column: words may be narrower than their longest cell."""
        lines = (line for cell in column.cells for line in cell.split("\n"))
        natural = max(map(cell_len, (column.title, *lines)))
        if not column.folds:
            return cls(column, natural, natural, natural)
        return cls(column, natural, min(natural, EASY_WORDS), min(natural, LEAST_WORDS))


class Sheet:
    """A table on a page."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.styles = table.styles or ("",) * table.rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        tracks = kept([Track.of(column) for column in self.table.filled], options.max_width)
        fits = room(tracks, options.max_width) >= 0
        lines = self._grid if fits else self._paragraphs
        for style, line in lines(tracks, options.max_width):
            yield Segment(" " * EDGE + line.rstrip(), console.get_style(style) if style else None)
            yield Segment.line()

    def _grid(self, tracks: Sequence[Track], width: int) -> Iterator[tuple[str, str]]:
        widths = shared(tracks, width)
        for line in _row([track.column.title for track in tracks], tracks, widths):
            yield "bold", line
        yield "", "─" * (sum(widths) + GAP * (len(widths) - 1))
        for style, cells in zip(self.styles, _rows(tracks), strict=True):
            for line in _row(cells, tracks, widths):
                yield style, line

    def _paragraphs(self, tracks: Sequence[Track], width: int) -> Iterator[tuple[str, str]]:
        titles = [track.column.title for track in tracks]
        for style, (name, *cells) in zip(self.styles, _rows(tracks), strict=True):
            facts = [f"  {t}  {c}" for t, c in zip(titles[1:], cells, strict=True) if c]
            for text in (name, *facts):
                for line in folded(unstacked(text), width - EDGE):
                    yield style, line


def kept(tracks: Sequence[Track], width: int) -> list[Track]:
    """The columns that a page of this width has room for."""
    left = list(tracks)
    while highest := max(track.column.rank for track in left):
        least = (track.easy if highest >= SPARE else track.least for track in left)
        if _needed(least) <= width:
            break
        left = [track for track in left if track.column.rank < highest]
    return left


def room(tracks: Sequence[Track], width: int) -> int:
    """What is left of a page when every column is as narrow as it can be; negative: too little."""
    return width - _needed(track.least for track in tracks)


def shared(tracks: Sequence[Track], width: int) -> list[int]:
    """Every column as wide as it wants to be, or the widest ones of words as narrow as needed."""
    widths = [track.natural for track in tracks]
    for _ in range(_needed(widths) - width):
        spare = [i for i, track in enumerate(tracks) if widths[i] > track.least]
        widths[max(spare, key=widths.__getitem__)] -= 1
    return widths


def folded(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at spaces where there are some, not before units."""
    lines: list[str] = []
    for word in re.findall(r"\s*\S+(?: (?:%|dB|ms)(?!\w))?", text):
        if lines and cell_len(lines[-1] + word) <= width:
            lines[-1] += word
        else:
            lines += chop_cells(word.lstrip() if lines else word, width)
    return lines


def _needed(widths: Iterable[int]) -> int:
    """The width of a page for columns of these widths."""
    return EDGE - GAP + sum(width + GAP for width in widths)


def _rows(tracks: Sequence[Track]) -> Iterable[tuple[str, ...]]:
    return zip(*(track.column.cells for track in tracks), strict=True)


def _row(cells: Sequence[str], tracks: Sequence[Track], widths: Sequence[int]) -> Iterator[str]:
    stacks = [
        folded(cell, width) if track.column.folds and cell_len(cell) > width else cell.split("\n")
        for cell, track, width in zip(cells, tracks, widths, strict=True)
    ]
    for line in zip_longest(*stacks, fillvalue=""):
        padded = (
            _padded(text, width, track.column.content == "numbers")
            for text, track, width in zip(line, tracks, widths, strict=True)
        )
        yield (" " * GAP).join(padded)


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space
