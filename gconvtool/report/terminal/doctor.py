"""The page of `doctor`: a row a check, with advice under what is not well, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from gconvtool.report import words
from gconvtool.report.tables.table import Table, texts
from gconvtool.report.terminal.prose import line
from gconvtool.report.terminal.sheet import Sheet
from gconvtool.results import Check, Diagnosis
from gconvtool.results.diagnosis import Health

STYLES: Mapping[Health, str] = {
    "ok": "",
    "warning": "yellow",
    "failed": "bold red",
    "unknown": "dim",
}


def doctor_page(result: Diagnosis) -> RenderableType:
    """The checks, then the verdict."""
    rows = [row for check in result.checks for row in _rows(check)]
    names, healths, found, styles = zip(*rows, strict=True)
    columns = (texts("Check", names), texts("Health", healths), texts("Found", found))
    worst: Health = (
        "failed" if result.count("failed") else "warning" if result.count("warning") else "ok"
    )
    return Group(
        Sheet(Table(columns, styles)), Text(), line(words.diagnosis(result), STYLES[worst])
    )


def _rows(check: Check) -> Iterator[tuple[str, str, str, str]]:
    """A check, and its advice on a row of its own."""
    style = STYLES[check.health]
    health = check.health.upper() if check.health == "failed" else check.health
    yield check.name, health, check.found, style
    if check.advice is not None:
        yield "", "", f"→ {check.advice}", style
