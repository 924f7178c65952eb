"""Two models on the same inputs: how far apart they are, and which is faster."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from gconvtool.errors import InputError
from gconvtool.graph.pack import Packed
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.rewrite import Rewritten, rewrite
from gconvtool.pipeline.source import (
    BATCH,
    Feed,
    Model,
    Network,
    Progress,
    count,
    drift,
    fed_like,
    silent,
)
from gconvtool.plan import Selection
from gconvtool.recipes import Recipe
from gconvtool.results import Comparison, Drift, Gate, Interval, Placed, Verification
from gconvtool.runtime.inputs import Data, ImageOptions
from gconvtool.runtime.session import Session, version
from gconvtool.timing import machine, protocol, stats

RANDOM = 8
"""Random inputs to compare on where there are no data."""
SAMPLES = 256
"""Samples that a conversion in memory is fitted to."""


@dataclass(frozen=True)
class Gates:
    """Limits on a comparison: `min_speedup` is a factor, `max_accuracy_drop` is in points."""

    min_speedup: float | None = None
    max_accuracy_drop: float | None = None


@dataclass(frozen=True)
class _Contestant:
    """A model in memory, how it is run, and its counted cost."""

    network: Network
    packed: Packed
    provider: str
    threads: int

    def session(self) -> Session:
        return Session(self.packed, self.provider, self.threads, self.network.name)


def verify(
    a: Model,
    b: Model,
    *,
    data: str | None = None,
    provider: str = "cpu",
    threads: int | None = None,
    dims: Mapping[str, int] | None = None,
    images: ImageOptions = ImageOptions(),  # noqa: B008  frozen
    seed: int = 0,
) -> Verification:
    """Compare two models' outputs on the same inputs; on random ones if there are no data.

    Raises:
        InputError: the models or the data cannot be used, or do not fit each other.
        VerificationError: B's outputs are not finite.
        MissingError: onnxruntime or the provider is missing.
    """
    threads = threads or machine.cpu_budget()
    pair = [_contestant(Network.open(model), provider, threads) for model in (a, b)]
    samples = Feed(data, images, dims or {}).samples(pair[0].network, RANDOM, seed)
    measured = _drift(pair, samples)
    return Verification(pair[0].network.name, pair[1].network.name, measured, samples.source)


def bench(
    a: Model,
    b: Model | None = None,
    *,
    recipe: Recipe | None = None,
    fit_data: str | None = None,
    data: str | None = None,
    provider: str = "cpu",
    threads: int | None = None,
    batch: int = 1,
    time_budget_s: float = 60.0,
    gates: Gates = Gates(),
    seed: int = 0,
    dims: Mapping[str, int] | None = None,
    images: ImageOptions = ImageOptions(),  # noqa: B008  frozen
    progress: Progress = silent,
) -> Comparison:
    """Compare two models, or a model with its conversion: drift first, then latency.

    Args:
        a: the model to compare with.
        b: the other model; if None, `a` is converted with `recipe`, in memory.
        recipe: what the convolutions become, see `convert`.
        fit_data: what to fit the conversion to; a part of `data` if None, which is then compared
            on the rest.
        data: what to run both on, with labels for accuracy; random numbers if None.
        provider: "cpu" or "cuda".
        threads: intra-op threads of both; as many as the machine grants if None.
        batch: samples a run.
        time_budget_s: for the timing alone.
        gates: limits; the result says whether they hold.
        seed: decides the order of runs and the random inputs.
        dims: sizes for open dimensions.
        images: how pixels become numbers, where data are images.
        progress: called while converting and while timing.

    Raises:
        InputError: the models or the data cannot be used, or do not fit each other.
        VerificationError: B's outputs are not finite.
        MissingError: onnxruntime or the provider is missing.
    """
    threads = threads or machine.cpu_budget()
    disturbances = machine.preflight()  # before we are the load ourselves
    feed = Feed(data, images, dims or {})
    first = _contestant(Network.open(a), provider, threads)
    count(first.network, feed)  # a dimension that is not there should be told at once
    samples = feed.samples(first.network, max(batch, RANDOM), seed)
    if gates.max_accuracy_drop is not None and samples.labels is None:
        raise InputError("an accuracy gate needs labels: give --data an .npz with a labels array")
    feeds = _one_batch(samples, first.network, batch)
    first.session()  # before the work of a conversion: the provider may be missing
    notes: tuple[str, ...] = ()
    if b is not None:
        second = _contestant(Network.open(b), provider, threads)
    elif recipe is not None:
        fit = replace(feed, data=fit_data or data)
        request = Request(first.network, recipe, Selection(), fit, SAMPLES, seed, threads, progress)
        rewritten = rewrite(request)
        second, notes = _converted(first, rewritten), rewritten.conversion.warnings
        if fit_data is None and rewritten.unseen is not None:
            samples = rewritten.unseen
    else:
        raise InputError("nothing to compare with: name a second model or a recipe")
    pair = (first, second)
    measured_drift = _drift(pair, samples)
    counting = fed_like(feed, samples, first.network.batch(1))
    totals = [count(contestant.network, counting).totals for contestant in pair]
    placement = {key: _placed(c.session()) for key, c in zip("ab", pair, strict=True)}
    measured = protocol.measure(
        lambda: first.session().runner(feeds),
        lambda: second.session().runner(feeds),
        clock=machine.SystemClock(),
        rng=random.Random(seed),
        time_budget_s=time_budget_s,
        progress=lambda share: progress("timing", round(1000 * share), 1000),
    )
    judgement = stats.judge(measured)
    return Comparison(
        a=stats.timing(first.network.name, measured, "a"),
        b=stats.timing(second.network.name, measured, "b"),
        judgement=judgement,
        drift=measured_drift,
        drift_source=samples.source,
        provider=provider,
        threads=threads,
        batch=len(next(iter(feeds.values()))),
        placement=placement,
        machine=machine.machine(version()),
        macs=(totals[0], totals[1]),
        gates=tuple(_answers(gates, judgement.speedup, measured_drift[0])),
        measurement=measured,
        warnings=(*disturbances, *_stand_ins(pair), *notes),
    )


def _contestant(network: Network, provider: str, threads: int) -> _Contestant:
    return _Contestant(network, network.packed(), provider, threads)


def _converted(first: _Contestant, rewritten: Rewritten) -> _Contestant:
    network = Network(rewritten.model, f"{first.network.name}, converted")
    return replace(first, network=network, packed=network.packed())


def _placed(session: Session) -> Mapping[str, Placed]:
    return {provider: Placed(nodes) for provider, nodes in session.placement().items()}


def _drift(pair: tuple[_Contestant, ...] | list[_Contestant], samples: Data) -> tuple[Drift, ...]:
    first, second = pair
    return drift(first.session(), second.session(), samples, first.network.batch(BATCH))


def _stand_ins(pair: tuple[_Contestant, ...]) -> Iterator[str]:
    """What must be said of models that are not run in their own numbers, once each."""
    yield from dict.fromkeys(said for one in pair for said in one.network.stand_in())


def _one_batch(samples: Data, network: Network, wanted: int) -> Mapping[str, NDArray[Any]]:
    size = network.batch(wanted)
    if wanted not in (1, size.samples):
        raise InputError(f"--batch {wanted}: {network.name} takes {size.samples} at a time")
    if len(samples) < size.samples:
        raise InputError(
            f"{samples.source}: {len(samples)} samples do not fill a batch of {size.samples}"
        )
    return next(samples.batches(size))


def _answers(gates: Gates, speedup: Interval, drifted: Drift) -> Iterator[Gate]:
    """Every limit that was set, decided by the interval's bounds and never by the estimate."""
    if gates.min_speedup is not None:
        limit = gates.min_speedup
        passed = True if speedup.low >= limit else False if speedup.high < limit else None
        yield Gate("min_speedup", limit, speedup.estimate, passed)
    if gates.max_accuracy_drop is not None:
        before, after = drifted.accuracy_before, drifted.accuracy_after
        if before is None or after is None:
            yield Gate("max_accuracy_drop", gates.max_accuracy_drop, None, None)
        else:
            drop = 100 * (before - after)
            yield Gate(
                "max_accuracy_drop", gates.max_accuracy_drop, drop, drop <= gates.max_accuracy_drop
            )
