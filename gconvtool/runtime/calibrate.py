"""Two streams through one graph, cut at every convolution that is rewritten.

The original stream gives each site's output y as it should be; the converted stream gives its
input x̂ as it really is, after everything before it has been rewritten (the asymmetric fit of
Zhang et al., arXiv 1505.06798). Only the values that cross a cut are kept, so the graph is gone
through once, whatever the number of sites.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.facts import ConvSite
from gconvtool.fit.moments import Moments
from gconvtool.fit.patches import Window, outputs, spread
from gconvtool.graph.cut import Cutter, Segment
from gconvtool.graph.surgery import find
from gconvtool.runtime.inputs import Arrays, Batch, Data
from gconvtool.runtime.session import Session

Pair = tuple[NDArray[np.floating], NDArray[np.floating]]
"""A batch of a convolution's inputs x̂, and of the outputs y that it should have."""

WORKERS = 2
"""Batches whose moments are taken at once: each holds its patches and a D × D product."""

ROWS_PER_UNKNOWN = 24
"""Patches taken for each of a filter's unknowns; more changes little (docs/fit.md)."""


@dataclass
class Stream:
    """The values alive at the present cut, one dict a batch."""

    batches: list[Arrays]
    position: int = 0

    def advance(self, segment: Segment, end: int, threads: int | None, name: str) -> list[Arrays]:
        """Run a segment on every batch and keep what crosses its end; returns all its outputs."""
        session = None
        if segment.model is not None:
            session = Session(segment.model, threads=threads, name=name)
        made: list[Arrays] = []
        for index, batch in enumerate(self.batches):
            new = session.run({n: batch[n] for n in segment.inputs}) if session else {}
            made.append(new)
            alive = {**batch, **new}
            self.batches[index] = {n: a for n, a in alive.items() if n in segment.alive}
        self.position = end
        return made


@dataclass
class Walk:
    """A visit to every rewritten site, in topological order.

    `base` is the original network and does not change; `work` is rewritten by the caller between
    one visit and the next. Samples to fit to and held-out samples travel together but are never
    mixed in a batch.
    """

    base: ir.Model
    work: ir.Model
    fit: Data
    held_out: Data
    batch: Batch
    threads: int | None = None
    seed: int = 0
    name: str = ""
    _cutter: Cutter = field(init=False)

    def __post_init__(self) -> None:
        self._cutter = Cutter(self.base)
        self._original = Stream(self._batches())
        self._converted = Stream(self._batches())
        self._fitting = len(list(self.fit.batches(self.batch)))

    def visit(self, site: ConvSite) -> tuple[Moments, Moments]:
        """Moments at a site over the samples to fit to and over the held-out ones."""
        position = self._cutter.position(site.name)
        y = self._advance(self._original, self.base, position + 1, (site.name,))
        self._advance(self._converted, self.work, position)
        source = find(self.base, site.name).inputs[0]
        assert source is not None
        x = [batch[source.name or ""] for batch in self._converted.batches]
        pairs = [(inputs, made[site.name]) for inputs, made in zip(x, y, strict=True)]
        rng = np.random.default_rng(self.seed)
        return (
            _moments(site, pairs[: self._fitting], rng, self.threads),
            _moments(site, pairs[self._fitting :], rng, self.threads),
        )

    def _batches(self) -> list[Arrays]:
        return [*self.fit.batches(self.batch), *self.held_out.batches(self.batch)]

    def _advance(
        self, stream: Stream, model: ir.Model, end: int, extra: Sequence[str] = ()
    ) -> list[Arrays]:
        segment = self._cutter.segment(model, stream.position, end, extra)
        return stream.advance(segment, end, self.threads, self.name)


def _moments(
    site: ConvSite, pairs: Iterable[Pair], rng: np.random.Generator, threads: int | None
) -> Moments:
    """Moments over an even sample of all output positions in all batches."""
    assert site.pads is not None
    window = Window(site.kernel, site.strides, site.dilations, site.pads)
    listed = list(pairs)
    rows = [y.size // y.shape[1] for _, y in listed]
    unknowns = site.channels * int(np.prod(site.kernel))
    share = min(1.0, ROWS_PER_UNKNOWN * unknowns / sum(rows))
    chosen = [spread(total, max(1, round(share * total)), rng) for total in rows]

    def part(pair: Pair, at: NDArray[np.intp]) -> Moments:
        return Moments.of(window.patches(pair[0], at), outputs(pair[1], at))

    with ThreadPoolExecutor(min(threads or WORKERS, WORKERS)) as pool:
        return reduce(operator.add, pool.map(part, listed, chosen))
