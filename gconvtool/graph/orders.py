"""Orders of channels, and whether all that is wanted of them agrees.

Every class of channels has an order π, yet to be found: position i holds channel π(i). One can say

    tie    channel c of b is channel m(c) of a         m·π_b = π_a: both are one class from now on
    cut    runs of s positions hold channels of        l(π(i)) = τ(⌊i / s⌋)
           one label l
    pin    all stay in place                           π = 1: tied to the one class, of this size,
                                                       that never moves

where τ, in which sequence a convolution has its groups, is the order of a class too. If a class is
cut into runs of one size twice, the two τ are tied. Runs of s inside runs of S cut the τ of s into
runs of S / s; runs of which neither divides the other are refused. Both lead to smaller classes, so
that this ends. Tied classes are a forest in which each knows its permutation into the next
(union-find with potentials): a contradiction shows at once, and a step that meets one is undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Order: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class _Cut:
    """The sequence of the labels, as a class, and the label of each channel."""

    sequence: int
    labels: Order


class Orders:
    """Classes by number, and what is known of their orders."""

    def __init__(self, sizes: Iterable[int]) -> None:
        self._sizes = list(sizes)
        self._parents: dict[int, tuple[int, Order]] = {}
        self._weights: dict[int, int] = {}
        self._cuts: dict[int, Mapping[int, _Cut]] = {}
        self._still: dict[int, int] = {}
        self._journal: list[tuple[dict[int, Any], int, Any]] = []
        self._found: dict[int, Order] = {}

    def new(self, size: int) -> int:
        """One more class, of which nothing is known."""
        self._sizes.append(size)
        return len(self._sizes) - 1

    def mark(self) -> int:
        """A moment to go back to."""
        return len(self._journal)

    def undo(self, mark: int) -> None:
        """Forget all that was said since."""
        self._found.clear()
        while len(self._journal) > mark:
            table, key, before = self._journal.pop()
            if before is None:
                del table[key]
            else:
                table[key] = before

    def tie(self, a: int, b: int, m: Order) -> bool:
        """Channel c of b is channel m[c] of a; False, and nothing said, if that cannot be."""
        mark = self.mark()
        return self._tie(a, b, m) or self._refused(mark)

    def cut(self, kind: int, run: int, sequence: int, labels: Order) -> bool:
        """Positions of each run hold one label, in the order of `sequence`; False likewise."""
        mark = self.mark()
        return self._cut(kind, run, sequence, labels) or self._refused(mark)

    def pin(self, kind: int) -> bool:
        """All channels stay in place; False likewise."""
        return self.tie(self._in_place(self._sizes[kind]), kind, np.arange(self._sizes[kind]))

    def order(self, kind: int) -> Order:
        """An order that fits: position i holds channel order[i]."""
        if kind not in self._found:
            root, frame = self._root(kind)
            self._found[kind] = np.argsort(frame)[self._order_of_root(root)]
        return self._found[kind]

    def _order_of_root(self, root: int) -> Order:
        cuts = self._cuts.get(root)
        if not cuts:
            return np.arange(self._sizes[root])
        finest = cuts[min(cuts)]
        place = np.argsort(self.order(finest.sequence))
        return np.argsort(place[finest.labels], kind="stable")

    def _refused(self, mark: int) -> bool:
        self.undo(mark)
        return False

    def _in_place(self, size: int) -> int:
        """The class of this size that never moves."""
        if size not in self._still:
            self._still[size] = self.new(size)
        return self._still[size]

    def _write(self, table: dict[int, Any], key: int, value: object) -> None:
        self._journal.append((table, key, table.get(key)))
        table[key] = value
        self._found.clear()

    def _root(self, kind: int) -> tuple[int, Order]:
        """The class that stands for all that are tied to this one; channel c is its frame[c]."""
        frame = np.arange(self._sizes[kind])
        while kind in self._parents:
            kind, into = self._parents[kind]
            frame = into[frame]
        return kind, frame

    def _tie(self, a: int, b: int, m: Order) -> bool:
        (root, here), (other, there) = self._root(a), self._root(b)
        if root == other:
            return np.array_equal(here[m], there)
        into = np.empty_like(there)
        into[there] = here[m]
        if self._heavier(other, root):
            root, other, into = other, root, np.argsort(into)
        self._write(self._weights, root, self._weights.get(root, 1) + self._weights.get(other, 1))
        self._write(self._parents, other, (root, into))
        back, cuts = np.argsort(into), self._cuts.get(other, {})
        return all(self._cut(root, run, c.sequence, c.labels[back]) for run, c in cuts.items())

    def _heavier(self, kind: int, other: int) -> bool:
        """What never moves stands for all others; else the larger tree, so that paths are short."""
        weights = (self._weights.get(kind, 1), self._weights.get(other, 1))
        return self._moves_never(kind) or (not self._moves_never(other) and weights[0] > weights[1])

    def _moves_never(self, root: int) -> bool:
        return self._still.get(self._sizes[root]) == root

    def _cut(self, kind: int, run: int, sequence: int, labels: Order) -> bool:
        if run == 1:
            return self._tie(sequence, kind, labels)
        root, frame = self._root(kind)
        labels = labels[np.argsort(frame)]
        if self._moves_never(root):
            first = labels[::run]
            same = np.array_equal(np.repeat(first, run), labels)
            return same and self._tie(sequence, self._in_place(len(first)), first)
        cuts = self._cuts.get(root, {})
        if run in cuts:
            m = _mapping(cuts[run].labels, labels)
            return m is not None and self._tie(sequence, cuts[run].sequence, m)
        cuts = {**cuts, run: _Cut(sequence, labels)}
        self._write(self._cuts, root, cuts)
        return all(self._nest(cuts, *sizes) for sizes in pairwise(sorted(cuts)) if run in sizes)

    def _nest(self, cuts: Mapping[int, _Cut], small: int, large: int) -> bool:
        """Large runs are made of whole small ones."""
        inner, outer = cuts[small], cuts[large]
        parents = None if large % small else _mapping(inner.labels, outer.labels)
        return parents is not None and self._cut(
            inner.sequence, large // small, outer.sequence, parents
        )


def _mapping(labels: Order, others: Order) -> Order | None:
    """m with others = m[labels]; None where there is none."""
    m = np.empty(labels.max() + 1, np.intp)
    m[labels] = others
    return m if np.array_equal(m[labels], others) else None
