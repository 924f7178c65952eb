"""A model against itself: what this machine can tell apart now."""

from __future__ import annotations

from gconvtool.report import words
from gconvtool.report.stories import common
from gconvtool.report.stories.comparison import timing
from gconvtool.report.story import Part, Story
from gconvtool.results import Calibration


def calibration(result: Calibration) -> Story:
    """The comparison's times, then the noise floor."""
    found = result.comparison
    models = {"A": found.a.path, "B": f"{found.b.path}, the same once more"}
    table = common.timings((found.a, found.b), found.macs, common.letters(models))
    speed = found.judgement.speedup
    return Story(
        "bench",
        models,
        (
            Part(
                table=table,
                facts=(
                    *timing(found),
                    common.start((found.a, found.b)),
                    *common.placement({"A": found.placement["a"]}, found.provider),
                    (
                        "Found",
                        f"speed-up {speed.estimate:.3f}x, {words.interval(speed)}; in truth 1",
                    ),
                    ("Floor", f"effects below {_percent(result.floor)} drown in the noise"),
                ),
            ),
            *common.layers(found.layers),
        ),
        (common.trial(f"{found.a.path} against itself", found),),
        f"A true difference of {_percent(result.detectable)} would be found in 9 of 10 runs like "
        f"this {words.setting(found.provider, found.threads)}",
        warnings=common.warnings([("", found)]),
    )


def _percent(share: float) -> str:
    """A small share, with its figures."""
    return f"{100 * share:.2g} %"
