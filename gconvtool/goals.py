"""What a search is for, in words, as the command line has them.

    --max-drop 1% | 0.5dB | 0.02, --min-snr 30dB      limits on what is lost
    --metric module:function, --max-drop 0.01 | 1%    the same on a score of the user's own
    --min-speedup 2, --max-macs 50% | 300M            limits on what it costs
    --objective latency | macs | params | size        what is made small within the first kind

`gconvtool.limits` says what they mean. Without any, a point may be lost and time is made small.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isfinite

from gconvtool.errors import InputError
from gconvtool.limits import (
    OBJECTIVES,
    SCORED,
    CostLimit,
    Goal,
    Limit,
    LossKind,
    LossLimit,
    Objective,
    Score,
)

DEFAULT_LIMIT = LossLimit("points", 1)
DEFAULT_SCORED = LossLimit("ratio", 1)
DEFAULT_OBJECTIVE: Objective = "latency"
NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?) ?(%|[a-z]*)", re.IGNORECASE)
"""A number and its unit."""
DROPS: Mapping[str, LossKind] = {"%": "points", "db": "psnr", "": "error"}
COUNTS: Mapping[str, int] = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
MOST_MACS = 1e18
"""Further than any network."""


def goal(
    *,
    max_drop: str | None = None,
    min_snr: str | None = None,
    min_speedup: str | None = None,
    max_macs: str | None = None,
    objective: str | None = None,
    metric: str | Score | None = None,
) -> Goal:
    """What was asked for, in at most one limit.

    Args:
        max_drop: `1%` (points of accuracy, or of agreement without labels), `0.5dB` (of PSNR
            against targets), `0.02` (relative output error); with a metric `0.01` of its score,
            or `1%` of the original's.
        min_snr: `30dB`, of the outputs against the original's.
        min_speedup: `2`, and then the least loss.
        max_macs: `50%` or `300M`, and then the least loss.
        objective: what is made small: `latency`, `macs`, `params` or `size`.
        metric: a function, or the `module:function` where it is, that scores all outputs:
            `score(outputs: Mapping[str, ndarray], labels: ndarray | None) -> float`, the higher
            the better. Arrays have samples along their first axis; labels are those of the data.

    Raises:
        InputError: a word that is not understood, two limits, an objective beside a limit on
            another cost, or a metric beside a limit on another loss.
    """
    words: tuple[tuple[Callable[[str], Limit], str | None], ...] = (
        (drop if metric is None else scored_drop, max_drop),
        (snr, min_snr),
        (speedup, min_speedup),
        (macs, max_macs),
    )
    limits = [read(text) for read, text in words if text is not None]
    if len(limits) > 1:
        raise InputError(f"{' and '.join(map(str, limits))}: give one limit")
    default = DEFAULT_LIMIT if metric is None else DEFAULT_SCORED
    found = _with_objective(limits[0] if limits else default, objective)
    if metric is not None and found.limit.kind not in SCORED:
        raise InputError(
            f"--metric scores what is lost: give it with --max-drop, not {found.limit}"
        )
    return replace(found, metric=metric)


def drop(text: str) -> LossLimit:
    """`1%`: points of accuracy; `0.5dB`: of PSNR; `0.02`: relative output error.

    Raises:
        InputError: it is none of these.
    """
    said = _said("--max-drop", text)
    number, unit = _number(text)
    if number is None or unit not in DROPS:
        raise InputError(
            f"{said}: write 1% (points of accuracy), 0.5dB (PSNR against targets) "
            "or 0.02 (relative output error)"
        )
    if unit == "%" and number > 100:
        raise InputError(f"{said}: there are only 100 points to lose")
    if unit == "" and number >= 1:
        raise InputError(
            f"{said}: an output of zeros has a relative error of 1, so that this is no limit; "
            "write less, such as 0.02, or 1% for points of accuracy"
        )
    return LossLimit(DROPS[unit], number)


def scored_drop(text: str) -> LossLimit:
    """`0.01`: of a metric's score; `1%`: of what the original scores.

    Raises:
        InputError: it is neither.
    """
    number, unit = _number(text)
    if number is None or unit not in ("%", ""):
        raise InputError(
            f"{_said('--max-drop', text)}: with --metric write 0.01 (of its score) or 1% (of what "
            "the original scores)"
        )
    return LossLimit("ratio" if unit else "score", number)


def snr(text: str) -> LossLimit:
    """`30dB`: of the output against the original's.

    Raises:
        InputError: it is no such ratio, or not above 0 dB, which an output of zeros has.
    """
    number, unit = _number(text)
    if not number or unit not in ("db", ""):
        raise InputError(f"{_said('--min-snr', text)}: write a ratio above 0 dB such as 30dB")
    return LossLimit("snr", number)


def speedup(text: str) -> CostLimit:
    """`2`, or `2x`: how many times as fast.

    Raises:
        InputError: it is no such factor, or not above 1.
    """
    number, unit = _number(text)
    if number is None or number <= 1 or unit not in ("x", ""):
        raise InputError(f"{_said('--min-speedup', text)}: write a factor above 1 such as 2 or 1.5")
    return CostLimit("speedup", number)


def macs(text: str) -> CostLimit:
    """`50%` of those before, or `300M`.

    Raises:
        InputError: it is neither, or more than there are before.
    """
    number, unit = _number(text)
    if number and unit == "%" and number <= 100:
        return CostLimit("share", number)
    count = number * COUNTS[unit] if number and unit in COUNTS else 0
    if not 1 <= count <= MOST_MACS or (unit == "" and count % 1):
        said = _said("--max-macs", text)
        raise InputError(f"{said}: write a share of today's such as 50%, or a number such as 300M")
    return CostLimit("count", round(count))


def _with_objective(limit: Limit, text: str | None) -> Goal:
    objective = next((known for known in OBJECTIVES if known == text), None)
    if text is not None and objective is None:
        said = _said("--objective", text)
        raise InputError(f"{said}: write one of {', '.join(OBJECTIVES)}")
    if isinstance(limit, LossLimit):
        return Goal(limit, objective or DEFAULT_OBJECTIVE)
    if objective not in (None, limit.objective):
        raise InputError(
            f"--objective {objective}: within {limit} the loss is made small; leave out one of them"
        )
    return Goal(limit, limit.objective)


def _number(text: str) -> tuple[float | None, str]:
    """A finite number, or None, and its unit in small letters."""
    match = NUMBER.fullmatch(text.strip())
    if match is None or not isfinite(float(match[1])):
        return None, ""
    return float(match[1]), match[2].lower()


def _said(option: str, text: str) -> str:
    """An option and its word, as they could be typed again."""
    return f"{option} {shlex.quote(text)}"
