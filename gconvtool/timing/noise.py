"""How unsteady a machine is now: one small piece of work, again and again.

    spread = (t₉₀ − t₁₀) / median          of the times of single runs, by their deciles

It is what a comparison has to see through, seen without any model. The work and the clock are
handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles

from gconvtool.timing.protocol import S_NS, Clock

LEAST_RUNS = 20
"""Fewer have no deciles to speak of."""


@dataclass(frozen=True)
class Noise:
    """What was seen in so many runs; `preempted` is None where the system does not say."""

    spread: float
    preempted: float | None
    runs: int


def noise(work: Callable[[], object], clock: Clock, budget_s: float) -> Noise:
    """Run the work for about so long; its first run, which may be slower, does not count."""
    work()
    end_ns = clock.wall_ns() + budget_s * S_NS
    runs = [_run(work, clock)]
    while len(runs) < LEAST_RUNS or clock.wall_ns() < end_ns:
        runs.append(_run(work, clock))
    times = [ns for ns, _ in runs]
    deciles = quantiles(times, n=10)
    return Noise((deciles[-1] - deciles[0]) / median(times), _share(runs), len(runs))


def _run(work: Callable[[], object], clock: Clock) -> tuple[int, bool | None]:
    """How long it took, and whether it was preempted."""
    preemptions, start_ns = clock.preemptions(), clock.wall_ns()
    work()
    took_ns, after = clock.wall_ns() - start_ns, clock.preemptions()
    return took_ns, None if preemptions is None or after is None else after > preemptions


def _share(runs: list[tuple[int, bool | None]]) -> float | None:
    """Of runs that were preempted."""
    known = [preempted for _, preempted in runs if preempted is not None]
    return sum(known) / len(known) if known else None
