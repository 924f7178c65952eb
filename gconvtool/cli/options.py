"""Options that several commands share, and how their words become values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gconvtool.cli import amounts
from gconvtool.errors import InputError

if TYPE_CHECKING:
    from gconvtool.recipes import Recipe
    from gconvtool.runtime.inputs import ImageOptions

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Dims = Annotated[
    list[str] | None,
    typer.Option("--dim", metavar="NAME=SIZE", help="Size of an open dimension, for example N=1."),
]
InputShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--input-shape", metavar="NAME:SIZES", help="Shape of an input, for example x:1,3,224,224."
    ),
]
Groups = Annotated[
    int | None,
    typer.Option(
        "--groups", metavar="G", min=2, help="Rewrite into convolutions of this many groups."
    ),
]
SeparableFlag = Annotated[
    bool,
    typer.Option("--separable", help="Rewrite into sums of (depthwise → pointwise) convolutions."),
]
Rank = Annotated[
    int | None,
    typer.Option(
        "--rank",
        metavar="R",
        min=1,
        help="Branches: of a separable convolution (2 if not given), of a global one (1).",
    ),
]
RecipeText = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="Any recipe: separable:rank=2,order=pw-dw, bottleneck:groups=4,width=16, "
        "monarch:groups=4 and those above.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="T", min=1, max=1024, help="Threads for onnxruntime."),
]
Seed = Annotated[
    int, typer.Option("--seed", metavar="S", min=0, help="Decides samples, searches and orders.")
]
Scale = Annotated[
    float, typer.Option(metavar="FACTOR", help="Images: pixels (0…255) are multiplied by this.")
]
Mean = Annotated[
    str,
    typer.Option(
        metavar="NUMBERS", help="Images: then this is taken off, one number or one a channel."
    ),
]
Std = Annotated[
    str, typer.Option(metavar="NUMBERS", help="Images: then they are divided by this, likewise.")
]
Layout = Annotated[
    str | None,
    typer.Option(
        metavar="LAYOUT", help="Images: nchw or nhwc, where the model's input leaves it open."
    ),
]


def dims(words: Sequence[str] | None) -> dict[str, int]:
    """`N=1` and `H=224,W=224` to sizes by name."""
    sizes: dict[str, int] = {}
    for part in (part for word in words or () for part in word.split(",")):
        name, equals, size = part.partition("=")
        if not equals or not name:
            raise InputError(f"--dim {part}: write NAME=SIZE, for example N=1")
        if sizes.setdefault(name.strip(), amounts.size(f"--dim {part}", size)) != int(size):
            raise InputError(f"--dim {part}: {name} is {sizes[name.strip()]} already")
    return sizes


def input_shapes(words: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """`image:1,3,224,224` to shapes by input name; a name may hold colons."""
    shapes = {}
    for word in words or ():
        name, colon, sizes = word.rpartition(":")
        if not colon or not name:
            raise InputError(f"--input-shape {word}: write NAME:SIZES, for example x:1,3,224,224")
        shapes[name] = tuple(
            amounts.size(f"--input-shape {word}", size) for size in sizes.split(",")
        )
    return shapes


def recipe(
    groups: int | None, separable: bool, rank: int | None, text: str | None, gdc: bool = False
) -> Recipe | None:
    """The one recipe that was asked for; None if none was.

    Raises:
        InputError: two recipes, a rank without what has one, or a word that is no recipe.
    """
    from gconvtool.notation import parse
    from gconvtool.recipes import DEFAULT_RANK, Gdc, Grouped, Separable

    asked = {
        "--groups": groups is not None,
        "--separable": separable,
        "--gdc": gdc,
        "--recipe": text is not None,
    }
    both = [option for option, given in asked.items() if given]
    if len(both) > 1:
        raise InputError(f"{both[0]} and {both[1]} exclude each other; convert twice to compare")
    if rank is not None and not (separable or gdc):
        raise InputError("--rank belongs to --separable or --gdc")
    if text is not None:
        try:
            return parse(text)
        except InputError as error:
            raise InputError(f"--recipe {error}") from error
    if separable:
        return Separable(rank or DEFAULT_RANK)
    if gdc:
        return Gdc(rank or 1)
    return None if groups is None else Grouped(groups)


def images(scale: float, mean: str, std: str, layout: str | None) -> ImageOptions:
    """How pixels become numbers."""
    from gconvtool.runtime.inputs import ImageOptions

    if layout not in (None, "nchw", "nhwc"):
        raise InputError(f"--layout {layout}: nchw or nhwc")
    finite("--scale", scale)
    deviations = _numbers("--std", std)
    if 0 in deviations:
        raise InputError(f"--std {std}: division by zero")
    return ImageOptions(scale, _numbers("--mean", mean), deviations, layout)


def complaint(error: typer.TyperException) -> str:
    """What Typer says of a wrong word, without a prefix of the library that it parses with."""
    return error.format_message().replace("Value error, ", "")


def required(value: str | None, what: str, hint: str) -> str:
    """A value that the command line or the configuration must give."""
    if not value:
        raise InputError(f"no {what}: {hint}, or set it in [tool.gconvtool] of pyproject.toml")
    return value


def chosen(option: str, value: str | None, default: str | None) -> str | None:
    """The command line's word, or the file's; an empty one is a variable that was not set."""
    if value == "":
        raise InputError(f"{option}: empty; name a file, or leave the option out")
    return default if value is None else value


def finite(option: str, *values: float | None) -> None:
    """Refuse what is no number to compare or to calculate with."""
    for value in values:
        if value is not None and not math.isfinite(value):
            raise InputError(f"{option} {value}: not a finite number")


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} {text}: one number, or one a channel with commas") from None
    finite(option, *numbers)
    return numbers
