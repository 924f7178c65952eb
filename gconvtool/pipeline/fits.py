"""Site after site: see what flows in, fit, choose the best fit, and put the new weights in place.

A site can be fitted to what flows into it in the converted network (asymmetric), to what flowed in
the original one (symmetric), or to nothing but its own weights (data-free). The first is right by
construction, but only on the samples that it was fitted to. Its training error is about the least
that any weights of the recipe could have, so only where its error on held-out samples is clearly
above that can another fit be better; then all are tried, and the held-out samples decide.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
import onnx_ir as ir

from gconvtool.errors import InputError
from gconvtool.facts import ConvSite
from gconvtool.fit.affine import ChannelMoments
from gconvtool.fit.fitting import Given, Observed, fit
from gconvtool.fit.grouping import Grouping
from gconvtool.fit.moments import Array, Index, Moments
from gconvtool.fit.per_group import PerGroup
from gconvtool.fit.structure import Factors, GroupedFactors, MonarchFactors
from gconvtool.graph import norms, streams, surgery
from gconvtool.kinds import kind
from gconvtool.plan import Channels, Entry, Plan
from gconvtool.recipes import Candidate, Grouped
from gconvtool.results import FITS, Fit, SiteOutcome
from gconvtool.runtime.calibrate import Sight, Walk
from gconvtool.spellings import Spelling

CLOSE = 1.1
"""Held-out over training error up to which no other fit is tried."""
MOST_MISSED = 0.5
"""The share of its output's variance that a layer may miss, if there are data to tell by."""


@dataclass(frozen=True)
class Method:
    """How sites are fitted and written.

    Of several `fits` the best is taken. A site that misses more than `limit` of its output's
    variance stays dense; None is `MOST_MISSED` where there are data, and no limit where not.
    """

    fits: tuple[Fit, ...] = FITS
    limit: float | None = None
    spelling: Spelling = "auto"

    def most(self, data: bool) -> float:
        """The largest error that a converted site may have."""
        if self.limit is not None:
            return self.limit
        return MOST_MISSED if data else np.inf


@dataclass(frozen=True)
class Fitted:
    """New weights, how they were fitted, and the shares of the output's variance that they miss."""

    factors: Factors
    fit: Fit
    error: float
    training_error: float | None


@dataclass
class Outcomes:
    """What became of the sites, by name, and the groups that were found."""

    sites: dict[str, SiteOutcome] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)


def fit_all(
    plan: Plan,
    base: ir.Model,
    work: ir.Model,
    walk: Walk | None,
    method: Method,
    seed: int,
    progress: Callable[[str, int, int], None],
) -> Outcomes:
    """Fit every step of the plan and put it into `work`, in place; without a walk by weights alone.

    Raises:
        InputError: weights that are not finite.
    """
    outcomes = Outcomes()
    partitions = _Partitions(streams.tied(base, _grouped(plan)))
    steps = {step.site.name: step for step in plan.steps}
    done = 0
    for name in walk.stops if walk else steps:
        if name not in steps:
            assert walk is not None
            refit_norm(walk, work, name)
            continue
        step, done = steps[name], done + 1
        weights = _finite_weights(base, step.site)
        fitter = _Fitter(step, weights, method, seed, _given(step, plan) or partitions.given(step))
        fitted = fitter.blind() if walk is None else fitter.best(walk.visit(step.site))
        outcomes.sites[name] = outcome = _outcome(step, fitted, method.most(walk is not None))
        if outcome.recipe is not None:
            surgery.replace(work, name, fitted.factors, method.spelling)
            partitions.decide(step, fitted.factors)
            outcomes.entries[name] = Entry(
                name, step.recipe, _channels(fitted.factors), fitted.error
            )
        progress(f"{name} misses {fitted.error:.1%}", done, len(plan.steps))
    return outcomes


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


def _outcome(step: Candidate, fitted: Fitted, most: float) -> SiteOutcome:
    name, recipe = step.site.name, str(step.recipe)
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


@dataclass(frozen=True)
class _Fitter:
    """The fits of one site."""

    step: Candidate
    weights: tuple[Array, Array]
    method: Method
    seed: int
    given: Given

    def blind(self) -> Fitted:
        """From the weights alone; the error is the share of their energy that is lost."""
        seen = self._weights()
        factors = self._fit(seen)
        return Fitted(factors, "data-free", seen.error(factors.kernel(), factors.bias), None)

    def best(self, sight: Sight) -> Fitted:
        """The fit with the least error on held-out samples."""
        judged, tried = sight.judged(), list[Fitted]()
        for name in self.method.fits:
            if name == "symmetric" and tried and not sight.changed:
                continue  # the same data once more
            seen = self._seen(name, sight)
            tried.append(self._judged(name, self._fit(seen), seen, judged))
            if _settled(tried[-1]):
                break
        return min(tried, key=lambda fitted: fitted.error)

    def _seen(self, name: Fit, sight: Sight) -> Observed:
        match name:
            case "asymmetric":
                return sight.asymmetric()
            case "symmetric":
                return sight.symmetric()
            case "data-free":
                return self._weights()

    def _judged(self, name: Fit, factors: Factors, seen: Observed, judged: Observed) -> Fitted:
        kernel, bias = factors.kernel(), factors.bias
        training = None if name == "data-free" else seen.error(kernel, bias)
        return Fitted(factors, name, judged.error(kernel, bias), training)

    def _fit(self, seen: Observed) -> Factors:
        # A site's own draws, so that its fit does not depend on which others are rewritten.
        rng = np.random.default_rng((self.seed, zlib.crc32(self.step.site.name.encode())))
        return fit(self.step.recipe, seen, prod(self.step.site.kernel), rng, self.given)

    def _weights(self) -> Observed:
        """What is assumed of unseen data."""
        weight, bias = self.weights
        if self.step.site.groups > 1:
            return PerGroup.of_weights(weight, bias, self.step.site.groups)
        return Moments.of_weights(weight, bias)


def _settled(fitted: Fitted) -> bool:
    """Whether no other fit can be much better."""
    return fitted.training_error is not None and fitted.error <= CLOSE * fitted.training_error


def _finite_weights(model: ir.Model, site: ConvSite) -> tuple[Array, Array]:
    """A site's weights and bias in float64.

    Raises:
        InputError: some are not finite.
    """
    weight, bias = surgery.weight_and_bias(model, site.name)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise InputError(f"the weights of {site.name} are not finite; export the network again")
    return weight, bias


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
