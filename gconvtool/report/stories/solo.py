"""One model by itself: its latency, and what it gets done in a second."""

from __future__ import annotations

from collections.abc import Iterator

from gconvtool.report import words
from gconvtool.report.stories import common
from gconvtool.report.story import Fact, Part, Story, Trial
from gconvtool.results import Interval, Solo


def solo(result: Solo) -> Story:
    """Times, circumstances, layers; latency and throughput in the last line."""
    latency, throughput = result.latency_ms, result.throughput
    figures = {
        "latency_ms": f"{latency.estimate:.4g}",
        "throughput": f"{throughput.estimate:.4g}",
    }
    where = words.setting(result.provider, result.threads)
    return Story(
        "bench",
        {"": result.model.path},
        (
            Part(table=common.timings([result.model], [result.macs]), facts=tuple(_facts(result))),
            *common.layers(result.layers),
        ),
        (Trial(result.model.path, result.gates, figures),),
        f"{words.milliseconds(latency.estimate)} a run (95 % {_bounds(latency)}), "
        f"{words.decimal(throughput.estimate)} samples/s (95 % {_bounds(throughput)}) "
        f"{where}, batch {result.batch}",
        warnings=(*result.warnings, *result.recording.warnings),
    )


def _facts(result: Solo) -> Iterator[Fact]:
    blocks = result.recording.blocks
    samples = sum(len(block.samples) for block in blocks)
    yield (
        "Timing",
        (
            f"{words.plural(samples, 'sample')} in {words.plural(len(blocks), 'fresh session')}, "
            f"batch {result.batch}"
        ),
    )
    yield from common.means({"the model": result.recording.runs_per_sample})
    yield from common.tail(result.model, result.gates)
    yield common.start([result.model])
    yield from common.placement({"A": result.placement}, result.provider)


def _bounds(found: Interval) -> str:
    return f"{words.decimal(found.low)}–{words.decimal(found.high)}"
