"""Two models to compare: both given, or one and what a recipe makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gconvtool.errors import InputError
from gconvtool.pipeline.contestants import Contestant
from gconvtool.pipeline.course import RANDOM, agreement, draw, lay_out, require_batches
from gconvtool.pipeline.duel import Duel, prepare
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.rewrite import rewrite
from gconvtool.pipeline.source import Model
from gconvtool.pipeline.terms import Terms
from gconvtool.plan import Selection
from gconvtool.recipes import Recipe
from gconvtool.runtime.inputs import Data

SAMPLES = 256
"""Samples that a conversion in memory is fitted to."""


@dataclass(frozen=True)
class Opponents:
    """Both models; `unseen` samples are those that a conversion was not fitted to."""

    first: Contestant
    second: Contestant
    unseen: Data | None = None
    notes: tuple[str, ...] = ()

    def samples(self, terms: Terms, batches: Sequence[int]) -> Data:
        """Enough for each of these batches, which both models have to take.

        Raises:
            InputError: one of them does not, or they or the data do not fit.
        """
        pair = self._on(terms)
        if len(batches) > 1:
            require_batches(pair, batches)
        return draw(agreement(pair, terms), pair[0], max(*batches, RANDOM))

    def duel(self, terms: Terms, samples: Data | None = None) -> Duel:
        """Get them ready on these terms, see `prepare`; `samples` if they are drawn already."""
        first, second = pair = self._on(terms)
        course = lay_out(pair, terms, samples)
        if self.unseen is not None:
            course = replace(course, samples=self.unseen)
        return prepare(first, second, course, self.notes)

    def _on(self, terms: Terms) -> tuple[Contestant, Contestant]:
        return replace(self.first, terms=terms), replace(self.second, terms=terms)


def opponents(
    a: Model, b: Model | None, recipe: Recipe | None, fit_data: str | None, terms: Terms
) -> Opponents:
    """Load both models, or load one and convert it in memory.

    Raises:
        InputError: they or the data cannot be used, or there is nothing to compare with.
        MissingError: onnxruntime or the provider is missing.
    """
    first = Contestant.open(a, terms)
    if b is not None:
        return Opponents(first, Contestant.open(b, terms))
    if recipe is None:
        raise InputError("nothing to compare with: name a second model or a recipe")
    return _conversion(first, recipe, fit_data)


def _conversion(first: Contestant, recipe: Recipe, fit_data: str | None) -> Opponents:
    """What cannot be run, or not on these data, should be told before the work of a conversion."""
    terms = first.terms
    first.session().run(lay_out((first,), terms).feeds)
    feed = replace(terms.feed, data=fit_data or terms.data)
    request = Request(
        first.network,
        recipe,
        Selection(),
        feed,
        SAMPLES,
        terms.seed,
        terms.granted,
        terms.progress,
    )
    rewritten = rewrite(request)
    return Opponents(
        first,
        first.converted(rewritten.model),
        rewritten.unseen if fit_data is None else None,
        rewritten.conversion.warnings,
    )
