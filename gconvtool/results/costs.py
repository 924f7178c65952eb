"""What `analyze` answers: a network's costs, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gconvtool.facts import Shape
from gconvtool.results.gate import Gate

Role = Literal["learned", "statistics", "quantisation", "constants", "unused"]
"""What a stored tensor is for: `statistics` are the running ones of normalisation, `quantisation`
scales and zero points, `constants` shapes, indices and numbers of one value; `unused` is read by
nothing."""
Bound = Literal["compute", "memory"]


@dataclass(frozen=True)
class Layer:
    """One row: a node's cost. What could not be counted is None.

    `params` counts each stored weight once, at the first node that uses it. `macs_formula` is
    `macs` with open dimensions left open: `1152·N·H·W`. `bias_adds` and `elementwise_ops`
    (activations, pooling, normalisation, arithmetic) are no MACs. `weight_bytes` and
    `activation_bytes` are what a run has to read and write at least once.

    A row with a `parent` is a part of that row, inside a body of control flow: its figures are
    those of one trip, and `times` says how many trips count (0 in the cheaper branch of an If, None
    where that depends on data). The parent's figures hold those of its parts, but for `params`.
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
    macs_formula: str | None = None
    bias_adds: int | None = 0
    elementwise_ops: int | None = 0
    weight_bytes: int | None = None
    activation_bytes: int | None = None
    parent: str | None = None
    times: int | None = 1
    note: str | None = None

    @property
    def intensity(self) -> float | None:
        """Arithmetic intensity: FLOPs of the MACs per byte moved (Williams et al., 2009)."""
        if self.macs is None or self.weight_bytes is None or self.activation_bytes is None:
            return None
        moved = self.weight_bytes + self.activation_bytes
        return 2 * self.macs / moved if moved else None


@dataclass(frozen=True)
class Unknown:
    """A node that could not be counted, and why."""

    node: str
    op: str
    reason: str


@dataclass(frozen=True)
class Totals:
    """Sums over layers; `exact` is False where some layer is unknown: the sums are then bounds.

    The columns that are no MACs are None where a part of them is not known.
    """

    macs: int
    params: int
    exact: bool = True
    bias_adds: int | None = None
    elementwise_ops: int | None = None
    weight_bytes: int | None = None
    activation_bytes: int | None = None
    peak_activation_bytes: int | None = None

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
class Stored:
    """Tensors of one role: how many, how many numbers, and what they take on the disk."""

    tensors: int
    numbers: int
    bytes: int


@dataclass(frozen=True)
class Analysis:
    """What a network costs, layer by layer, in topological order.

    `dims` are the sizes in force for open dimensions. `macs_formula` is the sum with those left
    open. `peak_at` is the node during which the most activations are alive.
    """

    model: str
    layers: tuple[Layer, ...]
    unknown: tuple[Unknown, ...]
    totals: Totals
    kinds: Mapping[str, KindTotal]
    dims: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[Role, Stored] = field(default_factory=dict)
    macs_formula: str | None = None
    peak_at: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prospect:
    """What a layer would become.

    `reason` says why it would stay as it is (the figures after are then those before). `loss` is
    True where it would cost more MACs or parameters than now. `bytes` are weights and activations
    moved, intermediate ones included. `legal_groups` are the group counts above 1 that divide
    channels and filters, where there are groups already those of one.
    """

    name: str
    kind: str
    macs_before: int | None
    macs_after: int | None
    params_before: int
    params_after: int
    bytes_before: int | None
    bytes_after: int | None
    legal_groups: tuple[int, ...] = ()
    reason: str | None = None
    loss: bool = False

    @property
    def bytes_kept(self) -> bool:
        """The MACs fall and the bytes do not: on a memory-bound machine nothing is won."""
        figures = (self.macs_before, self.macs_after, self.bytes_before, self.bytes_after)
        if None in figures or self.reason is not None:
            return False
        macs_before, macs_after, bytes_before, bytes_after = (n or 0 for n in figures)
        return macs_after < macs_before and bytes_after >= bytes_before


@dataclass(frozen=True)
class WhatIf:
    """A whole network under one recipe; nothing is rewritten."""

    recipe: str
    prospects: tuple[Prospect, ...]
    before: Totals
    after: Totals


@dataclass(frozen=True)
class Saving:
    """One of the layers where converting would save most, and into what."""

    name: str
    recipe: str
    macs_before: int
    macs_after: int


@dataclass(frozen=True)
class Placement:
    """A layer under the roof: the least time that the machine needs for it, and what for."""

    name: str
    intensity: float
    bound: Bound
    roof_gflops: float
    least_ms: float


@dataclass(frozen=True)
class Roofline:
    """A machine's two limits and the layers under them (Williams, Waterman, Patterson, 2009).

    `ridge` is the intensity (FLOPs per byte) from which a layer is bound by arithmetic.
    """

    peak_gflops: float
    bandwidth_gbs: float
    measured: bool
    placements: tuple[Placement, ...]

    @property
    def ridge(self) -> float:
        """FLOPs per byte where both limits meet."""
        return self.peak_gflops / self.bandwidth_gbs


@dataclass(frozen=True)
class SweepRow:
    """A network's totals at one choice of sizes."""

    sizes: Mapping[str, int]
    totals: Totals


@dataclass(frozen=True)
class Explanation:
    """How a layer's figures come about: lines of formulas with their numbers filled in."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """An analysis and what else was asked about the network."""

    analysis: Analysis
    savings: tuple[Saving, ...] = ()
    what_if: tuple[WhatIf, ...] = ()
    roofline: Roofline | None = None
    sweep: tuple[SweepRow, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True)
class Failed:
    """A model of several that could not be analysed."""

    model: str
    message: str


@dataclass(frozen=True)
class LayerChange:
    """A layer of two networks, matched by name; None on the side that does not have it."""

    name: str
    a: Layer | None
    b: Layer | None


@dataclass(frozen=True)
class Difference:
    """Two networks side by side, with all that was asked of each."""

    a: Study
    b: Study
    layers: tuple[LayerChange, ...]
