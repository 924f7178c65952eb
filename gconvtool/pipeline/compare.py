"""Two models on the same inputs: how far apart they are, and which is faster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gconvtool.pipeline.baseline import Baseline
from gconvtool.pipeline.contestants import Contestant
from gconvtool.pipeline.course import lay_out
from gconvtool.pipeline.duel import contest, prepare
from gconvtool.pipeline.gates import Gates, decide
from gconvtool.pipeline.opponents import opponents
from gconvtool.pipeline.source import Model
from gconvtool.pipeline.terms import Feeding, Options, Terms
from gconvtool.pipeline.tolerances import Tolerances
from gconvtool.pipeline.tolerances import decide as tolerated
from gconvtool.recipes import Recipe
from gconvtool.results import Comparison, Verification
from gconvtool.runtime.session import version
from gconvtool.timing import machine

if TYPE_CHECKING:
    from typing_extensions import Unpack


def verify(
    a: Model,
    b: Model,
    *,
    tolerances: Tolerances = Tolerances(),  # noqa: B008  frozen
    **options: Unpack[Feeding],
) -> Verification:
    """Compare two models' outputs on the same inputs; on random ones if there are no data.

    Args:
        a: the model to compare with.
        b: the other model.
        tolerances: limits; the result says whether they hold.
        options: how to run and feed them, see `Terms`.

    Raises:
        InputError: the models or the data cannot be used, or do not fit each other.
        VerificationError: B's outputs are not finite.
        MissingError: onnxruntime or the provider is missing, or a convolution ran elsewhere.
    """
    labelled = Gates(max_accuracy_drop=tolerances.max_accuracy_drop)
    terms = Terms(**options, gates=labelled)
    first, second = (Contestant.open(model, terms) for model in (a, b))
    duel = prepare(first, second, lay_out((first, second), terms))
    return Verification(
        first.name,
        second.name,
        duel.drift,
        duel.course.samples.source,
        tolerated(tolerances, duel.drift),
        duel.provider,
        duel.notes,
    )


def bench(
    a: Model,
    b: Model | None = None,
    *,
    recipe: Recipe | None = None,
    fit_data: str | None = None,
    baseline: Baseline | None = None,
    **options: Unpack[Options],
) -> Comparison:
    """Compare two models, or a model with its conversion: drift first, then latency.

    Args:
        a: the model to compare with.
        b: the other model; if None, `a` is converted with `recipe`, in memory.
        recipe: what the convolutions become, see `convert`.
        fit_data: what to fit the conversion to; a part of `data` if None, which is then compared
            on the rest.
        baseline: an earlier comparison, which this one may not fall behind.
        options: how to run, feed, time and judge them, see `Terms`.

    Raises:
        InputError: the models or the data cannot be used, or do not fit each other.
        VerificationError: B's outputs are not finite.
        MissingError: onnxruntime or the provider is missing, or a convolution ran elsewhere.
    """
    noise, terms = machine.preflight(), Terms(**options)  # before we are the load ourselves
    differences = () if baseline is None else baseline.differences(machine.machine(version()))
    duel = opponents(a, b, recipe, fit_data, terms).duel(terms)
    if baseline is None:
        return contest([duel], terms, noise, terms.gates.speedups)[0]
    baseline.require_alike(duel.provider, terms.granted, duel.course.batch)
    noise += (*baseline.doubts(differences), *baseline.other_model(duel.macs[0].macs))
    (found,) = contest([duel], terms, noise, (*terms.gates.speedups, baseline.least))
    found = replace(found, baseline=baseline.check(found.judgement.speedup, differences))
    return replace(found, gates=decide(terms.gates, found))
