"""Recipes are read as they are written, and what is none says what is."""

from __future__ import annotations

import pytest

from gconvtool.errors import InputError
from gconvtool.notation import parse, written
from gconvtool.recipes import Bottleneck, Gdc, Grouped, Monarch, Recipe, Separable


@pytest.mark.parametrize(
    ("text", "recipe"),
    [
        ("groups=4", Grouped(4)),
        ("separable", Separable(2)),
        ("separable:rank=3", Separable(3)),
        ("separable:order=pw-dw", Separable(2, "pw-dw")),
        ("separable:rank=3,order=pw-dw", Separable(3, "pw-dw")),
        ("separable:rank=3,order=dw-pw", Separable(3)),
        ("bottleneck:groups=4,width=16", Bottleneck(4, 16)),
        ("monarch:groups=4", Monarch(4)),
        ("gdc", Gdc(1)),
        ("gdc:rank=2", Gdc(2)),
    ],
)
def test_recipes_are_read_from_the_command_line(text: str, recipe: Recipe) -> None:
    assert parse(text) == recipe
    assert parse(written(recipe)) == recipe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no such recipe"),
        ("group=4", "groups=4, separable:rank=2 or gdc:rank=1"),
        ("groups=", "no such recipe"),
        ("groups=-1", "no such recipe"),
        ("groups=four", "no such recipe"),
        ("groups=4:rank=2", "no such recipe"),
        ("separable:groups=4", "no such recipe"),
        ("gdc:rank=", "no such recipe"),
        ("gdc ", "no such recipe"),
        ("groups=" + "9" * 5000, "no such recipe"),
        ("groups=0", "0 groups"),
        ("gdc:rank=0", "rank 0"),
        ("bottleneck", "bottleneck:groups=4,width=16"),
        ("bottleneck:width=16", "no such recipe"),
        ("bottleneck:groups=0,width=4", "1 group or more"),
        ("monarch:groups=1", "2 groups or more"),
        ("separable:order=pw", "no such recipe"),
        ("gdc:rank=2,order=pw-dw", "no such recipe"),
    ],
    ids=range(18),
)
def test_what_is_no_recipe_says_what_is_allowed(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse(text)
