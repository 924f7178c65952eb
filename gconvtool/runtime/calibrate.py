"""Two streams through one graph, cut at every convolution that is rewritten.

The original stream gives each site's output y as it should be; the converted stream gives its
input x̂ as it really is, after everything before it has been rewritten (the asymmetric fit of
Zhang et al., arXiv 1505.06798). Where the output is added to a value s that is there already, the
site can mend what has been lost of that too: it should give

    y + s − ŝ

so that the sum is right (He et al., arXiv 1707.06168, for residual blocks). Only the values that
cross a cut are kept, so the graph is gone through once, whatever the number of sites; until the
first one is rewritten, both streams are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from gconvtool.facts import ConvSite, Skip
from gconvtool.fit.fitting import Observed
from gconvtool.graph.cut import Cutter
from gconvtool.graph.surgery import find
from gconvtool.recipes import HEADS
from gconvtool.runtime.gather import Pair, observe
from gconvtool.runtime.inputs import Arrays, Batch, Data
from gconvtool.runtime.inside import paired
from gconvtool.runtime.shelf import Shelf
from gconvtool.runtime.stream import Settings, Stream

Followers: TypeAlias = Mapping[str, Sequence[str]]
"""Sites that share the weight of one before them, by the name of that one."""


@dataclass(frozen=True)
class Sight:
    """What is seen at a site: batches of pairs of both streams, those to fit to and the held-out.

    They are the same until a site has `changed`; where a sum is `mended`, what should come out
    makes up for what its other part has lost. `unseen` says why there are none, if so.
    """

    site: ConvSite
    converted: Sequence[Pair]
    original: Sequence[Pair]
    held_out: Sequence[Pair]
    changed: bool
    mended: bool
    settings: Settings
    unseen: Skip | None = None

    def flaw(self) -> Skip | None:
        """Why nothing can be fitted to this or judged by it, if so."""
        if self.unseen:
            return self.unseen
        for pairs in (self.converted, self.held_out):
            if not any(y.size for _, y in pairs):
                return Skip("no position of it is computed on the samples")
            if not all(_finite(array) for pair in pairs for array in pair):
                return Skip("NaN or infinite numbers flow through it on the samples")
        return None

    def asymmetric(self) -> Observed:
        """What really flows in, and what should come out."""
        return self._observed(self.converted)

    def symmetric(self) -> Observed:
        """What flowed into the original, and what came out."""
        return self._observed(self.original)

    def judged(self) -> Observed:
        """What really flows in on samples that nothing is fitted to."""
        return self._observed(self.held_out)

    def _observed(self, pairs: Sequence[Pair]) -> Observed:
        settings = self.settings
        return observe(self.site, pairs, settings.seed, settings.threads, settings.memory)


class Walk:
    """A visit to every rewritten site, and to normalisations that stay, in topological order.

    `base` is the original network and does not change; `work` is rewritten by the caller between
    one visit and the next, or is `base` too, and then there is one stream. Samples to fit to and
    held-out samples travel together but are never mixed in a batch. Half of the memory is for what
    crosses the cuts; beyond that it lies on disk.

    Sites that share a weight are visited once, as the first of them. What flows through the others
    in the original has then been seen in a walk ahead.
    """

    def __init__(
        self,
        base: ir.Model,
        work: ir.Model,
        fit: Data,
        held_out: Data,
        batch: Batch,
        sites: Iterable[ConvSite],
        settings: Settings = Settings(),  # noqa: B008  frozen
        norms: Iterable[str] = (),
        followers: Followers = MappingProxyType({}),
    ) -> None:
        self._base, self._work, self._settings = base, work, settings
        wanted = [site.name for site in sites]
        self._followers = {name: followers[name] for name in wanted if name in followers}
        follow = {name for names in self._followers.values() for name in names}
        names = [*(name for name in wanted if name not in follow), *norms]
        self._cutter = Cutter(base, [*names, *follow])  # none of a family runs before its first
        self.stops = sorted(names, key=self._cutter.position)
        self._shelf = Shelf(settings.memory // 2)
        feeds = [*fit.batches(batch), *held_out.batches(batch)]
        self._original = Stream(base, self._cutter, feeds, self._shelf, settings)
        self._converted: Stream | None = None
        self._fitting = len(list(fit.batches(batch)))
        self._ahead = self._seen_ahead(follow, feeds)
        self._unseen: dict[str, Skip] = {}

    def visit(self, site: ConvSite) -> Sight:
        """What is seen at a site; stops must be visited in their order."""
        now, before, changed, mended = self._seen(site.name)
        if site.op in HEADS:
            now, before = ([_as_maps(pair, site) for pair in pairs] for pairs in (now, before))
        ahead = [self._ahead.pop(name) for name in self._followers.get(site.name, ())]
        seen, original = ([pairs, *ahead] for pairs in (now, before))
        fit, held_out = slice(self._fitting), slice(self._fitting, None)
        return Sight(
            site,
            _with_rows(pair for pairs in seen for pair in pairs[fit]),
            _with_rows(pair for pairs in original for pair in pairs[fit]),
            _with_rows(pair for pairs in seen for pair in pairs[held_out]),
            changed,
            mended,
            self._settings,
            self._unseen.get(site.name),
        )

    def normalised(self, name: str) -> tuple[Sequence[Pair], Sequence[Pair]]:
        """Inputs and due outputs of a normalisation: those to fit to, and the held-out ones.

        Both are empty where nothing before it has changed.
        """
        now, _, changed, _ = self._seen(name)
        return (now[: self._fitting], now[self._fitting :]) if changed else ((), ())

    def _seen_ahead(self, names: Iterable[str], feeds: Sequence[Arrays]) -> dict[str, list[Pair]]:
        """Pairs in the original stream, before it is gone through site by site."""
        stream = Stream(self._base, self._cutter, feeds, self._shelf, self._settings)
        found = {}
        for name in sorted(names, key=self._cutter.position):
            position, source = self._cutter.position(name), find(self._base, name).inputs[0]
            assert source is not None
            stream.advance(position)
            x = stream.values(source)
            found[name] = list(zip(x, stream.advance(position + 1, name), strict=True))
        return found

    def _seen(self, name: str) -> tuple[list[Pair], list[Pair], bool, bool]:
        """Pairs in the converted and in the original stream, whether they can differ, and whether
        the due outputs mend what they are added to."""
        position = self._cutter.position(name)
        self._original.advance(position)
        still = self._work is self._base
        changed = self._converted is not None and not still
        if self._converted is None:
            self._converted = self._original if still else self._original.forked(self._work)
        self._converted.advance(position)
        if self._cutter.inside(name):
            return *self._seen_inside(name), changed, False
        source = find(self._base, name).inputs[0]
        assert source is not None
        x, x_now = (stream.values(source) for stream in (self._original, self._converted))
        y = self._original.advance(position + 1, name)
        partner = self._partner(name) if changed else None
        due = y if partner is None else self._mended(partner, y)
        now, before = (list(zip(*pair, strict=True)) for pair in ((x_now, due), (x, y)))
        return now, before, changed, partner is not None

    def _seen_inside(self, name: str) -> tuple[list[Pair], list[Pair]]:
        """The same at a site in a body; neither stream goes on, since more may be seen there."""
        assert self._converted is not None
        before, now = self._original.look(name, made=True), self._converted.look(name, made=False)
        for seen in (before, now):
            if isinstance(seen, Skip):
                self._unseen[name] = seen
        if isinstance(before, Skip) or isinstance(now, Skip):
            return [], []
        pairs = [paired(x, y) for (x,), (_, y) in zip(now, before, strict=True)]
        return pairs, [(x, y) for x, y in before]

    def _mended(self, partner: ir.Value, y: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What a site should give so that the sum with its partner becomes right."""
        assert self._converted is not None
        was, now = (stream.values(partner) for stream in (self._original, self._converted))
        with np.errstate(all="ignore"):  # what is not finite is seen later
            return [
                self._shelf.put(a + b - c) if a.shape == b.shape else a
                for a, b, c in zip(y, was, now, strict=True)
            ]

    def _partner(self, site: str) -> ir.Value | None:
        """The value that this one is added to, if that is all that is done with it."""
        made = find(self._base, site).outputs[0]
        uses = list(made.uses())
        if len(uses) != 1 or made.is_graph_output():
            return None
        node, index = uses[0]
        other = node.inputs[1 - index] if (node.op_type, node.domain) == ("Add", "") else None
        return other if other is not None and self._original.has(other) else None


def _with_rows(pairs: Iterable[Pair]) -> list[Pair]:
    """Without the batches in which a branch was not taken."""
    return [(x, y) for x, y in pairs if len(y)]


def _finite(array: np.ndarray) -> bool:
    """Whether all numbers are: a sum shows it, which takes no room."""
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(array.sum(dtype=np.float64)))


def _as_maps(pair: Pair, site: ConvSite) -> Pair:
    """What a fully connected layer reads, as the maps that were flattened for it."""
    rows, y = pair
    return rows.reshape(len(rows), site.channels, *site.kernel), y
