"""The page of several models: a row a model, then what was asked of each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from gconvtool.report import sentences, tables
from gconvtool.report.terminal.prose import line, section
from gconvtool.report.terminal.sheet import Sheet
from gconvtool.report.terminal.study import besides
from gconvtool.report.words import Convention
from gconvtool.results import Failed, Study


class SeveralPage:
    """Totals side by side; a model that could not be analysed has its reason beside its name."""

    def __init__(self, results: Sequence[Study | Failed], convention: Convention = "macs") -> None:
        self.results = tuple(results)
        self.convention = convention

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Sheet(tables.models(self.results, self.convention))
        yield Text()
        yield line(sentences.THE_TWO)
        for result in self.results:
            parts = list(besides(result, self.convention)) if isinstance(result, Study) else []
            if isinstance(result, Study) and parts:
                yield from section(result.analysis.model)
                yield from parts
