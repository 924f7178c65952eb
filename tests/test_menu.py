"""What is offered to a site: legal, worth a try, not too much, and not all of one kind."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import site

from gconvtool.facts import ConvSite, Skip
from gconvtool.menu import LEAST_GRID, PLACES, menu
from gconvtool.recipes import (
    Bottleneck,
    Candidate,
    Gdc,
    Grouped,
    Monarch,
    Recipe,
    Separable,
    propose,
)


@st.composite
def sites(draw: st.DrawFn) -> ConvSite:
    """Any number of axes, groups or none, strided or not, sizes known or not."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    sizes = st.sampled_from([1, 2, 5, 8, 12, 16, 48, 60, 64, 96])
    kernel = draw(st.sampled_from([(1,), (9,), (1, 1), (3, 3), (5, 1), (3, 3, 3), (10, 10)]))
    facts = {
        "channels": groups * draw(sizes),
        "filters": groups * draw(sizes),
        "groups": groups,
        "kernel": kernel,
        "strides": (draw(st.integers(1, 2)),) * len(kernel),
    }
    if draw(st.booleans()):
        facts["input_shape"] = facts["output_shape"] = None
    return site(**facts)


def recipes(answer: tuple[Candidate, ...] | Skip) -> list[Recipe]:
    assert not isinstance(answer, Skip)
    return [candidate.recipe for candidate in answer]


blocks = st.sampled_from([1, 8, 16])


@given(site=sites(), block=blocks)
def test_all_that_is_offered_may_be_done_and_is_worth_it(site: ConvSite, block: int) -> None:
    answer = menu(site, block)
    if isinstance(answer, Skip):
        assert answer.reason
        return
    assert all(candidate == propose(site, candidate.recipe) for candidate in answer)
    assert len(set(recipes(answer))) == len(answer) > 0
    shares = [candidate.share for candidate in answer]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] <= 0.75
    assert answer == menu(site, block)


@given(site=sites(), block=blocks)
def test_there_is_not_too_much_of_it(site: ConvSite, block: int) -> None:
    answer = menu(site, block)
    offered = [] if isinstance(answer, Skip) else recipes(answer)
    grid = [recipe for recipe in offered if isinstance(recipe, Bottleneck)]
    assert len(offered) <= PLACES or len(grid) <= LEAST_GRID


@given(channels=st.integers(5, 130), filters=st.integers(5, 130))
def test_every_count_of_groups_that_divides_is_offered(channels: int, filters: int) -> None:
    answer = recipes(menu(site(channels=channels, filters=filters)))
    divide = [g for g in range(2, 21) if channels % g == filters % g == 0]  # 1/20 of the MACs
    assert {r.groups for r in answer if isinstance(r, Grouped)} == set(divide)


def test_the_menu_of_a_usual_site() -> None:
    # 3×3, 64 → 64: separable ones have a share of r/64 + r/9, so that r = 4 is 0.507; pointwise
    # first, 10·10 positions are met for 8·8 that are made: r/64 + r/9·(100/64), 0.57 with r = 3.
    # bottleneck(g, m) has g·m·(64/g·9 + 64) / 36,864 = m·(576 + 64·g) / 36,864.
    shares = {(g, m): m * (576 + 64 * g) / 36_864 for g in (1, 2, 4) for m in (16, 32, 48)}
    grid = [Bottleneck(*sizes) for sizes, share in shares.items() if share <= 0.75]
    assert len(grid) == 6
    wanted: list[Recipe] = [*map(Grouped, (2, 4, 8, 16)), *map(Separable, (1, 2, 3, 4)), *grid]
    wanted += [Separable(rank, "pw-dw") for rank in (1, 2, 3)]
    assert set(recipes(menu(site(channels=64, filters=64)))) == set(wanted)


