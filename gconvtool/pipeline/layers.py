"""Where the time goes: a profile of one model or two, layer by layer, by the names of the first.

A run of its own, since profiling slows models down. Every kernel is led back to the node of its
model that it works for (`attribution`), and these to the layers that both models have in common.
Where a layer's MACs fell, its time should have fallen as much: `shortfall` says why it did not.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gconvtool.errors import InputError
from gconvtool.facts import NodeFact, total
from gconvtool.graph.pack import pack
from gconvtool.pipeline.attribution import NCHWC, cut, is_reorder, sources
from gconvtool.pipeline.contestants import Contestant
from gconvtool.pipeline.course import Course
from gconvtool.pipeline.shortfall import MISSED, Part, off_the_blocks, shortfall
from gconvtool.pipeline.source import Feed, read
from gconvtool.results import KernelPath, Layer, LayerRun, LayerTime, LayerTimes
from gconvtool.runtime.options import lays_out
from gconvtool.runtime.profiling import Kernel, Open, Profiled, named, record
from gconvtool.runtime.session import Session
from gconvtool.timing.profile import Profile
from gconvtool.timing.protocol import Clock

WITH_BLOCKS = frozenset({"amd64", "x86_64"})
"""Machines for which every onnxruntime has kernels in blocks of channels."""
CPU = "CPUExecutionProvider"
UNTIMED = frozenset({"cuda", "dml", "migraphx", "nvtensorrtrtx", "rocm", "tensorrt"})
"""Providers whose kernels run on when the runtime believes them done."""


def require_profile(provider: str) -> None:
    """Refuse providers, by short name, of which a profile only tells when kernels were launched.

    Raises:
        InputError: it is one of them.
    """
    if provider in UNTIMED:
        raise InputError(
            f"--layers: onnxruntime's profile does not tell how long kernels run on {provider}, "
            "only when they are launched: leave it out, or profile with --provider cpu"
        )


def layers(
    first: Contestant, second: Contestant | None, course: Course, provider: str, clock: Clock
) -> LayerTimes:
    """Profile one model, or two in turns.

    Args:
        first: the model that names the layers.
        second: what became of it, if there are two.
        course: what both are fed.
        provider: the short name of who runs them, see `require_profile`.
        clock: ends the runs after some seconds.

    Raises:
        InputError: a model does not run.
        MissingError: onnxruntime or the provider is not there.
    """
    both = [one for one in (first, second) if one is not None]
    profiled = record([_opener(one) for one in both], course.feeds, clock)
    a, *others = (_Side.of(*pair, course) for pair in zip(both, profiled, strict=True))
    blocks = _has_blocks(profiled, first.terms.session_options)
    return LayerTimes(
        tuple(_Pair(a, others[0], blocks).rows() if others else _alone(a, blocks)),
        (a.rest_us, others[0].rest_us if others else None),
        len(profiled[0].profile.runs),
        provider,
        tuple(_doubts(a, others)),
    )


def _opener(one: Contestant) -> Open:
    packed = pack(named(one.network.model), one.name)
    return lambda folder: Session(packed, name=one.name, profile=folder, **one.terms.session)


def _has_blocks(profiled: Iterable[Profiled], options: Mapping[str, str]) -> bool:
    """Whether convolutions run in blocks of channels on this machine, with these options."""
    seen = any(kernel.domain == NCHWC for one in profiled for kernel in one.kernels)
    return seen or (lays_out(options) and platform.machine().lower() in WITH_BLOCKS)


@dataclass(frozen=True)
class _Side:
    """A model and its profile: the kernels that work for each node, and those that do for none."""

    nodes: tuple[NodeFact, ...]
    costs: Mapping[str, Layer]
    profile: Profile
    kernels: Mapping[str | None, Sequence[Kernel]]

    @classmethod
    def of(cls, one: Contestant, profiled: Profiled, course: Course) -> _Side:
        """Lead its kernels back."""
        found = read(one.network, Feed(input_shapes=course.shapes(course.batch)))
        nodes = found.survey.nodes
        rows = {row.name: row for row in found.analysis.layers if row.parent is None}
        costs = {node.name: rows.get(node.name) or _free(node) for node in nodes}
        macs = {name: row.macs for name, row in costs.items()}
        owners = sources(profiled.kernels, nodes, macs)
        kernels: dict[str | None, list[Kernel]] = {}
        for kernel in profiled.kernels:
            kernels.setdefault(owners.get(kernel.name), []).append(kernel)
        return cls(nodes, costs, profiled.profile, kernels)

    @property
    def tensors(self) -> frozenset[str]:
        """What its nodes make."""
        return frozenset(tensor for node in self.nodes for tensor in node.writes if tensor)

    @property
    def rest_us(self) -> float:
        """What kernels without a layer take."""
        return self._median_us(kernel.name for kernel in self.kernels.get(None, ()))

    def heaviest(self, names: Sequence[str]) -> Layer:
        """The node with the most MACs; the last one where none has any."""
        return max((self.costs[name] for name in reversed(names)), key=lambda row: row.macs or 0)

    def parts(self, names: Iterable[str]) -> tuple[Part, ...]:
        """The kernels that work for these nodes."""
        return tuple(
            Part(kernel, self._median_us([kernel.name]), self.costs[name])
            for name in names
            for kernel in self.kernels.get(name, ())
        )

    def run(self, names: Sequence[str], parts: Sequence[Part]) -> LayerRun | None:
        """How these nodes ran, if any kernel works for them."""
        if not parts:
            return None
        kernels = tuple(part.kernel.name for part in parts)
        time_us, macs = self._median_us(kernels), total(self.costs[name].macs for name in names)
        return LayerRun(
            median_us=time_us,
            macs=macs,
            gflops=2e-3 * macs / time_us if macs and time_us else None,
            path=self._path(parts),
            reorders=sum(is_reorder(part.kernel) for part in parts),
            nodes=kernels,
        )

    def on_cpu(self, parts: Sequence[Part]) -> bool:
        """Whether the CPU's provider runs these, as far as they were seen to run."""
        return all(self.profile.providers.get(part.kernel.name, CPU) == CPU for part in parts)

    def _path(self, parts: Sequence[Part]) -> KernelPath | None:
        """That of the convolutions; the slower one where they differ."""
        convolutions = [part for part in parts if part.convolves]
        if not convolutions:
            return None
        if not self.on_cpu(convolutions):
            return "unknown"
        if any(part.beside for part in convolutions):
            return "fallback"
        return "blocked" if all(part.blocked for part in convolutions) else "unknown"

    def _median_us(self, kernels: Iterable[str]) -> float:
        return self.profile.median_us(tuple(kernels))


