"""Recipes in words, as the command line and plans have them: `separable:rank=2,order=pw-dw`."""

from __future__ import annotations

import re

from gconvtool.errors import InputError
from gconvtool.recipes import (
    DEFAULT_RANK,
    Bottleneck,
    Gdc,
    Grouped,
    Monarch,
    Order,
    Recipe,
    Separable,
)

FORMS = (
    r"groups=(?P<groups>\d{1,9})",
    r"(?P<name>separable)(:rank=(?P<rank>\d{1,9})(,order=(?P<order>dw-pw|pw-dw))?)?",
    r"(?P<name>separable):order=(?P<order>dw-pw|pw-dw)",
    r"(?P<name>bottleneck):groups=(?P<groups>\d{1,9}),width=(?P<width>\d{1,9})",
    r"(?P<name>monarch):groups=(?P<groups>\d{1,9})",
    r"(?P<name>gdc)(:rank=(?P<rank>\d{1,9}))?",
)
"""How recipes are written on the command line."""


def parse(text: str) -> Recipe:
    """A recipe from `groups=4`, `separable:rank=3,order=pw-dw`, `bottleneck:groups=4,width=16`,
    `monarch:groups=4` or `gdc:rank=2`.

    `separable` and `gdc` may leave out what follows them, or a part of it.

    Raises:
        InputError: it is none of these.
    """
    match = next((found for form in FORMS if (found := re.fullmatch(form, text))), None)
    if match is None:
        raise InputError(
            f"{text}: no such recipe; write groups=4, separable:rank=2 or gdc:rank=1 with your "
            "numbers (:rank=… may be left out), separable:rank=2,order=pw-dw, "
            "bottleneck:groups=4,width=16 or monarch:groups=4"
        )
    said = {name: value for name, value in match.groupdict().items() if value}
    numbers = {name: int(value) for name, value in said.items() if name not in ("order", "name")}
    match said.get("name"):
        case "bottleneck":
            return Bottleneck(**numbers)
        case "monarch":
            return Monarch(**numbers)
        case "gdc":
            return Gdc(**numbers)
        case "separable":
            order: Order = "pw-dw" if said.get("order") == "pw-dw" else "dw-pw"
            return Separable(numbers.get("rank", DEFAULT_RANK), order)
    return Grouped(**numbers)


def written(recipe: Recipe) -> str:
    """The recipe as `parse` reads it."""
    match recipe:
        case Grouped(groups):
            return f"groups={groups}"
        case Separable(rank, "dw-pw"):
            return f"separable:rank={rank}"
        case Separable(rank, order):
            return f"separable:rank={rank},order={order}"
        case Bottleneck(groups, width):
            return f"bottleneck:groups={groups},width={width}"
        case Monarch(groups):
            return f"monarch:groups={groups}"
        case Gdc(rank):
            return f"gdc:rank={rank}"
