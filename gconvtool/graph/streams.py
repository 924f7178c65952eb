"""Which convolutions should be grouped by one partition of channels, so that no Gather is between.

Where a network adds maps to each other again and again, all that writes into that stream and all
that reads from it meets the same channels:

    s₁ = relu(s₀ + f₁(s₀)),  s₂ = relu(s₁ + f₂(s₁)),  …        one class of channels (`classes`)

Convolutions that split these channels alike need no Gather between each other; that costs next to
no accuracy, since what is inside of f mixes freely. So it is not done inside: between one writer
and its reader channels stay untied. Several readers of what one convolution wrote are tied to each
other, for one Gather instead of several, and not to the writer. A convolution that would read and
write one stream by the same split would never mix its groups: it is tied where it reads.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterator
from typing import TypeAlias

import onnx_ir as ir

from gconvtool.graph.channels import Channels
from gconvtool.graph.classes import Classes
from gconvtool.graph.constants import shape_of

Ties: TypeAlias = tuple[Hashable | None, Hashable | None]
"""The stream of a convolution's inputs, and that of its outputs; None where nothing ties them."""


def tied(model: ir.Model, sites: Collection[str]) -> dict[str, Ties]:
    """Streams of those convolutions, by their names, that are to be converted into groups.

    Sides of one stream have one number of channels and should have one partition. Streams go by
    the name of one of their values. Bodies of control flow are left alone, the model as it is; its
    shapes must have been inferred, what has none is not tied.
    """
    streams = _Streams(Classes(Channels(model.graph)))
    ties: dict[str, tuple[str | None, str | None]] = dict.fromkeys(sites, (None, None))
    for node in model.graph:
        if node.inputs and node.outputs and (name := node.outputs[0].name) in ties:
            ties[name] = streams.of(node)
    counts = Counter(stream for both in ties.values() for stream in both)
    return {
        name: (_shared(reads, counts), _shared(writes, counts))
        for name, (reads, writes) in ties.items()
    }


def _shared(stream: str | None, counts: Counter[str | None]) -> str | None:
    """None if nobody else is in that stream."""
    return stream if counts[stream] > 1 else None


class _Streams:
    """Classes, by the name of one of their values, and how many maps were made in each."""

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self.names: dict[int, str] = {}
        self.sources = self._count()

    def of(self, node: ir.Node) -> tuple[str | None, str | None]:
        """Where its input belongs, and its output if other maps are added to that."""
        reads, writes = self.classes.only(node.inputs[0]), self.classes.only(node.outputs[0])
        if writes == reads or self.sources[writes] < 2:
            writes = None
        return self._name(reads), self._name(writes)

    def _name(self, kind: int | None) -> str | None:
        """None for channels in pieces, and for those that cannot be reordered anyway."""
        return None if kind is None or kind in self.classes.pinned else self.names[kind]

    def _count(self) -> Counter[int | None]:
        """How many maps of a class were not made of others in it. One number a channel, as a gate
        computes it, is no map, unless there are no others."""
        made: dict[int, list[ir.Value]] = defaultdict(list)
        large: set[int] = set()
        for value, kind in self._whole():
            self.names.setdefault(kind, value.name or "")
            large |= set() if _is_vector(value) else {kind}
            if not self._is_made_of(value, kind):
                made[kind].append(value)
        maps = ((k, v) for k, values in made.items() for v in values)
        return Counter(kind for kind, value in maps if kind not in large or not _is_vector(value))

    def _whole(self) -> Iterator[tuple[ir.Value, int]]:
        for value in self.classes.pieces:
            kind = self.classes.only(value)
            if kind is not None:
                yield value, kind

    def _is_made_of(self, value: ir.Value, kind: int) -> bool:
        maker = value.producer()
        inputs = () if maker is None else maker.inputs
        return any(x is not None and kind in self.classes.of(x) for x in inputs)


def _is_vector(value: ir.Value) -> bool:
    return all(dim == 1 for dim in (shape_of(value) or ())[2:])
