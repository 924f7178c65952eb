"""Words of the command line that stand for amounts: `300M`, `20MB`, `macs=2%`, `H,W=112,160`."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from gconvtool.errors import InputError

if TYPE_CHECKING:
    from gconvtool.budgets import Increase

Axis: TypeAlias = tuple[Mapping[str, int], ...]

COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BYTES = {
    **{f"{prefix}b": factor for prefix, factor in COUNTS.items()},
    **{f"{prefix}ib": 2 ** (10 * power) for power, prefix in enumerate("kmgt", 1)},
    "": 1,
}
NUMBER = r"[0-9](?:[0-9_]{0,30}[0-9])?(?:\.[0-9]{1,30})?"
LARGEST_SIZE = 2**31 - 1
LEAST_MEMORY = 16 * 10**6
LEAST_RATE, LARGEST_RATE = 1e-6, 1e12
"""Further than any machine, and near enough for quotients to stay finite."""


def told(option: str, text: str) -> str:
    """An option and its word, as they could be typed again: nothing is `''`."""
    return f"{option} {shlex.quote(text)}"


def limit(option: str, figure: str, text: str) -> int:
    """`300M`, or `20MB` where the figure is one of memory.

    Raises:
        InputError: it is no such number or size.
    """
    return _amount(told(option, text), figure, text)


def increases(option: str, words: Iterable[str]) -> dict[str, Increase]:
    """`macs=2%,params=0`: how much each figure may grow.

    Raises:
        InputError: a figure that is not limited, or no amount.
    """
    found: dict[str, Increase] = {}
    for part in (part.strip() for word in words for part in word.split(",")):
        said = told(option, part)
        figure, amount = _figure(said, part)
        if figure in found:
            raise InputError(f"{said}: {figure} is limited already")
        found[figure] = _increase(said, figure, amount)
    return found


def axes(option: str, words: Iterable[str]) -> tuple[Axis, ...]:
    """`H,W=112,160,224`: sizes that dimensions take together, one after the other.

    Raises:
        InputError: no names, no sizes, or a dimension that is named twice.
    """
    found, swept = [], set[str]()
    for word in words:
        said = told(option, word)
        names, equals, sizes = word.partition("=")
        dims = [name.strip() for name in names.split(",")]
        if not equals or not all(dims):
            raise InputError(f"{said}: write NAMES=SIZES, for example H,W=112,160,224")
        for name in dims:
            if name in swept:
                raise InputError(f"{said}: {name} is swept already")
            swept.add(name)
        chosen = [size(said, part) for part in sizes.split(",")]
        found.append(tuple(dict.fromkeys(dims, number) for number in chosen))
    return tuple(found)


def size(said: str, text: str) -> int:
    """The size of a dimension.

    Raises:
        InputError: it is no whole number of 1 or more.
    """
    try:
        number = int(text)
    except ValueError:
        raise InputError(f"{said}: {text!r} is not a whole number") from None
    if not 1 <= number <= LARGEST_SIZE:
        raise InputError(f"{said}: a size is 1 or more, and not more than {LARGEST_SIZE:,}")
    return number


def share(option: str, text: str) -> float:
    """`5%`, or 0.05: a part of a whole, which may be more than all of it.

    Raises:
        InputError: it is no such number.
    """
    match = re.fullmatch(rf"({NUMBER})(%?)", text.strip())
    if match is None:
        raise InputError(f"{told(option, text)}: write a share such as 5% or 0.05")
    return float(match[1].replace("_", "")) / (100 if match[2] else 1)


def memory(option: str, text: str) -> int:
    """`2GB`: bytes.

    Raises:
        InputError: it is no size, or so little that nothing fits.
    """
    said = told(option, text)
    size = _scaled(said, text, BYTES, "a size such as 2GB or 512MiB")
    if size < LEAST_MEMORY:
        raise InputError(f"{said}: at least {LEAST_MEMORY // 10**6}MB is needed")
    return size


def file_size(option: str, text: str) -> int:
    """`5MB`: bytes.

    Raises:
        InputError: it is no size.
    """
    return _scaled(told(option, text), text, BYTES, "a size such as 5MB or 65536")


def rate(option: str, number: float) -> float:
    """What a machine does in a second, in thousands of millions.

    Raises:
        InputError: no machine does that.
    """
    if not LEAST_RATE <= number <= LARGEST_RATE:  # nor is nan
        raise InputError(
            f"{option} {number:g}: from {LEAST_RATE:g} to {LARGEST_RATE:g} is expected"
        )
    return number


def _figure(said: str, part: str) -> tuple[str, str]:
    """What is limited, and the amount's word."""
    from gconvtool.budgets import FIGURES

    name, equals, amount = part.partition("=")
    figure = name.strip().replace("-", "_")
    if not equals or figure not in FIGURES:
        known = ", ".join(name.replace("_", "-") for name in FIGURES)
        raise InputError(f"{said}: write FIGURE=AMOUNT, such as macs=2%; figures are {known}")
    return figure, amount.strip()


def _increase(said: str, figure: str, amount: str) -> Increase:
    from gconvtool.budgets import Increase

    if not amount.endswith("%"):
        return Increase(_amount(said, figure, amount), percent=False)
    if not re.fullmatch(NUMBER, amount[:-1]):
        raise InputError(f"{said}: write a percentage such as 2%")
    return Increase(float(amount[:-1]), percent=True)


def _amount(said: str, figure: str, text: str) -> int:
    if figure == "peak_memory":
        return _scaled(said, text, BYTES, "a size such as 20MB, 16MiB or 65536")
    return _scaled(said, text, COUNTS, "a number such as 300M or 5000000")


def _scaled(said: str, text: str, units: Mapping[str, int], what: str) -> int:
    match = re.fullmatch(rf"({NUMBER}) *([a-zA-Z]*)", text.strip())
    unit = match[2].lower() if match else ""
    if match is None or unit not in units:
        raise InputError(f"{said}: write {what}")
    return math.floor(Fraction(match[1].replace("_", "")) * units[unit])
