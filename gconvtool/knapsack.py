"""Which option each site takes, so that the whole costs least within what may be lost.

Site i takes one of its options, j, of cost c and loss l: the multiple-choice knapsack problem

    minimise Σ c[i, j(i)]   subject to   Σ l[i, j(i)] ≤ B

An option is dominated where another costs no more and loses no more. Along a site's others the cost
falls as the loss rises, and a price λ of loss, which makes c + λ·l small site by site, picks from
their lower convex hull. The hulls' steps, all sites' together by falling λ = -Δc/Δl, make every
whole that any price can pick, and each is the best for what itself loses (Everett, Operations
Research 11, 1963). The first step beyond B gives the λ whose bound is that of the linear relaxation
(Sinha and Zoltners, Operations Research 27, 1979):

    cost ≥ L = Σ_i min_j (c + λ·l) − λ·B

A whole of cost U at hand, a better one has excesses e[i, j] = c + λ·l − min_j (c + λ·l) of no more
than U − L together. Few options stay below that, and dynamic programming over the sites finds the
best of them: lists of wholes none of which dominates another (Nemhauser and Ullmann, Management
Science 15, 1969).

Sums are of whole numbers, as every float is one in units of some power of two, so that neither
rounding nor the order of sites plays a part.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from itertools import accumulate, pairwise
from math import floor, inf, isfinite, lcm
from typing import NamedTuple, TypeAlias

from gconvtool.facts import Skip

WORK = 1000
"""Wholes kept from one site to the next; where that is too few, the result may not be the best."""


@dataclass(frozen=True)
class Option:
    """What a site may become. An option whose cost or loss is not known is not taken."""

    cost: float | None
    loss: float | None

    @property
    def turned(self) -> Option:
        """The other way round."""
        return Option(self.loss, self.cost)


@dataclass(frozen=True)
class Choice:
    """Which of its options each site takes, and what that costs and loses.

    `bound`: no choice within the limit has less of what was made small. `exact` is False where the
    search had to stop before it was known that this one is the best.
    """

    picks: tuple[int, ...]
    cost: float
    loss: float
    bound: float
    exact: bool = True

    @property
    def turned(self) -> Choice:
        """The other way round."""
        return replace(self, cost=self.loss, loss=self.cost)


Sites: TypeAlias = Sequence[Sequence[Option]]


def cheapest(sites: Sites, most_loss: float) -> Choice | Skip:
    """The least cost within a loss; of equal ones the least loss, and then the first options."""
    return _chosen(sites, most_loss, "loss")


def gentlest(sites: Sites, most_cost: float) -> Choice | Skip:
    """The least loss within a cost; of equal ones the least cost, and then the first options."""
    turned = [[option.turned for option in options] for options in sites]
    choice = _chosen(turned, most_cost, "cost")
    return choice if isinstance(choice, Skip) else choice.turned


def front(sites: Sites) -> tuple[Choice, ...] | Skip:
    """All choices that a price of loss can make, from the least loss to the least cost."""
    table = _Table.of(sites)
    if isinstance(table, Skip):
        return table
    return tuple(table.choice(whole) for whole in _corners(table.sites))


def _chosen(sites: Sites, most_loss: float, what: str) -> Choice | Skip:
    """The least cost within a loss, whatever people call that."""
    table = _Table.of(sites)
    if isinstance(table, Skip):
        return table
    capacity = table.capacity(most_loss)
    if capacity < table.least_loss:
        least = table.least_loss / table.loss_unit
        return Skip(f"the least {what} of any choice is {least:g}, more than {most_loss:g}")
    return table.choice(*_solved(table.sites, capacity))


class _Whole(NamedTuple):
    """One option of each of some sites, in units of the table; ordered by loss first."""

    loss: int
    cost: int
    picks: tuple[int, ...]

    def with_(self, other: _Whole) -> _Whole:
        """Both together."""
        return _Whole(self.loss + other.loss, self.cost + other.cost, (*self.picks, *other.picks))


_NOTHING = _Whole(0, 0, ())
_Options: TypeAlias = tuple[_Whole, ...]
"""A site's known options that none dominates, by rising loss and so by falling cost."""


@dataclass(frozen=True)
class _Table:
    """The options in whole numbers, so many of which make one of cost and of loss."""

    sites: tuple[_Options, ...]
    cost_unit: int
    loss_unit: int

    @classmethod
    def of(cls, sites: Sites) -> _Table | Skip:
        """The table of these sites, or which of them has nothing to choose from."""
        known = [tuple(_known(options)) for options in sites]
        if () in known:
            return Skip(f"no option of site {known.index(())} has a cost and a loss that are known")
        cost_unit = lcm(*(cost.denominator for options in known for _, cost, _ in options))
        loss_unit = lcm(*(loss.denominator for options in known for loss, _, _ in options))
        scaled = (
            (
                _Whole(int(loss * loss_unit), int(cost * cost_unit), (j,))
                for loss, cost, j in options
            )
            for options in known
        )
        return cls(tuple(map(_undominated, scaled)), cost_unit, loss_unit)

    @property
    def least_loss(self) -> int:
        """What is lost whatever is chosen."""
        return sum(options[0].loss for options in self.sites)

    def capacity(self, most_loss: float) -> int:
        """A limit in units; without one, what all together can lose."""
        if most_loss == inf:
            return sum(options[-1].loss for options in self.sites)
        return floor(Fraction(most_loss) * self.loss_unit)

    def choice(self, whole: _Whole, bound: Fraction | None = None, exact: bool = True) -> Choice:
        """A whole as it is handed out; without another bound, its own cost is one."""
        least = Fraction(whole.cost) if bound is None else bound
        cost, loss = whole.cost / self.cost_unit, whole.loss / self.loss_unit
        return Choice(whole.picks, cost, loss, float(least / self.cost_unit), exact)


