"""From a dense network to a checked, cheaper one with fitted weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import get_args

from gconvtool import files, planfile
from gconvtool.errors import InputError, VerificationError
from gconvtool.fit.rows import BUDGET
from gconvtool.goals import DEFAULT_LIMIT, DEFAULT_OBJECTIVE
from gconvtool.graph import save
from gconvtool.graph.load import external_files
from gconvtool.limits import Goal
from gconvtool.pipeline.exactly import Averages, Exact
from gconvtool.pipeline.fits import Method
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.planner import search
from gconvtool.pipeline.rewrite import Rewritten, rehearse, rewrite
from gconvtool.pipeline.source import BATCH, Feed, Model, Network, Progress, drift, silent
from gconvtool.plan import Selection
from gconvtool.planfile import PlanFile
from gconvtool.recipes import Recipe
from gconvtool.results import FITS, Conversion, Fit
from gconvtool.runtime.inputs import Data, ImageOptions
from gconvtool.runtime.session import Session, onnxruntime
from gconvtool.spellings import Spelling

SAMPLES = 256
"""Samples of the data that are used if nothing else is said."""
CHECKED = 1024
"""Samples that the result is judged by, where there are more and none were named."""
OVER = "the limit is not kept, so nothing is written: --allow-over writes the nearest all the same"
RANDOM = 8
"""Random inputs to run on where there are no data."""


def convert(
    model: Model,
    output: str | Path | None = None,
    *,
    recipe: Recipe | None = None,
    plan: str | Path | None = None,
    save_plan: str | Path | None = None,
    goal: Goal | None = None,
    allow_over: bool = False,
    remember: bool = True,
    exact: bool = False,
    densify: bool = False,
    gap_to_gdc: bool = False,
    gdc_to_gap: Averages | None = None,
    data: str | None = None,
    test_data: str | None = None,
    samples: int | None = None,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    dry_run: bool = False,
    force: bool = False,
    fits: Sequence[Fit] = FITS,
    max_layer_error: float | None = None,
    passes: int = 1,
    spelling: Spelling | None = None,
    max_memory: int = BUDGET,
    seed: int | None = None,
    threads: int | None = None,
    provider: str = "cpu",
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    images: ImageOptions = ImageOptions(),  # noqa: B008  frozen
    progress: Progress = silent,
) -> Conversion:
    """Rewrite a network's dense convolutions, fit the new weights, check and write the result.

    Args:
        model: a file or a loaded model; neither is changed.
        output: where to write; nothing is written if None, or with `dry_run`.
        recipe: what the convolutions become, for example `Grouped(4)` or `Separable(2)`. It may be
            left out where one of the exact rewrites below, or the spelling "split", is asked for;
            then nothing is fitted.
        goal: search for the best recipe of every site within it, see `gconvtool.goals.goal`; so it
            is done, within a point of accuracy, where nothing else is asked for.
        allow_over: write what was found though it is not within the goal.
        remember: go on from what was kept of a search with the same samples, and keep what is
            found; if not, all is done anew.
        plan: a file that says it site by site, instead of `recipe`; its seed, samples and spelling
            hold where none are given here.
        save_plan: where to write the plan that was followed, with the groups that were found.
        exact: first find what the weights hide: dead channels, smaller windows, groups, low rank.
        densify: write the zeros between groups out, for targets without groups.
        gap_to_gdc: global averages become global depthwise convolutions.
        gdc_to_gap: the other way: "exact", or "lossy" as plain averages, with a warning for each
            that says what it loses.
        data: what to fit to, see `gconvtool.runtime.inputs`. Without it only the weights are used.
        test_data: what to judge the result by; by default what of `data` was not fitted to.
        samples: how many samples of `data` to use, 256 by default; a fifth of them is held out.
        only: globs on site names; only those are rewritten.
        skip: globs on site names that are left alone.
        dry_run: plan and count, fit and write nothing.
        force: replace an output that exists.
        fits: what sites may be fitted to; of several the best on held-out samples is taken.
        max_layer_error: the share of its output's variance that a converted site may miss; one that
            misses more stays dense. By default 0.5 with data; without data there is no limit.
        passes: 2 refines all new weights together, once every site has been fitted, for what the
            network makes of them in the end (`gconvtool.runtime.refine`); kept if held-out samples
            agree.
        spelling: how convolutions of several parts are written, see `gconvtool.spellings`.
        max_memory: bytes for statistics and for activations, which lie on the disk beyond that.
        seed: decides samples and searches, 0 by default; the same seed gives the same file.
        threads: for onnxruntime; its own choice if None.
        provider: what the result is checked on and a search times on; fits see what the CPU makes.
        dims: sizes for open dimensions, to count with, and to run on where there are no data.
        input_shapes: whole shapes by input name, for the same.
        images: how pixels become numbers, where data are images.
        progress: called after every site.

    Raises:
        InputError: the model, the data, the recipe or the output path cannot be used.
        VerificationError: the rewritten model does not do the same job; nothing is written.
        MissingError: onnxruntime is not installed, or the disk is full.
    """
    network = Network.open(model)
    wanted = _exact(Exact(exact, densify, gap_to_gdc, gdc_to_gap))
    followed = _followed(recipe, plan)
    goal = _goal(goal, followed, wanted.any or spelling == "split", dry_run)
    if followed is None and goal is None and (only or skip or save_plan):
        raise InputError("--only, --skip and --save-plan belong to a recipe, and none is given")
    target = None if output is None or dry_run else Path(output)
    sources = {Path(network.name), *external_files(network.model)}
    sources.update(Path(source) for source in (data, test_data, plan) if source)
    written = [Path(path) for path in (target, save_plan) if path is not None]
    for path in written:
        files.check_target(path, sources, force)
    if len({path.resolve() for path in written}) < len(written):
        raise InputError(f"{save_plan}: the model is written there; name another file for the plan")
    if passes > 1 and data is None:
        raise InputError("a second pass needs data to go by: give --data, or leave out --passes 2")
    feed = Feed(data, images, dims or {}, input_shapes or {})
    saved = followed if isinstance(followed, PlanFile) else PlanFile(())
    request = Request(
        network,
        followed,
        Selection(tuple(only), tuple(skip)),
        feed,
        _first(samples, saved.samples, SAMPLES),
        _first(seed, saved.seed, 0),
        threads,
        progress,
        Method(tuple(fits), max_layer_error, passes, spelling or saved.spelling or "auto"),
        max_memory,
        wanted,
        provider,
    )
    if dry_run:
        rehearsed, intended = rehearse(request)
        _save_plan(intended, save_plan)
        return rehearsed
    onnxruntime()  # before any work that would be lost without it
    test = (
        replace(feed, data=test_data).samples(network, RANDOM, request.seed) if test_data else None
    )
    rewritten, planning = (
        (rewrite(request), None) if goal is None else search(request, goal, remember=remember)
    )
    judged = replace(_judged(request, rewritten, test), planning=planning)
    if planning is not None and not (planning.holds or allow_over):
        return replace(judged, warnings=(*judged.warnings, OVER))
    weights = write(request, rewritten, target, save_plan)
    warnings = (*network.stand_in(), *judged.warnings, *together(weights, target))
    return replace(judged, warnings=warnings, output=None if target is None else str(target))


def _exact(wanted: Exact) -> Exact:
    if wanted.gdc_to_gap not in (None, *get_args(Averages)):
        raise InputError(f"gdc_to_gap {wanted.gdc_to_gap}: exact or lossy")
    if wanted.gap_to_gdc and wanted.gdc_to_gap:
        raise InputError("--gap-to-gdc and --gdc-to-gap exclude each other; convert twice")
    return wanted


def _followed(recipe: Recipe | None, plan: str | Path | None) -> Recipe | PlanFile | None:
    if plan is not None and recipe is not None:
        raise InputError(f"{plan}: a plan says what each site becomes; give no recipe beside it")
    if plan is not None:
        return planfile.read(Path(plan))
    return recipe


def _goal(
    goal: Goal | None, followed: Recipe | PlanFile | None, exact: bool, dry_run: bool
) -> Goal | None:
    """What is searched for, if it is; a search is what is done where nothing else is asked for."""
    if goal is not None and followed is not None:
        raise InputError(
            f"{goal.limit}: a search finds the recipes; give none and no plan beside it"
        )
    if goal is None and (followed is not None or exact):
        return None
    if dry_run:
        raise InputError("a search has to convert to see what is lost: leave out --dry-run")
    return goal or Goal(DEFAULT_LIMIT, DEFAULT_OBJECTIVE)


def _first(*values: int | None) -> int:
    """The first that is said."""
    return next(value for value in values if value is not None)


def write(
    request: Request, rewritten: Rewritten, target: Path | None, save_plan: str | Path | None
) -> Path | None:
    """The model and the plan, both or neither: the plan is whole before the model is there.

    Returns the file of the model's weights, where they do not fit into that of the model.
    """
    text = planfile.text(rewritten.plan).encode()
    with files.written(text, Path(save_plan)) if save_plan else nullcontext():
        if target is None:
            return None
        model, name = rewritten.model, request.network.name
        return save.write(model, name, target, lambda path: _loads(path, request))


def together(weights: Path | None, model: Path | None) -> tuple[str, ...]:
    """What to say of a model whose weights are in a file of their own."""
    return () if weights is None else (f"{weights}: the weights of {model}; keep both together",)


def _save_plan(plan: PlanFile, path: str | Path | None) -> None:
    if path is not None:
        files.write(planfile.text(plan).encode(), Path(path))


def _judged(request: Request, rewritten: Rewritten, test: Data | None) -> Conversion:
    """The conversion with its drift, on samples that were not fitted to."""
    network = request.network
    data = _unseen(request, rewritten, test)
    sessions = [
        Session(one.packed(), request.provider, request.threads, network.name)
        for one in (network, Network(rewritten.model, network.name))
    ]
    measured = drift(sessions[0], sessions[1], data, network.batch(BATCH))
    return replace(
        rewritten.conversion,
        drift=measured,
        drift_source=data.source,
        drift_unseen=test is None and request.feed.data is not None,
    )


def _unseen(request: Request, rewritten: Rewritten, test: Data | None) -> Data:
    if test is not None:
        return test
    if rewritten.unseen is not None and len(rewritten.unseen):
        return rewritten.unseen.take(slice(CHECKED))
    return replace(request.feed, data=None).samples(request.network, RANDOM, request.seed)


def _loads(path: Path, request: Request) -> None:
    """The written file is read back before it takes its place."""
    try:
        Session(Network.open(path).packed(), request.provider, request.threads)
    except InputError as error:
        raise VerificationError(f"not written: {error}") from error
