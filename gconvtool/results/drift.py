"""How far apart two models' outputs are, which is what `verify` answers."""

from __future__ import annotations

from dataclasses import dataclass

from gconvtool.results.gate import Gate


@dataclass(frozen=True)
class Drift:
    """How far one output of model B is from model A's on the same inputs.

    With a and b all values of the output over all samples: relative_error = ||b - a|| / ||a||,
    snr_db = -20·log10(relative_error), cosine = <a, b> / (||a||·||b||). top1_agreement is the
    share of samples whose largest class is the same, top5_agreement of those where A's largest
    class is among B's five largest; accuracies need labels, PSNRs a target.

    `max_abs`, `mean_abs` and the quantiles `p50_abs`, `p90_abs` and `p99_abs` are of |b - a|, value
    by value; the quantiles are within 1 %.
    """

    output: str
    samples: int
    relative_error: float | None
    snr_db: float | None
    cosine: float | None
    top1_agreement: float | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    psnr_before: float | None = None
    psnr_after: float | None = None
    max_abs: float | None = None
    mean_abs: float | None = None
    p50_abs: float | None = None
    p90_abs: float | None = None
    p99_abs: float | None = None
    top5_agreement: float | None = None


@dataclass(frozen=True)
class Verification:
    """Two models' outputs compared on the same inputs, and the tolerances that were set."""

    a: str
    b: str
    drift: tuple[Drift, ...]
    source: str
    gates: tuple[Gate, ...] = ()
    provider: str = "cpu"
    warnings: tuple[str, ...] = ()
