"""The terms of a measurement, which are the same for every model in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from gconvtool.pipeline.gates import Gates
from gconvtool.pipeline.sizes import Sizes
from gconvtool.pipeline.source import Feed, Progress, silent
from gconvtool.runtime.footprint import How
from gconvtool.runtime.inputs import ImageOptions
from gconvtool.timing import machine


class Running(TypedDict, total=False):
    """What every function that runs models takes by keyword; `Terms` says what each is."""

    data: str | None
    provider: str
    provider_options: Mapping[str, str]
    session_options: Mapping[str, str]
    strict: bool | None
    seed: int
    images: ImageOptions


class Shared(Running, total=False):
    """The same where they are timed, too."""

    time_budget_s: float
    gates: Gates
    layers: bool
    memory: bool
    progress: Progress


class Feeding(Running, total=False):
    """How models are run and fed at one setting."""

    threads: int | None
    dims: Mapping[str, int]
    input_shapes: Mapping[str, Sequence[int]]


class Options(Shared, Feeding, total=False):
    """All of it: a setting is one of many in a `grid`."""

    batch: int


@dataclass(frozen=True)
class Terms:
    """How models are run, fed, timed and judged.

    Attributes:
        data: what to run them on, with labels for accuracy; random numbers if None.
        provider: "cpu", "cuda" or another one that onnxruntime has.
        provider_options: the provider's own options, as onnxruntime names them.
        session_options: options of sessions, as onnxruntime names them.
        strict: refuse convolutions that the provider leaves to another one; if None, wherever the
            provider is not the CPU.
        threads: intra-op threads; as many as the machine grants if None.
        batch: samples a run.
        time_budget_s: for the timing alone.
        gates: limits; the result says whether they hold.
        seed: decides the order of runs and the random inputs.
        dims: sizes for open dimensions.
        input_shapes: whole shapes by input; a leading 1 leaves an open batch to `batch`.
        images: how pixels become numbers, where data are images.
        layers: profile the models, too, and say where the time goes.
        memory: run each model in a process of its own, too, and say what memory that takes.
        progress: called while converting and while timing.
    """

    data: str | None = None
    provider: str = "cpu"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    session_options: Mapping[str, str] = field(default_factory=dict)
    strict: bool | None = None
    threads: int | None = None
    batch: int = 1
    time_budget_s: float = 60.0
    gates: Gates = field(default_factory=Gates)
    seed: int = 0
    dims: Mapping[str, int] = field(default_factory=dict)
    input_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    images: ImageOptions = field(default_factory=ImageOptions)
    layers: bool = False
    memory: bool = False
    progress: Progress = silent

    @property
    def granted(self) -> int:
        """The threads that a session gets."""
        return self.threads or machine.cpu_budget()

    @property
    def session(self) -> How:
        """How sessions are opened."""
        return How(
            provider=self.provider,
            threads=self.granted,
            provider_options=self.provider_options,
            session_options=self.session_options,
        )

    @property
    def sizes(self) -> Sizes:
        """What is said of open dimensions."""
        return Sizes(self.dims, self.input_shapes)

    @property
    def feed(self) -> Feed:
        """Where samples come from."""
        return Feed(self.data, self.images, self.dims, self.input_shapes)

    def tell(self, part: int = 0, parts: int = 1) -> Callable[[float], None]:
        """What hears how far one part of the timing is, and says how far the whole is."""
        return lambda share: self.progress("timing", round(1000 * (part + share) / parts), 1000)

    def is_strict(self, provider: str) -> bool:
        """Whether convolutions may not run elsewhere; by the provider's short name."""
        return provider != "cpu" if self.strict is None else self.strict
