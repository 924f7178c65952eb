"""The page of `bench`: both models, the gates, and the verdict on the last line."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from gconvtool.report import words
from gconvtool.report.tables.table import Table, counts, numbers, texts
from gconvtool.report.terminal.prose import line
from gconvtool.report.terminal.sheet import Sheet
from gconvtool.results import Comparison

COLOURS = {"faster": "bold green", "slower": "bold red"}


def comparison_page(result: Comparison) -> RenderableType:
    """Times, drift, circumstances, gates, verdict."""
    verdict = result.judgement.verdict
    return Group(
        line(f"A  {result.a.path}"),
        line(f"B  {result.b.path}"),
        Text(),
        Sheet(_table(result)),
        Text(),
        *_circumstances(result),
        Text(),
        line(words.verdict(result), COLOURS.get(verdict, "bold yellow")),
    )


def _table(result: Comparison) -> Table:
    timings = (result.a, result.b)
    return Table(
        (
            texts("", "AB"),
            numbers("Median", [words.milliseconds(timing.median_ms) for timing in timings]),
            numbers("p95", [words.milliseconds(timing.p95_ms) for timing in timings], rank=2),
            numbers("MACs", [words.total(totals.macs, totals.exact) for totals in result.macs]),
            counts("Params", [totals.params for totals in result.macs], rank=1),
        )
    )


def _circumstances(result: Comparison) -> Iterator[Text]:
    judged, drift = result.judgement, result.drift[0]
    yield line(f"Drift   {words.drift(drift)}")
    yield line(f"        on {drift.samples:,} samples of {result.drift_source}")
    yield line(
        f"Timing  {judged.clean_rounds} of {judged.rounds} rounds undisturbed, "
        f"{judged.clock} time, batch {result.batch}"
    )
    yield line(
        f"Start   loading {_both(result.a.create_ms, result.b.create_ms)}, "
        f"first run {_both(result.a.first_run_ms, result.b.first_run_ms)}"
    )
    for gate in result.gates:
        yield line(f"Gate    {words.gate(gate)}")


def _both(a: float, b: float) -> str:
    return f"{words.milliseconds(a)} and {words.milliseconds(b)}"