class _Step(NamedTuple):
    """From one corner of a site's hull to the next."""

    site: int
    before: _Whole
    after: _Whole

    @property
    def rise(self) -> int:
        """The loss that it adds."""
        return self.after.loss - self.before.loss

    @property
    def price(self) -> Fraction:
        """The cost that it takes off, by the loss that it adds."""
        return Fraction(self.before.cost - self.after.cost, self.rise)


@dataclass(frozen=True)
class _Priced:
    """The problem at a price λ = p/q; figures are multiplied by q to stay whole."""

    sites: tuple[_Options, ...]
    capacity: int
    price: Fraction

    def of(self, whole: _Whole) -> int:
        """q·cost + p·loss."""
        return self.price.denominator * whole.cost + self.price.numerator * whole.loss

    @property
    def leasts(self) -> list[int]:
        """The least that each site can have."""
        return [min(map(self.of, options)) for options in self.sites]

    @property
    def bound(self) -> Fraction:
        """What every whole within the capacity costs at least."""
        left = sum(self.leasts) - self.price.numerator * self.capacity
        return Fraction(left, self.price.denominator)

    def best(self, known: _Whole) -> tuple[_Whole, bool]:
        """The best whole, which is no worse than a known one; and whether that is certain."""
        gap, exact, wholes = self._gap(known), True, [_NOTHING]
        for options, room, least, ceiling in self._stages(gap):
            near = [option for option in options if self.of(option) - least <= gap]
            joined = (whole.with_(option) for whole in wholes for option in near)
            wholes = list(
                _undominated(w for w in joined if w.loss <= room and self.of(w) <= ceiling)
            )
            if len(wholes) > WORK:
                exact, wholes = False, sorted(wholes, key=self.of)[:WORK]
        return min((known, *wholes), key=lambda whole: (whole.cost, whole)), exact

    def _gap(self, known: _Whole) -> int:
        """The most that the excesses of a whole add up to that costs no more than a known one."""
        return self.of(known._replace(loss=self.capacity)) - sum(self.leasts)

    def _stages(self, gap: int) -> Iterator[tuple[_Options, int, int, int]]:
        """Each site's options; the most that it and those before may lose, its least, and the most
        that it and those before may have."""
        room = self.capacity - sum(options[0].loss for options in self.sites)
        ceiling = gap
        for options, least in zip(self.sites, self.leasts, strict=True):
            room, ceiling = room + options[0].loss, ceiling + least
            yield options, room, least, ceiling


def _solved(sites: tuple[_Options, ...], capacity: int) -> tuple[_Whole, Fraction, bool]:
    """The best whole, the bound, and whether it is certain; the least loss is within capacity."""
    steps = _steps(sites)
    priced = _Priced(sites, capacity, _critical(sites, steps, capacity))
    best, exact = priced.best(_filled(sites, steps, capacity))
    return best, priced.bound, exact


def _critical(sites: tuple[_Options, ...], steps: Sequence[_Step], capacity: int) -> Fraction:
    """The price of the first step that goes beyond the capacity, found by bisection; zero if none
    does."""
    least = sum(options[0].loss for options in sites)
    losses = accumulate((step.rise for step in steps), initial=least)
    within = bisect_right(list(losses), capacity) - 1
    return steps[within].price if within < len(steps) else Fraction(0)


def _filled(sites: tuple[_Options, ...], steps: Iterable[_Step], capacity: int) -> _Whole:
    """Steps as long as they fit, and then those of other sites that still do."""
    taken = [options[0] for options in sites]
    left = capacity - sum(option.loss for option in taken)
    for step in steps:
        if taken[step.site] == step.before and step.rise <= left:
            taken[step.site] = step.after
            left -= step.rise
    return _together(taken)


def _corners(sites: tuple[_Options, ...]) -> Iterator[_Whole]:
    """What prices make of all sites, from the highest price down."""
    taken = [options[0] for options in sites]
    yield _together(taken)
    for step in _steps(sites):
        taken[step.site] = step.after
        yield _together(taken)


def _steps(sites: Iterable[_Options]) -> list[_Step]:
    """Along all hulls, from the highest price down; among equal ones in order of the sites."""
    steps = (
        _Step(site, before, after)
        for site, options in enumerate(sites)
        for before, after in pairwise(_hull(options))
    )
    return sorted(steps, key=lambda step: step.price, reverse=True)


def _hull(options: _Options) -> list[_Whole]:
    """The lower convex hull, with what lies on its edges."""
    hull: list[_Whole] = []
    for option in options:
        while len(hull) > 1 and _Step(0, hull[-1], option).price > _Step(0, *hull[-2:]).price:
            hull.pop()
        hull.append(option)
    return hull


def _together(taken: Iterable[_Whole]) -> _Whole:
    return reduce(_Whole.with_, taken, _NOTHING)


def _undominated(wholes: Iterable[_Whole]) -> _Options:
    """By rising loss and falling cost; of equal ones the first picks."""
    kept: list[_Whole] = []
    for whole in sorted(wholes):
        if not kept or whole.cost < kept[-1].cost:
            kept.append(whole)
    return tuple(kept)


def _known(options: Iterable[Option]) -> Iterator[tuple[Fraction, Fraction, int]]:
    """Losses, costs and places of the options that can be taken."""
    for place, option in enumerate(options):
        if option.loss is None or option.cost is None:
            continue
        if isfinite(option.loss) and isfinite(option.cost):
            yield Fraction(option.loss), Fraction(option.cost), place