@pytest.mark.parametrize(("block", "wide"), [(16, {16, 32, 48}), (8, {8, 16, 24, 32, 40})])
def test_bottlenecks_fill_the_blocks_of_the_kernels(block: int, wide: set[int]) -> None:
    answer = recipes(menu(site(channels=96, filters=64), block))
    grid = [recipe for recipe in answer if isinstance(recipe, Bottleneck)]
    assert {recipe.width for recipe in grid} <= wide
    assert {96 // recipe.groups % block for recipe in grid if recipe.groups > 1} == {0}


def test_a_narrow_site_has_bottlenecks_of_parts_of_a_block() -> None:
    answer = recipes(menu(site(channels=16, filters=16), 16))
    assert [r for r in answer if isinstance(r, Bottleneck)] == [Bottleneck(1, 8)]


def test_a_grid_that_is_thinned_is_spread_over_shares_and_groups() -> None:
    answer = menu(site(channels=512, filters=512), 16)
    assert len(recipes(answer)) == PLACES
    assert not isinstance(answer, Skip)
    grid = [(c.share, c.recipe) for c in answer if isinstance(c.recipe, Bottleneck)]
    steps = [float(a - b) for (a, _), (b, _) in pairwise(grid)]
    even = 0.7 / len(grid)
    assert all(0.5 * even < step < 1.5 * even for step in steps)
    assert {recipe.groups for _, recipe in grid} == {1, 2, 4, 8, 16, 32}


def test_many_groups_leave_places_for_some_bottlenecks() -> None:
    answer = recipes(menu(site(channels=360, filters=360), 1))
    assert len([recipe for recipe in answer if isinstance(recipe, Bottleneck)]) == LEAST_GRID


def test_a_site_of_one_position_is_low_rank_or_monarch() -> None:
    answer = recipes(menu(site(channels=128, filters=256, kernel=(1, 1))))
    # low rank: m·(128 + 256) / (128·256) ≤ 3/4 up to m = 64; Monarch(g): 128·384/g likewise.
    low_rank = [Bottleneck(1, width) for width in (16, 32, 48, 64)]
    assert set(answer) == {*low_rank, *map(Monarch, (2, 4, 8))}


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
def test_a_fully_connected_layer_is_offered_global_convolutions(op: str) -> None:
    head = site(op=op, channels=64, filters=32, kernel=(7, 7), input_shape=(1, 64, 7, 7))
    assert recipes(menu(head)) == [Gdc(4), Gdc(3), Gdc(2), Gdc(1)]


def test_a_convolution_over_the_whole_map_has_them_besides() -> None:
    whole = site(channels=64, filters=32, kernel=(5, 5), input_shape=(1, 64, 5, 5))
    answer = recipes(menu(whole))
    assert {Gdc(1), Gdc(2), Grouped(2), Separable(1, "pw-dw")} <= set(answer)
    assert Separable(1) not in answer  # which is gdc(1)


def test_a_stride_makes_pointwise_first_dear() -> None:
    strided = site(channels=64, filters=64, strides=(2, 2), output_shape=(1, 64, 5, 5))
    ranks = [r for r in recipes(menu(strided)) if isinstance(r, Separable) and r.order == "pw-dw"]
    assert ranks == [Separable(1, "pw-dw")]  # 1/64 + 4/9, and twice as much is too much


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"groups": 8}, "already grouped (G = 8), with one channel a group"),
        ({"channels": 3}, "too few input channels (3)"),
        ({"filters": 0}, "its weight is empty"),
        (
            {"filters": 1, "kernel": (2,), "strides": (2,), "output_shape": (1, 1, 5)},
            "no recipe is allowed here that would leave 75 % of its MACs or less",
        ),
    ],
)
def test_a_site_without_a_menu_says_why(facts: dict[str, object], reason: str) -> None:
    assert menu(site(**facts)) == Skip(reason)


@given(site=sites(), block=blocks)
def test_groups_of_a_site_are_convolutions_of_their_own(site: ConvSite, block: int) -> None:
    answer = menu(site, block)
    for recipe in [] if isinstance(answer, Skip) else recipes(answer):
        if isinstance(recipe, Grouped | Bottleneck | Monarch):
            assert site.channels // site.groups % recipe.groups == 0
        if isinstance(recipe, Bottleneck) and recipe.groups > 1:
            assert recipe.groups < site.channels // site.groups  # else it is separable
        if isinstance(recipe, Separable):
            assert recipe.rank <= prod(site.kernel)
