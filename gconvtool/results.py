"""What the commands answer: frozen results, one a command, that every report is made from.

Units are in the names (`_ms`, `_bytes`, `_db`); a ratio has none. None means that a figure does
not apply or is not known, and never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gconvtool.facts import Shape

Verdict = Literal["faster", "slower", "same", "inconclusive"]


@dataclass(frozen=True)
class Layer:
    """One row: a node's cost. `macs` is None where it could not be counted.

    `parameters` counts each stored weight once, at the first node that uses it.
    """

    name: str
    op: str
    kind: str
    macs: int | None
    params: int
    input_shape: Shape
    output_shape: Shape
    channels: int | None = None
    filters: int | None = None
    groups: int | None = None
    kernel: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Unknown:
    """A node that could not be counted, and why."""

    node: str
    op: str
    reason: str


@dataclass(frozen=True)
class Totals:
    """Sums over layers; `exact` is False where some layer is unknown: the sums are then bounds."""

    macs: int
    params: int
    exact: bool = True

    @property
    def flops(self) -> int:
        """A multiply-add is two operations."""
        return 2 * self.macs


@dataclass(frozen=True)
class KindTotal:
    """One kind's share of a network; `macs` is None where a layer of it could not be counted."""

    count: int
    macs: int | None
    params: int


@dataclass(frozen=True)
class Analysis:
    """What a network costs, layer by layer, in topological order."""

    model: str
    layers: tuple[Layer, ...]
    unknown: tuple[Unknown, ...]
    totals: Totals
    kinds: Mapping[str, KindTotal]
    dims: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drift:
    """How far one output of model B is from model A's on the same inputs.

    With a and b all values of the output over all samples: relative_error = ||b - a|| / ||a||,
    snr_db = -20·log10(relative_error), cosine = <a, b> / (||a||·||b||). top1_agreement is the
    share of samples whose largest class is the same, accuracies need labels, PSNRs a target.
    """

    output: str
    samples: int
    relative_error: float | None
    snr_db: float | None
    cosine: float | None
    top1_agreement: float | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    psnr_before: float | None = None
    psnr_after: float | None = None


@dataclass(frozen=True)
class SiteOutcome:
    """What became of one convolution.

    `recipe` is None where it stayed as it was, and `reason` says why. `error` is the share of the
    output's variance that the new weights miss on held-out data, `training_error` on the data
    that they were fitted to; without data, `error` is the share of the weights' energy lost.
    """

    name: str
    kind: str
    recipe: str | None
    reason: str | None = None
    error: float | None = None
    training_error: float | None = None
    macs_before: int | None = None
    macs_after: int | None = None


@dataclass(frozen=True)
class Conversion:
    """A converted network: where it lies, what it costs, how far it drifted."""

    model: str
    output: str | None
    before: Totals
    after: Totals
    sites: tuple[SiteOutcome, ...]
    drift: tuple[Drift, ...] = ()
    drift_source: str | None = None
    drift_unseen: bool = False
    folded: int = 0
    samples: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def converted(self) -> tuple[SiteOutcome, ...]:
        """The sites that were rewritten."""
        return tuple(site for site in self.sites if site.recipe is not None)


@dataclass(frozen=True)
class Verification:
    """Two models' outputs compared on the same inputs."""

    a: str
    b: str
    drift: tuple[Drift, ...]
    source: str


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """One timed sample: a mean over `Measurement.runs_per_sample` runs.

    `preempted` is None where the system does not say.
    """

    wall_ms: float
    cpu_ms: float
    preempted: bool | None


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
class Timing:
    """One model's latency. Percentiles that the sample count does not support are None."""

    path: str
    median_ms: float
    p95_ms: float | None
    p99_ms: float | None
    create_ms: float
    first_run_ms: float


@dataclass(frozen=True)
class Machine:
    """Where a measurement was made; ratios travel between machines, milliseconds do not."""

    system: str
    processor: str
    cpus: int
    python: str
    onnxruntime: str


@dataclass(frozen=True)
class Gate:
    """A limit that the user set, and whether it held (None: cannot tell)."""

    name: str
    limit: float
    value: float | None
    passed: bool | None


@dataclass(frozen=True)
class Comparison:
    """Two models side by side: drift first, then time."""

    a: Timing
    b: Timing
    judgement: Judgement
    drift: tuple[Drift, ...]
    drift_source: str
    provider: str
    threads: int
    batch: int
    placement: Mapping[str, Mapping[str, int]]
    machine: Machine
    macs: tuple[Totals, Totals]
    gates: tuple[Gate, ...]
    measurement: Measurement
    warnings: tuple[str, ...] = ()
