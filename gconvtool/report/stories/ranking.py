"""Several models, each of them against the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gconvtool.report import words
from gconvtool.report.stories import common
from gconvtool.report.story import Fact, Mood, Part, Story
from gconvtool.report.tables.table import Table, names, numbers, texts
from gconvtool.results import Comparison, Interval, Ranking, Timing, Totals


@dataclass(frozen=True)
class _Row:
    """A model in its place; the first model has no comparison of its own."""

    timing: Timing
    macs: Totals
    comparison: Comparison | None

    @property
    def speedup(self) -> Interval:
        found = self.comparison
        return Interval(1.0, 1.0, 1.0) if found is None else found.judgement.speedup


def ranking(result: Ranking) -> Story:
    """A row a model, the fastest first; who wins in the last line."""
    found = result.comparisons
    first = found[0]
    rows = sorted(
        [_Row(first.a, first.macs[0], None), *(_Row(one.b, one.macs[1], one) for one in found)],
        key=lambda row: -row.speedup.estimate,
    )
    verdict, mood = _verdict(found, first.a.path)
    return Story(
        "bench",
        {"First": first.a.path},
        (Part(table=_table(rows), facts=tuple(_facts(found))), *_layers(found)),
        tuple(common.trial(one.b.path, one) for one in found),
        f"{verdict} {words.setting(first.provider, first.threads)}, batch {first.batch}",
        mood,
        common.warnings([(one.b.path, one) for one in found]),
    )


def _table(rows: Sequence[_Row]) -> Table:
    times = [words.milliseconds(row.timing.median_ms) for row in rows]
    macs = [words.total(row.macs.macs, row.macs.exact) for row in rows]
    return Table(
        (
            names("Model", [row.timing.path for row in rows]),
            numbers("Median", times, rank=1),
            numbers("Speed-up", [f"{row.speedup.estimate:.2f}x" for row in rows]),
            numbers("95 %", [_bounds(row) for row in rows], rank=2),
            texts("Verdict", [_judged(row) for row in rows]),
            numbers("Rel. error", [_error(row) for row in rows], rank=3),
            numbers("Top-1 alike", [_agreement(row) for row in rows], rank=5),
            *common.memories("Peak memory", [row.timing for row in rows]),
            numbers("MACs", macs, rank=4),
        ),
        tuple("dim" if row.comparison is None else "" for row in rows),
    )


def _bounds(row: _Row) -> str:
    speed = row.speedup
    return "" if row.comparison is None else f"{speed.low:.2f}–{speed.high:.2f}"


def _judged(row: _Row) -> str:
    return "the first" if row.comparison is None else row.comparison.judgement.verdict


def _error(row: _Row) -> str:
    error = None if row.comparison is None else row.comparison.drift[0].relative_error
    return "" if error is None else f"{100 * error:.3g} %"


def _agreement(row: _Row) -> str:
    share = None if row.comparison is None else row.comparison.drift[0].top1_agreement
    return "" if share is None else words.percent(share)


def _timing(found: Sequence[Comparison]) -> Fact:
    clean = sum(one.judgement.clean_rounds for one in found)
    rounds = sum(one.judgement.rounds for one in found)
    return "Timing", f"{clean:,} of {rounds:,} rounds undisturbed, each model with the first"


def _drift(first: Comparison) -> Fact:
    samples = words.plural(first.drift[0].samples, "sample")
    return "Drift", f"against the first, on {samples} of {first.drift_source}"


def _facts(found: Sequence[Comparison]) -> Iterator[Fact]:
    yield _timing(found)
    yield _drift(found[0])
    for one in found:
        yield from (
            (title, f"{one.b.path}: {said}")
            for title, said in common.placement({"B": one.placement["b"]}, one.provider)
        )


def _layers(found: Sequence[Comparison]) -> tuple[Part, ...]:
    return tuple(part for one in found for part in common.layers(one.layers, one.b.path))


def _verdict(found: Sequence[Comparison], first: str) -> tuple[str, Mood]:
    """The fastest, and those that cannot be told from it by their intervals."""
    faster = [one for one in found if one.judgement.verdict == "faster"]
    if not faster:
        return f"No model is faster than {first}, as far as could be told", "open"
    best = max(faster, key=lambda one: one.judgement.speedup.estimate)
    least = best.judgement.speedup.low
    level = [one for one in faster if one.judgement.speedup.high >= least]
    if len(level) == 1:
        return words.pace(best.judgement, first, best.b.path), "good"
    told = [f"{one.b.path} ({one.judgement.speedup.estimate:.2f}x)" for one in level]
    return f"Fastest and too close to tell apart: {words.named(told)},", "good"
