"""Two models timed against each other: the raw samples, and what may be said of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["faster", "slower", "same", "inconclusive"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """One timed sample: a mean over `Measurement.runs_per_sample` runs.

    `preempted` is None where the system does not say. `last_ms` is the last of several runs by
    itself, which percentiles are made of.
    """

    wall_ms: float
    cpu_ms: float
    preempted: bool | None
    last_ms: float | None = None


@dataclass(frozen=True)
class Round:
    """Both models once, one right after the other; `order` is "AB" or "BA"."""

    order: str
    a: Sample
    b: Sample

    @property
    def clean(self) -> bool:
        """Neither half was preempted, as far as the system says."""
        return not (self.a.preempted or self.b.preempted)


@dataclass(frozen=True)
class Block:
    """Rounds between one fresh pair of sessions and the next.

    `create_ms` and `first_run_ms` are (A's, B's). A's session is made first in the first block,
    B's in the next, and so on.
    """

    create_ms: tuple[float, float]
    first_run_ms: tuple[float, float]
    rounds: tuple[Round, ...]


@dataclass(frozen=True)
class Measurement:
    """The raw samples of a comparison, and the warnings that belong to them.

    `runs_per_sample` is how many runs a sample averages over, so that it is long enough to time.
    """

    blocks: tuple[Block, ...]
    runs_per_sample: tuple[int, int]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """How many times faster B is than A, and what may be said of it.

    `clock` says what the ratio was taken from: "wall", or "cpu" where too few rounds ran
    undisturbed and CPU time was much the steadier.
    """

    speedup: Interval
    verdict: Verdict
    clock: Literal["wall", "cpu"]
    rounds: int
    clean_rounds: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class SoloBlock:
    """Samples of one fresh session."""

    create_ms: float
    first_run_ms: float
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Recording:
    """The raw samples of one model by itself."""

    blocks: tuple[SoloBlock, ...]
    runs_per_sample: int
    warnings: tuple[str, ...] = ()
