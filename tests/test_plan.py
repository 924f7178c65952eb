"""Which sites get the recipe, which stay, and the reason that each is given."""

from __future__ import annotations

import pytest
from models import site

from gconvtool.facts import ConvSite, Skip
from gconvtool.plan import Plan, Selection, choose
from gconvtool.recipes import Grouped, Recipe, Separable, propose

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
