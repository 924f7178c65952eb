"""Weights of the right structure that mean nothing, to see how long a recipe would take.

A kernel's time does not depend on its numbers, unless these are so small that they lose precision
(denormal ones slow a convolution down many times). So they are a short pattern, repeated. Channels
keep their order: what permutes them is absorbed into neighbouring weights wherever it can be.
"""

from __future__ import annotations

import numpy as np

from gconvtool.facts import ConvSite
from gconvtool.fit.grouping import Grouping
from gconvtool.fit.moments import Array, Index
from gconvtool.fit.structure import (
    BottleneckFactors,
    Factors,
    GroupedFactors,
    MonarchFactors,
    PointwiseFirstFactors,
    SeparableFactors,
)
from gconvtool.recipes import Bottleneck, Gdc, Grouped, Monarch, Recipe, Separable

PATTERN = 0.05 * np.random.default_rng(0).standard_normal(4093)
"""Its length is a prime, so that rows and columns differ."""


def placeholder(site: ConvSite, recipe: Recipe) -> Factors:
    """What a fit of the recipe at this site would give, in shape."""
    C, N, G, taps = site.channels, site.filters, site.groups, int(np.prod(site.kernel))
    match recipe:
        case Grouped(groups):
            grouping = Grouping(_shared(C, G * groups), _shared(N, G * groups))
            return GroupedFactors(_some(N, C // G // groups * taps), _some(N), grouping, taps, G)
        case Separable(rank, "pw-dw"):
            return PointwiseFirstFactors(_some(rank, N, C // G), _some(rank, N, taps), _some(N), G)
        case Separable(rank) | Gdc(rank):
            return SeparableFactors(_some(rank, C, taps), _some(rank, N, C // G), _some(N), G)
        case Bottleneck(groups, width):
            inputs, thin = _shared(C, G * groups), G * groups * width
            spatial = _some(thin, inputs.shape[1] * taps)
            return BottleneckFactors(inputs, spatial, _some(N, thin // G), _some(N), taps, G)
        case Monarch(groups):
            blocks, hidden = G * groups, G * recipe.rank(site) * groups**2
            grouping = Grouping(_shared(C, blocks), _shared(N, blocks))
            first, second = _some(hidden, C // blocks), _some(N, hidden // blocks)
            return MonarchFactors(first, second, _some(N), grouping, G)


def _some(*shape: int) -> Array:
    return np.resize(PATTERN, shape)


def _shared(channels: int, groups: int) -> Index:
    """Channels side by side, a row a group."""
    return np.arange(channels).reshape(groups, -1)
