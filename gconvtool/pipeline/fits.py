"""Site after site: see what flows in, fit, and put the new weights in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod

import numpy as np
import onnx_ir as ir

from gconvtool.errors import InputError
from gconvtool.facts import ConvSite, Skip
from gconvtool.fit.affine import ChannelMoments
from gconvtool.fit.fitting import NOTHING, Given
from gconvtool.fit.grouping import Grouping
from gconvtool.fit.leaning import Weights
from gconvtool.fit.moments import Array, Index
from gconvtool.fit.structure import Factors, GroupedFactors, MonarchFactors
from gconvtool.graph import heads, norms, sharing, streams, surgery
from gconvtool.kinds import kind
from gconvtool.pipeline.choice import Fitted, Fitter, WholeMapFitter, best
from gconvtool.pipeline.memo import Memo
from gconvtool.plan import Channels, Entry, Plan
from gconvtool.recipes import HEADS, Candidate, Gdc, Grouped
from gconvtool.results import FITS, Fit, SiteOutcome
from gconvtool.runtime.calibrate import Followers, Sight, Walk
from gconvtool.runtime.refine import Refined
from gconvtool.spellings import Spelling

TOO_LARGE = "its new weights would be too large for the type of the old ones"
MOST_MISSED = 0.5
"""The share of its output's variance that a layer may miss, if there are data to tell by."""


@dataclass(frozen=True)
class Method:
    """How sites are fitted and written.

    Of several `fits` the best is taken. A site that misses more than `limit` of its output's
    variance stays dense; None is `MOST_MISSED` where there are data, and no limit where not. Two
    `passes` refine all new weights together after that.
    """

    fits: tuple[Fit, ...] = FITS
    limit: float | None = None
    passes: int = 1
    spelling: Spelling = "auto"

    def most(self, data: bool) -> float:
        """The largest error that a converted site may have."""
        if self.limit is not None:
            return self.limit
        return MOST_MISSED if data else np.inf


@dataclass
class Outcomes:
    """What became of the sites, by name, the groups that were found, and what a second pass did."""

    sites: dict[str, SiteOutcome] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    refined: Refined | Skip | None = None


def fit_all(
    plan: Plan,
    followers: Followers,
    base: ir.Model,
    work: ir.Model,
    walk: Walk | None,
    method: Method,
    seed: int,
    progress: Callable[[str, int, int], None],
    memo: Memo | None = None,
) -> Outcomes:
    """Fit every step of the plan and put it into `work`, in place; without a walk by weights alone.

    Followers become what the site before them becomes, whose weight they share. What the
    `memo` has of another plan for the same walk is not fitted again, and it has from then on what
    is fitted.

    Raises:
        InputError: weights that are not finite.
    """
    outcomes = Outcomes()
    partitions, recall = _Partitions(streams.tied(base, _grouped(plan))), _Recall(plan, memo)
    steps = {step.site.name: step for step in plan.steps}
    following = {name for names in followers.values() for name in names}
    for name in walk.stops if walk else steps:
        if name not in steps:
            assert walk is not None
            refit_norm(walk, work, name)
        if name not in steps or name in following:
            continue
        family = [steps[member] for member in (name, *followers.get(name, ()))]
        step = family[0]
        sight = None if walk is None else walk.visit(step.site)  # before its weights are in memory
        given = _given(step, plan) or partitions.given(step)
        make = partial(_fitted, step, base, sight, method, seed, given)
        fitted = recall.fitted(step, sight is not None and sight.mended, make)
        most = method.most(walk is not None)
        outcomes.sites.update((s.site.name, _outcome(s, fitted, most)) for s in family)
        if isinstance(fitted, Fitted) and outcomes.sites[name].recipe is not None:
            spelling = plan.spellings.get(name)
            put(work, [s.site for s in family], fitted.factors, spelling or method.spelling)
            partitions.decide(step, fitted.factors)
            channels = _channels(fitted.factors)
            outcomes.entries.update(
                (s.site.name, Entry(s.site.name, s.recipe, channels, fitted.error, spelling))
                for s in family
            )
        progress(_told(name, fitted), len(outcomes.sites), len(plan.steps))
    return outcomes


def put(work: ir.Model, family: Sequence[ConvSite], factors: Factors, spelling: Spelling) -> None:
    """Put new weights in the place of sites that share one, mostly of one site, in place."""
    before = set(work.graph.initializers)
    for site in family:
        if site.op in HEADS:
            heads.replace(work, site, factors, spelling)
        else:
            surgery.replace(work, site.name, factors, spelling)
    if len(family) > 1:
        sharing.merge(work.graph, before)


def _told(name: str, fitted: Fitted | Skip) -> str:
    return f"{name} stays" if isinstance(fitted, Skip) else f"{name} misses {fitted.error:.1%}"


def refit_norm(walk: Walk, work: ir.Model, name: str) -> None:
    """Give a batch normalisation that stays the best scale and shift, if held-out samples agree."""
    pairs, held_out = walk.normalised(name)
    now = norms.affine_of(surgery.find(work, name))
    if not pairs or now is None:
        return
    judged = ChannelMoments.of(held_out)
    scale, shift = ChannelMoments.of(pairs).fit(now.scale)
    if judged.missed(scale, shift) < judged.missed(now.scale, now.shift):
        norms.rescale(work, name, scale, shift)


