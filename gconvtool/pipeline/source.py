"""Where models and samples come from, for every command alike."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx_ir as ir

from gconvtool import tally
from gconvtool.drift import Reference, compare
from gconvtool.errors import InputError
from gconvtool.facts import Input, Survey
from gconvtool.graph import load as loading
from gconvtool.graph import shapes, twin
from gconvtool.graph.expand import expand_functions
from gconvtool.graph.pack import Packed, pack
from gconvtool.graph.shapes import Names
from gconvtool.graph.signature import signature
from gconvtool.graph.survey import sketch, survey
from gconvtool.results import Analysis, Drift
from gconvtool.runtime import inputs
from gconvtool.runtime.inputs import Batch, Data, ImageOptions
from gconvtool.runtime.session import Session

Model = str | Path | ir.Model
Progress = Callable[[str, int, int], None]
"""Called with what is being worked on, how much of it is done, and of how much."""

BATCH = 32
OPEN_DIM = 224
"""What an open dimension is taken as where something has to run and nothing says otherwise."""


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Network:
    """A loaded model under the name that messages and results give it."""

    model: ir.Model
    name: str

    @classmethod
    def open(cls, source: Model) -> Network:
        """Load a file; a model that is loaded already is copied, so that it never changes."""
        if isinstance(source, ir.Model):
            name = source.graph.name or "model"
            return cls(loading.copied(source, name), name)
        return cls(loading.load(Path(source)), str(source))

    def packed(self) -> Packed:
        """The model as onnxruntime takes it."""
        return pack(self.model, self.name)

    def stand_in(self) -> tuple[str, ...]:
        """What has to be said where the model is not run in its own numbers."""
        kinds = (kind.numpy().name for kind in twin.unsupported(self.model))
        return tuple(
            f"{self.name} is run in float32, since onnxruntime's CPU kernels do not take {kind}: "
            f"errors and times are those of float32, what is written stays {kind}"
            for kind in kinds
        )

    def batch(self, wanted: int) -> Batch:
        """The batch to run: what the model insists on, or what is wanted."""
        return inputs.batch(signature(self.model), wanted)


@dataclass(frozen=True)
class Feed:
    """Where samples come from, and the sizes of open dimensions."""

    data: str | None = None
    images: ImageOptions = field(default_factory=ImageOptions)
    dims: Mapping[str, int] = field(default_factory=dict)
    input_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def samples(self, network: Network, count: int, seed: int) -> Data:
        """All samples of the data; `count` random ones if there are no data."""
        wanted = signature(network.model)
        if self.data is not None:
            return inputs.load(self.data, wanted, self.images)
        drawn = [self._shaped(i) for i in wanted]
        return inputs.random(drawn, self.sizes(network), network.batch(count).samples, seed)

    def _shaped(self, i: Input) -> Input:
        """With the sizes that are given for what the model leaves open."""
        given = self.input_shapes.get(i.name)
        said = (None,) * len(given or ()) if i.shape is None else i.shape
        if given is None or len(said) != len(given):
            return i
        sizes = (size if isinstance(size, int) else n for size, n in zip(said, given, strict=True))
        return replace(i, shape=tuple(sizes))

    def sizes(self, network: Network, default: int = OPEN_DIM) -> dict[str, int]:
        """A size for every open dimension of the inputs."""
        open_dims = {
            dim or f"{i.name}_{axis}": default
            for i in signature(network.model)
            for axis, dim in enumerate(i.shape or ())
            if not isinstance(dim, int)
        }
        return {**open_dims, **self.dims}

    def only(self, known: Names) -> Feed:
        """The sizes of what a model has; the others are for other models."""
        return replace(
            self,
            dims={name: size for name, size in self.dims.items() if name in known.dims},
            input_shapes={
                name: shape for name, shape in self.input_shapes.items() if name in known.inputs
            },
        )


def count(network: Network, feed: Feed) -> Analysis:
    """The cost of a network; it is not changed.

    Raises:
        InputError: sizes for what it does not have, or functions that do not end.
    """
    return read(network, feed).analysis


@dataclass(frozen=True)
class Reading:
    """A network's facts and what they cost."""

    survey: Survey
    analysis: Analysis


def read(network: Network, feed: Feed, swept: Container[str] = ()) -> Reading:
    """Facts and costs of a network at the sizes that the feed gives; it is not changed.

    Args:
        network: what is counted.
        feed: the sizes.
        swept: open dimensions whose sizes are tried out elsewhere.

    Raises:
        InputError: sizes for what it does not have, or functions that do not end.
    """
    model = _expanded(network)
    open_facts = None
    if shapes.open_dims(model):
        with shapes.kept(model):
            shapes.leave_open(model)
            open_facts = sketch(model)
    with shapes.kept(model):
        fixed = shapes.fix(model, feed.dims, feed.input_shapes)
        facts, still_open = _facts(network, model), shapes.open_dims(model)
    result = tally.analysis(network.name, facts, fixed.sizes, open_facts)
    missing = [name for name in still_open if name not in swept]
    warnings = _warnings(result, model, missing, fixed.contradictions)
    return Reading(facts, replace(result, warnings=tuple(warnings)))


def _expanded(network: Network) -> ir.Model:
    """The model, its functions expanded in a copy if it has any."""
    if not network.model.functions:
        return network.model
    copy = network.model.clone()
    try:
        expand_functions(copy)
    except InputError as error:
        raise InputError(f"{network.name}: {error}") from error
    return copy


def _facts(network: Network, model: ir.Model) -> Survey:
    try:
        return survey(model)
    except InputError as error:
        raise InputError(f"{network.name}: {error}") from error


def _warnings(
    result: Analysis, model: ir.Model, missing: Sequence[str], contradictions: Sequence[str]
) -> Iterator[str]:
    for path in sorted(loading.external_files(model)):
        if not path.is_file():
            yield f"{path}: missing; costs do not need the weights, but converting and running do"
    if contradictions:
        yield f"shapes do not fit each other at {contradictions[0]}"
    if not result.totals.exact and missing:
        hint = " ".join(f"--dim {name}=SIZE" for name in missing)
        yield f"open dimensions leave layers uncounted: give {hint}"


def fed_like(feed: Feed, data: Data, batch: Batch) -> Feed:
    """The feed with the input shapes of its data: a sample, or the batch that there has to be.

    What was given wins.
    """
    size = batch.samples if batch.fixed else 1
    return replace(feed, input_shapes={**inputs.shapes(data.feeds, size), **feed.input_shapes})


def drift(a: Session, b: Session, data: Data, batch: Batch) -> tuple[Drift, ...]:
    """How far b is from a on these samples.

    Raises:
        InputError: they do not fill a batch that the model insists on.
    """
    if batch.fixed and len(data) < batch.samples:
        raise InputError(
            f"{data.source}: {len(data)} samples do not fill the model's batch of {batch.samples}"
        )
    reference = Reference(data.source, data.labels, data.target)
    return compare(a.run, b.run, data.batches(batch), reference)
