"""From activations to what a fit needs: an even sample of patches and the outputs due to them.

Filters have D unknowns each, and more patches than some multiple of D change little, so that large
maps are sampled: evenly over images and positions. Narrow layers can afford a larger multiple.
Patches are unfolded a chunk of rows at a time; a chunk's moments cost D² whatever it holds, so it
holds about D rows or more. Where D × D moments do not fit the memory, the sampled patches
themselves are kept (`fit.rows`).
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from math import prod

import numpy as np
from numpy.typing import NDArray

from gconvtool.facts import ConvSite
from gconvtool.fit.fitting import Observed
from gconvtool.fit.least_squares import Seen
from gconvtool.fit.moments import Moments
from gconvtool.fit.patches import Window, outputs, spread
from gconvtool.fit.per_group import PerGroup
from gconvtool.fit.rows import Rows, moments_fit, rows_within
from gconvtool.kinds import covers_the_map

Pair = tuple[NDArray[np.floating], NDArray[np.floating]]
"""A batch of a convolution's inputs x̂, and of the outputs y that it should have."""
Part = tuple[Pair, NDArray[np.intp]]
"""Some of a batch's output positions."""

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
    unknowns = site.channels // site.groups * prod(site.kernel)
    one_row = prod(site.kernel) > 1 and covers_the_map(site)  # a sample: fewer than unknowns
    few = one_row or not moments_fit(unknowns, memory // site.groups)
    kind: type[Seen] = Rows if few else Moments
    total = site.channels * prod(site.kernel)
    wanted = _wanted(unknowns)
    if kind is Rows:
        wanted = min(wanted, rows_within(total, site.filters, memory))
    chunks = list(_chunks(_sampled(pairs, wanted, seed), max(unknowns, CHUNK // total)))

    def taken(mine: Sequence[Sequence[Part]]) -> Observed:
        return reduce(operator.add, (_taken(site, chunk, kind) for chunk in mine))

    if kind is Rows:
        return _taken(site, [part for chunk in chunks for part in chunk], kind)
    shares = [chunks[i::WORKERS] for i in range(min(WORKERS, len(chunks)))]
    with ThreadPoolExecutor(min(threads or WORKERS, WORKERS)) as pool:
        return reduce(operator.add, pool.map(taken, shares))


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


def _chunks(parts: Iterator[Part], most: int) -> Iterator[list[Part]]:
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


def _taken(site: ConvSite, parts: Sequence[Part], kind: type[Seen]) -> Observed:
    assert site.pads is not None, f"{site.name} was planned with resolved pads"
    window = Window(site.kernel, site.strides, site.dilations, site.pads)
    dtype = np.float64 if kind is Moments else np.float32
    x = np.concatenate([window.patches(x, at).astype(dtype, copy=False) for (x, _), at in parts])
    y = np.concatenate([outputs(y, at).astype(dtype, copy=False) for (_, y), at in parts])
    if site.groups > 1:
        return PerGroup.of(x, y, site.groups, kind)
    return kind.of(x, y)
