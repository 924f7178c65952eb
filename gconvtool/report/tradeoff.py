"""What a sweep trades for what, in words: for its table and for its picture."""

from __future__ import annotations

from collections.abc import Mapping

from gconvtool.report import words
from gconvtool.results import Sweep

GAINS: Mapping[str, str] = {
    "latency": "faster",
    "macs": "fewer MACs",
    "params": "fewer parameters",
    "size": "smaller",
}


def gained(result: Sweep) -> str:
    """What there is more of than in the original: `faster`."""
    return GAINS[result.objective]


def lost(result: Sweep) -> str:
    """What is lost: `top-1 accuracy`."""
    if result.measure == "points":
        known = result.points[0].drift[0].accuracy_before is not None
        return "top-1 accuracy" if known else "top-1 agreement"
    return "PSNR" if result.measure == "psnr" else "relative error"


def unit(result: Sweep) -> str:
    """What a loss is counted in: `points`, `dB`, `%`."""
    return {"points": "points", "psnr": "dB", "error": "%"}[result.measure]


def amount(result: Sweep, loss: float) -> str:
    """A loss with its unit: `1.2 points`, `0.43 dB`, `3.1 %`."""
    return f"{words.decimal(_counted(result, loss))} {unit(result)}"


def count(result: Sweep, loss: float) -> str:
    """A loss without its unit, which stands beside: `1.2`."""
    return f"{_counted(result, loss):g}"


def _counted(result: Sweep, loss: float) -> float:
    """In its unit."""
    return 100 * loss if result.measure == "error" else loss