def _outcome(step: Candidate, fitted: Fitted | Skip, most: float) -> SiteOutcome:
    name, recipe = step.site.name, str(step.recipe)
    if isinstance(fitted, Skip):
        return SiteOutcome(name, kind(step.site), None, fitted.reason)
    if fitted.error > most:
        reason = (
            f"{recipe} would miss {fitted.error:.0%} of its output's variance, more than "
            f"--max-layer-error {most:.0%}"
        )
        return SiteOutcome(name, kind(step.site), None, reason, fitted.error)
    return SiteOutcome(
        name,
        kind(step.site),
        recipe,
        error=fitted.error,
        training_error=fitted.training_error,
        fit=fitted.fit,
    )


def _fitted(
    step: Candidate, base: ir.Model, sight: Sight | None, method: Method, seed: int, given: Given
) -> Fitted | Skip:
    made = fitter(step, base, seed, given)
    fitted = made.blind() if sight is None else best(made, sight, method.fits)
    if isinstance(fitted, Fitted) and not surgery.storable(base, step.site.name, fitted.factors):
        return Skip(TOO_LARGE)
    return fitted


def fitter(
    step: Candidate, base: ir.Model, seed: int, given: Given = NOTHING
) -> Fitter | WholeMapFitter:
    """What fits a recipe at its site, whose weights are in `base`.

    Raises:
        InputError: they are not finite.
    """
    weight, bias = _finite_weights(base, step.site)
    if isinstance(step.recipe, Gdc):
        return WholeMapFitter(step.recipe, prod(step.site.kernel), weight, bias)
    return Fitter(step, weight.astype(np.float64), bias, seed, given)


def _finite_weights(model: ir.Model, site: ConvSite) -> tuple[Weights, Array]:
    """A site's weights (of a head as they are stored) and its bias in float64.

    Raises:
        InputError: some are not finite.
    """
    weight, bias = _weight_and_bias(model, site)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise InputError(f"the weights of {site.name} are not finite; export the network again")
    return weight, bias


def _weight_and_bias(model: ir.Model, site: ConvSite) -> tuple[Weights, Array]:
    if site.op in HEADS:
        return heads.weight_and_bias(model, site)
    return surgery.weight_and_bias(model, site.name)


class _Recall:
    """A fit is decided by what flows in, which is by the recipes of all sites up to it, and by
    whether it mends a sum, which is by their order; groups that streams share are decided by which
    sites are grouped at all."""

    def __init__(self, plan: Plan, memo: Memo | None) -> None:
        self._memo = None if plan.channels else memo
        self._decided: list[object] = ["fit", tuple(_grouped(plan))]

    def fitted(
        self, step: Candidate, mended: bool, make: Callable[[], Fitted | Skip]
    ) -> Fitted | Skip:
        """The fit of the next step, if it is known, or else a new one."""
        self._decided.append((step.site.name, step.recipe, mended))
        return make() if self._memo is None else self._memo.recall(tuple(self._decided), make)


class _Partitions:
    """Groups that convolutions on one stream of channels agree on: the first one decides."""

    def __init__(self, tied: Mapping[str, streams.Ties]) -> None:
        self._tied, self._found = tied, dict[object, Index]()

    def given(self, step: Candidate) -> Given:
        """What others have decided."""
        inputs, outputs = (self._found.get(key) for key in self._keys(step))
        return Given((), inputs, outputs)

    def decide(self, step: Candidate, factors: Factors) -> None:
        """What holds for those that follow."""
        if not isinstance(factors, GroupedFactors):
            return
        sides = (factors.grouping.inputs, factors.grouping.outputs)
        for key, groups in zip(self._keys(step), sides, strict=True):
            if key is not None:
                self._found.setdefault(key, groups)

    def _keys(self, step: Candidate) -> Iterator[object]:
        """The input's and the output's stream, and the number of groups; None where not tied."""
        for stream in self._tied.get(step.site.name, (None, None)):
            if stream is not None and isinstance(step.recipe, Grouped) and step.site.groups == 1:
                yield stream, step.recipe.groups
            else:
                yield None


def _grouped(plan: Plan) -> list[str]:
    return [step.site.name for step in plan.steps if isinstance(step.recipe, Grouped)]


def _given(step: Candidate, plan: Plan) -> Given | None:
    """The groups that the plan says."""
    channels = plan.channels.get(step.site.name)
    if channels is None:
        return None
    parts = channels.parts(step.site.groups)
    return Given(tuple(Grouping(np.array(p.inputs), np.array(p.outputs)) for p in parts))


def _channels(factors: Factors) -> Channels | None:
    if not isinstance(factors, GroupedFactors | MonarchFactors):
        return None
    grouping = factors.grouping
    sides = (tuple(map(tuple, side.tolist())) for side in (grouping.inputs, grouping.outputs))
    return Channels(*sides)
