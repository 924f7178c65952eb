"""One model by itself: how long a run takes, and how many samples a second that makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gconvtool.pipeline.contestants import Contestant, stand_ins
from gconvtool.pipeline.course import Course, lay_out
from gconvtool.pipeline.gates import decide_alone, require_alone
from gconvtool.pipeline.layers import layers, require_profile
from gconvtool.pipeline.source import Model
from gconvtool.pipeline.terms import Options, Terms
from gconvtool.results import Recording, Solo
from gconvtool.runtime.session import version
from gconvtool.timing import machine, protocol, stats

if TYPE_CHECKING:
    from typing_extensions import Unpack


def solo(model: Model, **options: Unpack[Options]) -> Solo:
    """Time one model.

    Args:
        model: a file, or a model in memory.
        options: how to run, feed, time and judge it, see `Terms`; of the gates, `max_p95` and
            `max_size`.

    Raises:
        InputError: the model or the data cannot be used, or a gate compares two models.
        MissingError: onnxruntime or the provider is missing, or a convolution ran elsewhere.
    """
    noise, terms = machine.preflight(), Terms(**options)
    require_alone(terms.gates)
    one = Contestant.open(model, terms)
    course = lay_out((one,), terms)
    session, costs = one.session(), one.costs(course.shapes(1))
    provider = session.provider
    if terms.layers:
        require_profile(provider)
    session.run(course.feeds)
    placement = one.placement(session, costs)
    del session  # those that are timed are to be alone
    recording = _recorded(one, course)
    timed = stats.timing_of(one.name, recording)
    weight = one.weigh(course.feeds, provider)
    timing = weight.beside(timed)
    latency = stats.latency(recording)
    return Solo(
        model=timing,
        latency_ms=latency,
        throughput=stats.throughput(latency, course.batch),
        provider=provider,
        threads=terms.granted,
        batch=course.batch,
        placement=placement,
        machine=machine.machine(version()),
        macs=costs.totals,
        gates=decide_alone(terms.gates, timing),
        recording=recording,
        warnings=(*noise, *machine.crowding(terms.granted), *stand_ins((one,)), *weight.doubts),
        layers=layers(one, None, course, provider, machine.SystemClock()) if terms.layers else None,
    )


def _recorded(one: Contestant, course: Course) -> Recording:
    return protocol.record(
        one.opener(course.feeds),
        clock=machine.SystemClock(),
        time_budget_s=one.terms.time_budget_s,
        progress=one.terms.tell(),
    )
