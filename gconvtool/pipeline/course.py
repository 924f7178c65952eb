"""What all models of a measurement are fed: the same numbers, at sizes that each of them takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gconvtool.errors import InputError
from gconvtool.facts import Input
from gconvtool.graph import shapes
from gconvtool.graph.shapes import Names
from gconvtool.pipeline.contestants import Contestant
from gconvtool.pipeline.sizes import merged
from gconvtool.pipeline.terms import Terms
from gconvtool.runtime import inputs
from gconvtool.runtime.inputs import Arrays, Batch, Data

RANDOM = 8
"""Random inputs to compare on where there are no data."""


@dataclass(frozen=True, eq=False)
class Course:
    """All samples, and those of one run; `inputs` are what every model takes.

    It is like no other, as a `Contestant` is.
    """

    inputs: tuple[Input, ...]
    samples: Data
    feeds: Arrays

    @property
    def batch(self) -> int:
        """Samples a run."""
        return inputs.count(self.feeds)

    def sized(self, wanted: int) -> Batch:
        """The batch that a model insists on, or the wanted one."""
        return inputs.batch(self.inputs, wanted)

    def shapes(self, wanted: int) -> dict[str, tuple[int, ...]]:
        """Of the inputs, in a batch of so many samples where that is open."""
        return inputs.shapes(self.feeds, self.sized(wanted).samples)


def lay_out(contestants: Sequence[Contestant], terms: Terms, samples: Data | None = None) -> Course:
    """Read the data, or draw random numbers, if that is not done; and take one batch of them.

    Raises:
        InputError: the models do not fit each other, the data, or what was asked for.
    """
    agreed = agreement(contestants, terms)
    samples = samples or draw(agreed, contestants[0], max(terms.batch, RANDOM))
    if terms.gates.max_accuracy_drop is not None and samples.labels is None:
        raise InputError("an accuracy gate needs labels: give --data an .npz with a labels array")
    return Course(agreed, samples, _one_batch(contestants, samples, agreed, terms.batch))


def agreement(contestants: Sequence[Contestant], terms: Terms) -> tuple[Input, ...]:
    """The inputs that all of them take, at the sizes that were asked for.

    Raises:
        InputError: there are none, or sizes for what no model has.
    """
    _require_known(contestants, terms)
    agreed = contestants[0].inputs
    for other in contestants[1:]:
        agreed = merged(agreed, other.inputs, contestants[0].name, other.name)
    return agreed


def draw(agreed: Sequence[Input], one: Contestant, count: int) -> Data:
    """The samples of the data; `count` random ones, or a batch that is insisted on, without data.

    Raises:
        InputError: the data do not fit.
    """
    terms = one.terms
    if terms.data is not None:
        return inputs.load(terms.data, agreed, terms.images)
    size = inputs.batch(agreed, count)
    return inputs.random(agreed, terms.feed.sizes(one.network), size.samples, terms.seed)


def require_batches(contestants: Sequence[Contestant], wanted: Sequence[int]) -> None:
    """Refuse batches of which one model does not take some.

    Raises:
        InputError: there is such a model, by name.
    """
    for one in contestants:
        for samples in wanted:
            _require(one, samples, inputs.batch(one.inputs, samples).samples)


def _require(one: Contestant, wanted: int, taken: int) -> None:
    if wanted != taken:
        where = f" with {said}" if (said := str(one.terms.sizes)) else ""
        raise InputError(f"--batch {wanted}: {one.name} takes {taken} at a time{where}")


def _require_known(contestants: Sequence[Contestant], terms: Terms) -> None:
    """Sizes are for what some model has."""
    names = {shapes.names(one.network.model) for one in contestants}
    dims = frozenset[str]().union(*(of.dims for of in names))
    fed = frozenset[str]().union(*(of.inputs for of in names))
    Names(dims, fed, several=len(names) > 1).check(terms.dims, terms.input_shapes)


def _one_batch(
    contestants: Sequence[Contestant], samples: Data, agreed: Sequence[Input], wanted: int
) -> Arrays:
    """A batch of 1 is what was not asked for, and any will do then."""
    if wanted != 1:
        require_batches(contestants, [wanted])
    size = inputs.batch(agreed, wanted)
    if len(samples) < size.samples:
        raise InputError(
            f"{samples.source}: {len(samples)} samples do not fill a batch of {size.samples}"
        )
    return next(samples.batches(size))
