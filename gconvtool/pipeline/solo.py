"""One model by itself: how long a run takes, and how many samples a second that makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gconvtool.pipeline.contestants import Contestant, stand_ins
from gconvtool.pipeline.course import Course, lay_out
from gconvtool.pipeline.gates import decide_alone, require_alone
from gconvtool.pipeline.layers import layers, require_profile
from gconvtool.pipeline.source import Model
from gconvtool.pipeline.terms import Options, Terms
from gconvtool.results import Interval, Recording, Solo
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
    session = one.session()
    if terms.layers:
        require_profile(session.provider)
    session.run(course.feeds)
    costs = one.costs(course.shapes(1))
    placement = one.placement(session, costs)
    recording = _recorded(one, course)
    timed = stats.timing_of(one.name, recording)
    timing, doubts = one.weighed(timed, course.feeds, session.provider)
    latency = stats.latency(recording)
    return Solo(
        model=timing,
        latency_ms=latency,
        throughput=_throughput(latency, course.batch),
        provider=session.provider,
        threads=terms.granted,
        batch=course.batch,
        placement=placement,
        machine=machine.machine(version()),
        macs=costs.totals,
        gates=decide_alone(terms.gates, timing),
        recording=recording,
        warnings=(*noise, *stand_ins((one,)), *doubts),
        layers=layers(one, None, course, machine.SystemClock()) if terms.layers else None,
    )


def _recorded(one: Contestant, course: Course) -> Recording:
    return protocol.record(
        one.opener(course.feeds),
        clock=machine.SystemClock(),
        time_budget_s=one.terms.time_budget_s,
        progress=one.terms.tell(),
    )


def _throughput(latency_ms: Interval, batch: int) -> Interval:
    """Samples a second: the longest latency is the lowest of them."""
    slowest, fastest = latency_ms.high, latency_ms.low
    return Interval(*(1000 * batch / ms for ms in (latency_ms.estimate, slowest, fastest)))
