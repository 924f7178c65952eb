"""Two models' outputs side by side, and the tolerances that they keep or do not keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gconvtool.report import words
from gconvtool.report.story import Fact, Mood, Part, Story, Trial
from gconvtool.report.tables.table import Column, Table, names, numbers
from gconvtool.results import Drift, Gate, Verification


def verification(result: Verification) -> Story:
    """A row an output; what became of the tolerances in the last line."""
    verdict, mood = _verdict(result)
    return Story(
        "verify",
        {"A": result.a, "B": result.b},
        (Part(table=_table(result.drift), facts=tuple(_facts(result))),),
        (Trial(f"{result.a} and {result.b}", result.gates),),
        verdict,
        mood,
        result.warnings,
    )


def _table(outputs: Sequence[Drift]) -> Table:
    return Table(
        (
            names("Output", [part.output for part in outputs]),
            _figures("Relative", outputs, lambda part: part.relative_error, _share),
            _figures("SNR", outputs, lambda part: part.snr_db, _decibels, rank=2),
            _figures("Cosine", outputs, lambda part: part.cosine, _cosine, rank=3),
            _figures("max |Δ|", outputs, lambda part: part.max_abs, _size),
            _figures("mean", outputs, lambda part: part.mean_abs, _size, rank=1),
            _figures("median", outputs, lambda part: part.p50_abs, _size, rank=5),
            _figures("p90", outputs, lambda part: part.p90_abs, _size, rank=5),
            _figures("p99", outputs, lambda part: part.p99_abs, _size, rank=4),
            _figures("Top-1", outputs, lambda part: part.top1_agreement, words.percent, rank=1),
            _figures("Top-5", outputs, lambda part: part.top5_agreement, words.percent, rank=3),
        )
    )


def _figures(
    title: str,
    outputs: Sequence[Drift],
    figure: Callable[[Drift], float | None],
    told: Callable[[float], str],
    rank: int = 0,
) -> Column:
    values = [figure(part) for part in outputs]
    return numbers(title, ["" if value is None else told(value) for value in values], rank)


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"


def _decibels(value: float) -> str:
    return f"{value:.1f} dB"


def _cosine(value: float) -> str:
    return f"{value:.6f}"


def _size(value: float) -> str:
    return f"{value:.3g}"


def _facts(result: Verification) -> Iterator[Fact]:
    samples = words.plural(result.drift[0].samples, "sample")
    yield "Inputs", f"{samples} of {result.source}, on {words.provider_name(result.provider)}"
    quality = words.quality(result.drift[0])
    if quality is not None:
        yield "Quality", quality


def _verdict(result: Verification) -> tuple[str, Mood]:
    """What became of the tolerances, or how far apart the outputs are where there are none."""
    if result.gates:
        return _kept(result.gates)
    if all(part.max_abs == 0 for part in result.drift):
        return "A and B give the same, to the last bit", "good"
    worst = max(result.drift, key=lambda part: part.relative_error or 0)
    return f"B differs from A by: {words.drift(worst)} ({worst.output})", "plain"


def _kept(gates: Sequence[Gate]) -> tuple[str, Mood]:
    broken = [words.limit(gate) for gate in gates if gate.passed is False]
    if broken:
        return f"B is too far from A: {', '.join(broken)}", "bad"
    unknown = [words.limit(gate) for gate in gates if gate.passed is None]
    if unknown:
        return f"Cannot tell: {', '.join(unknown)}", "open"
    return f"B is as close to A as was asked: {', '.join(map(words.limit, gates))}", "good"
