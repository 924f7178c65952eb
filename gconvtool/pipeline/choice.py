"""The fits of one site, and which of them is the best.

A site can be fitted to what flows into it in the converted network (asymmetric), to what flowed in
the original one (symmetric), or to nothing but its own weights (data-free). The first is right by
construction, but only on the samples that it was fitted to. Its training error is about the least
that any weights of the recipe could have, so only where its error on held-out samples is clearly
above that can another fit be better; then all are tried, and the held-out samples decide. They are
few, so the asymmetric fit stays where another one is hardly better. Moments of float32 activations
cannot tell errors below their rounding apart: there, weights that have the structure already stay
as they are, which is right on every input.

Fits to data lean on the weights that were there (`fit.moments`, for whole maps `fit.leaning`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from gconvtool.facts import Skip
from gconvtool.fit.fitting import Given, Observed, fit
from gconvtool.fit.leaning import Weights, from_weights, leaning, lost
from gconvtool.fit.moments import Array, Moments
from gconvtool.fit.per_group import PerGroup
from gconvtool.fit.rows import Rows
from gconvtool.fit.structure import Factors, SeparableFactors
from gconvtool.pipeline.memo import keepable
from gconvtool.recipes import Candidate, Gdc
from gconvtool.results import Fit
from gconvtool.runtime.calibrate import Sight

CLOSE = 1.1
"""Held-out over training error up to which no other fit is tried."""
CLEAR = 0.9
"""Held-out error, as a share of the first fit's, from which on another one is better."""
ROUNDING = 5e-7
"""Errors that moments of float32 numbers cannot tell from none."""
HELD = 1e-10
"""The energy that weights lose, at most, to a structure that they have already."""
UNVARIED = "its output does not vary on the held-out samples; give more, or more diverse ones"


@keepable
@dataclass(frozen=True)
class Fitted:
    """New weights, how they were fitted, and the shares of the output's variance that they miss."""

    factors: Factors
    fit: Fit
    error: float
    training_error: float | None


def best(fitter: Fitter | WholeMapFitter, sight: Sight, fits: tuple[Fit, ...]) -> Fitted | Skip:
    """The fit with the least error on held-out samples, unless nothing can be told by them."""
    if flaw := sight.flaw():
        return flaw
    tried = list(_tried(fitter, sight, fits))
    if tried[0].error <= ROUNDING and "data-free" in fits and fitter.blind().error <= HELD:
        return fitter.fitted("data-free", sight.asymmetric(), sight.judged())
    least = min(tried, key=lambda fitted: fitted.error)
    if not np.isfinite(least.error):
        return Skip(UNVARIED)
    return least if least.error < CLEAR * tried[0].error else tried[0]


def _tried(
    fitter: Fitter | WholeMapFitter, sight: Sight, fits: tuple[Fit, ...]
) -> Iterator[Fitted]:
    judged, flowing = sight.judged(), sight.asymmetric()
    for name in fits:
        if name == "symmetric" and name != fits[0] and not sight.changed:
            continue  # the same data once more
        seen = sight.symmetric() if name == "symmetric" else flowing
        fitted = fitter.fitted(name, seen, judged)
        yield fitted
        if fitted.training_error is not None and fitted.error <= CLOSE * fitted.training_error:
            return  # no other fit can be much better


@dataclass(frozen=True)
class Fitter:
    """The fits of one site, whose own weights are N × C/G·taps and N."""

    step: Candidate
    weight: Array
    bias: Array
    seed: int
    given: Given

    def blind(self) -> Fitted:
        """From the weights alone; the error is the share of their energy that is lost."""
        seen = self._known()
        factors = self._fit(seen)
        return Fitted(factors, "data-free", seen.error(factors.kernel(), factors.bias), None)

    def fitted(self, name: Fit, seen: Observed, judged: Observed) -> Fitted:
        """To what was seen; data-free, of that there is at least the bias."""
        blind = name == "data-free"
        factors = self._fit(self._known() if blind else seen.leaning(self.weight))
        kernel = factors.kernel()
        factors = replace(factors, bias=seen.bias(kernel))
        training = None if blind else seen.error(kernel, factors.bias)
        return Fitted(factors, name, judged.error(kernel, factors.bias), training)

    def _fit(self, seen: Observed) -> Factors:
        # A site's own draws, so that its fit does not depend on which others are rewritten.
        rng = np.random.default_rng((self.seed, zlib.crc32(self.step.site.name.encode())))
        return fit(self.step.recipe, seen, prod(self.step.site.kernel), rng, self.given)

    def _known(self) -> Observed:
        """What is assumed of unseen data."""
        if self.step.site.groups > 1:
            return PerGroup.of_weights(self.weight, self.bias, self.step.site.groups)
        return Moments.of_weights(self.weight, self.bias)


@dataclass(frozen=True)
class WholeMapFitter:
    """The fits of a site that reads a whole map at once, so that there are few rows."""

    recipe: Gdc
    taps: int
    weight: Weights
    bias: Array

    def blind(self) -> Fitted:
        """From the weights alone; the error is the share of their energy that is lost."""
        cut = from_weights(self.weight, self.bias, self.taps, self.recipe.rank)
        return Fitted(cut, "data-free", lost(self.weight, cut), None)

    def fitted(self, name: Fit, seen: Observed, judged: Observed) -> Fitted:
        """To what was seen; data-free, of that there is at least the bias."""
        assert isinstance(seen, Rows)
        assert isinstance(judged, Rows)
        factors = self._fit(name, seen)
        training, error = (
            rows.error_of(factors.applied(rows.x), factors.bias) for rows in (seen, judged)
        )
        return Fitted(factors, name, error, None if name == "data-free" else training)

    def _fit(self, name: Fit, seen: Rows) -> SeparableFactors:
        if name != "data-free":
            return leaning(seen, self.weight, self.taps, self.recipe.rank)
        cut = from_weights(self.weight, self.bias, self.taps, self.recipe.rank)
        return replace(cut, bias=seen.y_mean - cut.applied(seen.x_mean[None])[0])
