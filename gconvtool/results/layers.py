"""What `bench --layers` answers: where the time goes, layer by layer, before and after.

Times are of a profiled run, which is slower than others: shares and ratios mean something, their
sum is not the latency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KernelPath = Literal["blocked", "fallback", "unknown"]
"""Whether a convolution ran in onnxruntime's blocked layout (NCHWc), or beside it."""


@dataclass(frozen=True)
class LayerRun:
    """A layer in one model: all nodes that make its output tensor of the tensors before it.

    `gflops` is achieved: 2 MACs / time. `reorders` are conversions of layout put in for it.
    """

    median_us: float
    macs: int | None
    gflops: float | None
    path: KernelPath
    reorders: int
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class LayerTime:
    """A layer of the source model, named by its output tensor; `b` is None where B has none.

    `realised` is the share of the theoretical gain that came true: (t_A / t_B) / (MACs_A / MACs_B),
    None where MACs did not fall. `advice` says why a layer missed its gain, and what would help.
    """

    name: str
    op: str
    kind: str | None
    a: LayerRun | None
    b: LayerRun | None
    realised: float | None = None
    advice: str | None = None


@dataclass(frozen=True)
class LayerTimes:
    """All layers in A's order; `rest_us` (A's, B's) is what belongs to none: reorders, casts."""

    layers: tuple[LayerTime, ...]
    rest_us: tuple[float, float | None]
    runs: int
    provider: str
