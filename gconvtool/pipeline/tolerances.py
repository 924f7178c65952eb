"""How far model B's outputs may be from model A's, and whether they are closer than that.

The worst output decides. With a and b the values of one, an SNR of L dB is kept where
‖b − a‖ ≤ 10^(−L/20)·‖a‖, and so it is by outputs that are alike, whose SNR is infinite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gconvtool.pipeline.gates import Gates, at_most, losses
from gconvtool.results import Drift, Gate


@dataclass(frozen=True)
class Tolerances:
    """Limits on drift; those that are None were not set.

    `max_abs` is of any value; `min_snr` is in dB; `max_relative_error`, `min_agreement` and
    `max_accuracy_drop` are those of `Gates`.
    """

    max_abs: float | None = None
    max_relative_error: float | None = None
    min_snr: float | None = None
    min_agreement: float | None = None
    max_accuracy_drop: float | None = None


def decide(tolerances: Tolerances, outputs: Sequence[Drift]) -> tuple[Gate, ...]:
    """Every limit that was set; None where an output's figure is not known."""
    shared = Gates(
        max_relative_error=tolerances.max_relative_error,
        min_agreement=tolerances.min_agreement,
        max_accuracy_drop=tolerances.max_accuracy_drop,
    )
    return (*_distances(tolerances, outputs), *losses(shared, outputs))


def _distances(tolerances: Tolerances, outputs: Sequence[Drift]) -> Iterator[Gate]:
    if (limit := tolerances.max_abs) is not None:
        most = max((part.max_abs for part in outputs if part.max_abs is not None), default=None)
        yield at_most("max_abs", limit, most)
    if (limit := tolerances.min_snr) is not None:
        yield _snr(limit, outputs)


def _snr(limit: float, outputs: Sequence[Drift]) -> Gate:
    """An output without an SNR is alike, or it is A's zeros against something: infinitely far."""
    if any(part.relative_error is None for part in outputs):
        return Gate("min_snr", limit, None, False)
    least = min((part.snr_db for part in outputs if part.snr_db is not None), default=None)
    return Gate("min_snr", limit, least, least is None or least >= limit)
