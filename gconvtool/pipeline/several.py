"""More than two models: each against the first, on the same inputs, within one budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gconvtool.errors import InputError
from gconvtool.pipeline.contestants import Contestant
from gconvtool.pipeline.course import lay_out
from gconvtool.pipeline.duel import contest, prepare
from gconvtool.pipeline.source import Model
from gconvtool.pipeline.terms import Options, Terms
from gconvtool.results import Comparison, Ranking
from gconvtool.timing import machine

if TYPE_CHECKING:
    from typing_extensions import Unpack


def rank(models: Sequence[Model], **options: Unpack[Options]) -> Ranking:
    """Compare every model with the first; each gets an equal part of the time budget.

    Args:
        models: two or more.
        options: how to run, feed, time and judge them, see `Terms`; gates hold for each.

    Raises:
        InputError: there are fewer, or one cannot be used, or does not do the first one's job.
        VerificationError: the outputs of one are not finite.
        MissingError: onnxruntime or the provider is missing, or a convolution ran elsewhere.
    """
    noise, terms = machine.preflight(), Terms(**options)
    if len(models) < 2:
        raise InputError("a ranking needs two models or more")
    first, *others = (Contestant.open(model, terms) for model in models)
    course = lay_out((first, *others), terms)
    duels = [prepare(first, other, course) for other in others]
    found = contest(duels, terms, noise, terms.gates.speedups)
    return ranked(found)


def ranked(found: Iterable[Comparison]) -> Ranking:
    """The fastest first."""
    return Ranking(tuple(sorted(found, key=lambda one: -one.judgement.speedup.estimate)))
