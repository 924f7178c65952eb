"""The page of `analyze`: layers, kinds, totals, and then all that was asked besides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from gconvtool.report import sentences, tables, words
from gconvtool.report.terminal.prose import labelled, line, section, sharing, title
from gconvtool.report.terminal.sheet import Sheet
from gconvtool.report.words import Convention
from gconvtool.results import Analysis, Explanation, Gate, Study, Unknown, WhatIf

VERDICT_STYLES = {True: "green", False: "bold red", None: "bold yellow"}


class StudyPage:
    """A network's page; `convention` is what the columns count in."""

    def __init__(self, result: Study, convention: Convention = "macs") -> None:
        self.result = result
        self.convention = convention

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        result, convention = self.result.analysis, self.convention
        yield title(result.model)
        for table in (tables.layers(result, convention), tables.kinds(result, convention)):
            if table.rows:
                yield Text()
                yield Sheet(table)
        yield Text()
        yield from _totals(result)
        yield from _notes(result)
        if self.result.savings:
            yield from section("Converting would save most at")
            yield Sheet(tables.savings(self.result.savings, convention))
        yield from unknown(sentences.unexplained(result))
        yield from besides(self.result, convention)


class AnalysisPage(StudyPage):
    """The page of an analysis where nothing else was asked."""

    def __init__(self, result: Analysis, convention: Convention = "macs") -> None:
        super().__init__(Study(result), convention)


def unknown(nodes: Sequence[Unknown], heading: str = "could not be counted") -> Iterator[Text]:
    """What could not be counted, and why."""
    if nodes:
        yield Text()
        yield line(f"{words.plural(len(nodes), 'node')} {heading}:", "bold yellow")
        for node in nodes:
            yield line(f"  {node.node} ({node.op}): {node.reason}")


def besides(result: Study, convention: Convention) -> Iterator[RenderableType]:
    """What was asked besides the costs; the gates come last, nearest to the prompt."""
    for one in result.what_if:
        yield from _what_if(one, convention)
    if result.roofline is not None:
        yield from section(sentences.roof(result.roofline))
        yield Sheet(tables.roofline(result.roofline))
        yield line(sentences.under_the_roof(result.roofline))
    if result.sweep:
        yield from section("Sweep")
        yield Sheet(tables.sweep(result.sweep, convention))
    yield from _explanations(result.explanations)
    yield from _gates(result.gates)


def _totals(result: Analysis) -> Iterator[Text]:
    """The sums in both conventions, and what is no MAC."""
    whole = result.totals
    sums = Text(overflow="fold")
    sums.append(f"{words.total(whole.macs, whole.exact)} MACs", style="bold")
    sums.append(f" = {words.total(whole.flops, whole.exact)} FLOPs, ")
    sums.append(words.plural(whole.params, "parameter"), style="bold")
    yield sums
    if result.dims:
        yield line(f"With {words.sizes(result.dims)}.")
    yield line(sentences.THE_TWO)
    yield from labelled(sentences.facts(result))


def _notes(result: Analysis) -> Iterator[Text]:
    found = [(layer.name, layer.note) for layer in tables.shown(result.layers) if layer.note]
    if found:
        yield from section("Notes")
        yield from sharing(found)


def _what_if(result: WhatIf, convention: Convention) -> Iterator[RenderableType]:
    """What changes, the whole, and what stays and why."""
    yield from section(f"What if: {result.recipe}")
    changed = [one for one in result.prospects if one.reason is None]
    if changed:
        yield Sheet(tables.prospects(changed, convention))
    yield line(sentences.outcome(result, convention), "bold")
    kept = sentences.bytes_kept(result)
    if kept:
        yield line(kept, "yellow")
    stay = [(one.name, one.reason) for one in result.prospects if one.reason is not None]
    if stay:
        yield line(f"{words.plural(len(stay), 'layer')} would stay:")
        yield from sharing(stay)


def _explanations(found: Iterable[Explanation]) -> Iterator[Text]:
    for explanation in found:
        yield from section(explanation.name)
        for text in explanation.lines:
            yield line(f"  {text}")


def _gates(found: Sequence[Gate]) -> Iterator[Text]:
    if found:
        yield Text()
    for gate in found:
        yield line(f"Gate  {words.gate(gate)}", VERDICT_STYLES[gate.passed])
