"""A table as data: columns that know whether they may fold, and which of them matter most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gconvtool.report import words

Content: TypeAlias = Literal["names", "words", "shapes", "numbers", "bars"]
"""`names` come from the model, word for word. Only names and words may fold."""


@dataclass(frozen=True)
class Column:
    """A title and a cell a row, all printable; cells of shapes and numbers may have several lines.

    `rank` 0 always stays; the higher it is, the earlier a narrow page drops the column, and others
    of the same rank with it.
    """

    title: str
    cells: tuple[str, ...]
    content: Content
    rank: int = 0

    @property
    def folds(self) -> bool:
        """True where a cell may be broken into lines."""
        return self.content in ("names", "words")


@dataclass(frozen=True)
class Table:
    """Columns of equal length; `styles` says of each row how it stands out, "" where not."""

    columns: tuple[Column, ...]
    styles: tuple[str, ...] = ()

    @property
    def filled(self) -> tuple[Column, ...]:
        """Columns that tell something; all of them where there are no rows."""
        return tuple(column for column in self.columns if any(column.cells)) or self.columns

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.columns[0].cells)


def names(title: str, cells: Iterable[str], rank: int = 0) -> Column:
    """A column of names out of the model."""
    return Column(title, tuple(map(words.printable, cells)), "names", rank)


def texts(title: str, cells: Iterable[str], rank: int = 0) -> Column:
    """A column of words."""
    return Column(title, tuple(map(words.printable, cells)), "words", rank)


def shapes(title: str, cells: Iterable[str], rank: int = 0) -> Column:
    """A column of shapes, which are read from the left and never folded."""
    return Column(title, tuple(map(words.stacked, cells)), "shapes", rank)


def numbers(title: str, cells: Iterable[str], rank: int = 0) -> Column:
    """A column of numbers and formulas."""
    return Column(title, tuple(map(words.stacked, cells)), "numbers", rank)


def counts(title: str, cells: Iterable[int | None], rank: int = 0) -> Column:
    """A column of whole numbers."""
    return Column(title, tuple(map(words.number, cells)), "numbers", rank)
