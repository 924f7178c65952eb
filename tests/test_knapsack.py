"""The choice among options, against all choices there are."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from fractions import Fraction
from itertools import product
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool import knapsack
from gconvtool.facts import Skip
from gconvtool.knapsack import Choice, Option, cheapest, front, gentlest

Sites = list[list[Option]]
Sums = tuple[Fraction, Fraction, tuple[int, ...]]

small = st.integers(0, 6).map(float)  # many ties
uneven = st.floats(0, 10, allow_subnormal=False)
figures = small | uneven


@st.composite
def instances(draw: st.DrawFn) -> Sites:
    """Up to four sites, each of which can stay as it is."""
    option = st.builds(Option, cost=figures, loss=figures)
    others = st.lists(option, max_size=4)
    sites = draw(st.lists(others, min_size=1, max_size=4))
    return [[Option(draw(figures), 0.0), *options] for options in sites]


def everything(sites: Sites) -> list[Sums]:
    """Cost, loss and picks of every choice, in exact numbers."""
    made = []
    for picks in product(*(range(len(options)) for options in sites)):
        taken = [options[pick] for options, pick in zip(sites, picks, strict=True)]
        made.append((exactly(o.cost for o in taken), exactly(o.loss for o in taken), picks))
    return made


def exactly(figures: Iterable[float | None]) -> Fraction:
    return sum((Fraction(figure) for figure in figures if figure is not None), Fraction())


def chosen(answer: Choice | Skip) -> Choice:
    assert isinstance(answer, Choice)
    return answer


def costs(sites: Sites, budgets: list[float]) -> list[float]:
    return [chosen(cheapest(sites, budget)).cost for budget in budgets]


@given(sites=instances(), budget=figures | st.just(inf))
def test_the_cheapest_is_that_of_all_choices(sites: Sites, budget: float) -> None:
    best = min(whole for whole in everything(sites) if whole[1] <= budget)
    answer = chosen(cheapest(sites, budget))
    assert answer.picks == best[2]
    assert (answer.cost, answer.loss) == (float(best[0]), float(best[1]))
    assert answer.bound <= answer.cost
    assert answer.exact


@given(sites=instances(), most=st.floats(0, 40))
def test_the_gentlest_is_that_of_all_choices(sites: Sites, most: float) -> None:
    within = [(loss, cost, picks) for cost, loss, picks in everything(sites) if cost <= most]
    answer = gentlest(sites, most)
    if not within:
        assert isinstance(answer, Skip)
        return
    best = min(within)
    assert chosen(answer).picks == best[2]
    assert (chosen(answer).loss, chosen(answer).cost) == (float(best[0]), float(best[1]))
    assert chosen(answer).bound <= chosen(answer).loss


@given(sites=instances(), budgets=st.lists(figures, min_size=2, max_size=4).map(sorted))
def test_more_to_lose_never_costs_more(sites: Sites, budgets: list[float]) -> None:
    found = costs(sites, budgets)
    assert found == sorted(found, reverse=True)


@given(sites=instances(), budget=figures, data=st.data())
def test_the_order_of_sites_plays_no_part(sites: Sites, budget: float, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(sites))
    (a, b) = (chosen(cheapest(order, budget)) for order in (sites, shuffled))
    assert (a.cost, a.loss, a.bound) == (b.cost, b.loss, b.bound)


@given(sites=instances(), budget=figures)
def test_nothing_that_is_handed_in_changes(sites: Sites, budget: float) -> None:
    before = deepcopy(sites)
    cheapest(sites, budget)
    gentlest(sites, budget)
    front(sites)
    assert sites == before


@given(sites=instances())
def test_every_choice_of_the_front_is_the_cheapest_for_its_loss(sites: Sites) -> None:
    line = front(sites)
    assert not isinstance(line, Skip)
    everyone = everything(sites)
    sums = {picks: (cost, loss) for cost, loss, picks in everyone}
    for choice in line:
        cost, loss = sums[choice.picks]
        assert cost == min(other for other, lost, _ in everyone if lost <= loss)
    losses = [sums[choice.picks][1] for choice in line]
    assert losses == sorted(set(losses))
    assert losses[0] == min(loss for _, loss, _ in everyone)
    assert sums[line[-1].picks][0] == min(cost for cost, _, _ in everyone)


@given(sites=instances(), price=st.fractions(0, 10, max_denominator=20))
def test_any_price_finds_its_least_on_the_front(sites: Sites, price: Fraction) -> None:
    line = front(sites)
    assert not isinstance(line, Skip)
    everyone = everything(sites)
    of_front = {choice.picks for choice in line}
    priced = [(cost + price * loss, picks) for cost, loss, picks in everyone]
    assert min(priced)[0] == min(entry for entry in priced if entry[1] in of_front)[0]


def test_a_choice_by_hand() -> None:
    # Steps: A 10 → 4 for 1 (6 a unit), B 8 → 5 for 1 (3 a unit), A 4 → 2 for 2 (1 a unit).
    a = [Option(10, 0), Option(4, 1), Option(2, 3)]
    b = [Option(8, 0), Option(5, 1), Option(6, 1)]  # the last one is dominated
    assert front([a, b]) == (
        Choice((0, 0), 18, 0, 18),
        Choice((1, 0), 12, 1, 12),
        Choice((1, 1), 9, 2, 9),
        Choice((2, 1), 7, 4, 7),
    )
    # With 3 to lose: 9 at a loss of 2; half of the next step would make 8.
    assert cheapest([a, b], 3) == Choice((1, 1), 9, 2, 8)


def test_of_equal_choices_the_first_is_taken() -> None:
    site = [Option(2, 0), Option(1, 1), Option(1, 1)]
    assert chosen(cheapest([site, site], 1)).picks == (0, 1)
    assert chosen(gentlest([site, site], 3)).picks == (0, 1)


def test_an_option_inside_the_hull_is_found_where_it_is_best() -> None:
    site = [Option(10, 0), Option(8, 3), Option(1, 4)]
    line = front([site])
    assert not isinstance(line, Skip)
    assert [choice.picks for choice in line] == [(0,), (2,)]
    assert chosen(cheapest([site], 3)).picks == (1,)


@pytest.mark.parametrize("unknown", [None, inf, float("nan")])
def test_what_is_not_known_is_not_taken(unknown: float | None) -> None:
    site = [Option(5, 0), Option(unknown, 0), Option(1, unknown)]
    assert chosen(cheapest([site], inf)).picks == (0,)
    answer = cheapest([[Option(1, 0)], site[1:]], inf)
    assert answer == Skip("no option of site 1 has a cost and a loss that are known")


def test_a_limit_that_nothing_keeps_is_refused_with_the_least_there_is() -> None:
    site = [Option(4, 0.5), Option(1, 2)]
    assert cheapest([site, site], 0.75) == Skip("the least loss of any choice is 1, more than 0.75")
    assert gentlest([site, site], 1) == Skip("the least cost of any choice is 2, more than 1")


def test_no_sites_cost_nothing() -> None:
    assert cheapest([], 0) == Choice((), 0, 0, 0)
    assert front([]) == (Choice((), 0, 0, 0),)


def test_a_search_that_has_to_stop_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    sites = [
        [Option(100.0, 0), *(Option(100 - 7.3**k - i / 9, 2.1**k + i / 7) for k in (1, 2))]
        for i in range(6)
    ]
    best = chosen(cheapest(sites, 13))
    monkeypatch.setattr(knapsack, "WORK", 1)
    stopped = chosen(cheapest(sites, 13))
    assert best.exact
    assert not stopped.exact
    assert stopped.loss <= 13
    assert best.bound == stopped.bound <= best.cost <= stopped.cost
