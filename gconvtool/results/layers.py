"""What `bench --layers` answers: where the time goes, layer by layer, before and after.

Times are of a profiled run, which is slower than others: shares and ratios mean something, their
sum is not the latency.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

KernelPath = Literal["blocked", "fallback", "unknown"]
"""Whether convolutions ran in onnxruntime's blocked layout (NCHWc), or beside it.

Unknown of other providers than the CPU, and of quantised ones, which have kernels of their own.
"""


@dataclass(frozen=True)
class LayerRun:
    """A layer in one model: all kernels that make its output tensor of the tensors before it.

    What is fused into a convolution, an activation say, is in its time. `gflops` is achieved:
    2·MACs / time, None where there are no MACs. `path` is None where there is no convolution.
    `reorders` are conversions of layout put in for it, and in its time, too. `nodes` are the
    kernels' names in the optimised graph.
    """

    median_us: float
    macs: int | None
    gflops: float | None
    path: KernelPath | None
    reorders: int
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class LayerTime:
    """A layer by the name of its output tensor; a side is None where it does not run as such.

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

    @property
    def speedup(self) -> float | None:
        """How many times faster B's is; None where one side took no time that was seen."""
        if self.a is None or self.b is None or not self.a.median_us or not self.b.median_us:
            return None
        return self.a.median_us / self.b.median_us


@dataclass(frozen=True)
class LayerTimes:
    """All layers in A's order, then those that only B has.

    `rest_us` (A's, B's) is what belongs to no layer; B's is None where there is no B.
    """

    layers: tuple[LayerTime, ...]
    rest_us: tuple[float, float | None]
    runs: int
    provider: str
    warnings: tuple[str, ...] = ()

    @property
    def total_us(self) -> tuple[float, float | None]:
        """All that was seen of A and of B."""
        a, b = self.rest_us
        whole = _whole(layer.b for layer in self.layers)
        return a + _whole(layer.a for layer in self.layers), None if b is None else b + whole

    @property
    def convolutions_us(self) -> tuple[float, float | None]:
        """What of that layers with convolutions take, with what is fused into them."""
        a, b = ([run for run in side if run and run.path] for side in self._sides())
        return _whole(a), None if self.rest_us[1] is None else _whole(b)

    def _sides(self) -> tuple[list[LayerRun | None], list[LayerRun | None]]:
        return [layer.a for layer in self.layers], [layer.b for layer in self.layers]


def _whole(runs: Iterable[LayerRun | None]) -> float:
    return sum(run.median_us for run in runs if run is not None)
