"""From activations to what a fit needs: an even sample of patches and the outputs due to them.

Filters have D unknowns each, and more patches than some multiple of D change little, so that large
maps are sampled: evenly over images and positions. Narrow layers can afford a larger multiple.
Patches are unfolded a chunk of rows at a time; a chunk's moments cost D² whatever it holds, so it
holds about D rows or more. Of a transposed convolution every phase is taken on its own, with the
taps that meet it (`fit.transposed`). Where D × D moments do not fit the memory, the sampled patches
themselves are kept (`fit.rows`).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gconvtool.facts import ConvSite
from gconvtool.fit.fitting import Observed
from gconvtool.fit.least_squares import Seen
from gconvtool.fit.moments import Index, Moments
from gconvtool.fit.patches import Window, outputs, spread
from gconvtool.fit.per_group import PerGroup
from gconvtool.fit.rows import Rows, moments_fit, rows_within
from gconvtool.fit.transposed import TransposedWindow, widened
from gconvtool.kinds import covers_the_map

Pair = tuple[NDArray[np.floating], NDArray[np.floating]]
"""A batch of a convolution's inputs x̂, and of the outputs y that it should have."""
Part = tuple[Pair, Index]
"""Some of a batch's output positions."""
Taps: TypeAlias = Index | None
"""The taps of the kernel that are looked at; all if None."""

WORKERS = 2
"""Sums of moments that are added up side by side."""
ROWS_PER_UNKNOWN, MOST_PER_UNKNOWN = 24, 96
"""Patches taken for each of a filter's unknowns, at least, and at most where that costs little."""
CHEAP = 6e10
"""Multiplications, about D² a patch, up to which more patches are taken (docs/fit.md)."""
CHUNK = 2**22
"""Numbers of patches that are unfolded at once, unless D² is more."""


def observe(
    site: ConvSite, pairs: Sequence[Pair], seed: int, threads: int | None, memory: int
) -> Observed:
    """What a fit needs of some batches, in at most about `memory` bytes."""
    kind = _kind(site, memory)
    wanted = _rows_wanted(site)
    if kind is Rows:
        total = site.channels * prod(site.kernel)
        wanted = min(wanted, rows_within(total, site.filters, memory))
    sampled = list(_sampled(pairs, wanted, seed))
    if kind is Rows:
        return _taken(site, sampled, kind)
    sums = (_summed(site, parts, taps, threads) for parts, taps in _phases(site, sampled))
    return reduce(operator.add, sums)


def _kind(site: ConvSite, memory: int) -> type[Seen]:
    unknowns = site.channels // site.groups * prod(site.kernel)
    one_row = prod(site.kernel) > 1 and covers_the_map(site)  # a sample: fewer than unknowns
    return Rows if one_row or not moments_fit(unknowns, memory // site.groups) else Moments


def _phases(site: ConvSite, parts: Sequence[Part]) -> Iterator[tuple[Sequence[Part], Taps]]:
    """Positions that see the same taps; those of a plain convolution all do."""
    if not site.transposed:
        yield parts, None
        return
    windows = [_transposed(site, y) for (_, y), _ in parts]
    for phase in range(windows[0].phases):
        mine = [
            (pair, at[window.phase_of(at) == phase])
            for window, (pair, at) in zip(windows, parts, strict=True)
        ]
        if any(len(at) for _, at in mine):
            yield mine, windows[0].taps_of(phase)


def _summed(site: ConvSite, parts: Sequence[Part], taps: Taps, threads: int | None) -> Observed:
    """The moments of all these positions, side by side in chunks."""
    count = prod(site.kernel) if taps is None else len(taps)
    most = max(site.channels // site.groups * count, CHUNK // (site.channels * count))
    chunks = list(_chunks(parts, most))

    def added(mine: Sequence[Sequence[Part]]) -> Observed:
        return reduce(operator.add, (_taken(site, chunk, Moments, taps) for chunk in mine))

    shares = [chunks[i::WORKERS] for i in range(min(WORKERS, len(chunks)))]
    with ThreadPoolExecutor(min(threads or WORKERS, WORKERS)) as pool:
        seen = reduce(operator.add, pool.map(added, shares))
    return seen if taps is None else widened(seen, taps, prod(site.kernel))


def _rows_wanted(site: ConvSite) -> int:
    """Patches to take; of a transposed convolution, for every phase as for one convolution."""
    share = site.channels // site.groups
    if not site.transposed:
        return _wanted(share * prod(site.kernel))
    taps = prod(-(-k // stride) for k, stride in zip(site.kernel, site.strides, strict=True))
    return prod(site.strides) * _wanted(share * taps)


def _wanted(unknowns: int) -> int:
    """Patches for so many unknowns."""
    least, most = ROWS_PER_UNKNOWN * unknowns, MOST_PER_UNKNOWN * unknowns
    return max(least, min(most, int(CHEAP / unknowns**2)))


def _sampled(pairs: Sequence[Pair], wanted: int, seed: int) -> Iterator[Part]:
    """About as many positions as wanted, each batch giving its share."""
    rng = np.random.default_rng(seed)
    rows = [y.size // y.shape[1] for _, y in pairs]
    share = min(1.0, wanted / sum(rows))
    for pair, total in zip(pairs, rows, strict=True):
        yield pair, spread(total, max(1, round(share * total)), rng)


def _chunks(parts: Iterable[Part], most: int) -> Iterator[list[Part]]:
    """The same positions in chunks of so many, the last one less."""
    chunk, room = list[Part](), most
    for pair, at in parts:
        start = 0
        while start < len(at):
            taken = at[start : start + room]
            chunk.append((pair, taken))
            start, room = start + len(taken), room - len(taken)
            if not room:
                yield chunk
                chunk, room = [], most
    if chunk:
        yield chunk


def _taken(site: ConvSite, parts: Sequence[Part], kind: type[Seen], taps: Taps = None) -> Observed:
    dtype = (
        np.result_type(np.float32, *(y for (_, y), _ in parts)) if kind is Moments else np.float32
    )
    x = np.concatenate([_patches(site, *part, taps).astype(dtype, copy=False) for part in parts])
    y = np.concatenate([outputs(y, at).astype(dtype, copy=False) for (_, y), at in parts])
    if site.groups > 1:
        return PerGroup.of(x, y, site.groups, kind)
    return kind.of(x, y)


def _patches(site: ConvSite, pair: Pair, at: Index, taps: Taps) -> NDArray[np.floating]:
    x, y = pair
    if site.transposed:
        return _transposed(site, y).patches(x, at, taps)
    assert site.pads is not None, f"{site.name} was planned with resolved pads"
    return Window(site.kernel, site.strides, site.dilations, site.pads).patches(x, at)


def _transposed(site: ConvSite, y: NDArray[np.floating]) -> TransposedWindow:
    assert site.pads is not None, f"{site.name} was planned with resolved pads"
    begins = site.pads[: len(site.kernel)]
    return TransposedWindow(site.kernel, site.strides, site.dilations, begins, y.shape[2:])