@dataclass(frozen=True)
class _Pair:
    """Two models, cut into the layers that both have; `blocks` where this machine has such."""

    a: _Side
    b: _Side
    blocks: bool

    def rows(self) -> Iterator[LayerTime]:
        """Layers that run in one of them at least."""
        shared = self.a.tensors & self.b.tensors
        in_a, in_b = (_by_layer(side.nodes, shared) for side in (self.a, self.b))
        for layer in {**in_a, **in_b}:
            row = self._row(in_a.get(layer, ()), in_b.get(layer, ()))
            if row.a or row.b:
                yield row

    def _row(self, in_a: Sequence[str], in_b: Sequence[str]) -> LayerTime:
        node = self.a.heaviest(in_a) if in_a else self.b.heaviest(in_b)
        a = self.a.run(in_a, self.a.parts(in_a))
        parts = self.b.parts(in_b)
        b = self.b.run(in_b, parts)
        realised = _realised(a, b)
        missed = realised is not None and realised < MISSED
        advice = None
        if missed and a is not None and a.macs and self.b.on_cpu(parts):
            advice = shortfall(a.median_us, a.macs, parts, self.blocks)
        return LayerTime(node.name, node.op, node.kind or None, a, b, realised, advice)


def _alone(side: _Side, blocks: bool) -> Iterator[LayerTime]:
    """Every node of one model that runs as such is a layer."""
    for node in side.nodes:
        parts, row = side.parts([node.name]), side.costs[node.name]
        run = side.run([node.name], parts)
        if run is not None:
            beside = off_the_blocks(parts) if blocks and run.path == "fallback" else None
            yield LayerTime(row.name, row.op, row.kind or None, run, None, advice=beside)


def _by_layer(nodes: Sequence[NodeFact], shared: frozenset[str]) -> dict[str, list[str]]:
    """The nodes of each layer, layers and nodes in topological order."""
    belongs, layers = cut(nodes, shared), dict[str, list[str]]()
    for node in nodes:
        layers.setdefault(belongs[node.name], []).append(node.name)
    return layers


def _realised(a: LayerRun | None, b: LayerRun | None) -> float | None:
    """The share of the theoretical gain that came true."""
    if a is None or b is None or not a.macs or not b.macs or b.macs >= a.macs:
        return None
    return a.median_us / b.median_us / (a.macs / b.macs) if b.median_us else None


def _doubts(a: _Side, others: Sequence[_Side]) -> Iterator[str]:
    """Layers are told apart by names, and two models need not have any in common."""
    for b in others:
        ours = [name for name, row in a.costs.items() if row.macs != 0]
        missing = [name for name in ours if name not in b.tensors]
        if 2 * len(missing) > len(ours):
            yield (
                f"{len(missing)} of {len(ours)} layers of A have no namesake in B, and count as "
                "one with those behind them: names of tensors tell which layers correspond"
            )


def _free(node: NodeFact) -> Layer:
    """The row of a node that costs nothing."""
    return Layer(node.name, node.op, "", 0, 0, None, None)
