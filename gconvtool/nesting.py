"""Which recipes hold others: whatever weights the narrower one has, the wider one can have too.

    grouped(g)          grouped(h)           if g divides h: groups of groups, with zeros between
    separable(r, o)     separable(s, o)      if r ≥ s: branches of zeros
    bottleneck(g, m)    bottleneck(h, n)     if g divides h, and g·m ≥ h·n: the same for both
    gdc(r)              gdc(s)               if r ≥ s

So at its best the wider one loses no more, and where it takes no longer either, nobody needs the
narrower one. That is so on many machines: groups of few channels leave the fast kernels.
"""

from __future__ import annotations

from collections.abc import Mapping

from gconvtool.recipes import Bottleneck, Gdc, Grouped, Recipe, Separable


def holds(wide: Recipe, narrow: Recipe) -> bool:
    """Whether the wider recipe can be all that the narrower one can, and is another."""
    if wide == narrow:
        return False
    match wide, narrow:
        case Grouped(g), Grouped(h):
            return h % g == 0
        case Separable(r, order), Separable(s, other):
            return order == other and r >= s
        case Bottleneck(g, m), Bottleneck(h, n):
            return h % g == 0 and g * m >= h * n
        case Gdc(r), Gdc(s):
            return r >= s
    return False


def needless(recipe: Recipe, costs: Mapping[Recipe, float]) -> bool:
    """Whether another recipe of a site holds this one and costs no more."""
    cost = costs[recipe]
    return any(other <= cost and holds(wide, recipe) for wide, other in costs.items())
