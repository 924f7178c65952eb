"""Values in pieces, and pieces in classes: channels that can only be ordered together.

A Concat, Split or Slice cuts the values that it reads and writes, and what is tied to them:

    j = Concat(a, b), y = Relu(j)          j and y are two pieces: one of a's class, one of b's

All pieces that are tied to each other are one class, whose channels have one order, or are pinned
to their places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import onnx_ir as ir

from gconvtool.graph.channels import Channels, Link, Spread, ends, size_of

Start: TypeAlias = tuple[ir.Value, int]
"""A value and the channel at which a piece of it begins."""


@dataclass(frozen=True)
class Piece:
    """A class of channels, and where it begins in a value."""

    start: int
    kind: int


class Classes:
    """Classes by number: their sizes, which of them are pinned, and the pieces of each value."""

    def __init__(self, channels: Channels) -> None:
        self.pieces: dict[ir.Value, tuple[Piece, ...]] = {}
        self.sizes: list[int] = []
        self._number(channels.links, _cuts(channels))
        self.spreads: dict[int, Spread] = {}
        self.pinned = self.of(*channels.pinned)
        self.pinned |= self._stuck(channels)

    def of(self, *values: ir.Value) -> set[int]:
        """The classes of some values."""
        return {piece.kind for value in values for piece in self.pieces.get(value, ())}

    def only(self, value: ir.Value | None) -> int | None:
        """The class of a value that is of one piece; None for all others."""
        pieces = () if value is None else self.pieces.get(value, ())
        return pieces[0].kind if len(pieces) == 1 else None

    def _number(self, links: Iterable[Link], cuts: Mapping[ir.Value, list[int]]) -> None:
        parents: dict[Start, Start] = {}
        for link in links:
            for start in cuts[link.part][:-1]:
                part = _root(parents, (link.part, start))
                parents[part] = _root(parents, (link.whole, start + link.offset))
        kinds: dict[Start, int] = {}
        for value, bounds in cuts.items():
            for start, end in pairwise(bounds):
                kind = kinds.setdefault(_root(parents, (value, start)), len(self.sizes))
                if kind == len(self.sizes):
                    self.sizes.append(end - start)
                self.pieces[value] = (*self.pieces.get(value, ()), Piece(start, kind))

    def _stuck(self, channels: Channels) -> set[int]:
        """Let flattened channels follow where nothing else is wanted of them; where not, neither
        they nor the channels that they come from can be reordered."""
        moved = self.of(*(value for node in channels.moves for value in ends(node)))
        grouped = self.of(*(run.value for run in channels.runs))
        sources = self.of(*(spread.narrow for spread in channels.spreads))
        counts = Counter(kind for spread in channels.spreads for kind in self.of(spread.wide))
        stuck: set[int] = set()
        for spread in channels.spreads:
            narrow, wide = self.only(spread.narrow), self.only(spread.wide)
            busy = wide in self.pinned | moved | grouped | sources or counts[wide or 0] > 1
            if narrow is None or wide is None or busy:
                stuck |= self.of(spread.narrow, spread.wide)
            else:
                self.spreads[wide] = spread
        return stuck


def _root(parents: dict[Start, Start], start: Start) -> Start:
    """Follow a piece to the one that stands for all that are linked to it."""
    while (parent := parents.setdefault(start, start)) != start:
        parents[start] = start = parents[parent]
    return start


def _cuts(channels: Channels) -> dict[ir.Value, list[int]]:
    """Where the channels of each value fall apart: a cut in a value is one in all linked to it."""
    cuts = {value: {0, size} for value in channels.values() if (size := size_of(value))}
    links, changed = channels.links, True
    while changed:
        changed = sum(_carry(link, cuts) for link in links) > 0
        links = links[::-1]
    return {value: sorted(bounds) for value, bounds in cuts.items()}


def _carry(link: Link, cuts: Mapping[ir.Value, set[int]]) -> bool:
    """Take cuts over from each other; True if that is news."""
    whole, part = cuts[link.whole], cuts[link.part]
    size, before = size_of(link.part) or 0, len(whole) + len(part)
    whole |= {cut + link.offset for cut in part}
    part |= {cut - link.offset for cut in whole if 0 < cut - link.offset < size}
    return len(whole) + len(part) > before
