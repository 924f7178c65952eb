"""Two models: their times, how far their outputs are apart, and which one is faster."""

from __future__ import annotations

from collections.abc import Iterator

from gconvtool.report import words
from gconvtool.report.stories import common
from gconvtool.report.story import Fact, Part, Story
from gconvtool.results import BaselineCheck, Comparison


def comparison(result: Comparison) -> Story:
    """Times, drift, circumstances, layers; the verdict."""
    models = {"A": result.a.path, "B": result.b.path}
    return Story(
        "bench",
        models,
        (
            Part(
                table=common.timings((result.a, result.b), result.macs, common.letters(models)),
                facts=tuple(_facts(result)),
            ),
            *common.layers(result.layers),
        ),
        (common.trial(f"{result.a.path} and {result.b.path}", result),),
        words.verdict(result),
        common.MOODS[result.judgement.verdict],
        common.warnings([("", result)]),
    )


def _facts(result: Comparison) -> Iterator[Fact]:
    yield from drifts(result)
    yield from timing(result)
    yield from common.tail(result.b, result.gates)
    yield common.start((result.a, result.b))
    yield from common.placement(result.placement, result.provider)
    if result.baseline is not None:
        yield baseline(result.baseline)


def drifts(result: Comparison) -> Iterator[Fact]:
    """How far the outputs are apart: every one's, and on how many samples of what."""
    for index, part in enumerate(result.drift):
        name = f"{part.output}: " if len(result.drift) > 1 else ""
        yield "" if index else "Drift", name + words.drift(part)
    yield "", f"on {words.plural(result.drift[0].samples, 'sample')} of {result.drift_source}"


def timing(result: Comparison) -> Iterator[Fact]:
    """What the verdict was taken from."""
    judged, (a, b) = result.judgement, result.measurement.runs_per_sample
    yield (
        "Timing",
        (
            f"{judged.clean_rounds:,} of {judged.rounds:,} rounds undisturbed, "
            f"{judged.clock} time, batch {result.batch}"
        ),
    )
    yield from common.means({"A": a, "B": b})


def baseline(check: BaselineCheck) -> Fact:
    """The speed-up that there was, and what became of it."""
    return "Before", (
        f"speed-up {check.speedup.estimate:.2f}x in {check.path}; "
        f"now {check.ratio.estimate:.3f} times that ({words.interval(check.ratio)})"
    )
