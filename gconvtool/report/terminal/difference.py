"""The page of two models side by side: totals, kinds, and the layers that differ."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from gconvtool.report import sentences, tables
from gconvtool.report.terminal.prose import line, section, title
from gconvtool.report.terminal.sheet import Sheet
from gconvtool.report.terminal.study import besides, unknown
from gconvtool.report.words import Convention
from gconvtool.results import Difference


class DifferencePage:
    """B against A; `convention` is what the columns count in."""

    def __init__(self, result: Difference, convention: Convention = "macs") -> None:
        self.result = result
        self.convention = convention

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        result, convention = self.result, self.convention
        yield title(f"A  {result.a.analysis.model}")
        yield title(f"B  {result.b.analysis.model}")
        for table in (
            tables.changed_totals(result, convention),
            tables.kinds_beside(result, convention),
        ):
            yield Text()
            yield Sheet(table)
        yield from section(sentences.alike(result))
        layers = tables.changed_layers(result, convention)
        if layers.rows:
            yield Sheet(layers)
        yield from unknown(sentences.unexplained(result.a.analysis), "of A could not be counted")
        yield from unknown(sentences.unexplained(result.b.analysis), "of B could not be counted")
        yield Text()
        yield line(sentences.THE_TWO)
        for letter, study in (("A", result.a), ("B", result.b)):
            if parts := list(besides(study, convention)):
                yield from section(f"{letter}  {study.analysis.model}")
                yield from parts
