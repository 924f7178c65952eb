"""How far a search may go: what may be lost, or what has to be saved, and whether that holds.

With outputs a of the original and b of the converted network, a loss is counted in

    points   100·(accuracy before − after); without labels 100·(1 − agreement of the largest class)
    psnr     PSNR before − after, in dB
    error    ‖b − a‖ / ‖a‖
    snr      the same, as an SNR of −20·log10(error) dB
    score    s(a) − s(b), of a function s of the user's own, which is higher for better outputs
    ratio    100·(s(a) − s(b)) / |s(a)|

Each is zero where nothing is lost, and what is gained is no loss. Of several outputs the worst
counts, of those that have labels, targets or classes at all; but an output whose error is not known
leaves the whole unknown. The other limits are on costs:

    speedup  before / after, in time
    share    after / before, in percent of the MACs
    count    after, in MACs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, log10
from typing import Any, Literal, TypeAlias, get_args

from gconvtool.errors import InputError
from gconvtool.results import Drift

Objective: TypeAlias = Literal["latency", "macs", "params", "size"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
LossKind: TypeAlias = Literal["points", "psnr", "error", "snr", "score", "ratio"]
CostKind: TypeAlias = Literal["speedup", "share", "count"]

FORMS: Mapping[LossKind | CostKind, tuple[str, str]] = {
    "points": ("--max-drop", "%"),
    "psnr": ("--max-drop", "dB"),
    "error": ("--max-drop", ""),
    "snr": ("--min-snr", "dB"),
    "score": ("--max-drop", ""),
    "ratio": ("--max-drop", "%"),
    "speedup": ("--min-speedup", "x"),
    "share": ("--max-macs", "%"),
    "count": ("--max-macs", ""),
}
"""How a limit is written: its option, and the unit behind the number."""
SCORED: tuple[LossKind, ...] = ("score", "ratio")
"""Losses of a score, which go with a metric."""
Score: TypeAlias = Callable[[Mapping[str, Any], Any], float]
"""Arrays of outputs by name, samples along the first axis, and their labels, None where there are
none → a finite number, the higher the better."""
ROUNDING = 1e-9
"""Relative: so much over a limit is the rounding of its own arithmetic."""


@dataclass(frozen=True)
class Judged:
    """What was used of what is allowed, in one measure; None where it is not known."""

    used: float | None
    most: float

    @property
    def limit(self) -> float:
        """The most that holds: reaching what is allowed is no fault of rounding."""
        return self.most * (1 + ROUNDING)

    @property
    def over(self) -> float | None:
        """By how much it is over the limit; below zero is what is left."""
        return None if self.used is None else self.used - self.most

    @property
    def holds(self) -> bool | None:
        """Whether the limit is kept; None: cannot tell."""
        return None if self.used is None else self.used <= self.limit


@dataclass(frozen=True)
class Evidence:
    """What is known of a conversion: how far its outputs drifted, none where they are not finite,
    and their score before and after, where a metric is asked."""

    drifts: tuple[Drift, ...] = ()
    scores: tuple[float, float] | None = None


@dataclass(frozen=True)
class LossLimit:
    """At most so much may be lost; `amount` is as it was said, an SNR in dB."""

    kind: LossKind
    amount: float

    def __str__(self) -> str:
        return _written(self.kind, self.amount)

    @property
    def most(self) -> float:
        """The largest loss that is allowed, in the measure of `lost`."""
        return 10 ** (-self.amount / 20) if self.kind == "snr" else self.amount

    def lost(self, evidence: Evidence) -> float | None:
        """What a conversion lost, zero or more; None where that cannot be told."""
        losses = _LOSSES[self.kind](evidence)
        known = [loss for loss in losses if loss is not None and not isnan(loss)]
        return max(0.0, *known) if known and len(known) == len(losses) else None

    def judge(self, evidence: Evidence) -> Judged:
        """Whether a conversion keeps the limit."""
        return Judged(self.lost(evidence), self.most)

    def told(self, lost: float) -> str:
        """A loss in the unit of the limit, for people: `0.8%`, `34.9dB`."""
        if self.kind == "snr":
            lost = -20 * log10(lost) if lost else inf
        return f"{lost:.3g}{FORMS[self.kind][1]}"


@dataclass(frozen=True)
class CostLimit:
    """At most so much may be left of a cost; `amount` is a factor, a percentage or a number."""

    kind: CostKind
    amount: float

    def __str__(self) -> str:
        return _written(self.kind, self.amount)

    @property
    def objective(self) -> Objective:
        """What is limited."""
        return "latency" if self.kind == "speedup" else "macs"

    def most(self, before: float) -> float:
        """The largest cost that is allowed, where it was `before`."""
        if self.kind == "speedup":
            return before / self.amount
        return before * self.amount / 100 if self.kind == "share" else self.amount

    def judge(self, before: float, after: float) -> Judged:
        """Whether a conversion from one cost to another keeps the limit."""
        return Judged(after, self.most(before))

    def told(self, before: float, after: float) -> str:
        """What is left of a cost, in the unit of the limit: `1.8x`, `48%`, `300,000`."""
        if self.kind == "speedup":
            return f"{before / after:.2f}x"
        return f"{100 * after / before:.3g}%" if self.kind == "share" else f"{after:,.0f}"


Limit: TypeAlias = LossLimit | CostLimit


@dataclass(frozen=True)
class Goal:
    """What is made small, and within what; under a limit on costs it is the loss.

    `metric` scores outputs, or is the `module:function` that does.
    """

    limit: Limit
    objective: Objective
    metric: str | Score | None = None


def require(limit: Limit, *, classes: bool, target: bool, score: float | None = None) -> None:
    """See that a limit can be judged, before any work: some output holds scores of classes, the
    data a target, the original's score is not zero.

    Raises:
        InputError: it cannot.
    """
    if limit.kind == "points" and not classes:
        raise InputError(
            f"{limit}: no output holds scores of classes, samples × classes, to count points of; "
            "limit the output error (--max-drop 0.02) or the SNR (--min-snr 30dB)"
        )
    if limit.kind == "psnr" and not target:
        raise InputError(
            f"{limit}: a PSNR needs targets: give --data an .npz with a target array, shaped like "
            "the first output, or limit the SNR against the original (--min-snr 30dB)"
        )
    if limit.kind == "ratio" and not score:
        raise InputError(
            f"{limit}: the original's score is 0, and of that there is no share; write a plain "
            "number such as --max-drop 0.01"
        )


def _written(kind: LossKind | CostKind, amount: float) -> str:
    """The limit as it would be typed, to the last digit."""
    option, unit = FORMS[kind]
    return f"{option} {str(amount).removesuffix('.0')}{unit}"


_Losses: TypeAlias = Sequence[float | None]


def _points(evidence: Evidence) -> _Losses:
    drifts = evidence.drifts
    pairs = [(drift.accuracy_before, drift.accuracy_after) for drift in drifts]
    lost = [100 * (a - b) for a, b in pairs if a is not None and b is not None]
    agreed = [drift.top1_agreement for drift in drifts]
    return lost or [100 * (1 - share) for share in agreed if share is not None]


def _decibels(evidence: Evidence) -> _Losses:
    pairs = [(drift.psnr_before, drift.psnr_after) for drift in evidence.drifts]
    return [a - b for a, b in pairs if a is not None and b is not None]


def _errors(evidence: Evidence) -> _Losses:
    return [drift.relative_error for drift in evidence.drifts]


def _score(evidence: Evidence) -> _Losses:
    return [] if evidence.scores is None else [evidence.scores[0] - evidence.scores[1]]


def _ratio(evidence: Evidence) -> _Losses:
    before = None if evidence.scores is None else evidence.scores[0]
    return [100 * lost / abs(before) for lost in _score(evidence) if lost is not None and before]


_LOSSES: Mapping[LossKind, Callable[[Evidence], _Losses]] = {
    "points": _points,
    "psnr": _decibels,
    "error": _errors,
    "snr": _errors,
    "score": _score,
    "ratio": _ratio,
}
