"""Which channels belong together, when a dense convolution becomes one of G groups.

A group keeps its own inputs' part of every output it holds. With the inputs of group g given, the
part of output o's variance that they explain is

    E[o, g] = ‖L⁻¹·Cxy[g, o]‖²,     L·Lᵀ = Cxx[g, g] + λI

and the outputs are shared out by an exact balanced assignment on E (Kuhn-Munkres). Inputs start
from alternating balanced assignments on the cheap energies ‖W[o, i]·Cxx[i, i]^½‖², over several
restarts. Then pairs of inputs change places, the most promising first: with the outputs kept,

    i leaves g      loses   Σ_o W_oi·(P_ii)⁻¹·W_oiᵀ        P = (Cxx[g, g] + λI)⁻¹, W = Cyx[:, g]·P
    i joins g       gains   Σ_o T_oi·S_i⁻¹·T_oiᵀ           T = what g leaves of Cyx[:, i],
                                                           S = what g leaves of Cxx[i, i]

are exact, and their sums rank the exchanges. Each one tried is scored with E and a new assignment,
and kept if it explains more. Tried in this order, exchanges explain as much after 60 as random ones
after 600 (docs/fit.md).

Inputs or outputs may be shared out already: convolutions on one residual stream agree on its
groups, so that no channel has to change its place between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import linear_sum_assignment

from gconvtool.fit.least_squares import Seen, dense
from gconvtool.fit.moments import Array, Index, Moments

A_ROUND = 8
"""Exchanges that are tried before all are ranked anew; twice as many after none was kept."""
MOST = 200
"""Exchanges in a row that explain nothing more, after which no more are tried."""


@dataclass(frozen=True)
class Grouping:
    """`inputs` is G × C/G and `outputs` G × N/G: the channels of each group, ascending."""

    inputs: Index
    outputs: Index


def find_grouping(
    seen: Seen,
    taps: int,
    groups: int,
    rng: np.random.Generator,
    *,
    swaps: int,
    restarts: int = 8,
    inputs: Index | None = None,
    outputs: Index | None = None,
) -> Grouping:
    """A good grouping of C = D / taps inputs and N outputs.

    Args:
        seen: D = C·taps patch numbers, channel-major.
        taps: ΠK.
        groups: must divide C and N.
        rng: decides the random starts.
        swaps: how many pairs of inputs to try to exchange; none are where only rows are there.
        restarts: how many random starts the energies are given.
        inputs: G × C/G, if the inputs are shared out already.
        outputs: G × N/G, if the outputs are; in any order of groups.
    """
    if inputs is not None:
        search = _Search(seen, taps, list(inputs))
        return search.grouping() if outputs is None else search.matched(outputs)
    energy = _energies(seen, taps)
    if outputs is not None:
        labels = balanced(energy.T @ np.eye(groups)[_labels(outputs)])
    else:
        starts = (_alternate(energy, groups, rng) for _ in range(restarts))
        labels = max(starts, key=lambda start: start[0])[1]
    members = [np.flatnonzero(labels == g) for g in range(groups)]
    search = _Search(seen, taps, members, None if outputs is None else _labels(outputs))
    if isinstance(seen, Moments) and groups > 1:
        search.exchange(swaps)
    return search.grouping()


def contiguous(channels: int, filters: int, groups: int) -> Grouping:
    """Channels in groups as they come."""
    return Grouping(np.arange(channels).reshape(groups, -1), np.arange(filters).reshape(groups, -1))


def columns(channels: Index, taps: int) -> Index:
    """Patch columns of some channels."""
    index = np.asarray(channels)[:, None] * taps + np.arange(taps)
    return index.reshape(-1)


def balanced(score: Array) -> Index:
    """Give each row one of G columns, all columns equally often, the sum of scores largest."""
    rows, groups = score.shape
    row, slot = linear_sum_assignment(np.repeat(score, rows // groups, axis=1), maximize=True)
    labels = np.empty(rows, np.intp)
    labels[row] = slot // (rows // groups)
    return labels


def _labels(members: Sequence[Index] | Index) -> Index:
    """The group of each channel."""
    labels = np.empty(sum(map(len, members)), np.intp)
    for g, channels in enumerate(members):
        labels[channels] = g
    return labels


@dataclass
class _Search:
    """Groups of inputs, what each explains of every output, and the outputs shared out by that.

    `given` is the group of each output, where they are shared out already.
    """

    seen: Seen
    taps: int
    members: list[Index]
    given: Index | None = None
    scores: Array = field(init=False)
    outputs: Index = field(init=False)
    value: float = field(init=False)

    versions: list[int] = field(init=False)
    failed: set[tuple[int, ...]] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.versions = [0] * len(self.members)
        self.ridge = self.seen.ridge()
        self.scores = np.stack([self._explained(inputs) for inputs in self.members], axis=1)
        self.outputs = self._shared_out(self.scores)
        self.value = _kept(self.scores, self.outputs)

    def grouping(self) -> Grouping:
        """The groups as they are now."""
        return Grouping(
            np.stack([np.sort(inputs) for inputs in self.members]),
            np.stack([np.flatnonzero(self.outputs == g) for g in range(len(self.members))]),
        )

    def matched(self, outputs: Index) -> Grouping:
        """The groups as they are, each with the given group of outputs that it explains best."""
        explained = np.stack([self.scores[filters].sum(0) for filters in outputs], axis=1)
        order = linear_sum_assignment(explained, maximize=True)[1]
        return Grouping(np.stack([np.sort(inputs) for inputs in self.members]), outputs[order])

    def _shared_out(self, scores: Array) -> Index:
        return balanced(scores) if self.given is None else self.given

    def exchange(self, tries: int) -> None:
        """Exchange pairs of inputs while that explains more, at most `tries` of them."""
        many = A_ROUND
        while tries > 0 and many <= MOST:
            tried, kept = self._round(min(many, tries))
            tries -= tried
            if not tried:
                return
            many = A_ROUND if kept else 2 * many

    def _round(self, many: int) -> tuple[int, int]:
        """Try some exchanges, each input kept in its new place for the round: tried and kept."""
        moved, tried, kept = set[int](), 0, 0
        for pair in self._ranked():
            if tried == many:
                break
            if self._exchange_failed(pair) or not moved.isdisjoint(pair):
                continue
            tried += 1
            if self._tried(pair):
                moved.update(pair)
                kept += 1
        return tried, kept

    def _exchange_failed(self, pair: tuple[int, int]) -> bool:
        """Whether it was tried between the same two groups as they are now."""
        return self._key(pair) in self.failed

    def _key(self, pair: tuple[int, int]) -> tuple[int, ...]:
        return (*pair, *(self.versions[self._group_of(channel)] for channel in pair))

    def _tried(self, pair: tuple[int, int]) -> bool:
        """Keep the exchange of a pair if it explains more."""
        first, second = (self._group_of(channel) for channel in pair)
        scores, trial = self.scores.copy(), list(self.members)
        for g, out, into in ((first, *pair), (second, *pair[::-1])):
            trial[g] = np.where(trial[g] == out, into, trial[g])
            scores[:, g] = self._explained(trial[g])
        outputs = self._shared_out(scores)
        if _kept(scores, outputs) <= self.value:
            self.failed.add(self._key(pair))
            return False
        self.members, self.scores, self.outputs = trial, scores, outputs
        self.value = _kept(scores, outputs)
        for g in (first, second):
            self.versions[g] += 1
        return True

    def _group_of(self, channel: int) -> int:
        return next(g for g, inputs in enumerate(self.members) if channel in inputs)

    def _ranked(self) -> Iterator[tuple[int, int]]:
        """Pairs of inputs of different groups, the most promising exchange first."""
        labels = _labels(self.members)
        gains, losses = self._changes(labels)
        joined = gains[:, labels]  # of row i in the group of column j
        promise = joined + joined.T - losses[:, None] - losses
        promise[np.tri(len(labels), dtype=bool) | (labels[:, None] == labels)] = -np.inf
        for best in np.argsort(-promise, axis=None, kind="stable"):
            i, j = divmod(int(best), len(labels))
            if promise[i, j] == -np.inf:
                return
            yield i, j

    def _changes(self, labels: Index) -> tuple[Array, Array]:
        """Gains C × G of joining a group and losses C of leaving the own one."""
        gains, losses = np.full((len(labels), len(self.members)), -np.inf), np.zeros(len(labels))
        own = self.seen.own_blocks(self.taps) + self.ridge * np.eye(self.taps)
        for g, inputs in enumerate(self.members):
            others, filters = np.flatnonzero(labels != g), np.flatnonzero(self.outputs == g)
            lower = self._lower(columns(inputs, self.taps))
            half = self._half(lower, inputs, filters)
            losses[inputs] = self._loss(lower, half)
            gains[others, g] = self._gain(lower, half, inputs, others, filters, own[others])
        return gains, losses

    def _loss(self, lower: Array, half: Array) -> Array:
        """What each input of a group takes along: half is L⁻¹·Cxy."""
        inverse = solve_triangular(lower, np.eye(len(lower)), lower=True, check_finite=False)
        weights = (inverse.T @ half).reshape(-1, self.taps, half.shape[1])
        per_input = inverse.reshape(len(lower), -1, self.taps).transpose(1, 2, 0)
        return _energy(per_input @ per_input.transpose(0, 2, 1), weights)

    def _gain(
        self, lower: Array, half: Array, inputs: Index, others: Index, filters: Index, own: Array
    ) -> Array:
        """What each other input would add to a group."""
        mine, theirs = columns(inputs, self.taps), columns(others, self.taps)
        across = solve_triangular(
            lower, self.seen.block(mine, theirs), lower=True, check_finite=False
        )
        new = self.seen.yx[np.ix_(filters, theirs)].T - across.T @ half
        known = across.reshape(len(mine), -1, self.taps).transpose(1, 2, 0)
        left = own - known @ known.transpose(0, 2, 1)
        return _energy(left, new.reshape(len(others), self.taps, -1))

    def _lower(self, index: Index) -> Array:
        block = self.seen.block(index)
        block[np.diag_indices_from(block)] += self.ridge
        return np.asarray(cholesky(block, lower=True, overwrite_a=True, check_finite=False))

    def _half(self, lower: Array, inputs: Index, filters: Index | None = None) -> Array:
        right = self.seen.yx[:, columns(inputs, self.taps)]
        right = right if filters is None else right[filters]
        return np.asarray(solve_triangular(lower, right.T, lower=True, check_finite=False))

    def _explained(self, inputs: Index) -> Array:
        """E of one group: a number an output."""
        lower = self._lower(columns(inputs, self.taps))
        return np.asarray(np.square(self._half(lower, inputs)).sum(0))


def _energy(grams: Array, parts: Array) -> Array:
    """Σ_o xᵀ·G⁻¹·x over the columns x of each part: parts is C × taps × outputs."""
    return np.asarray((np.linalg.solve(grams, parts) * parts).sum((1, 2)))


def _energies(seen: Seen, taps: int) -> Array:
    """‖W[o, i]·Cxx[i, i]^½‖² with W the dense least squares: N × C."""
    kernel = dense(seen).reshape(seen.filters, -1, taps)
    own = seen.own_blocks(taps)
    return np.asarray(np.einsum("oik,ikl,oil->oi", kernel, own, kernel, optimize=True))


def _alternate(energy: Array, groups: int, rng: np.random.Generator) -> tuple[float, Index]:
    """Share out outputs and inputs in turn until the energy kept stops growing."""
    inputs = rng.permutation(np.arange(energy.shape[1]) % groups)
    best = -1.0
    while True:
        outputs = balanced(energy @ np.eye(groups)[inputs])
        inputs = balanced(energy.T @ np.eye(groups)[outputs])
        kept = float(energy[outputs[:, None] == inputs].sum())
        if kept <= best * (1 + 1e-12):
            return best, inputs
        best = kept


def _kept(scores: Array, outputs: Index) -> float:
    return float(scores[np.arange(len(outputs)), outputs].sum())
