"""From a recipe to its new weights: which fit, on which groups of channels.

Inputs of a bottleneck stay in the order that they have: sharing them out by data was measured and
is no better than by chance (docs/fit.md), and needs a permutation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gconvtool.fit import factor
from gconvtool.fit.grouping import Grouping, contiguous, find_grouping
from gconvtool.fit.least_squares import Seen
from gconvtool.fit.moments import Index
from gconvtool.fit.per_group import PerGroup
from gconvtool.fit.structure import Factors
from gconvtool.recipes import Bottleneck, Gdc, Grouped, Monarch, Recipe, Separable

SWAPS = 60
"""Exchanges of input channels that are tried for a grouping (docs/fit.md)."""
Observed: TypeAlias = Seen | PerGroup


@dataclass(frozen=True)
class Given:
    """What is decided already of how channels are grouped.

    `groupings` has one of each of the site's own groups; `inputs` (G × C/G) and `outputs` (G × N/G)
    are groups that other convolutions on the same streams have.
    """

    groupings: tuple[Grouping, ...] = ()
    inputs: Index | None = None
    outputs: Index | None = None


NOTHING = Given()


def fit(
    recipe: Recipe, seen: Observed, taps: int, rng: np.random.Generator, given: Given = NOTHING
) -> Factors:
    """The best weights that the recipe allows.

    Args:
        recipe: must be legal at the site.
        seen: of the whole site; `PerGroup` where it has groups already, and the recipe then
            applies inside each of them.
        taps: ΠK.
        rng: decides random starts.
        given: what is decided already.
    """
    if isinstance(seen, PerGroup):
        given_each = iter(given.groupings)
        return seen.fit(lambda part: _fit(recipe, part, taps, rng, next(given_each, None), NOTHING))
    return _fit(recipe, seen, taps, rng, next(iter(given.groupings), None), given)


def _fit(
    recipe: Recipe,
    seen: Seen,
    taps: int,
    rng: np.random.Generator,
    grouping: Grouping | None,
    given: Given,
) -> Factors:
    channels = seen.size // taps
    match recipe:
        case Grouped(groups):
            return factor.grouped(seen, grouping or _found(seen, taps, groups, rng, given), taps)
        case Separable(rank, "dw-pw") | Gdc(rank):
            return factor.separable(seen, taps, rank)
        case Separable(rank):
            return factor.pointwise_first(seen, taps, rank)
        case Bottleneck(groups, width):
            return factor.bottleneck(seen, np.arange(channels).reshape(groups, -1), taps, width)
        case Monarch(groups):
            rank = min(channels, seen.filters) // groups**2
            return factor.monarch(
                seen, grouping or contiguous(channels, seen.filters, groups), rank
            )


def _found(seen: Seen, taps: int, groups: int, rng: np.random.Generator, given: Given) -> Grouping:
    return find_grouping(
        seen, taps, groups, rng, swaps=SWAPS, inputs=given.inputs, outputs=given.outputs
    )
