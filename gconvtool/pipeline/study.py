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
from gconvtool.facts import Skip, nested
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
NO_SUCH_LAYER = "no such layer"

Axis: TypeAlias = tuple[Mapping[str, int], ...]
"""Sizes that some open dimensions take together, one after the other."""
Unexplained: TypeAlias = Mapping[str, Skip]
"""The layers that one model could not explain, and why."""


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
    result, unexplained = _study(network, feed, questions)
    _check_explained(questions.explain, (unexplained,))
    return result


def _study(network: Network, feed: Feed, questions: Questions) -> tuple[Study, Unexplained]:
    """A network's answers, and which layers it could not explain."""
    reading = read(network, feed, _swept(questions.sweep))
    result = reading.analysis
    told = [(name, _explain(reading, name)) for name in questions.explain]
    answers = Study(
        analysis=result,
        savings=whatif.savings(reading.survey, result),
        what_if=tuple(whatif.what_if(reading.survey, result, r) for r in questions.what_if),
        roofline=_roofline(result, questions.peaks),
        sweep=tuple(_sweep(network, feed, questions.sweep)),
        explanations=tuple(said for _, said in told if isinstance(said, Explanation)),
        gates=budgets.judge(result, questions.limits),
    )
    return answers, {name: said for name, said in told if isinstance(said, Skip)}


def studies(
    models: Iterable[str], feed: Feed, questions: Questions, progress: Progress = silent
) -> tuple[Study | Failed, ...]:
    """The same for several files and folders of them; one that fails does not stop the others.

    Sizes are for the models that have such a dimension or input, and a layer is explained in those
    that have it.

    Raises:
        InputError: a folder without any model, or sizes or a layer that no model has.
    """
    paths = tuple(_files(models))
    seen: list[Names] = []
    unexplained: list[Unexplained] = []
    results = []
    for done, path in enumerate(paths):
        progress(path, done, len(paths))
        results.append(_attempt(path, feed, questions, seen, unexplained))
    if len(unexplained) == len(paths):
        _check_explained(questions.explain, unexplained)
    if len(seen) == len(paths):
        every = _together(seen)
        every.check(feed.dims, feed.input_shapes)
        every.check(_swept(questions.sweep), (), "--sweep")
    return tuple(results)


def measure_peaks() -> Peaks:
    """This machine's limits, by numpy's matrix product and copy (about two seconds)."""
    gflops, bandwidth = peaks.measure(time.perf_counter, SECONDS_FOR_PEAKS)
    return Peaks(gflops, bandwidth, measured=True)


def _attempt(
    path: str,
    feed: Feed,
    questions: Questions,
    seen: list[Names],
    unexplained: list[Unexplained],
) -> Study | Failed:
    """One model's answer; what it has and what it has not is added to what was seen."""
    try:
        network = Network.open(path)
        known = names(network.model)
        seen.append(known)
        sweep = (_only(axis, known) for axis in questions.sweep)
        own = replace(questions, sweep=tuple(axis for axis in sweep if axis))
        result, lacking = _study(network, feed.only(known), own)
    except GconvError as error:
        return Failed(path, str(error))
    unexplained.append(lacking)
    return result


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


def _check_explained(wanted: Iterable[str], unexplained: Sequence[Unexplained]) -> None:
    """Refuse what none of the models could explain, with the reason of the first that has it."""
    for name in wanted:
        reasons = [lacking[name].reason for lacking in unexplained if name in lacking]
        if len(reasons) == len(unexplained):
            raise InputError(f"--explain {name}: {min(reasons, key=_is_absence)}")


def _is_absence(reason: str) -> bool:
    return reason.startswith(NO_SUCH_LAYER)


def _explain(reading: Reading, name: str) -> Explanation | Skip:
    nodes = {node.name: node for node in nested(reading.survey.nodes)}
    if name not in nodes:
        close = get_close_matches(name, nodes, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else "analyze lists their names"
        return Skip(f"{NO_SUCH_LAYER}; {hint}")
    row = next((layer for layer in reading.analysis.layers if layer.name == name), None)
    if row is None:
        return Skip(f"its operator, {nodes[name].op}, costs nothing to count")
    survey = reading.survey
    site = survey.sites.get(name) or survey.heads.get(name)
    return explain(nodes[name], site, row, costs.explain(nodes[name]))
