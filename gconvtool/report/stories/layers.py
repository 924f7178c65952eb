"""Where the time goes: a table of layers, what holds some back, and the convolutions' share."""

from __future__ import annotations

from collections.abc import Iterator

from gconvtool.report import words
from gconvtool.report.story import Fact, Part
from gconvtool.report.tables.layer_times import layer_times, microseconds, slowest
from gconvtool.results import LayerTimes


def layer_part(found: LayerTimes, of: str = "") -> Part:
    """The part of a story that is a profile; `of` says of what, where there are several."""
    return Part(f"Layers, {of}" if of else "Layers", layer_times(found), tuple(_facts(found)))


def _facts(found: LayerTimes) -> Iterator[Fact]:
    if slow := ", ".join(_slowest(found)):
        yield "Slowest", slow
    yield from _advice(found)
    yield from (("Caution", warning) for warning in found.warnings)
    yield "Time", f"convolutions take {' and '.join(_shares(found))}"
    yield "", f"medians of {words.plural(found.runs, 'profiled run')}, which are slower than others"


def _slowest(found: LayerTimes) -> Iterator[str]:
    for letter, layer, whole in zip("AB", slowest(found), found.total_us, strict=False):
        run = layer.a if letter == "A" else layer.b
        if run is not None and whole:
            label = "" if found.total_us[1] is None else f"{letter} "
            share = words.percent(run.median_us / whole)
            yield f"{label}{layer.name}, {microseconds(run.median_us)} µs ({share})"


def _advice(found: LayerTimes) -> Iterator[Fact]:
    """A line for each advice, with the layers that it is for."""
    told = [(layer.name, layer.advice) for layer in found.layers if layer.advice is not None]
    for index, (advice, names) in enumerate(words.by_sentence(told).items()):
        yield "" if index else "Advice", f"{words.named(names)}: {advice}"


def _shares(found: LayerTimes) -> Iterator[str]:
    for side, part, whole in zip("AB", found.convolutions_us, found.total_us, strict=True):
        if part is not None and whole:
            of = "the time" if found.total_us[1] is None else f"{side}'s time"
            yield f"{words.percent(part / whole)} of {of}"
