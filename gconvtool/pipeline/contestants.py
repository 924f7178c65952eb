"""Models that are measured: each of them in memory, ready to be opened, on terms of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from gconvtool.facts import Input, Skip
from gconvtool.graph import load, save
from gconvtool.graph.pack import Packed
from gconvtool.graph.signature import signature
from gconvtool.pipeline.source import Feed, Model, Network, count
from gconvtool.pipeline.terms import Terms
from gconvtool.results import Analysis, Placed, Timing
from gconvtool.runtime import placement
from gconvtool.runtime.binding import DEVICES
from gconvtool.runtime.footprint import peak_memory
from gconvtool.runtime.inputs import Arrays
from gconvtool.runtime.session import Session
from gconvtool.timing import machine, protocol, stats

BESIDES, BLOCKS = 0.1, 4
"""Of the time budget, what copies are timed for; and in how many sessions."""


@dataclass(frozen=True)
class Weight:
    """What a model takes besides its time, and warnings for what could not be found out."""

    size_bytes: int
    end_to_end_ms: float | None
    peak_memory_bytes: int | None
    doubts: tuple[str, ...]

    def beside(self, timing: Timing) -> Timing:
        """Its times with this."""
        return replace(
            timing,
            end_to_end_ms=self.end_to_end_ms,
            size_bytes=self.size_bytes,
            peak_memory_bytes=self.peak_memory_bytes,
        )


@dataclass(frozen=True, eq=False)
class Contestant:
    """A model in memory, and how it is run; `size_bytes` is that of all its files.

    It is like no other, so that what was found out of it can be kept.
    """

    network: Network
    packed: Packed
    size_bytes: int
    terms: Terms

    @classmethod
    def open(cls, model: Model, terms: Terms) -> Contestant:
        """Load it.

        Raises:
            InputError: there is no such model, or it cannot be handed to onnxruntime.
        """
        network = Network.open(model)
        packed = network.packed()
        size = _in_memory(network.model) if isinstance(model, ir.Model) else _on_disk(network)
        return cls(network, packed, size, terms)

    def converted(self, model: ir.Model) -> Contestant:
        """What became of it."""
        network = Network(model, f"{self.name}, converted")
        return replace(self, network=network, packed=network.packed(), size_bytes=_in_memory(model))

    @property
    def name(self) -> str:
        """What messages and results call it."""
        return self.network.name

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it is fed, at the sizes that were asked for.

        Raises:
            InputError: it does not take them.
        """
        return self.terms.sizes.applied(signature(self.network.model), self.name)

    def session(self) -> Session:
        """A fresh one.

        Raises:
            InputError: onnxruntime does not accept the model.
            MissingError: onnxruntime or the provider is not there.
        """
        return Session(self.packed, name=self.name, **self.terms.session)

    def opener(self, feeds: Arrays) -> Callable[[], Callable[[], object]]:
        """What makes a fresh session, and of it what runs it on these inputs."""
        return lambda: self.session().runner(feeds)

    def placement(self, session: Session, costs: Analysis) -> Mapping[str, Placed]:
        """What each provider runs of it, in a session of it.

        Raises:
            MissingError: a convolution is left to another provider, and may not be.
        """
        macs = placement.conv_macs(self.network.model, costs.layers)
        placed = placement.attest(session, macs)
        if self.terms.is_strict(session.provider):
            placement.require(placed, session.provider, self.name)
        return placed

    def weigh(self, feeds: Arrays, provider: str) -> Weight:
        """What else it takes on these inputs; `provider` is the short name of who runs it."""
        copied = self._end_to_end_ms(feeds) if provider in DEVICES else None
        peak = peak_memory(self.packed, feeds, self.terms.session) if self.terms.memory else None
        if isinstance(peak, Skip):
            doubt = f"{self.name}: its peak memory is not known: {peak.reason}"
            return Weight(self.size_bytes, copied, None, (doubt,))
        return Weight(self.size_bytes, copied, peak, ())

    def _end_to_end_ms(self, feeds: Arrays) -> float:
        """The median of a run with copies to the device and back, which `opener` leaves out."""
        recording = protocol.record(
            lambda: self.session().runner_end_to_end(feeds),
            clock=machine.SystemClock(),
            time_budget_s=BESIDES * self.terms.time_budget_s,
            blocks=BLOCKS,
        )
        return stats.timing_of(self.name, recording).median_ms

    def costs(self, shapes: Mapping[str, tuple[int, ...]]) -> Analysis:
        """What it costs at these shapes of its inputs."""
        return count(self.network, Feed(input_shapes=shapes))


def stand_ins(contestants: Iterable[Contestant]) -> Iterator[str]:
    """What must be said of models that are not run in their own numbers, once each."""
    yield from dict.fromkeys(said for one in contestants for said in one.network.stand_in())


def _on_disk(network: Network) -> int:
    """The file, and those beside it that hold its weights."""
    paths = {Path(network.name), *load.external_files(network.model)}
    return sum(path.stat().st_size for path in paths)


def _in_memory(model: ir.Model) -> int:
    """What its files would be."""
    return len(save.to_bytes(model)) + sum(tensor.nbytes for _, tensor in load.external(model))
