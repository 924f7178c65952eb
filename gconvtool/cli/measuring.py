"""Options of what runs models, `bench` and `verify`, and how their words become values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gconvtool.cli import amounts, options
from gconvtool.errors import InputError

if TYPE_CHECKING:
    from gconvtool.pipeline.sizes import Sizes

MOST_THREADS, MOST_SAMPLES = 1024, 2**20

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="What to run them on, with labels for accuracy; random if not given.",
    ),
]
Provider = Annotated[
    str | None,
    typer.Option("--provider", metavar="NAME", help="cpu, cuda or another one; cpu if not given."),
]
ProviderOptions = Annotated[
    list[str] | None,
    typer.Option("--provider-option", metavar="K=V", help="An option of the provider."),
]
SessionOptions = Annotated[
    list[str] | None,
    typer.Option("--session-option", metavar="K=V", help="An option of onnxruntime's sessions."),
]
Strict = Annotated[
    bool | None,
    typer.Option(
        "--strict-provider/--no-strict-provider",
        help="Exit 4 if a convolution runs elsewhere; so it is for all but cpu if not given.",
    ),
]
MaxRelativeError = Annotated[
    str | None,
    typer.Option("--max-relative-error", metavar="SHARE", help="A gate: 2%, of any output."),
]
MinAgreement = Annotated[
    str | None,
    typer.Option(
        "--min-agreement", metavar="SHARE", help="A gate: 99% of samples keep their top class."
    ),
]
MaxAccuracyDrop = Annotated[
    float | None,
    typer.Option(
        "--max-accuracy-drop",
        metavar="POINTS",
        min=0,
        help="A gate: exit 1 if B loses more points of top-1.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="table, json, csv, markdown, github, junit."),
]
Outputs = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write it there, too: .json, .csv, .md, .xml (JUnit) or .txt; several may be named.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files.")]
Inconclusive = Annotated[
    Literal["pass", "fail"] | None,
    typer.Option(
        "--on-inconclusive",
        metavar="WHAT",
        help="What a gate that cannot be decided counts as: pass or fail; exit 3 if not given.",
    ),
]
Ci = Annotated[
    bool,
    typer.Option(
        "--ci", help="No colours or bars; in a GitHub workflow a summary and annotations, too."
    ),
]


def pairs(option: str, words: Sequence[str] | None) -> dict[str, str]:
    """`k=v` to values by key.

    Raises:
        InputError: no key, no value, or two values of one key.
    """
    found: dict[str, str] = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InputError(f"{amounts.told(option, word)}: write KEY=VALUE")
        if found.setdefault(key, value) != value:
            raise InputError(f"{amounts.told(option, word)}: {key} is {found[key]} already")
    return found


def least_share(option: str, text: str | None) -> float | None:
    """`99%` or 0.99, of all there is."""
    share = any_share(option, text)
    if share is not None and share > 1:
        raise InputError(f"{amounts.told(option, text or '')}: at most 100% is possible")
    return share


def any_share(option: str, text: str | None) -> float | None:
    """`2%` or 0.02."""
    return None if text is None else amounts.share(option, text)


def counts(option: str, text: str, most: int) -> tuple[int, ...]:
    """`1,8,32`: numbers of 1 and more, each once.

    Raises:
        InputError: one is no such number.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,10}", part) and 1 <= int(part) <= most for part in parts):
        raise InputError(
            f"{amounts.told(option, text)}: whole numbers from 1 to {most:,}, with commas between"
        )
    return tuple(dict.fromkeys(map(int, parts)))


def threads(text: str | None, default: int | None) -> tuple[int | None, ...]:
    """`1,2`; as many as are configured or, if none are, as the machine grants."""
    return (default,) if text is None else counts("--threads", text, MOST_THREADS)


def sizes(dims: Sequence[str] | None, shapes: Sequence[str] | None) -> tuple[Sizes, ...]:
    """All that `--dim` and `--input-shape` ask for: `H,W=112,224` are two, and so are two shapes of
    one input."""
    from gconvtool.pipeline.sizes import Sizes

    several = [word for word in dims or () if word.count("=") == 1 and "," in word]
    fixed = options.dims([word for word in dims or () if word not in several])
    axes = amounts.axes("--dim", several)
    swept = {name for axis in axes for name in axis[0]}
    if both := sorted(swept & fixed.keys()):
        raise InputError(f"--dim {both[0]}: it has a size already")
    return tuple(
        Sizes({**fixed, **_merged(chosen)}, dict(by_input))
        for by_input in product(*_by_input(shapes))
        for chosen in product(*axes)
    )


def _merged(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: size for part in parts for name, size in part.items()}


def _by_input(words: Sequence[str] | None) -> list[list[tuple[str, tuple[int, ...]]]]:
    """The shapes of each input, each with its name."""
    found: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for word in words or ():
        ((name, shape),) = options.input_shapes([word]).items()
        found.setdefault(name, []).append((name, shape))
    return list(found.values())
