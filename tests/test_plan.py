"""Which sites get the recipe, which stay, and the reason that each is given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import site

from gconvtool.errors import InputError
from gconvtool.facts import ConvSite, Skip
from gconvtool.plan import Channels, Entry, Plan, Selection, choose, replay
from gconvtool.recipes import Grouped, Monarch, Recipe, Separable, propose

FOUR = Grouped(4)
SITES = (
    site(name="stem", channels=3, filters=16),
    site(name="body/a", channels=16, filters=32),
    site(name="body/b", channels=32, filters=32),
    site(name="body/point", channels=32, filters=64, kernel=(1, 1)),
    site(name="body/deep", channels=32, filters=32, groups=32),
    site(name="head", channels=32, filters=30),
)


def chosen(plan: Plan) -> list[str]:
    return [step.site.name for step in plan.steps]


def plan(
    recipe: Recipe = FOUR, refused: dict[str, Skip] | None = None, **wish: tuple[str, ...]
) -> Plan:
    return choose(SITES, refused or {}, recipe, Selection(**wish))


def test_every_site_is_a_step_or_is_kept_with_a_reason() -> None:
    result = plan()
    assert chosen(result) == ["body/a", "body/b"]
    reasons = {name: skip.reason for name, skip in result.kept.items()}
    assert list(reasons) == ["stem", "body/point", "body/deep", "head"]
    assert "input channels (3)" in reasons["stem"]
    assert "1×1" in reasons["body/point"]
    assert "already grouped" in reasons["body/deep"]
    assert reasons["head"] == "4 groups do not divide 30 filters"


def test_steps_are_what_the_recipe_proposes() -> None:
    assert plan(Separable(2)).steps == tuple(
        propose(SITES[index], Separable(2)) for index in (1, 2, 5)
    )


def test_steps_and_refusals_come_in_the_order_of_the_sites() -> None:
    turned = choose(reversed(SITES), {}, FOUR, Selection())
    assert chosen(turned) == ["body/b", "body/a"]
    assert list(turned.kept) == ["head", "body/deep", "body/point", "stem"]


@pytest.mark.parametrize(
    ("wish", "steps"),
    [
        ({"only": ("body/*",)}, ["body/a", "body/b"]),
        ({"only": ("body/a", "head")}, ["body/a"]),
        ({"only": ("*/[ab]",)}, ["body/a", "body/b"]),
        ({"skip": ("body/a",)}, ["body/b"]),
        ({"skip": ("*/?",)}, []),
        ({"only": ("body/*",), "skip": ("*/b", "x")}, ["body/a"]),
        ({"only": ("BODY/*",)}, []),
    ],
    ids=str,
)
def test_globs_choose_sites_by_their_whole_name(
    wish: dict[str, tuple[str, ...]], steps: list[str]
) -> None:
    assert chosen(plan(**wish)) == steps


@pytest.mark.parametrize(
    ("wish", "name", "option"),
    [
        ({"only": ("body/b",)}, "body/a", "--only"),
        ({"skip": ("body/a",)}, "body/a", "--skip"),
        ({"only": ("body/*",), "skip": ("*/a",)}, "body/a", "--skip"),
        ({"only": ("head",), "skip": ("*/a",)}, "body/a", "--only"),
    ],
    ids=str,
)
def test_a_deselected_site_says_by_which_option(
    wish: dict[str, tuple[str, ...]], name: str, option: str
) -> None:
    assert option in plan(**wish).kept[name].reason


def test_the_graphs_refusal_stands_before_the_recipes() -> None:
    result = plan(refused={"body/a": Skip("shared"), "stem": Skip("quantised")})
    assert chosen(result) == ["body/b"]
    assert result.kept["body/a"] == Skip("shared")
    assert result.kept["stem"] == Skip("quantised")


def test_what_nobody_asked_for_needs_no_better_reason() -> None:
    result = plan(refused={"body/a": Skip("shared")}, only=("body/b",))
    assert "--only" in result.kept["body/a"].reason


def test_a_glob_that_matches_nothing_is_found_out() -> None:
    selection = Selection(only=("body/*", "tail"), skip=("stem", "Stem", "t*"))
    assert selection.idle(it.name for it in SITES) == ("tail", "Stem", "t*")


def test_no_globs_are_never_idle() -> None:
    assert Selection().idle([]) == ()


@pytest.mark.parametrize("name", ["layers[0]/conv", "a*b", "what?", "[x]"])
def test_a_name_as_analyze_prints_it_selects_its_own_site(name: str) -> None:
    sites: list[ConvSite] = [site(name=name, channels=16, filters=16), *SITES]
    assert name in chosen(choose(sites, {}, FOUR, Selection(only=(name,))))
    assert name not in chosen(choose(sites, {}, FOUR, Selection(skip=(name,))))
    assert Selection(only=(name,)).idle([name]) == ()


HALVES = Channels(((0, 2, 4, 6), (1, 3, 5, 7)), ((0, 1, 2), (3, 4, 5)))
TWO = site(name="two", channels=8, filters=6)
QUARTERS = Channels(((0, 3), (1, 2), (4, 6), (5, 7)), ((2, 0), (3, 1), (4, 7), (6, 5)))
GROUPED = site(name="grouped", channels=8, filters=8, groups=2)
NETWORK = (*SITES, TWO, GROUPED)


def replayed(*entries: Entry, refused: dict[str, Skip] | None = None, **wish: tuple[str, ...]):
    return replay(NETWORK, refused or {}, entries, Selection(**wish))


def objection(*entries: Entry, **wish) -> str:
    with pytest.raises(InputError) as caught:
        replayed(*entries, **wish)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestReplay:
    def test_a_plan_that_is_replayed_is_the_plan(self):
        first = choose(NETWORK, {}, FOUR, Selection())
        entries = [Entry(step.site.name, step.recipe) for step in first.steps]
        again = replayed(*reversed(entries))
        assert again.steps == first.steps
        assert set(again.kept) == set(first.kept)
        assert {skip.reason for skip in again.kept.values()} == {"not in the plan"}
        assert not again.channels

    def test_sites_may_be_written_in_ways_of_their_own(self):
        entries = (
            Entry("body/a", Separable(3), spelling="concat"),
            Entry("body/point", Monarch(2)),
        )
        assert replayed(*entries).spellings == {"body/a": "concat"}

    def test_sites_may_have_different_recipes(self):
        result = replayed(Entry("body/point", Monarch(2)), Entry("body/a", Separable(3), error=0.5))
        assert result.steps == (propose(SITES[1], Separable(3)), propose(SITES[3], Monarch(2)))
        assert list(result.kept) == ["stem", "body/b", "body/deep", "head", "two", "grouped"]

    def test_the_selection_goes_before_the_plan(self):
        entries = (Entry("body/a", FOUR), Entry("head", FOUR))
        result = replayed(*entries, skip=("head",))
        assert chosen(result) == ["body/a"]
        assert "--skip" in result.kept["head"].reason

    def test_groups_come_along_in_ascending_order(self):
        turned = Channels(((6, 4, 2, 0), (1, 3, 7, 5)), ((2, 1, 0), (3, 5, 4)))
        result = replayed(Entry("two", Grouped(2), turned), Entry("body/a", FOUR))
        assert result.channels == {"two": HALVES}

    def test_a_name_that_no_site_has_is_told_with_the_closest(self):
        assert "did you mean body/b?" in objection(Entry("body/bb", FOUR))
        assert "analyze" in objection(Entry("zzz", FOUR))

    def test_a_site_twice_is_refused(self):
        assert "twice" in objection(Entry("two", Grouped(2)), Entry("two", Separable(1)))

    @pytest.mark.parametrize(
        ("entry", "refused", "reason"),
        [
            (Entry("head", FOUR), {}, "4 groups do not divide 30 filters"),
            (Entry("stem", FOUR), {}, "too few input channels"),
            (Entry("body/a", Separable(9)), {}, "would cost"),
            (Entry("body/a", FOUR), {"body/a": Skip("shared weights")}, "shared weights"),
            (Entry("loop/y", FOUR), {"loop/y": Skip("inside a Loop")}, "inside a Loop"),
        ],
    )
    def test_what_cannot_be_followed_is_an_error_with_the_reason(self, entry, refused, reason):
        said = objection(entry, refused=refused)
        assert said.startswith(f"site {entry.name}: ")
        assert reason in said
        assert "take it out of the plan" in said

    @pytest.mark.parametrize(
        ("name", "recipe", "channels", "reason"),
        [
            ("two", Separable(1), HALVES, "takes no lists"),
            ("two", Grouped(2), QUARTERS, "makes 2 groups there"),
            ("grouped", Grouped(2), HALVES, "makes 4 groups there"),
            ("body/a", Grouped(2), HALVES, "inputs: 8 channels, and the convolution has 16"),
            ("grouped", Grouped(1), HALVES, "would cost"),
        ],
    )
    def test_groups_that_do_not_fit_the_site_are_refused(self, name, recipe, channels, reason):
        assert reason in objection(Entry(name, recipe, channels))

    def test_groups_stay_inside_the_groups_that_were_there(self):
        assert replayed(Entry("grouped", Grouped(2), QUARTERS)).channels
        inputs, outputs = QUARTERS.inputs, QUARTERS.outputs
        crossed = Channels((inputs[0], (1, 4), (2, 6), inputs[3]), outputs)
        said = objection(Entry("grouped", Grouped(2), crossed))
        assert "inputs: channel 4 is in list 2" in said
        assert "holds 0 to 3" in said
        turned = replace(QUARTERS, outputs=outputs[::-1])
        assert "outputs: channel 6 is in list 1" in objection(Entry("grouped", Grouped(2), turned))


class TestChannels:
    @pytest.mark.parametrize(
        ("inputs", "outputs", "reason"),
        [
            (((0, 1), (2, 3)), ((0,),), "2 lists of inputs and 1 of outputs"),
            (((0, 1, 2),), ((0,),), "1 lists of channels, and grouped(2) makes 2 groups"),
            ((), (), "no lists"),
            (((0,), (1,)), ((), ()), "outputs: a list without channels"),
            (((0, 1, 2), (3,)), ((0,), (1,)), "inputs: lists of 1 and of 3 channels"),
            (((0, 1), (1, 2)), ((0,), (1,)), "channel 1 is there twice"),
            (((0, 1), (2, 4)), ((0,), (1,)), "channel 4 is not one of the 4"),
            (((0, 1), (2, 3)), ((-1,), (0,)), "outputs: channel -1 is not one of the 2"),
        ],
    )
    def test_what_shares_out_nothing_says_why(self, inputs, outputs, reason):
        assert reason in (Channels(inputs, outputs).objection(Grouped(2)) or "")

    @given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.randoms())
    def test_parts_are_what_was_put_side_by_side(self, G, g, width, height, random):
        def shuffled(size: int) -> tuple[tuple[int, ...], ...]:
            numbers = random.sample(range(g * size), g * size)
            return tuple(tuple(numbers[i::g]) for i in range(g))

        def counted_on(sides: list[tuple[tuple[int, ...], ...]], size: int):
            return tuple(
                tuple(channel + i * g * size for channel in group)
                for i, side in enumerate(sides)
                for group in side
            )

        parts = [(shuffled(width), shuffled(height)) for _ in range(G)]
        whole = Channels(
            counted_on([p[0] for p in parts], width), counted_on([p[1] for p in parts], height)
        )
        place = site(channels=G * g * width, filters=G * g * height, groups=G)
        assert whole.misfit(place, Grouped(g)) is None
        assert whole.parts(G) == tuple(Channels(*part) for part in parts)
