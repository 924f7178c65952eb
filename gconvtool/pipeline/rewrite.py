"""Plan, fit and rewrite, all in memory; or the same without fitting, to see what it would save."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import onnx_ir as ir
from threadpoolctl import threadpool_limits

from gconvtool import plan as planning
from gconvtool._version import __version__
from gconvtool.errors import InputError
from gconvtool.facts import Skip
from gconvtool.fit.placeholder import placeholder
from gconvtool.graph import norms, permute, save, shapes
from gconvtool.kinds import kind
from gconvtool.pipeline import exactly
from gconvtool.pipeline.exactly import Certificates
from gconvtool.pipeline.fits import Outcomes, fit_all, put
from gconvtool.pipeline.ground import Ground, Request, ground
from gconvtool.pipeline.source import BATCH, Network, count
from gconvtool.plan import Entry, Plan
from gconvtool.planfile import PlanFile
from gconvtool.recipes import Candidate
from gconvtool.results import Analysis, Conversion, SiteOutcome, Totals
from gconvtool.runtime.calibrate import Walk
from gconvtool.runtime.doubts import doubts
from gconvtool.runtime.inputs import Data, Split
from gconvtool.runtime.refine import Refined, refine

FEWEST = 32
"""Samples below which a fit is warned of."""
NOTHING = 1e-3
"""A share of a layer's weight energy that is not worth a warning: structure was there and found."""


@dataclass(frozen=True)
class Rewritten:
    """A converted network in memory, what is said of it, and samples that it has not seen."""

    model: ir.Model
    conversion: Conversion
    plan: PlanFile
    unseen: Data | None


@dataclass(frozen=True)
class Prepared:
    """What is there to rewrite, and the plan."""

    ground: Ground
    plan: Plan


def rewrite(request: Request, drawn: Split | None = None) -> Rewritten:
    """Plan, fit and rewrite in memory; with the samples of the request, if they are `drawn`."""
    network, split = request.network, drawn or request.split()
    counting = request.counting(split)
    before = count(network, counting)
    prepared = _prepared(request)
    _require_steps(
        prepared.plan.kept or prepared.ground.refused,
        bool(prepared.plan.steps) or request.asks_exact,
        network.name,
    )
    work = prepared.ground.base.clone()
    # Threads of the BLAS wait for each other by spinning: on a busy machine, many small products
    # then take several times longer than on one thread.
    with threadpool_limits(1, "blas"):
        outcomes = _fitted(request, prepared, work, split)
    changed = bool(outcomes.entries) or request.asks_exact
    _require_steps(_reasons(prepared, outcomes), changed, network.name)
    permute.absorb(work)
    certificates = (*prepared.ground.certificates, *(exactly.split(work) if request.splits else ()))
    shapes.infer(work)
    _declare_outputs(work, network.model)
    used = len(split.fit) + len(split.held_out) if split and prepared.plan.steps else 0
    _stamp(work, request, used, outcomes, certificates)
    save.require_valid(work, network.name)
    after = count(Network(work, network.name), counting)
    base = Network(prepared.ground.base, network.name)
    sited = count(base, counting) if request.exact.any else before
    conversion = _conversion(request, before, after.totals, prepared, outcomes, sited)
    notes = (*conversion.warnings, *_caveats(split, outcomes))
    conversion = replace(
        conversion,
        samples=used,
        warnings=notes,
        certificates=certificates,
        refined=_errors(outcomes.refined),
    )
    return Rewritten(work, conversion, _kept_plan(request, prepared, outcomes), _unseen(split))


def _unseen(split: Split | None) -> Data | None:
    if split is None:
        return None
    return split.unused if len(split.unused) > len(split.held_out) else split.held_out


def _errors(refined: Refined | Skip | None) -> tuple[float, float] | None:
    return (refined.error_before, refined.error_after) if isinstance(refined, Refined) else None


