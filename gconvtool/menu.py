"""What a site could become: a choice of recipes worth fitting and timing.

Groups come in every count that divides, separable convolutions in up to four branches and both
orders, and bottleneck(g, m) in a grid. A 1×1 convolution has no taps to save: there it is Monarch,
and low rank, which is a bottleneck of one group. What reads a whole map becomes global ones.

Kernels work through channels in blocks (of 8 or 16 floats on CPUs), and one that is not full is
paid for all the same. So the g of a grid leave whole blocks in a group, and its m are multiples of
a block, or of half of one and so on where the site is too narrow for that.

Whatever leaves more than three quarters of the MACs hardly pays, and fewer groups or channels than
leave a twentieth ruin a layer. Of the grid there is only as much as the others leave places, spread
evenly between the two. To stay as it is is open to every site, and not on the menu.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from math import ceil, floor, prod
from typing import TypeAlias

from gconvtool.facts import ConvSite, Skip
from gconvtool.recipes import (
    HEADS,
    Bottleneck,
    Candidate,
    Gdc,
    Grouped,
    Monarch,
    Recipe,
    Separable,
    legal_groups,
    objection,
    propose,
)

MOST_RANK = 4
LEAST_SHARE, MOST_SHARE = Fraction(5, 100), Fraction(75, 100)
"""Of the MACs before."""
NOTHING = "no recipe is allowed here that would leave 75 % of its MACs or less"
PLACES, LEAST_GRID = 20, 4
"""Candidates of a site, and how many bottlenecks there may be in any case."""
WIDTHS = 16
"""Widths of a bottleneck with as many groups, before the grid is thinned."""

_Entry: TypeAlias = tuple[int, Candidate]
"""A bottleneck of the grid, behind its count of groups."""


def menu(site: ConvSite, block: int = 16) -> tuple[Candidate, ...] | Skip:
    """Candidates of a site, from the most MACs to the least, or why there are none.

    `block` is how many channels the kernels take at once; 1 where that plays no part.
    """
    answers = [propose(site, recipe) for recipe in _recipes(site, block)]
    offered = [answer for answer in answers if not isinstance(answer, Skip) and _worthwhile(answer)]
    if not offered:
        return _reason(answer for answer in answers if isinstance(answer, Skip))
    grid = [(c.recipe.groups, c) for c in offered if isinstance(c.recipe, Bottleneck)]
    others = [c for c in offered if not isinstance(c.recipe, Bottleneck)]
    thinned = _spread(grid, max(LEAST_GRID, PLACES - len(others)))
    return tuple(sorted((*others, *thinned), key=lambda candidate: -candidate.share))


def _recipes(site: ConvSite, block: int) -> Iterator[Recipe]:
    """Whatever might be allowed."""
    ranks = range(1, MOST_RANK + 1)
    yield from map(Gdc, ranks)
    if site.op in HEADS:
        return
    for groups in legal_groups(site):
        yield Monarch(groups) if prod(site.kernel) == 1 else Grouped(groups)
    if objection(site, Gdc()):  # else the same, by another name
        yield from map(Separable, ranks)
    for rank in ranks:
        yield Separable(rank, "pw-dw")
    yield from _bottlenecks(site, block)


def _bottlenecks(site: ConvSite, block: int) -> Iterator[Bottleneck]:
    channels = site.channels // site.groups
    most = 1 if prod(site.kernel) == 1 else channels - 1  # of one channel each it is separable
    for groups in range(1, most + 1):
        if groups == 1 or channels % (groups * block) == 0:
            yield from (Bottleneck(groups, width) for width in _widths(site, groups, block))


def _widths(site: ConvSite, groups: int, block: int) -> range:
    """Multiples of the block, up to `WIDTHS` of them; the MACs go with the width."""
    narrowest = propose(site, Bottleneck(groups, 1))
    if isinstance(narrowest, Skip):
        return range(0)
    low, high = ceil(LEAST_SHARE / narrowest.share), floor(MOST_SHARE / narrowest.share)
    while block > 1 and high // block * block < low:
        block //= 2
    step = block * max(1, -(-high // (block * WIDTHS)))
    return range(step, high + 1, step)


def _worthwhile(candidate: Candidate) -> bool:
    few = isinstance(candidate.recipe, Separable | Gdc)  # ranks are tried from one on
    return (few or candidate.share >= LEAST_SHARE) and candidate.share <= MOST_SHARE


def _spread(grid: Iterable[_Entry], places: int) -> Iterator[Candidate]:
    """One for each of so many equal parts between the least share and the most, if there are as
    many."""
    left, seen = list(grid), Counter[int]()
    part = (MOST_SHARE - LEAST_SHARE) / places
    for place in range(min(places, len(left))):
        middle = MOST_SHARE - (place + Fraction(1, 2)) * part
        groups, taken = entry = min(left, key=_fitness(middle, part, seen))
        left.remove(entry)
        seen[groups] += 1
        yield taken


def _fitness(
    middle: Fraction, part: Fraction, seen: Mapping[int, int]
) -> Callable[[_Entry], tuple[int, int, Fraction]]:
    """The less the better: first to be in that part at all, then to have another count of groups
    than those before, then to be near its middle."""

    def of(entry: _Entry) -> tuple[int, int, Fraction]:
        groups, candidate = entry
        off = abs(candidate.share - middle)
        return round(off / part), seen[groups], off

    return of


def _reason(refused: Iterable[Skip]) -> Skip:
    """The one reason that there is, if so."""
    reasons = {skip.reason for skip in refused}
    return Skip(reasons.pop() if len(reasons) == 1 else NOTHING)
