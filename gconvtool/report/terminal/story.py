"""The page of a measurement: models, tables and facts, gates, and the verdict on the last line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from gconvtool.report import words
from gconvtool.report.story import Fact, Mood, Part, Story
from gconvtool.report.terminal.prose import line, section
from gconvtool.report.terminal.sheet import Sheet, folded

LABEL, LEAST = 7, 10
STYLES: Mapping[Mood, str] = {
    "good": "bold green",
    "bad": "bold red",
    "open": "bold yellow",
    "plain": "bold",
}


def story_page(story: Story) -> RenderableType:
    """A story from its first line to its last."""
    parts = [piece for part in story.parts for piece in _part(part)]
    return Group(
        *(line(f"{letter}  {path}" if letter else path) for letter, path in story.models.items()),
        *parts,
        *([Text()] if story.gates and len(story.parts) > 1 else []),
        *_facts(story.gates),
        Text(),
        Sentence(story.verdict, STYLES[story.mood]),
    )


class Sentence:
    """Words that fold between words, with what goes on under what began after the label."""

    def __init__(self, text: str, style: str = "", label: str = "") -> None:
        self.text = words.printable(text)
        self.style = style
        self.label = label

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(LEAST, options.max_width - len(self.label))
        for index, part in enumerate(folded(self.text, width)):
            yield Text(" " * len(self.label) if index else self.label, end="")
            yield Text(part, self.style)


def _part(part: Part) -> Iterator[RenderableType]:
    yield from section(part.title) if part.title else [Text()]
    if part.table is not None:
        yield Sheet(part.table)
    if part.facts and part.table is not None:
        yield Text()
    yield from _facts(part.facts)


def _facts(facts: Iterable[Fact]) -> Iterator[Sentence]:
    """A line a fact, those without a label under the one before."""
    for label, text in facts:
        yield Sentence(text, label=f"{label:<{LABEL}} ")
