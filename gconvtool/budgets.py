"""Budgets of an analysis: what a network may cost, absolutely or against an earlier one.

A sum with unknown parts is a lower bound: it can break a budget but never keep one, so that the
answer is then "cannot tell".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gconvtool.results import Analysis, Gate, Totals

FIGURES = ("macs", "flops", "params", "peak_memory")
"""What can be limited; `peak_memory` is of activations, in bytes."""


@dataclass(frozen=True)
class Increase:
    """How much a figure may grow: by a share in percent, or by an absolute amount."""

    amount: float
    percent: bool


@dataclass(frozen=True)
class Limits:
    """What was asked for. `most` are absolute limits by figure; `growth` needs a baseline."""

    most: Mapping[str, int] = field(default_factory=dict)
    growth: Mapping[str, Increase] = field(default_factory=dict)
    baseline: Totals | None = None


def judge(analysis: Analysis, limits: Limits) -> tuple[Gate, ...]:
    """Every limit, and whether the network keeps it."""
    return (*_absolute(analysis.totals, limits), *_relative(analysis.totals, limits))


def _absolute(totals: Totals, limits: Limits) -> Iterator[Gate]:
    for figure, limit in limits.most.items():
        value = _figure(totals, figure)
        yield Gate(f"max_{figure}", limit, value, _verdict(value, limit, _exact(totals, figure)))


def _relative(totals: Totals, limits: Limits) -> Iterator[Gate]:
    for figure, increase in limits.growth.items():
        name = f"max_increase_{figure}" + ("_percent" if increase.percent else "")
        yield Gate(name, increase.amount, *_grown(limits.baseline, totals, figure, increase))


def _grown(
    base: Totals | None, totals: Totals, figure: str, increase: Increase
) -> tuple[float | None, bool | None]:
    """By how much a figure has grown, and whether it may."""
    before = None if base is None or not _exact(base, figure) else _figure(base, figure)
    now = _figure(totals, figure)
    if before is None or now is None:
        return None, None
    growth = _growth(before, now, increase.percent)
    if growth is None:
        return None, False
    return growth, _verdict(growth, increase.amount, _exact(totals, figure))


def _growth(before: int, now: int, percent: bool) -> float | None:
    """None is growth from nothing, which no percentage allows."""
    if not percent:
        return now - before
    if before == 0:
        return 0.0 if now == 0 else None
    return 100 * (now - before) / before


def _verdict(value: float | None, limit: float, exact: bool) -> bool | None:
    if value is None:
        return None
    return False if value > limit else True if exact else None


def _figure(totals: Totals, figure: str) -> int | None:
    if figure == "peak_memory":
        return totals.peak_activation_bytes
    return {"macs": totals.macs, "flops": totals.flops, "params": totals.params}[figure]


def _exact(totals: Totals, figure: str) -> bool:
    return totals.exact or figure not in ("macs", "flops")