def _caveats(split: Split | None, outcomes: Outcomes) -> Iterator[str]:
    """What must be said of a fit to few data, to uniform ones or to none."""
    if not outcomes.sites:
        return  # nothing was fitted
    if split is None:
        lost = max(outcome.error or 0 for outcome in outcomes.sites.values())
        yield "no data to fit to: the new weights come from the old ones alone, " + (
            f"and accuracy will be poor; up to {lost:.0%} of a layer's weight energy is lost"
            if lost >= NOTHING
            else f"of whose energy less than {NOTHING:.1%} is lost"
        )
        return
    if len(split.fit) < FEWEST:
        yield f"fitted to {len(split.fit)} samples only; give 100 or more, as diverse as can be"
    yield from doubts(split.fit)
    if isinstance(outcomes.refined, Skip):
        yield f"no second pass: {outcomes.refined.reason}"


def rehearse(request: Request) -> tuple[Conversion, PlanFile]:
    """Plan and count only: what `rewrite` would do, and what it would cost."""
    split = request.split()
    counting = request.counting(split)
    before = count(request.network, counting)
    prepared = _prepared(request)
    steps = {step.site.name: step for step in prepared.plan.steps}
    folded = count(Network(prepared.ground.base, request.network.name), counting)
    after = count(_imagined(request, prepared), counting).totals
    outcomes = Outcomes(
        {
            name: SiteOutcome(name, kind(step.site), str(step.recipe))
            for name, step in steps.items()
        },
        {name: _planned_entry(prepared.plan, step) for name, step in steps.items()},
    )
    conversion = _conversion(request, before, after, prepared, outcomes, folded)
    if request.splits:
        ends = exactly.split(prepared.ground.base.clone())
        kept = (
            one for one in ends if one.site not in steps
        )  # what is fitted is written so at once
        conversion = replace(conversion, certificates=(*conversion.certificates, *kept))
    return conversion, _kept_plan(request, prepared, outcomes)


def _planned_entry(plan: Plan, step: Candidate) -> Entry:
    name = step.site.name
    return Entry(name, step.recipe, plan.channels.get(name), spelling=plan.spellings.get(name))


def _imagined(request: Request, prepared: Prepared) -> Network:
    """The network as it would be written, with numbers that mean nothing."""
    work, followers = prepared.ground.base.clone(), prepared.ground.followers
    steps = {step.site.name: step for step in prepared.plan.steps}
    following = {name for names in followers.values() for name in names}
    for name, step in steps.items():
        if name not in following:
            family = [steps[member].site for member in (name, *followers.get(name, ()))]
            spelling = prepared.plan.spellings.get(name, request.method.spelling)
            put(work, family, placeholder(step.site, step.recipe), spelling)
    return Network(work, request.network.name)


def _prepared(request: Request) -> Prepared:
    found = ground(request)
    return Prepared(found, planning.together(_planned(found), found.families))


def _planned(found: Ground) -> Plan:
    recipe, sites = found.recipe, found.sites.values()
    if recipe is None:
        return Plan((), {})
    if not isinstance(recipe, PlanFile):
        return planning.choose(sites, found.refused, recipe, found.selection)
    try:
        return planning.replay(sites, found.refused, recipe.entries, found.selection)
    except InputError as error:
        raise InputError(f"{recipe.file or 'plan'}: {error}") from error


def _require_steps(kept: Mapping[str, Skip], any_steps: bool, name: str) -> None:
    """A conversion that changes nothing is refused, with the reasons, most common first."""
    if any_steps:
        return
    counts = Counter(skip.reason for skip in kept.values()).most_common(3)
    reasons = "; ".join(f"{reason} ({count}x)" for reason, count in counts)
    raise InputError(f"{name}: no convolution can be converted: {reasons or 'it has none'}")


def _reasons(prepared: Prepared, outcomes: Outcomes) -> dict[str, Skip]:
    """Why sites stayed, before the fit or after it."""
    misfits = {
        name: Skip(outcome.reason)
        for name, outcome in outcomes.sites.items()
        if outcome.reason is not None
    }
    return {**prepared.plan.kept, **misfits}


