"""Results as terminal pages. Numbers are never cut: names fold, and narrow pages drop columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from gconvtool.report import words
from gconvtool.results import Analysis, Comparison, Conversion, Layer, SiteOutcome, Timing, Totals

WIDE = 96
"""Columns from which a page has room for operators and input maps."""
VERY_WIDE = 116
"""Columns from which shares are drawn as bars too."""
BAR = 12


class AnalysisPage:
    """The page of `analyze`: layers with MACs, subtotals, totals, and what could not be counted."""

    def __init__(self, result: Analysis) -> None:
        self.result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        result = self.result
        yield _title(result.model)
        yield _layers(result, options.max_width)
        yield _kinds(result)
        yield _totals(result)
        yield from _unknown(result)


def conversion_page(result: Conversion) -> RenderableType:
    """The page of `convert`: what became of every convolution, then the whole."""
    converted = len(result.converted)
    title = f"{result.model} → {result.output}" if result.output else result.model
    parts: list[RenderableType] = [_title(title), _sites(result.sites), _summary(result)]
    if result.output is None:
        done = f"{words.plural(converted, 'convolution')} would be converted"
        parts.append(Text(f"{done}; nothing was written."))
    return Group(*parts)


def comparison_page(result: Comparison) -> RenderableType:
    """The page of `bench`: both models, the gates, and the verdict on the last line."""
    table = _table("", "Median", "p95", "MACs", "Params", left=1)
    for letter, timing, totals in zip("AB", (result.a, result.b), result.macs, strict=True):
        _add(table, *_timing(letter, timing, totals))
    judged = result.judgement
    lines = [
        f"Drift   {words.drift(result.drift[0])}",
        f"        on {result.drift[0].samples:,} samples of {result.drift_source}",
        f"Timing  {judged.clean_rounds} of {judged.rounds} rounds undisturbed, "
        f"{judged.clock} time, batch {result.batch}",
        f"Start   loading {_both(result.a.create_ms, result.b.create_ms)}, "
        f"first run {_both(result.a.first_run_ms, result.b.first_run_ms)}",
        *(f"Gate    {words.gate(gate)}" for gate in result.gates),
    ]
    names = Text(f"A  {result.a.path}\nB  {result.b.path}", overflow="fold")
    colour = {"faster": "bold green", "slower": "bold red"}.get(judged.verdict, "bold yellow")
    return Group(
        names, table, Text("\n".join(lines)), Text(), Text(words.verdict(result), style=colour)
    )


def _table(*columns: str, left: int) -> Table:
    """A table whose first `left` columns are words and whose other columns are numbers."""
    table = _empty()
    for index, column in enumerate(columns):
        if index < left:
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, justify="right", no_wrap=True)
    return table


def _add(table: Table, *cells: str, style: str = "") -> None:
    """A row of plain text: names may hold what rich would take for markup or emoji."""
    table.add_row(*(Text(cell) for cell in cells), style=style)


def _empty() -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))


def _title(text: str) -> Text:
    return Text(text, style="bold", overflow="fold")


def _layers(result: Analysis, width: int) -> Table:
    wide, bars = width >= WIDE, width >= VERY_WIDE
    table = _empty()
    table.add_column("Layer", overflow="fold", min_width=6)
    if wide:
        table.add_column("Op", overflow="fold", min_width=4)
    table.add_column("Kind", overflow="fold", min_width=4)
    if wide:
        table.add_column("Input", no_wrap=True)
    table.add_column("Output", no_wrap=True)
    table.add_column("Kernel", overflow="fold", min_width=3)
    for name in ("Params", "MACs", "Share"):
        table.add_column(name, justify="right", no_wrap=True)
    if bars:
        table.add_column("", no_wrap=True, min_width=BAR)
    largest = max((layer.macs or 0 for layer in result.layers), default=0)
    for layer in result.layers:
        if layer.macs != 0:
            _add(table, *_layer(layer, result.totals, largest, wide, bars))
    return table


def _layer(layer: Layer, whole: Totals, largest: int, wide: bool, bars: bool) -> Iterable[str]:
    yield layer.name
    if wide:
        yield layer.op
    yield layer.kind
    if wide:
        yield words.feature_map(layer.input_shape)
    yield words.feature_map(layer.output_shape)
    yield words.kernel(layer)
    yield words.number(layer.params)
    yield words.number(layer.macs)
    yield words.share(layer.macs, whole)
    if bars:
        yield "█" * round(BAR * (layer.macs or 0) / largest) if largest else ""


def _kinds(result: Analysis) -> Table:
    table = _table("Kind", "Layers", "Params", "MACs", "Share", left=1)
    for name, kind in sorted(
        result.kinds.items(), key=lambda item: (-(item[1].macs or 0), item[0])
    ):
        numbers = (kind.count, kind.params, kind.macs)
        share = words.share(kind.macs, result.totals)
        _add(table, name, *(words.number(number) for number in numbers), share)
    return table


def _totals(result: Analysis) -> Text:
    totals = result.totals
    text = Text()
    text.append(f"{words.total(totals.macs, totals.exact)} MACs", style="bold")
    text.append(f" = {words.total(totals.flops, totals.exact)} FLOPs, ")
    text.append(f"{words.number(totals.params)} parameters", style="bold")
    sizes = ", ".join(f"{name} = {size}" for name, size in result.dims.items())
    text.append(f"\nWith {sizes}." if sizes else "")
    text.append("\n1 MAC = 1 multiply + 1 add = 2 FLOPs, of convolutions and matrix products.")
    return text


def _unknown(result: Analysis) -> Iterable[Text]:
    if result.unknown:
        nodes = words.plural(len(result.unknown), "node")
        yield Text(f"\n{nodes} could not be counted:", style="bold yellow")
        for unknown in result.unknown:
            yield Text(f"  {unknown.node} ({unknown.op}): {unknown.reason}", overflow="fold")


def _sites(sites: Iterable[SiteOutcome]) -> Table:
    table = _empty()
    for name in ("Convolution", "Becomes"):
        table.add_column(name, overflow="fold")
    for name in ("Error", "MACs before", "after"):
        table.add_column(name, justify="right", no_wrap=True)
    for site in sites:
        if site.recipe is None:
            _add(
                table,
                site.name,
                f"kept: {site.reason}",
                "",
                words.number(site.macs_before),
                "",
                style="dim",
            )
        else:
            error = "" if site.error is None else words.percent(site.error)
            macs = words.number(site.macs_before), words.number(site.macs_after)
            _add(table, site.name, site.recipe, error, *macs)
    return table


def _summary(result: Conversion) -> Text:
    before, after = result.before, result.after
    text = Text()
    for label, old, new, what in (
        ("MACs", before.macs, after.macs, "macs"),
        ("Parameters", before.params, after.params, "params"),
    ):
        exact = before.exact or what == "params"
        numbers = f"{words.total(old, exact)} → {words.total(new, exact)}"
        fewer = words.ratio(before, after, what)
        text.append(f"{label:<11} {numbers}").append(
            f", {fewer}\n" if fewer else "\n", style="bold"
        )
    if result.folded:
        folded = words.plural(result.folded, "batch normalisation")
        text.append(f"{'Exact':<11} {folded} folded in\n")
    unseen = " that were not fitted to" if result.drift_unseen else ""
    for part in result.drift:
        where = f"{words.plural(part.samples, 'sample')} of {result.drift_source}{unseen}"
        text.append(f"{'Drift':<11} {words.drift(part)}\n{'':<11} on {where}\n")
        lost = words.quality(part)
        if lost:
            text.append(f"{'Accuracy':<11} {lost}\n", style="bold")
    text.rstrip()
    return text


def _timing(letter: str, timing: Timing, totals: Totals) -> Iterable[str]:
    yield letter
    yield _ms(timing.median_ms)
    yield _ms(timing.p95_ms)
    yield words.total(totals.macs, totals.exact)
    yield words.number(totals.params)


def _both(a: float, b: float) -> str:
    return f"{_ms(a)} and {_ms(b)}"


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value >= 100 else f"{value:#.3g} ms"
