"""Words of the command line that stand for amounts: `300M`, `20MB`, `macs=2%`, `H,W=112,160`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from gconvtool.errors import InputError

if TYPE_CHECKING:
    from gconvtool.budgets import Increase

COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BYTES = {
    **{f"{prefix}b": factor for prefix, factor in COUNTS.items()},
    **{f"{prefix}ib": 2 ** (10 * power) for power, prefix in enumerate("kmgt", 1)},
    "": 1,
}
LARGEST_SIZE = 2**31 - 1


def count(option: str, text: str) -> int:
    """`300M` or `5000000`; K, M, G and T are thousands.

    Raises:
        InputError: it is no such number.
    """
    return _scaled(option, text, COUNTS, "a number such as 300M or 5000000")


def size_bytes(option: str, text: str) -> int:
    """`20MB`, `16MiB` or a number of bytes.

    Raises:
        InputError: it is no such size.
    """
    return _scaled(option, text, BYTES, "a size such as 20MB, 16MiB or 65536")


def increases(option: str, words: Sequence[str] | None) -> dict[str, Increase]:
    """`macs=2%,params=0`: how much each figure may grow.

    Raises:
        InputError: a figure that is not limited, or no amount.
    """
    from gconvtool.budgets import FIGURES

    found: dict[str, Increase] = {}
    for part in _parts(words):
        name, equals, amount = part.partition("=")
        figure = name.strip().replace("-", "_")
        if not equals or figure not in FIGURES:
            known = ", ".join(name.replace("_", "-") for name in FIGURES)
            raise InputError(f"{option} {part}: write FIGURE=AMOUNT; figures are {known}")
        if figure in found:
            raise InputError(f"{option} {part}: {name} is limited already")
        found[figure] = _increase(option, part, figure, amount.strip())
    return found


def axis(option: str, word: str) -> tuple[Mapping[str, int], ...]:
    """`H,W=112,160,224`: sizes that dimensions take together, one after the other.

    Raises:
        InputError: no names, or no sizes.
    """
    names, equals, sizes = word.partition("=")
    dims = [name.strip() for name in names.split(",")]
    if not equals or not all(dims):
        raise InputError(f"{option} {word}: write NAMES=SIZES, for example H,W=112,160,224")
    chosen = [size(f"{option} {word}", part) for part in sizes.split(",")]
    return tuple(dict.fromkeys(dims, number) for number in chosen)


def size(option: str, text: str) -> int:
    """The size of a dimension.

    Raises:
        InputError: it is no whole number of 1 or more.
    """
    try:
        number = int(text)
    except ValueError:
        raise InputError(f"{option}: {text!r} is not a whole number") from None
    if not 1 <= number <= LARGEST_SIZE:
        raise InputError(f"{option}: a size is 1 or more, and not more than {LARGEST_SIZE:,}")
    return number


def _parts(words: Sequence[str] | None) -> list[str]:
    return [part.strip() for word in words or () for part in word.split(",")]


def _increase(option: str, part: str, figure: str, amount: str) -> Increase:
    from gconvtool.budgets import Increase

    if amount.endswith("%"):
        try:
            percent = float(amount[:-1])
        except ValueError:
            percent = math.nan
        if not math.isfinite(percent):
            raise InputError(f"{option} {part}: write a percentage such as 2%")
        return Increase(percent, percent=True)
    read = size_bytes if figure == "peak_memory" else count
    return Increase(read(f"{option} {part}", amount), percent=False)


def _scaled(option: str, text: str, units: Mapping[str, int], what: str) -> int:
    match = re.fullmatch(r"(\d[\d_]*(?:\.\d+)?)\s*([a-zA-Z]*)", text.strip())
    unit = match[2].lower() if match else ""
    if match is None or unit not in units:
        raise InputError(f"{option} {text}: write {what}")
    return math.floor(Fraction(match[1].replace("_", "")) * units[unit])