def _fitted(request: Request, prepared: Prepared, work: ir.Model, split: Split | None) -> Outcomes:
    """Fit every step and put it into `work`; refine them all together, if that is wanted."""
    plan, base, walk = prepared.plan, prepared.ground.base, None
    followers = prepared.ground.followers
    if not plan.steps:
        return Outcomes()
    if split is not None:
        batch = request.network.batch(BATCH)
        sites = [step.site for step in plan.steps]
        data = (split.fit, split.held_out)
        walk = Walk(
            base, work, *data, batch, sites, request.settings, norms.standing(base), followers
        )
    method, seed = request.method, request.seed
    outcomes = fit_all(
        plan, followers, base, work, walk, method, seed, request.progress, request.memo
    )
    if split is not None and request.method.passes > 1 and outcomes.entries:
        walk = None  # what it holds is not needed any more
        outcomes.refined = _refined(request, base, work, split, tuple(outcomes.entries))
    return outcomes


def _refined(
    request: Request, base: ir.Model, work: ir.Model, split: Split, sites: Sequence[str]
) -> Refined | Skip:
    batch = request.network.batch(BATCH)
    return refine(
        base,
        work,
        sites,
        split.fit,
        split.held_out,
        batch=batch.samples if batch.fixed else None,
        settings=request.settings,
        progress=request.progress,
    )


def _kept_plan(request: Request, prepared: Prepared, outcomes: Outcomes) -> PlanFile:
    """The plan with what was found, in the order of the network."""
    return PlanFile(
        tuple(outcomes.entries[name] for name in prepared.ground.sites if name in outcomes.entries),
        _reasons(prepared, outcomes),
        Path(request.network.name).name,
        request.seed,
        request.samples,
        request.method.spelling,
    )


def _conversion(
    request: Request,
    before: Analysis,
    after: Totals,
    prepared: Prepared,
    outcomes: Outcomes,
    sited: Analysis,
) -> Conversion:
    """`sited` has the sites as they were planned: behind exact rewrites."""
    macs = {layer.name: layer.macs for layer in sited.layers}
    return Conversion(
        model=request.network.name,
        output=None,
        before=before.totals,
        after=after,
        sites=tuple(_sites(prepared, outcomes, macs)),
        folded=prepared.ground.folded,
        warnings=prepared.ground.notes,
        certificates=prepared.ground.certificates,
        exact_asked=request.asks_exact and not request.exact.lossy_only,
    )


def _sites(
    prepared: Prepared, outcomes: Outcomes, macs: Mapping[str, int | None]
) -> Iterator[SiteOutcome]:
    """Every convolution in topological order, converted or kept."""
    steps = {step.site.name: step for step in prepared.plan.steps}
    for name, site in prepared.ground.sites.items():
        now = macs.get(name)
        outcome = outcomes.sites.get(name)
        if outcome is None:
            outcome = SiteOutcome(name, kind(site), None, prepared.plan.kept[name].reason)
        saved = 0 if outcome.recipe is None else _saved(steps[name], now) or 0
        after = None if now is None else now - saved
        yield replace(outcome, macs_before=now, macs_after=after)


def _saved(step: Candidate, macs: int | None) -> int | None:
    """MACs that the recipe spares, of those that the site has now."""
    return None if macs is None else int(macs - macs * step.share)


def _declare_outputs(model: ir.Model, original: ir.Model) -> None:
    """Say of the outputs what the original says of them: inference may know less."""
    for value, before in zip(model.graph.outputs, original.graph.outputs, strict=True):
        value.shape = None if before.shape is None else before.shape.copy()
        value.type = before.type or value.type


def _stamp(
    model: ir.Model,
    request: Request,
    samples: int,
    outcomes: Outcomes,
    certificates: Certificates,
) -> None:
    """Say in the model where it comes from."""
    planned = isinstance(request.recipe, PlanFile)
    model.metadata_props["gconvtool"] = json.dumps(
        {
            "version": __version__,
            "recipe": "plan" if planned else request.recipe and str(request.recipe),
            "samples": samples,
            "seed": request.seed,
            "sites": {name: outcome.recipe for name, outcome in outcomes.sites.items()},
            "certificates": [asdict(one) for one in certificates],
        }
    )
