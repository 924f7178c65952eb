"""What `bench` answers: of one model, of two, of several, and of a grid of settings.

Percentiles that the sample count does not support are None. Ratios travel between machines,
milliseconds do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gconvtool.results.costs import Totals
from gconvtool.results.drift import Drift
from gconvtool.results.gate import Gate
from gconvtool.results.layers import LayerTimes
from gconvtool.results.timing import Interval, Judgement, Measurement, Recording


@dataclass(frozen=True)
class Timing:
    """One model's latency, and what else it takes.

    Percentiles are those of single runs; `p95_low_ms` and `p95_high_ms` are the bounds of the 95 %
    interval of the first, None where there are too few runs for one.
    `peak_memory_bytes` is that of a process that loads the model and runs it, None where it was
    not asked for or the system does not say. Where a provider has a memory of its own, runs are
    timed without copies to it and back, and `end_to_end_ms` is the median with them.
    """

    path: str
    median_ms: float
    p95_ms: float | None
    p99_ms: float | None
    create_ms: float
    first_run_ms: float
    end_to_end_ms: float | None = None
    size_bytes: int | None = None
    peak_memory_bytes: int | None = None
    p95_low_ms: float | None = None
    p95_high_ms: float | None = None


@dataclass(frozen=True)
class Machine:
    """Where a measurement was made."""

    system: str
    processor: str
    cpus: int
    python: str
    onnxruntime: str


@dataclass(frozen=True)
class Placed:
    """What one provider runs of a model: nodes of the optimised graph, and convolutions' MACs.

    `share` is of all MACs of convolutions; None where nodes cannot be told apart. `convolutions`
    are their nodes' names.
    """

    nodes: int
    conv_macs: int | None = None
    share: float | None = None
    convolutions: tuple[str, ...] = ()


@dataclass(frozen=True)
class BaselineCheck:
    """An earlier comparison of the same kind, and this one against it.

    `ratio` is the speedup now over the speedup then, with both intervals in it; below 1 is worse.
    `differences` say in which ways the machine is another one.
    """

    path: str
    speedup: Interval
    ratio: Interval
    differences: tuple[str, ...] = ()


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
    placement: Mapping[str, Mapping[str, Placed]]
    machine: Machine
    macs: tuple[Totals, Totals]
    gates: tuple[Gate, ...]
    measurement: Measurement
    warnings: tuple[str, ...] = ()
    layers: LayerTimes | None = None
    baseline: BaselineCheck | None = None


@dataclass(frozen=True)
class Solo:
    """One model by itself: the median latency of a run, with its interval, and samples a second."""

    model: Timing
    latency_ms: Interval
    throughput: Interval
    provider: str
    threads: int
    batch: int
    placement: Mapping[str, Placed]
    machine: Machine
    macs: Totals
    gates: tuple[Gate, ...]
    recording: Recording
    warnings: tuple[str, ...] = ()
    layers: LayerTimes | None = None


@dataclass(frozen=True)
class Calibration:
    """A model against itself: what this machine can tell apart now.

    `floor` is the half-width of the 95 % interval, as a share: smaller effects drown. `detectable`
    is the smallest true effect that would be called faster or slower in 90 % of runs like this.
    """

    comparison: Comparison
    floor: float
    detectable: float


@dataclass(frozen=True)
class Ranking:
    """Several models, every one against the first; a comparison each, the fastest first."""

    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Cell:
    """A comparison at one setting; `shapes` are what `--input-shape` and `--dim` made of it."""

    batch: int
    threads: int
    shapes: str
    comparison: Comparison


@dataclass(frozen=True)
class Grid:
    """Two models at several settings, and from where on B is the faster one, in sentences."""

    cells: tuple[Cell, ...]
    crossovers: tuple[str, ...] = ()


Timed: TypeAlias = Solo | Comparison | Calibration | Ranking | Grid
"""Whatever was timed."""
