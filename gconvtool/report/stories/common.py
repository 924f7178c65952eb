"""Parts that several stories have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gconvtool.report import words
from gconvtool.report.stories.layers import layer_part
from gconvtool.report.story import Fact, Mood, Part, Trial
from gconvtool.report.tables.table import Column, Table, counts, numbers, texts
from gconvtool.results import Comparison, Gate, LayerTimes, Placed, Timing, Totals, Verdict

MOODS: Mapping[Verdict, Mood] = {
    "faster": "good",
    "slower": "bad",
    "same": "open",
    "inconclusive": "open",
}


def timings(found: Sequence[Timing], macs: Sequence[Totals], first: Sequence[Column] = ()) -> Table:
    """A row a model; what was not measured has no column."""
    return Table(
        (
            *first,
            numbers("Median", [words.milliseconds(timing.median_ms) for timing in found]),
            *_times("p95", [timing.p95_ms for timing in found], rank=3),
            *_times("p99", [timing.p99_ms for timing in found], rank=5),
            *_times("With copies", [timing.end_to_end_ms for timing in found], rank=3),
            *memories("Peak memory", found),
            *_bytes("Size", [timing.size_bytes for timing in found], rank=4),
            numbers("MACs", [words.total(totals.macs, totals.exact) for totals in macs]),
            counts("Params", [totals.params for totals in macs], rank=2),
        )
    )


def memories(title: str, found: Sequence[Timing]) -> tuple[Column, ...]:
    """A column of peaks, where `--memory` asked for them."""
    return _bytes(title, [timing.peak_memory_bytes for timing in found], rank=1)


def letters(models: Mapping[str, str]) -> tuple[Column, ...]:
    """The models' letters as a column."""
    return (texts("", models),)


def start(found: Sequence[Timing]) -> Fact:
    """What it takes to be ready, apart from the steady state."""
    loading = " and ".join(words.milliseconds(timing.create_ms) for timing in found)
    running = " and ".join(words.milliseconds(timing.first_run_ms) for timing in found)
    return "Start", f"loading {loading}, first run {running}"


def means(runs: Mapping[str, int]) -> Iterator[Fact]:
    """What a sample of a model faster than half a millisecond is; of others it is one run."""
    several = [f"{count:,} runs of {letter}" for letter, count in runs.items() if count > 1]
    if several:
        yield (
            "",
            f"a sample is the mean of {' or '.join(several)}; percentiles are those of single runs",
        )


def tail(timing: Timing, gates: Sequence[Gate]) -> Iterator[Fact]:
    """Between which bounds the 95th percentile lies, where a gate goes by them."""
    if any(gate.name == "max_p95" for gate in gates):
        bounds = (timing.p95_low_ms, timing.p95_high_ms)
        low, high = ("?" if ms is None else words.decimal(ms) for ms in bounds)
        few = "" if timing.p95_high_ms else "; too few for an upper bound: a longer budget helps"
        yield "p95", f"of {timing.path} {low}–{high} ms (95 %), single runs{few}"


def placement(placed: Mapping[str, Mapping[str, Placed]], provider: str) -> Iterator[Fact]:
    """What ran where, unless the CPU was asked for and ran everything."""
    for letter, providers in placed.items():
        if provider != "cpu" or set(providers) - {"CPUExecutionProvider"}:
            shares = ", ".join(_placed(name, part) for name, part in providers.items())
            shares = shares or "onnxruntime does not say"
            yield "Placed", f"{letter.upper() + ': ' if len(placed) > 1 else ''}{shares}"


def trial(name: str, result: Comparison) -> Trial:
    """A comparison's gates, and its figures for readers that show some."""
    speed = result.judgement.speedup
    figures = {
        "verdict": result.judgement.verdict,
        "speedup": f"{speed.estimate:.4g}",
        "speedup_low": f"{speed.low:.4g}",
        "speedup_high": f"{speed.high:.4g}",
        "a_median_ms": f"{result.a.median_ms:.4g}",
        "b_median_ms": f"{result.b.median_ms:.4g}",
    }
    return Trial(name, result.gates, figures)


def warnings(found: Sequence[tuple[str, Comparison]]) -> tuple[str, ...]:
    """What has to be said of comparisons, once each, and of which where not of all."""
    told: dict[str, list[str]] = {}
    for name, one in found:
        every = (*one.warnings, *one.judgement.warnings, *one.measurement.warnings)
        for warning in dict.fromkeys(every):
            told.setdefault(warning, []).append(name)
    return tuple(
        warning if len(names) == len(found) else f"{'; '.join(names)}: {warning}"
        for warning, names in told.items()
    )


def layers(found: LayerTimes | None, of: str = "") -> tuple[Part, ...]:
    """Where the time goes, if that was asked; `of` says of what, where there are several."""
    return () if found is None else (layer_part(found, of),)


def _placed(name: str, part: Placed) -> str:
    share = "" if part.share is None else f", {words.percent(part.share)} of convolution MACs"
    return f"{name.removesuffix('ExecutionProvider')} {words.plural(part.nodes, 'node')}{share}"


def _times(title: str, values: Sequence[float | None], rank: int) -> tuple[Column, ...]:
    if not any(value is not None for value in values):
        return ()
    return (numbers(title, [words.milliseconds(value) for value in values], rank),)


def _bytes(title: str, values: Sequence[int | None], rank: int) -> tuple[Column, ...]:
    if not any(value is not None for value in values):
        return ()
    return (numbers(title, [words.size(value) for value in values], rank),)
