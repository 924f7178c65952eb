"""An analysis and what else is asked: what if, at which sizes, under which roof and limits."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import TypeAlias

from gconvtool import budgets, costs, roofline, whatif
from gconvtool.budgets import Limits
from gconvtool.errors import GconvError, InputError
from gconvtool.explain import explain
from gconvtool.facts import nested
from gconvtool.graph.shapes import Names, names
from gconvtool.pipeline.source import (
    Feed,
    Model,
    Network,
    Progress,
    Reading,
    count,
    read,
    silent,
)
from gconvtool.recipes import Recipe
from gconvtool.results import (
    Analysis,
    Explanation,
    Failed,
    Roofline,
    Study,
    SweepRow,
    WhatIf,
)
from gconvtool.timing import peaks

SECONDS_FOR_PEAKS = 2.0

Axis: TypeAlias = tuple[Mapping[str, int], ...]
"""Sizes that some open dimensions take together, one after the other."""


@dataclass(frozen=True)
class Peaks:
    """A machine's limits: GFLOP/s and GB/s; `measured` on this one if they were not given."""

    gflops: float
    bandwidth_gbs: float
    measured: bool = False


@dataclass(frozen=True)
class Questions:
    """What else is asked about a network.

    `sweep` is a list of axes: each of them gives sizes to some open dimensions, and every
    combination is counted.
    """

    what_if: tuple[Recipe, ...] = ()
    sweep: tuple[Axis, ...] = ()
    peaks: Peaks | None = None
    explain: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)


def what_if(
    model: Model,
    recipe: Recipe,
    *,
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> WhatIf:
    """What a network would cost if its convolutions were rewritten; nothing is.

    Raises:
        InputError: no valid model, or sizes for what it does not have.
    """
    feed = Feed(dims=dims or {}, input_shapes=input_shapes or {})
    reading = read(Network.open(model), feed)
    return whatif.what_if(reading.survey, reading.analysis, recipe)


def study(model: Model, feed: Feed, questions: Questions) -> Study:
    """An analysis, and the answers to everything else that was asked.

    Raises:
        InputError: no valid model, sizes for what it does not have, or a layer that is not there.
    """
    network = Network.open(model)
    names(network.model).check(_swept(questions.sweep), (), "--sweep")
    return _study(network, feed, questions)


def _study(network: Network, feed: Feed, questions: Questions) -> Study:
    reading = read(network, feed, _swept(questions.sweep))
    result = reading.analysis
    return Study(
        analysis=result,
        savings=whatif.savings(reading.survey, result),
        what_if=tuple(whatif.what_if(reading.survey, result, r) for r in questions.what_if),
        roofline=_roofline(result, questions.peaks),
        sweep=tuple(_sweep(network, feed, questions.sweep)),
        explanations=tuple(_explain(reading, name) for name in questions.explain),
        gates=budgets.judge(result, questions.limits),
    )


def studies(
    models: Iterable[str], feed: Feed, questions: Questions, progress: Progress = silent
) -> tuple[Study | Failed, ...]:
    """The same for several files and folders of them; one that fails does not stop the others.

    Sizes are for the models that have such a dimension or input.

    Raises:
        InputError: a folder without any model, or sizes for what no model has.
    """
    paths = tuple(_files(models))
    seen: list[Names] = []
    results = []
    for done, path in enumerate(paths):
        progress(path, done, len(paths))
        results.append(_attempt(path, feed, questions, seen))
    if len(seen) == len(paths):
        every = _together(seen)
        every.check(feed.dims, feed.input_shapes)
        every.check(_swept(questions.sweep), (), "--sweep")
    return tuple(results)


def measure_peaks() -> Peaks:
    """This machine's limits, by numpy's matrix product and copy (about two seconds)."""
    gflops, bandwidth = peaks.measure(time.perf_counter, SECONDS_FOR_PEAKS)
    return Peaks(gflops, bandwidth, measured=True)


def _attempt(path: str, feed: Feed, questions: Questions, seen: list[Names]) -> Study | Failed:
    """One model's answer; what it has is added to what was seen."""
    try:
        network = Network.open(path)
        known = names(network.model)
        seen.append(known)
        sweep = (_only(axis, known) for axis in questions.sweep)
        own = replace(questions, sweep=tuple(axis for axis in sweep if axis))
        return _study(network, feed.only(known), own)
    except GconvError as error:
        return Failed(path, str(error))


def _only(axis: Axis, known: Names) -> Axis:
    """An axis without the dimensions that a model does not have."""
    own = ({name: at[name] for name in at if name in known.dims} for at in axis)
    return tuple(sizes for sizes in own if sizes)


def _together(seen: Sequence[Names]) -> Names:
    dims = frozenset(name for known in seen for name in known.dims)
    inputs = frozenset(name for known in seen for name in known.inputs)
    return Names(dims, inputs, several=len(seen) > 1)


def _swept(axes: Iterable[Axis]) -> frozenset[str]:
    return frozenset(name for axis in axes for sizes in axis for name in sizes)


def _files(models: Iterable[str]) -> Iterator[str]:
    for name in models:
        path = Path(name)
        if not path.is_dir():
            yield name
            continue
        found = sorted(str(file) for file in path.rglob("*.onnx") if file.is_file())
        if not found:
            raise InputError(f"{name}: a folder without any .onnx file")
        yield from found


def _roofline(result: Analysis, limits: Peaks | None) -> Roofline | None:
    if limits is None:
        return None
    return roofline.place(result.layers, limits.gflops, limits.bandwidth_gbs, limits.measured)


def _sweep(network: Network, feed: Feed, axes: Sequence[Axis]) -> Iterator[SweepRow]:
    """Every combination of the axes' sizes; none for no axes."""
    for choice in product(*axes) if axes else ():
        sizes = {name: size for part in choice for name, size in part.items()}
        at = replace(feed, dims={**feed.dims, **sizes})
        yield SweepRow(sizes, count(network, at).totals)


def _explain(reading: Reading, name: str) -> Explanation:
    nodes = {node.name: node for node in nested(reading.survey.nodes)}
    if name not in nodes:
        close = get_close_matches(name, nodes, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else "analyze lists their names"
        raise InputError(f"--explain {name}: no such layer; {hint}")
    row = next((layer for layer in reading.analysis.layers if layer.name == name), None)
    if row is None:
        raise InputError(f"--explain {name}: a {nodes[name].op}, which costs nothing to count")
    survey = reading.survey
    site = survey.sites.get(name) or survey.heads.get(name)
    return explain(nodes[name], site, row, costs.explain(nodes[name]))
