"""Plan, fit and rewrite, all in memory; or the same without fitting, to see what it would save."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import onnx_ir as ir
from threadpoolctl import threadpool_limits

from gconvtool import plan as planning
from gconvtool._version import __version__
from gconvtool.errors import InputError
from gconvtool.facts import Survey
from gconvtool.fit import factor
from gconvtool.fit.grouping import find_grouping
from gconvtool.fit.moments import Moments
from gconvtool.graph import exact, save, shapes, surgery
from gconvtool.graph.survey import survey
from gconvtool.kinds import kind
from gconvtool.pipeline.source import BATCH, Feed, Network, Progress, count, fed_like
from gconvtool.plan import Plan, Selection
from gconvtool.recipes import Candidate, Grouped, Recipe
from gconvtool.results import Analysis, Conversion, SiteOutcome, Totals
from gconvtool.runtime import inputs
from gconvtool.runtime.calibrate import Walk
from gconvtool.runtime.inputs import Data, Split

FEWEST = 32
"""Samples below which a fit is warned of."""
SWAPS = 150
"""Exchanges of input channels that are tried for a grouping."""


@dataclass(frozen=True)
class Request:
    """What to convert, into what, and what to fit to."""

    network: Network
    recipe: Recipe
    selection: Selection
    feed: Feed
    samples: int
    seed: int
    threads: int | None
    progress: Progress


@dataclass(frozen=True)
class Rewritten:
    """A converted network in memory, its bytes, what is said of it, and samples it has not seen."""

    model: ir.Model
    content: bytes
    conversion: Conversion
    unseen: Data | None


def rewrite(request: Request) -> Rewritten:
    """Plan, fit and rewrite in memory."""
    network, feed = request.network, request.feed
    split = _split(request)
    counting = fed_like(feed, split.fit) if split else feed
    before = count(network, counting)
    base, plan, notes = _prepared(request)
    _require_steps(plan, network.name)
    work = base.clone()
    # Threads of the BLAS wait for each other by spinning: on a busy machine, many small products
    # then take several times longer than on one thread.
    with threadpool_limits(1, "blas"):
        outcomes = dict(_fitted(request, plan, base, work, split))
    used = len(split.fit) + len(split.held_out) if split else 0
    _stamp(work, request, used, tuple(outcomes.values()))
    content = save.serialise(work, network.name)
    after = count(Network(work, network.name), counting)
    notes += _caveats(split, tuple(outcomes.values()))
    conversion = _conversion(request, before, after.totals, plan, base, outcomes, notes)
    if split is None:
        return Rewritten(work, content, conversion, None)
    unseen = split.unused if len(split.unused) > len(split.held_out) else split.held_out
    return Rewritten(work, content, replace(conversion, samples=used), unseen)


def _caveats(split: Split | None, outcomes: Sequence[SiteOutcome]) -> list[str]:
    """What must be said of a fit to few data or to none."""
    if split is None and outcomes:
        lost = max(outcome.error or 0 for outcome in outcomes)
        return [
            "no data to fit to: the new weights come from the old ones alone, and accuracy will be "
            f"poor; up to {lost:.0%} of a layer's weight energy is lost"
        ]
    if split is not None and len(split.fit) < FEWEST:
        return [f"fitted to {len(split.fit)} samples only; give 100 or more, as diverse as can be"]
    return []


def rehearse(request: Request) -> Conversion:
    """Plan and count only: what `rewrite` would do, and what it would cost."""
    split = _split(request)
    counting = fed_like(request.feed, split.fit) if split else request.feed
    before = count(request.network, counting)
    base, plan, notes = _prepared(request)
    folded = count(Network(base, request.network.name), counting).totals
    macs = {layer.name: layer.macs for layer in before.layers}
    saved = sum(_saved(step, macs.get(step.site.name)) or 0 for step in plan.steps)
    weights = sum(_added(step) for step in plan.steps)
    after = Totals(folded.macs - saved, folded.params + weights, folded.exact)
    outcomes = {
        step.site.name: SiteOutcome(step.site.name, kind(step.site), str(step.recipe))
        for step in plan.steps
    }
    return _conversion(request, before, after, plan, base, outcomes, notes)


def _prepared(request: Request) -> tuple[ir.Model, Plan, list[str]]:
    """The network with everything exact done to it, the plan, and what has to be said of both."""
    base = request.network.model.clone()
    notes = []
    freed = exact.privatise_initializers(base)
    if freed:
        notes.append(f"{freed} initializers were graph inputs too; they are constants now")
    exact.fold_batch_norms(base)
    shapes.infer(base)
    facts = survey(base)
    idle = request.selection.idle(facts.sites)
    if idle:
        raise InputError(
            f"{idle[0]} matches no convolution; analyze {request.network.name} lists their names"
        )
    plan = planning.choose(facts.sites.values(), facts.skipped, request.recipe, request.selection)
    return base, plan, notes


def _require_steps(plan: Plan, name: str) -> None:
    """A plan that changes nothing is refused, with the reasons, most common first."""
    if plan.steps:
        return
    counts = Counter(skip.reason for skip in plan.kept.values()).most_common(3)
    reasons = "; ".join(f"{reason} ({count}x)" for reason, count in counts)
    raise InputError(f"{name}: no convolution can be converted: {reasons or 'it has none'}")


def _split(request: Request) -> Split | None:
    if request.feed.data is None:
        return None
    data = request.feed.samples(request.network, 0, request.seed)
    batch = request.network.batch(BATCH)
    return inputs.split(data, request.samples, request.seed, batch)


def _fitted(
    request: Request, plan: Plan, base: ir.Model, work: ir.Model, split: Split | None
) -> Iterator[tuple[str, SiteOutcome]]:
    """Fit every step and put it into `work`, in topological order."""
    rng = np.random.default_rng(request.seed)
    batch = request.network.batch(BATCH)
    walk = None
    if split is not None:
        streams = (base, work, split.fit, split.held_out)
        walk = Walk(*streams, batch, request.threads, request.seed, request.network.name)
    for done, step in enumerate(plan.steps, 1):
        name = step.site.name
        weight, bias = surgery.weight_and_bias(base, name)
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise InputError(f"{request.network.name}: the weights of {name} are not finite")
        if walk is None:
            seen = held = Moments.of_weights(weight, bias)
        else:
            seen, held = walk.visit(step.site)
        factors = _fit(step, seen, rng)
        surgery.replace(work, name, factors)
        kernel = factors.kernel()
        outcome = SiteOutcome(
            name,
            kind(step.site),
            str(step.recipe),
            error=held.error(kernel, factors.bias),
            training_error=None if walk is None else seen.error(kernel, factors.bias),
        )
        yield name, outcome
        request.progress(name, done, len(plan.steps))


def _fit(step: Candidate, moments: Moments, rng: np.random.Generator) -> surgery.Factors:
    taps = prod(step.site.kernel)
    if isinstance(step.recipe, Grouped):
        grouping = find_grouping(moments, taps, step.recipe.groups, rng, swaps=SWAPS)
        return factor.grouped(moments, grouping, taps)
    return factor.separable(moments, taps, step.recipe.rank)


def _conversion(
    request: Request,
    before: Analysis,
    after: Totals,
    plan: Plan,
    base: ir.Model,
    outcomes: Mapping[str, SiteOutcome],
    notes: Sequence[str],
) -> Conversion:
    macs = {layer.name: layer.macs for layer in before.layers}
    steps = {step.site.name: step for step in plan.steps}
    return Conversion(
        model=request.network.name,
        output=None,
        before=before.totals,
        after=after,
        sites=tuple(_sites(survey(base), steps, plan, outcomes, macs)),
        folded=len(request.network.model.graph) - len(base.graph),
        warnings=tuple(notes),
    )


def _sites(
    facts: Survey,
    steps: Mapping[str, Candidate],
    plan: Plan,
    outcomes: Mapping[str, SiteOutcome],
    macs: Mapping[str, int | None],
) -> Iterator[SiteOutcome]:
    """Every convolution in topological order, converted or kept."""
    for name, site in facts.sites.items():
        now = macs.get(name)
        if name in steps:
            after = None if now is None else now - (_saved(steps[name], now) or 0)
            yield replace(outcomes[name], macs_before=now, macs_after=after)
        else:
            yield SiteOutcome(
                name, kind(site), None, plan.kept[name].reason, macs_before=now, macs_after=now
            )


def _saved(step: Candidate, macs: int | None) -> int | None:
    """Every weight meets every output position, so MACs shrink as weights do."""
    if macs is None:
        return None
    return macs - macs * step.weights_after // step.weights_before


def _added(step: Candidate) -> int:
    """The change in parameters; a convolution without bias gets one."""
    bias = 0 if step.site.bias else step.site.filters
    return step.weights_after - step.weights_before + bias


def _stamp(
    model: ir.Model, request: Request, samples: int, outcomes: Sequence[SiteOutcome]
) -> None:
    """Say in the model where it comes from."""
    model.metadata_props["gconvtool"] = json.dumps(
        {
            "version": __version__,
            "recipe": str(request.recipe),
            "samples": samples,
            "seed": request.seed,
            "sites": {outcome.name: outcome.recipe for outcome in outcomes},
        }
    )
