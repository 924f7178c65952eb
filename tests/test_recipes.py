"""What a recipe costs, against arrays of the shapes that it really makes; and where it refuses."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import site

from gconvtool.errors import InputError
from gconvtool.facts import ConvSite
from gconvtool.recipes import (
    STEM_CHANNELS,
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
    share,
    weights,
)

sizes = st.integers(1, 6)
kernels = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@given(groups=sizes, channels=sizes, filters=sizes, kernel=kernels)
def test_grouped_weights_fill_one_grouped_kernel(
    groups: int, channels: int, filters: int, kernel: tuple[int, ...]
) -> None:
    kept = np.empty((groups * filters, channels, *kernel))  # N × C/G × K…
    dense = site(channels=groups * channels, filters=groups * filters, kernel=kernel)
    assert Grouped(groups).weights(dense) == kept.size
    whole = np.empty((groups * filters, groups * channels, *kernel))
    assert Fraction(kept.size, whole.size) == Fraction(1, groups)


@given(rank=sizes, channels=sizes, filters=sizes, kernel=kernels)
def test_separable_weights_fill_a_depthwise_and_a_pointwise_kernel_a_branch(
    rank: int, channels: int, filters: int, kernel: tuple[int, ...]
) -> None:
    ones = (1,) * len(kernel)
    branches = [
        (np.empty((channels, 1, *kernel)), np.empty((filters, channels, *ones)))
        for _ in range(rank)
    ]
    made = sum(depthwise.size + pointwise.size for depthwise, pointwise in branches)
    dense = site(channels=channels, filters=filters, kernel=kernel)
    assert Separable(rank).weights(dense) == made
    whole = channels * filters * prod(kernel)
    assert Fraction(made, whole) == Fraction(rank, filters) + Fraction(rank, prod(kernel))


@given(groups=st.integers(1, 8), channels=st.integers(5, 24), filters=sizes, kernel=kernels)
def test_grouped_is_proposed_exactly_where_it_divides_and_saves(
    groups: int, channels: int, filters: int, kernel: tuple[int, ...]
) -> None:
    answer = propose(site(channels=channels, filters=filters, kernel=kernel), Grouped(groups))
    fits = channels % groups == filters % groups == 0 and prod(kernel) > 1
    assert isinstance(answer, Candidate) == (fits and groups > 1)


@given(
    rank=st.integers(1, 12), channels=st.integers(5, 24), filters=st.integers(1, 40), kernel=kernels
)
def test_separable_is_proposed_exactly_where_it_saves(
    rank: int, channels: int, filters: int, kernel: tuple[int, ...]
) -> None:
    answer = propose(site(channels=channels, filters=filters, kernel=kernel), Separable(rank))
    # per input channel: r·ΠK taps and r·N mixtures against N·ΠK weights
    saves = rank * prod(kernel) + rank * filters < filters * prod(kernel)
    assert isinstance(answer, Candidate) == saves


def test_a_candidate_holds_its_site_and_its_recipe() -> None:
    dense = site(channels=64, filters=128)
    assert propose(dense, Grouped(4)) == Candidate(dense, Grouped(4), 73728, 18432)
    # 2 · (64·9 + 64·128)
    assert propose(dense, Separable(2)) == Candidate(dense, Separable(2), 73728, 17536)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"groups": 8}, "already grouped (G = 8)"),
        ({"kernel": (1, 1)}, "1×1"),
        ({"kernel": (1,)}, "1×1"),
        ({"channels": 3}, "too few input channels (3)"),
        ({"channels": STEM_CHANNELS}, "too few input channels"),
        ({"pads": None}, "padding"),
        ({"pads": None, "op": "ConvTranspose"}, "output_shape"),
        ({"channels": 0}, "empty"),
        ({"filters": 0}, "empty"),
        ({"kernel": (0, 3)}, "empty"),
    ],
    ids=str,
)
@pytest.mark.parametrize("recipe", [Grouped(2), Separable(1), Gdc(1)], ids=str)
def test_a_site_that_no_recipe_fits_says_why(
    facts: dict[str, object], words: str, recipe: Recipe
) -> None:
    answer = propose(site(**facts), recipe)
    assert not isinstance(answer, Candidate)
    assert words in answer.reason


@pytest.mark.parametrize(
    ("channels", "filters", "undivided"),
    [
        (9, 8, "9 input channels"),
        (8, 9, "9 filters"),
        (6, 9, "6 input channels or 9 filters"),
    ],
)
def test_groups_that_do_not_divide_are_named(channels: int, filters: int, undivided: str) -> None:
    answer = propose(site(channels=channels, filters=filters), Grouped(4))
    assert not isinstance(answer, Candidate)
    assert answer.reason == f"4 groups do not divide {undivided}"


def test_one_channel_more_than_a_stem_is_enough() -> None:
    assert isinstance(propose(site(channels=STEM_CHANNELS + 1), Separable(1)), Candidate)


def test_a_rank_above_the_taps_says_so() -> None:
    answer = propose(site(kernel=(3,)), Separable(4))
    assert not isinstance(answer, Candidate)
    assert answer.reason == "rank 4 is more than the 3 taps of its kernel"


@pytest.mark.parametrize(
    ("recipe", "facts", "ratio"),
    [
        (Grouped(1), {}, "1.00"),
        (Separable(9), {}, "2.12"),  # 9·8·(9 + 8) / (8·8·9) = 2.125
        (Separable(1), {"filters": 1}, "1.11"),  # 8·(9 + 1) / 72
    ],
    ids=str,
)
def test_a_recipe_that_would_not_be_cheaper_says_what_it_would_cost(
    recipe: Recipe, facts: dict[str, object], ratio: str
) -> None:
    answer = propose(site(**facts), recipe)
    assert not isinstance(answer, Candidate)
    assert ratio in answer.reason
    assert str(recipe) in answer.reason


def test_recipes_have_the_names_that_reports_show() -> None:
    names = {
        Grouped(4): "grouped(4)",
        Separable(2): "separable(2)",
        Separable(2, "pw-dw"): "separable(2, pw-dw)",
        Bottleneck(4, 16): "bottleneck(4, 16)",
        Monarch(4): "monarch(4)",
        Gdc(): "gdc(1)",
    }
    assert {recipe: str(recipe) for recipe in names} == names


@pytest.mark.parametrize("make", [Grouped, Separable, Gdc])
@pytest.mark.parametrize("size", [0, -2])
def test_a_recipe_without_groups_or_branches_cannot_be_made(make: type, size: int) -> None:
    with pytest.raises(InputError, match=str(size)):
        make(size)


def head(op: str = "Gemm", **facts: object) -> ConvSite:
    """512 channels over the whole of a 7×7 map to 128 outputs."""
    usual = {"channels": 512, "filters": 128, "kernel": (7, 7), "input_shape": (1, 512, 7, 7)}
    return site(op=op, **{**usual, **facts})


@pytest.mark.parametrize("op", ["Conv", "Gemm", "MatMul"])
@pytest.mark.parametrize("rank", [1, 3])
def test_gdc_at_what_reads_the_whole_map(op: str, rank: int) -> None:
    answer = propose(head(op), Gdc(rank))
    assert answer == Candidate(
        head(op), Gdc(rank), 512 * 128 * 7 * 7, rank * (512 * 7 * 7 + 512 * 128)
    )


OPEN = "the size of its feature map is not known: export the network with fixed sizes"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"kernel": (3, 3)}, "its kernel 3×3 is not the whole feature map 7×7"),
        ({"pads": (1, 1, 1, 1)}, "it pads its feature map"),
        ({"input_shape": None}, OPEN),
        ({"input_shape": (1, 512, "H", 7)}, OPEN),
    ],
)
def test_gdc_is_refused_where_the_kernel_is_not_the_map(
    facts: dict[str, object], words: str
) -> None:
    answer = propose(head("Conv", **facts), Gdc())
    assert not isinstance(answer, Candidate)
    assert answer.reason == words


def test_a_rank_of_gdc_above_the_taps_says_so() -> None:
    assert objection(head(kernel=(2, 1), input_shape=(1, 512, 2, 1)), Gdc(3)) == (
        "rank 3 is more than the 2 taps of its kernel"
    )


@pytest.mark.parametrize("op", ["Gemm", "MatMul"])
@pytest.mark.parametrize("recipe", [Grouped(2), Separable(1), Bottleneck(2, 3)], ids=str)
def test_fully_connected_layers_are_left_to_gdc(op: str, recipe: Recipe) -> None:
    answer = propose(head(op), recipe)
    assert not isinstance(answer, Candidate)
    assert "gdc" in answer.reason
    assert isinstance(propose(head("Conv"), recipe), Candidate)


def test_an_objection_does_not_ask_what_it_would_cost() -> None:
    assert objection(site(), Separable(9)) is None
    assert objection(site(), Grouped(3)) == "3 groups do not divide 8 input channels or 8 filters"


@given(groups=sizes, channels=sizes, filters=sizes, kernel=kernels)
def test_a_site_has_the_weights_of_its_kernels(
    groups: int, channels: int, filters: int, kernel: tuple[int, ...]
) -> None:
    stored = np.empty((groups * filters, channels, *kernel))
    grouped = site(
        groups=groups, channels=groups * channels, filters=groups * filters, kernel=kernel
    )
    assert weights(grouped) == stored.size


@given(channels=st.integers(1, 200), filters=st.integers(1, 200))
def test_legal_groups_divide_both(channels: int, filters: int) -> None:
    tried = range(2, min(channels, filters) + 1)
    assert legal_groups(site(channels=channels, filters=filters)) == tuple(
        groups for groups in tried if channels % groups == filters % groups == 0
    )


@given(groups=st.integers(2, 5), channels=st.integers(2, 30), filters=st.integers(2, 30))
def test_legal_groups_of_a_grouped_site_are_those_that_are_allowed_inside(
    groups: int, channels: int, filters: int
) -> None:
    grouped = site(groups=groups, channels=groups * channels, filters=groups * filters)
    allowed = (n for n in range(2, channels + 1) if Grouped(n).objection(grouped) is None)
    assert legal_groups(grouped) == tuple(allowed)


def multiplied(weight: tuple[int, ...], positions: tuple[int, ...]) -> int:
    """MACs by counting: every weight of a kernel at every position of a map."""
    return int(np.empty(weight).size * np.empty(positions).size)


STRIDED = site(
    channels=24,
    filters=48,
    groups=2,
    strides=(2, 2),
    input_shape=(3, 24, 17, 17),
    output_shape=(3, 48, 8, 8),
)
INPUT, OUTPUT = (3, 17, 17), (3, 8, 8)
SPREAD = replace(STRIDED, op="ConvTranspose", output_shape=(3, 48, 35, 35))
WIDE = (3, 35, 35)


@pytest.mark.parametrize(
    ("recipe", "made"),
    [
        (Grouped(3), [((48, 4, 3, 3), OUTPUT)]),
        (Separable(2), 2 * [((24, 1, 3, 3), OUTPUT), ((48, 12, 1, 1), OUTPUT)]),
        (Separable(2, "pw-dw"), 2 * [((48, 12, 1, 1), INPUT), ((48, 1, 3, 3), OUTPUT)]),
        (Bottleneck(3, 5), [((2 * 3 * 5, 4, 3, 3), OUTPUT), ((48, 3 * 5, 1, 1), OUTPUT)]),
        (Bottleneck(1, 5), [((2 * 5, 12, 3, 3), OUTPUT), ((48, 5, 1, 1), OUTPUT)]),
    ],
    ids=str,
)
def test_weights_and_macs_are_those_of_the_kernels_that_are_made(
    recipe: Recipe, made: list[tuple[tuple[int, ...], tuple[int, ...]]]
) -> None:
    assert recipe.objection(STRIDED) is None
    assert recipe.weights(STRIDED) == sum(prod(weight) for weight, _ in made)
    assert recipe.macs(STRIDED) == sum(multiplied(*part) for part in made)


@pytest.mark.parametrize(
    ("recipe", "made"),
    [
        (Grouped(3), [((24, 8, 3, 3), INPUT)]),
        (Separable(2), 2 * [((24, 1, 3, 3), INPUT), ((48, 12, 1, 1), WIDE)]),
        (Separable(2, "pw-dw"), 2 * [((48, 12, 1, 1), INPUT), ((48, 1, 3, 3), INPUT)]),
        (Bottleneck(3, 5), [((24, 5, 3, 3), INPUT), ((48, 3 * 5, 1, 1), WIDE)]),
    ],
    ids=str,
)
def test_what_is_transposed_meets_the_input(
    recipe: Recipe, made: list[tuple[tuple[int, ...], tuple[int, ...]]]
) -> None:
    assert recipe.objection(SPREAD) is None
    assert recipe.macs(SPREAD) == sum(multiplied(*part) for part in made)
    before = multiplied((24, 24, 3, 3), INPUT)
    assert share(SPREAD, recipe) == Fraction(sum(multiplied(*part) for part in made), before)


def test_strides_say_how_much_larger_an_open_output_is() -> None:
    sizes = {"input_shape": ("N", 24, "H", "W"), "output_shape": ("N", 48, None, None)}
    # a bottleneck's 3×3 part meets the input, its 1×1 part 2 · 2 times as many positions
    assert share(replace(SPREAD, **sizes), Bottleneck(1, 5)) == Fraction(
        10 * 12 * 9 + 4 * 10 * 24, 24 * 24 * 9
    )


def test_a_global_convolution_is_not_transposed() -> None:
    assert "transposed" in (objection(site(op="ConvTranspose"), Gdc()) or "")


def test_a_monarch_joins_every_input_to_every_output() -> None:
    point = site(channels=24, filters=40, kernel=(1, 1))
    # 16·1 hidden channels: rank 24 // 16 for each of 4 × 4 pairs of groups
    assert Monarch(4).weights(point) == np.empty((16, 6)).size + np.empty((40, 4)).size
    assert Monarch(4).between(point) == (1, 16, 10, 10)
    assert isinstance(propose(point, Monarch(4)), Candidate)
    assert isinstance(propose(point, Bottleneck(1, 8)), Candidate)


@pytest.mark.parametrize(
    ("recipe", "facts", "reason"),
    [
        (Monarch(2), {}, "its kernel is 3×3: monarch is for 1×1"),
        (Monarch(3), {"kernel": (1, 1)}, "3² groups joined are more than 8 channels"),
        (Monarch(4), {"kernel": (1, 1), "channels": 18, "filters": 20}, "4 groups do not divide"),
        (Bottleneck(3, 1), {}, "3 groups do not divide 8 input channels"),
        (Bottleneck(8, 10), {"filters": 16}, "width 10 is more than full rank (9)"),
        (Bottleneck(2, 9), {}, "width 9 is more than full rank (8)"),
        (Grouped(4), {"channels": 16, "filters": 24, "groups": 8}, "2 input channels or 3 filters"),
        (Gdc(), {"groups": 2}, "already grouped (G = 2)"),
    ],
    ids=str,
)
def test_the_others_say_why_too(recipe: Recipe, facts: dict[str, object], reason: str) -> None:
    assert reason in (objection(site(**facts), recipe) or "")


def test_macs_need_the_sizes_that_they_meet() -> None:
    unsized = site(channels=16, filters=16, input_shape=(1, 16, "H", 10))
    assert Separable(1, "pw-dw").macs(unsized) is None
    assert Separable(1).macs(unsized) == 16 * (9 + 16) * 64
    assert Separable(1).macs(site(output_shape=None)) is None


def test_strides_make_pointwise_first_dear() -> None:
    wide = site(channels=16, filters=16, strides=(2, 2), output_shape=(1, 16, 5, 5))
    answer = propose(wide, Separable(2, "pw-dw"))
    assert not isinstance(answer, Candidate)
    assert "1.01x" in answer.reason  # (4·2·16·16 + 2·16·9) / (16·16·9)
    assert isinstance(propose(wide, Separable(2)), Candidate)
    unsized = propose(replace(wide, input_shape=None), Separable(2, "pw-dw"))
    assert unsized == answer
