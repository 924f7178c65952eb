"""Numbers and results in words: what tables, lines and pages have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from gconvtool.facts import Shape, describe_shape
from gconvtool.results import (
    Comparison,
    Diagnosis,
    Drift,
    Failed,
    Gate,
    Interval,
    Judgement,
    Layer,
    Study,
    Totals,
)

Convention: TypeAlias = Literal["macs", "flops"]
"""What a page counts in; documents always hold both."""

PROVIDER_NAMES = {"tensorrt": "TensorRT", "openvino": "OpenVINO", "coreml": "CoreML"}
"""Those that are not written in capitals."""
CONVENTIONS: Mapping[Convention, str] = {"macs": "MACs", "flops": "FLOPs"}
INCREASE, PERCENT = "max_increase_", "_percent"
"""Gates against an earlier analysis: `max_increase_macs_percent`, `max_increase_params`."""
UNITS: Mapping[str, str] = {
    "min_speedup": "x",
    "max_slowdown": "x",
    "max_accuracy_drop": " points",
    "max_p95": " ms",
    "min_snr": " dB",
    "max_abs": "",
}
"""Gates whose limits are fractions."""
SHARES = ("max_relative_error", "min_agreement", "max_regression")
"""Gates whose limits are shares. All others limit whole numbers."""
OF_ZEROS = "infinitely far, since A's are zeros"
WITHOUT_VALUE: Mapping[tuple[str, bool | None], str] = {
    ("min_snr", True): "no difference",
    ("min_snr", False): OF_ZEROS,
    ("max_relative_error", False): OF_ZEROS,
}
"""What is found where there is no number for it."""
BASELINE = "max_regression"
"""The gate that comes with a baseline, and is no option."""
STACK = 24
"""Columns of a formula or a shape; a longer one goes on in the next line."""
NAMED = 3
"""How many layers a line names before it counts the others."""


def printable(text: str) -> str:
    """Names as they are, but what steers a terminal, or breaks a line, as an escape: `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def number(value: int | None) -> str:
    """All digits, in groups of three; `?` for what is not known."""
    return "?" if value is None else f"{value:,}"


def plural(count: int, what: str) -> str:
    """`1 node`, `2 nodes`, `2 searches`."""
    many = f"{what}es" if what.endswith("ch") else f"{what}s"
    return f"{count:,} {what if count == 1 else many}"


def total(value: int, exact: bool) -> str:
    """A sum, marked as a lower bound where a part of it is unknown."""
    return number(value) if exact else f"≥ {number(value)}"


def cost(macs: int | None, convention: Convention) -> int | None:
    """MACs in the unit of a convention."""
    return macs if macs is None or convention == "macs" else 2 * macs


def whole_cost(totals: Totals, convention: Convention) -> str:
    """A sum in the unit of a convention, marked where it is a lower bound."""
    return total(totals.macs if convention == "macs" else totals.flops, totals.exact)


def layer_cost(layer: Layer, convention: Convention) -> str:
    """A layer's number, or else its formula, or else `?`."""
    if layer.macs is None and layer.macs_formula is not None:
        return formula(layer.macs_formula, convention)
    return number(cost(layer.macs, convention))


def stacked(text: str) -> str:
    """A formula or a shape in lines of at most STACK columns, where its factors allow that."""
    if len(text) <= STACK:
        return printable(text)
    lines = [""]
    for part in re.split(r"(?<=[·×])|(?<= )(?=\+ )", printable(text)):
        if lines[-1] and len(lines[-1] + part.rstrip()) > STACK:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def unstacked(text: str) -> str:
    """A formula or a shape in one line again."""
    return text.replace("\n+", " +").replace("\n", "")


def formula(text: str, convention: Convention) -> str:
    """MACs with open dimensions in the unit of a convention: `2·(9·H + 3)`."""
    if convention == "macs":
        return text
    return f"2·({text})" if " + " in text else f"2·{text}"


def size(value: int | None) -> str:
    """Bytes in the largest binary unit that leaves a whole: `1.5 MiB`."""
    if value is None:
        return "?"
    if value < 1024:
        return plural(value, "byte")
    units = ("KiB", "MiB", "GiB")
    power = min((value.bit_length() - 1) // 10, len(units))
    return f"{value / 1024**power:,.1f} {units[power - 1]}"


def decimal(value: float) -> str:
    """Three figures, and all of those before the point: `1,235`, `12.3`, `0.0123`."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def difference(before: int | None, after: int | None) -> str:
    """How much more there is after: `+1,152`, `-3`, `0`."""
    if before is None or after is None:
        return "?"
    return f"{after - before:+,}" if after != before else "0"


def times(before: int | None, after: int | None) -> str:
    """How many times as much there is after: `0.25x`; nothing where there was nothing."""
    if before is None or after is None:
        return "?"
    return f"{decimal(after / before)}x" if before else ""


def named(layers: Sequence[str]) -> str:
    """The first few names, and how many there are beyond."""
    more = len(layers) - NAMED
    return ", ".join(layers[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def by_sentence(facts: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names that each sentence is said of, from pairs of both."""
    groups: dict[str, list[str]] = {}
    for name, sentence in facts:
        groups.setdefault(sentence, []).append(name)
    return groups


def model_or_reason(result: Study | Failed) -> str:
    """A model's name, with why it could not be analysed where it could not."""
    if isinstance(result, Study):
        return result.analysis.model
    named = result.message.startswith(result.model)
    return result.message if named else f"{result.model}: {result.message}"


def trips(layer: Layer) -> str:
    """How often a part of a layer runs: `×10`, `not taken`; nothing for once."""
    if layer.times is None:
        return "×?"
    return {0: "not taken", 1: ""}.get(layer.times, f"×{layer.times:,}")


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
    return describe_shape(None if shape is None else shape[1:])


def sizes(dims: Mapping[str, int]) -> str:
    """`N = 1, H = 224`."""
    return ", ".join(f"{name} = {size}" for name, size in dims.items())


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
    first = result.drift[0]
    lost = quality(first)
    if lost is None and first.top1_agreement is not None:
        lost = f"top-1 agreement {percent(first.top1_agreement)} on {result.drift_source}"
    where = setting(result.provider, result.threads)
    return f"{pace(result.judgement)} {where}" + (f"; {lost}" if lost else "")


def diagnosis(result: Diagnosis) -> str:
    """What a diagnosis comes to, in one line."""
    failed, warned = result.count("failed"), result.count("warning")
    if failed:
        return f"{plural(failed, 'check')} FAILED: timing needs what is missing"
    if warned:
        return f"It works; {plural(warned, 'warning')} on what may blur or block a measurement"
    return "All is well"


def setting(provider: str, threads: int) -> str:
    """Where models ran: `on CPU, 2 threads`."""
    return f"on {provider_name(provider)}, {plural(threads, 'thread')}"


def provider_name(provider: str) -> str:
    """What a provider is called: `CPU`, `TensorRT`."""
    return PROVIDER_NAMES.get(provider, provider.upper())


def interval(found: Interval) -> str:
    """The bounds of a factor."""
    return f"95 % {found.low:.2f}–{found.high:.2f}"


def gate(answer: Gate) -> str:
    """A limit and whether it held."""
    return f"{limit(answer)}: {gate_verdict(answer)} ({gate_value(answer)})"


def gate_verdict(answer: Gate) -> str:
    """Whether a limit held, in a word or two."""
    return {True: "held", False: "FAILED", None: "cannot tell"}[answer.passed]


def limit(answer: Gate) -> str:
    """A limit as it would be typed: `--max-macs 300,000,000`, `--max-increase macs=2%`."""
    name = answer.name.replace("_", "-")
    if answer.name == BASELINE:
        return f"--baseline, at most {100 * answer.limit:g}% lost"
    if answer.name in UNITS:
        return f"--{name} {answer.limit:g}"
    if answer.name in SHARES:
        return f"--{name} {100 * answer.limit:.6g}%"
    if not answer.name.startswith(INCREASE):
        return f"--{name} {answer.limit:,.0f}{_bytes(answer)}"
    figure = name.removeprefix(INCREASE.replace("_", "-")).removesuffix("-percent")
    amount = f"{answer.limit:g}%" if _in_percent(answer) else f"{answer.limit:,.0f}"
    return f"--max-increase {figure}={amount}{_bytes(answer)}"


def gate_value(answer: Gate) -> str:
    """What was found, in the unit of the limit and with enough digits to tell it from that."""
    if answer.value is None:
        other = "more than none" if answer.passed is False else "unknown"
        return WITHOUT_VALUE.get((answer.name, answer.passed), other)
    if answer.name in UNITS:
        return f"{_apart(answer.value, answer.limit)}{UNITS[answer.name]}"
    if answer.name in SHARES:
        return f"{_apart(100 * answer.value, 100 * answer.limit)} %"
    bound = "≥ " if answer.passed is None else ""
    if _in_percent(answer):
        return f"{bound}{answer.value:+.6g} %"
    sign = "+" if answer.name.startswith(INCREASE) else ""
    return f"{bound}{answer.value:{sign},.0f}{_bytes(answer)}"


def _apart(value: float, limit: float) -> str:
    """Two decimals, or as many figures as tell a value from zero and its side of the limit."""
    texts = (f"{value:.2f}", f"{value:.3g}", f"{value:.6g}")
    return next((t for t in texts if _is_clear(float(t), value, limit)), str(value))


def _is_clear(shown: float, value: float, limit: float) -> bool:
    """Whether what is shown lies where the value does, and near it."""
    alike = (shown < limit, shown > limit) == (value < limit, value > limit)
    return shown == value or (alike and abs(shown - value) <= abs(value) / 20)


def _in_percent(answer: Gate) -> bool:
    return answer.name.startswith(INCREASE) and answer.name.endswith(PERCENT)


def _bytes(answer: Gate) -> str:
    sizes = "memory" in answer.name or answer.name == "max_size"
    return " bytes" if sizes and not _in_percent(answer) else ""


def pace(judged: Judgement, a: str = "A", b: str = "B") -> str:
    """Which of two models is faster, and by how much."""
    speed, verdict = judged.speedup, judged.verdict
    if verdict == "faster":
        return f"{b} is {speed.estimate:.2f}x faster ({interval(speed)})"
    if verdict == "slower":
        slow = Interval(1 / speed.estimate, 1 / speed.high, 1 / speed.low)
        return f"{b} is {slow.estimate:.2f}x slower ({interval(slow)})"
    found = f"speed-up {speed.estimate:.2f}x, {interval(speed)}"
    if verdict == "same":
        return f"{a} and {b} are equally fast ({found})"
    return f"Inconclusive: too noisy to tell {a} from {b} ({found})"


def milliseconds(value: float | None) -> str:
    """A time, to three digits: `1.04 ms`."""
    if value is None:
        return "–"
    return f"{value:.0f} ms" if value >= 100 else f"{value:#.3g} ms"
