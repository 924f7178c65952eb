"""A network as a whole against its conversion, timed as `bench` does it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.rewrite import Rewritten
from gconvtool.results.planning import Race
from gconvtool.runtime.inputs import Arrays
from gconvtool.runtime.session import Session
from gconvtool.timing import machine, protocol, stats

RACE_S = 12.0


def race(request: Request, feeds: Arrays, rewritten: Rewritten | None) -> Race:
    """The original against its conversion, or against itself, on one batch."""
    pair = [request.network]
    pair.append(request.network if rewritten is None else replace(pair[0], model=rewritten.model))
    packed = [network.packed() for network in pair]
    threads = request.threads or machine.cpu_budget()

    def open_(which: int) -> Callable[[], object]:
        return Session(packed[which], request.provider, threads, pair[which].name).runner(feeds)

    measured = protocol.measure(
        lambda: open_(0),
        lambda: open_(1),
        clock=machine.SystemClock(),
        rng=random.Random(request.seed),
        time_budget_s=RACE_S,
        progress=lambda share: request.progress("timing the whole", round(1000 * share), 1000),
    )
    judged = stats.judge(measured)
    before_ms = stats.timing("", measured, "a").median_ms
    return Race(before_ms, before_ms / judged.speedup.estimate, judged.speedup, judged.verdict)
