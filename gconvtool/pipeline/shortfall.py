"""Why a layer's time fell by less than its MACs did, and what would help.

If time followed MACs at the rate of the layer before, t_A / MACs_A, a kernel with m MACs would take
m·t_A / MACs_A, and one that only moves numbers no time at all. What a kernel takes beyond that is
its excess. Every kernel has one property that may keep it from that rate, and the property whose
kernels have the largest excess together is to blame. What these properties do to onnxruntime's CPU
kernels was measured (docs/layers.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from statistics import median
from typing import TypeAlias

from gconvtool.graph.layout import BLOCK
from gconvtool.graph.sites import CONVOLUTIONS
from gconvtool.pipeline.attribution import NCHWC, is_reorder
from gconvtool.results import Layer
from gconvtool.runtime.profiling import Kernel

MISSED = 0.7
"""Below this share of the theoretical gain, a layer missed it."""
SMALL_US, TINY_US = 20.0, 5.0
"""Of a layer and of a kernel that take less, the start is a large part."""
WIDE = 32
"""Filters a group from which on blocked kernels are about as fast as dense ones."""
WITH_BLOCKS = frozenset({"Conv", "ConvTranspose", "FusedConv"})
"""Convolutions of float32; quantised ones have kernels of their own."""
MOVING = frozenset("Concat Gather Pad Reshape Slice Split Transpose".split())
"""Operators that copy numbers and compute none."""


@dataclass(frozen=True)
class Part:
    """A kernel of a layer: its time, and the costs of the node that it works for."""

    kernel: Kernel
    us: float
    node: Layer

    @property
    def convolves(self) -> bool:
        """Whether it is a convolution, and one of the model: scaling is run as one, too."""
        return self.kernel.op in CONVOLUTIONS and self.node.op in CONVOLUTIONS

    @property
    def blocked(self) -> bool:
        """Whether it is one in blocks of channels."""
        return self.convolves and self.kernel.domain == NCHWC

    @property
    def moves(self) -> bool:
        """Whether it only brings numbers to another place."""
        return is_reorder(self.kernel) or self.kernel.op in MOVING

    @property
    def beside(self) -> bool:
        """Whether it is one of those that could be in blocks, and is not."""
        return self.convolves and not self.blocked and self.kernel.op in WITH_BLOCKS


Parts: TypeAlias = Sequence[Part]


def shortfall(before_us: float, before_macs: int, parts: Parts, blocks: bool) -> str:
    """One line on a layer that missed its gain.

    Args:
        before_us: what it took before.
        before_macs: its MACs before.
        parts: its kernels now.
        blocks: whether convolutions run in blocks of channels on this machine.
    """
    if before_us < SMALL_US:
        return "it was short before, and much of that was the start: leave it dense"
    if len(parts) > 2 and median(part.us for part in parts) < TINY_US:
        return "its many kernels are short, and much of that is their start: a lower rank has fewer"
    us_per_mac = before_us / before_macs

    def excess(cause: Cause) -> float:
        return sum(part.us - us_per_mac * _macs(part) for part in parts if cause.of(part, blocks))

    worst = max(CAUSES, key=excess)
    return worst.told([part for part in parts if worst.of(part, blocks)], parts)


def off_the_blocks(parts: Parts) -> str | None:
    """Why convolutions of a layer run beside the blocked layout, if any do where there is one."""
    beside = [part for part in parts if part.beside]
    return _beside(beside, parts) if beside else None


def _macs(part: Part) -> int:
    return 0 if part.moves else part.node.macs or 0


def _beside(beside: Parts, parts: Parts) -> str:
    """On the costliest convolution that is not in blocks."""
    node = max(beside, key=lambda part: part.us).node
    if node.kind == "depthwise-multiplier":
        return (
            "a depthwise convolution with a multiplier has no blocked kernel: --spelling sum "
            "writes true depthwise ones"
        )
    channels, filters, groups = node.channels or 1, node.filters or 1, node.groups or 1
    if node.op not in ("Conv", "FusedConv") or len(node.kernel or ()) != 2:
        helps = ": --spelling multiplier has fewest of them" if len(beside) > 1 else ""
        return f"{node.op} over {_axes(node)} has no blocked kernel, and copies its input{helps}"
    if groups == 1 or node.kind == "depthwise" or _fills(channels, filters, groups):
        return (
            "it has no blocked kernel: its channels are no multiple of 4, or its weights no "
            "constants in float32"
        )
    fitting = [g for g in range(2, groups) if _fills(channels, filters, g)]
    helps = f"{fitting[-1]} groups" if fitting else f"multiples of {BLOCK}"
    return (
        f"groups of {channels // groups} → {filters // groups} channels do not fill blocks of "
        f"{BLOCK}, so that its input is copied first: {helps} would fill them"
    )


def _axes(node: Layer) -> str:
    return f"{len(node.kernel or ())} axes" if len(node.kernel or ()) != 1 else "1 axis"


def _fills(channels: int, filters: int, groups: int) -> bool:
    """Both sides of every group are whole blocks."""
    return gcd(channels, filters) % (groups * BLOCK) == 0


def _moving(moving: Parts, parts: Parts) -> str:
    ops = dict.fromkeys(part.kernel.op for part in moving)
    helps = (
        "--spelling auto writes none of them"
        if "Split" in ops
        else "a recipe without an order of channels (separable, bottleneck) has none of them"
    )
    return f"{_share(moving, parts)} of its time goes into {', '.join(ops)}: {helps}"


def _depthwise(depthwise: Parts, parts: Parts) -> str:
    fewer = len(depthwise) > 1
    helps = "a lower rank has less of it" if fewer else "a bottleneck of fewer groups has none"
    return (
        f"{_share(depthwise, parts)} of its time is depthwise, which memory limits rather than "
        f"arithmetic: {helps}"
    )


def _narrow(narrow: Parts, parts: Parts) -> str:
    node = max(narrow, key=lambda part: part.us).node
    return (
        f"{(node.filters or 0) // (node.groups or 1)} filters a group keep the blocked kernel "
        f"below its rate: fewer groups, so that each has {WIDE} or more"
    )


def _adding(adding: Parts, parts: Parts) -> str:
    ops = dict.fromkeys(part.kernel.op for part in adding)
    return (
        f"{_share(adding, parts)} of its time goes into {', '.join(ops)}, which did not fuse with "
        "a convolution: a lower rank has fewer of them"
    )


def _slow(slow: Parts, parts: Parts) -> str:
    return (
        "its convolutions do fewer MACs a second than the dense one did: a search "
        "(convert --min-speedup) times what is fastest here"
    )


def _share(some: Parts, parts: Parts) -> str:
    share = sum(part.us for part in some) / sum(part.us for part in parts)
    return f"{100 * share:.0f} %"


@dataclass(frozen=True)
class Cause:
    """A property of kernels, and what is told of those that have it, given all of the layer."""

    has: Callable[[Part, bool], bool]
    told: Callable[[Parts, Parts], str]

    def of(self, part: Part, blocks: bool) -> bool:
        """Whether this is the first cause in line that a kernel has."""
        return next(cause for cause in CAUSES if cause.has(part, blocks)) is self


CAUSES = (
    Cause(lambda part, blocks: part.moves, _moving),
    Cause(lambda part, blocks: part.beside and blocks, _beside),
    Cause(lambda part, blocks: part.node.kind in ("depthwise", "gdc"), _depthwise),
    Cause(lambda part, blocks: part.blocked and _is_narrow(part.node), _narrow),
    Cause(lambda part, blocks: not part.node.macs, _adding),
    Cause(lambda part, blocks: True, _slow),
)
"""The first that a kernel has counts."""


def _is_narrow(node: Layer) -> bool:
    groups = node.groups or 1
    return groups > 1 and (node.filters or 0) // groups < WIDE
