"""Titles and lines of a page, as plain text: names may hold what rich would take for markup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.text import Text

from gconvtool.report import words


def title(text: str) -> Text:
    """What a page or a part of it is about."""
    return line(text, "bold")


def line(text: str, style: str = "") -> Text:
    """A line that folds where the page is narrow."""
    return Text(words.printable(text), style=style, overflow="fold")


def labelled(facts: Mapping[str, str]) -> Iterator[Text]:
    """A line a fact, its label first."""
    for label, fact in facts.items():
        yield line(f"{label:<9} {fact}")


def section(heading: str) -> Iterator[Text]:
    """A blank line and a title."""
    yield Text()
    yield title(heading)


def sharing(facts: Iterable[tuple[str, str]]) -> Iterator[Text]:
    """A line for every sentence that is said of some names, with the names."""
    for sentence, names in words.by_sentence(facts).items():
        yield line(f"  {words.named(names)}: {sentence}")
