"""Convolutions that have G groups already: each group is a dense convolution of its own.

A group's outputs see its own inputs only, so its moments are all that its fit needs: G·(D/G)²
numbers, not D².
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gconvtool.fit.least_squares import Seen
from gconvtool.fit.moments import Array, Moments, share
from gconvtool.fit.rows import Rows
from gconvtool.fit.structure import Factors, side_by_side


@dataclass(frozen=True)
class PerGroup:
    """Moments (or rows) of each group, in order. Kernels are N × C/G·taps."""

    parts: tuple[Seen, ...]

    @classmethod
    def of(cls, x: Array, y: Array, groups: int, kind: type[Seen] = Moments) -> PerGroup:
        """From rows: x is n × C·taps, y is n × N; `kind` is what to keep of each group."""
        pairs = zip(np.split(x, groups, axis=1), np.split(y, groups, axis=1), strict=True)
        return cls(tuple(kind.of(inputs, outputs) for inputs, outputs in pairs))

    @classmethod
    def of_weights(cls, weight: Array, bias: Array, groups: int) -> PerGroup:
        """What is assumed of unseen data: white patches of mean zero. weight is N × C/G·taps."""
        pairs = zip(np.split(weight, groups), np.split(bias, groups), strict=True)
        return cls(tuple(Moments.of_weights(rows, numbers) for rows, numbers in pairs))

    def __add__(self, other: PerGroup) -> PerGroup:
        return PerGroup(
            tuple(
                _merged(mine, theirs) for mine, theirs in zip(self.parts, other.parts, strict=True)
            )
        )

    def fit(self, fit: Callable[[Seen], Factors]) -> Factors:
        """Each group fitted on its own, and put side by side."""
        return side_by_side([fit(part) for part in self.parts])

    def leaning(self, weight: Array) -> PerGroup:
        """The same, each group leaning on its part of a kernel."""
        pairs = zip(self.parts, np.split(weight, len(self.parts)), strict=True)
        return PerGroup(tuple(part.leaning(rows) for part, rows in pairs))

    def bias(self, kernel: Array) -> Array:
        """The best bias of a kernel."""
        pairs = zip(self.parts, np.split(kernel, len(self.parts)), strict=True)
        return np.concatenate([part.bias(rows) for part, rows in pairs])

    def error(self, kernel: Array, bias: Array | None = None) -> float:
        """The share of all outputs' variance that a kernel misses; with its best bias, if None."""
        groups = len(self.parts)
        biases = [None] * groups if bias is None else np.split(bias, groups)
        missed = sum(
            part.missed(rows, numbers)
            for part, rows, numbers in zip(
                self.parts, np.split(kernel, groups), biases, strict=True
            )
        )
        return share(missed, sum(part.variance for part in self.parts))


def _merged(mine: Seen, theirs: Seen) -> Seen:
    if isinstance(mine, Moments) and isinstance(theirs, Moments):
        return mine + theirs
    assert isinstance(mine, Rows)
    assert isinstance(theirs, Rows), "both halves keep the same of their data"
    return mine + theirs
