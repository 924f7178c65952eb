"""Numbers and results in words: what tables, lines and pages have in common."""

from __future__ import annotations

from gconvtool.facts import Shape, describe_shape
from gconvtool.results import Comparison, Drift, Gate, Layer, Totals

PROVIDER_NAMES = {"cpu": "CPU", "cuda": "CUDA"}


def number(value: int | None) -> str:
    """All digits, in groups of three; `?` for what is not known."""
    return "?" if value is None else f"{value:,}"


def plural(count: int, what: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def total(value: int, exact: bool) -> str:
    """A sum, marked as a lower bound where a part of it is unknown."""
    return number(value) if exact else f"≥ {number(value)}"


def share(part: int | None, whole: Totals) -> str:
    """Percent of all MACs; nothing where those are a lower bound only."""
    if part is None:
        return "?"
    if not whole.exact or not whole.macs:
        return ""
    return percent(part / whole.macs)


def ratio(before: Totals, after: Totals, what: str) -> str:
    """How many times less is left, in words."""
    if what == "macs" and not (before.exact and after.exact):
        return ""
    old, new = (before.macs, after.macs) if what == "macs" else (before.params, after.params)
    if not old or not new:
        return ""
    if old == new:
        return "the same"
    return f"{old / new:.2f}x fewer" if old > new else f"{new / old:.2f}x more"


def feature_map(shape: Shape) -> str:
    """A shape without its batch."""
    return describe_shape(shape if shape is None else shape[1:])


def kernel(layer: Layer) -> str:
    """`3×3 /2 g4`: size, then stride and groups where they are not 1."""
    if layer.kernel is None:
        return ""
    parts = ["×".join(map(str, layer.kernel))]
    strides = set(layer.strides or (1,))
    if strides != {1}:
        parts.append(
            "/" + "×".join(map(str, strides if len(strides) == 1 else layer.strides or ()))
        )
    if layer.groups not in (None, 1):
        parts.append(f"g{layer.groups}")
    return " ".join(parts)


def percent(value: float) -> str:
    """A share as percent with one decimal."""
    return f"{100 * value:.1f} %"


def drift(part: Drift) -> str:
    """One output's drift on one line."""
    words = []
    if part.relative_error is not None:
        words.append(f"relative error {100 * part.relative_error:.3g} %")
    if part.snr_db is not None:
        words.append(f"SNR {part.snr_db:.1f} dB")
    if part.cosine is not None:
        words.append(f"cosine {part.cosine:.5f}")
    if part.top1_agreement is not None:
        words.append(f"top-1 agreement {percent(part.top1_agreement)}")
    return ", ".join(words) or "identical"


def quality(part: Drift) -> str | None:
    """What was lost against labels or a target, if there are any."""
    if part.accuracy_before is not None and part.accuracy_after is not None:
        return (
            f"top-1 {percent(part.accuracy_before)} → {percent(part.accuracy_after)} "
            f"on {part.samples:,} samples"
        )
    if part.psnr_before is not None and part.psnr_after is not None:
        return (
            f"PSNR {part.psnr_before:.2f} dB → {part.psnr_after:.2f} dB on {part.samples:,} samples"
        )
    return None


def verdict(result: Comparison) -> str:
    """The comparison in one line."""
    where = f"on {PROVIDER_NAMES[result.provider]}, {_threads(result.threads)}"
    first = result.drift[0]
    lost = quality(first)
    if lost is None and first.top1_agreement is not None:
        lost = f"top-1 agreement {percent(first.top1_agreement)} on {result.drift_source}"
    return f"{_pace(result)} {where}" + (f"; {lost}" if lost else "")


def gate(answer: Gate) -> str:
    """A limit and whether it held."""
    verdicts = {True: "held", False: "FAILED", None: "cannot tell"}
    unit = "x" if answer.name == "min_speedup" else " points"
    value = "unknown" if answer.value is None else f"{answer.value:.2f}{unit}"
    option = "--" + answer.name.replace("_", "-")
    return f"{option} {answer.limit:g}: {verdicts[answer.passed]} ({value})"


def _pace(result: Comparison) -> str:
    speed, verdict = result.judgement.speedup, result.judgement.verdict
    if verdict == "faster":
        return f"B is {speed.estimate:.2f}x faster (95 % {speed.low:.2f}–{speed.high:.2f})"
    if verdict == "slower":
        slow = 1 / speed.estimate, 1 / speed.high, 1 / speed.low
        return f"B is {slow[0]:.2f}x slower (95 % {slow[1]:.2f}–{slow[2]:.2f})"
    interval = f"speed-up {speed.estimate:.2f}x, 95 % {speed.low:.2f}–{speed.high:.2f}"
    if verdict == "same":
        return f"A and B are equally fast ({interval})"
    return f"Inconclusive: too noisy to tell A from B ({interval})"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
