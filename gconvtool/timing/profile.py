"""From a trace of onnxruntime's profiler to how long kernels take.

A trace is a list of events, each with when it began (`ts`) and how long it took (`dur`), in whole
microseconds. An event of the category Session named `model_run` spans a run, one of the category
Node named `<node>_kernel_time` a kernel. A kernel belongs to the run during which it began; one of
a node inside a loop begins many times, inside the event of the loop. The time of some kernels is

    t = median over runs of (sum of their durations in that run)

and not the sum of medians: kernels that wait for each other trade time within a run.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Event = Mapping[str, Any]

KERNEL = "_kernel_time"


@dataclass(frozen=True)
class Profile:
    """How many microseconds each kernel took, run by run, and whose kernel it is."""

    runs: tuple[Mapping[str, int], ...]
    providers: Mapping[str, str]

    def median_us(self, kernels: Collection[str]) -> float:
        """The time of these kernels together, by the names of their nodes."""
        return float(median(sum(run.get(name, 0) for name in kernels) for run in self.runs))


def profile(events: Iterable[Event], warm_up: int) -> Profile:
    """What a trace says, without its first runs.

    Args:
        events: the trace; what it holds besides runs and kernels is passed over.
        warm_up: how many runs do not count.

    Raises ValueError where no run is left.
    """
    whole = [event for event in events if event.get("ph") == "X"]
    runs = sorted(_spans(whole))[warm_up:]
    if not runs:
        raise ValueError("the trace has no run after the warm-up")
    kernels = [event for event in whole if _is_kernel(event)]
    return Profile(_by_run(kernels, runs), {_node(k): _provider(k) for k in kernels})


def _spans(events: Iterable[Event]) -> Iterable[tuple[int, int]]:
    """When each run began and ended."""
    for event in events:
        if event.get("cat") == "Session" and event["name"] == "model_run":
            yield event["ts"], event["ts"] + event["dur"]


def _by_run(
    kernels: Iterable[Event], runs: Sequence[tuple[int, int]]
) -> tuple[Mapping[str, int], ...]:
    times: list[Counter[str]] = [Counter() for _ in runs]
    starts = [start for start, _ in runs]
    for kernel in kernels:
        index = bisect_right(starts, kernel["ts"]) - 1
        if index >= 0 and kernel["ts"] <= runs[index][1]:
            times[index][_node(kernel)] += kernel["dur"]
    return tuple(times)


def _is_kernel(event: Event) -> bool:
    return event.get("cat") == "Node" and str(event["name"]).endswith(KERNEL)


def _node(kernel: Event) -> str:
    return str(kernel["name"]).removesuffix(KERNEL)


def _provider(kernel: Event) -> str:
    return str(kernel.get("args", {}).get("provider", ""))
