"""What can be had for what: conversions from the gentlest to the fastest, measured as a whole.

All candidates are weighed once (`agenda`); that is most of the work, and the same for one plan and
for ten. Then each of the chosen conversions is made for real, judged, timed and written, one after
the other, and each is in the `ledger` before the next one is begun.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import onnx_ir as ir

from gconvtool import files, goals, notation
from gconvtool.errors import InputError, VerificationError
from gconvtool.facts import Skip
from gconvtool.graph.load import external_files
from gconvtool.graph.pack import pack
from gconvtool.limits import Evidence, LossLimit, Objective
from gconvtool.pipeline.agenda import Intent, agenda
from gconvtool.pipeline.convert import RANDOM, SAMPLES, write
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.imprint import imprint
from gconvtool.pipeline.jury import Jury
from gconvtool.pipeline.ledger import Ledger
from gconvtool.pipeline.racing import race
from gconvtool.pipeline.rewrite import rewrite
from gconvtool.pipeline.source import BATCH, Feed, Model, Network, Progress, count, drift, silent
from gconvtool.plan import Entry, Selection
from gconvtool.planfile import PlanFile
from gconvtool.results import Conversion, Drift, Measure, Race, Sweep, SweepPoint
from gconvtool.runtime.cache import default_folder
from gconvtool.runtime.inputs import Arrays, Data, ImageOptions, Split
from gconvtool.runtime.session import Session, onnxruntime

POINTS, MOST_POINTS = 8, 50
LEDGER, CACHED = "sweep.json", "sweeps"
DIGITS = 32
"""Of an imprint, in the name of a file."""

Judge = Callable[[ir.Model], tuple[Drift, ...]]


def sweep(
    model: Model,
    *,
    data: str,
    points: int = POINTS,
    objective: Objective = "latency",
    test_data: str | None = None,
    samples: int = SAMPLES,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    write_all: str | Path | None = None,
    force: bool = False,
    remember: bool = True,
    seed: int = 0,
    threads: int | None = None,
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    images: ImageOptions = ImageOptions(),  # noqa: B008  frozen
    progress: Progress = silent,
) -> Sweep:
    """Convert a network several times, from the least loss to the least cost, and measure each.

    What is done is kept, in `write_all` or else in the user's cache folder: the same call goes on
    where an earlier one was interrupted, and answers at once where none was.

    Args:
        model: a file or a loaded model; neither is changed.
        data: what to fit to and to judge by, see `gconvtool.runtime.inputs`.
        points: how many conversions, or as many as there are that differ enough.
        objective: what is made small: `latency`, `macs`, `params` or `size`.
        test_data: what to judge by instead of `data`.
        samples: how many samples of `data` to use.
        only: globs on site names; only those are rewritten.
        skip: globs on site names that are left alone.
        write_all: a folder for all models and their plans; it is made if it is not there.
        force: replace what the folder holds of another sweep, or of anything else.
        remember: keep times and points in the user's cache folder, and use those that are there.
        seed: decides samples and searches.
        threads: for onnxruntime; its own choice if None.
        dims: sizes for open dimensions.
        input_shapes: whole shapes by input name.
        images: how pixels become numbers, where data are images.
        progress: called along the way.

    Raises:
        InputError: the model, the data, an option or the folder cannot be used.
        VerificationError: nothing is to be gained.
        MissingError: onnxruntime is not installed, or the disk is full.
    """
    wanted = goals.goal(objective=objective).objective
    if not 1 <= points <= MOST_POINTS:
        raise InputError(f"--points {points}: 1 to {MOST_POINTS}")
    network = Network.open(model)
    feed = Feed(data, images, dims or {}, input_shapes or {})
    selection = Selection(tuple(only), tuple(skip))
    request = Request(network, None, selection, feed, samples, seed, threads, progress)
    onnxruntime()  # before any work that would be lost without it
    split = request.split()
    if split is None:
        raise InputError("a sweep needs data to judge by: give --data")
    test = replace(feed, data=test_data).samples(network, RANDOM, seed) if test_data else None
    mark = imprint(request, split, test, wanted, points)
    targets = _Targets(None if write_all is None else Path(write_all))
    path, warnings = targets.ledger(mark, remember)
    ledger = Ledger(path, mark)
    sources = {Path(network.name), *external_files(network.model)}
    sources.update(Path(source) for source in (data, test_data) if source)
    targets.require(points, sources, force or ledger.ours)
    todo = ledger.agenda or ledger.note(agenda(request, wanted, points, remember=remember))
    maker = _Maker(request, wanted, targets, _feeds(request, split), _judge(request, split, test))
    made = list(_made(maker, ledger, todo.intents))
    found = tuple(point for point in made if not isinstance(point, Skip))
    if not found:
        raise VerificationError(f"{network.name}: nothing is to be gained: {made[0]}")
    return Sweep(
        network.name,
        wanted,
        _lost(found[0].drift)[0],
        count(network, request.counting(split)).totals,
        found,
        todo.candidates,
        (test or split.fit).source,
        (*warnings, *_warnings(network, todo.warnings, made)),
    )
