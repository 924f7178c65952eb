"""Ratios are found through drift and noise, and time is not spent on what is settled."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from test_timing_protocol import FakeClock

from gconvtool.results.kernels import KernelTime
from gconvtool.timing.protocol import Runner
from gconvtool.timing.race import LEAST_ROUNDS, MOST_ROUNDS, Race, take_turns


def runner(
    clock: FakeClock, ms: float, noise: float = 0.0, drift: float = 0.0, seed: int = 0
) -> Callable[[], None]:
    """Takes so many ms, give or take a share, on a machine that becomes slower by a share an hour
    of its own time."""
    rng = Random(seed)

    def run() -> None:
        slower = 1 + drift * clock.now_ms / 3.6e6
        clock.advance(ms * slower * (1 + rng.uniform(-noise, noise)))

    return run


def race(
    first: Runner, others: list[Runner], *, clock: FakeClock, rng: Random, budget_s: float
) -> tuple[KernelTime, ...]:
    """One by itself."""
    made = Race(first, others, clock=clock, rng=rng)
    take_turns([made], clock=clock, budget_s=budget_s)
    return made.times()


def test_times_and_savings() -> None:
    clock = FakeClock()
    dense, fast, slow = (runner(clock, ms) for ms in (4.0, 1.0, 8.0))
    times = race(dense, [fast, slow], clock=clock, rng=Random(0), budget_s=10)
    assert [time.time.ns for time in times] == pytest.approx([1e6, 8e6])
    assert [time.dense.ns for time in times] == pytest.approx([4e6, 4e6])
    assert [time.saved.ns for time in times] == pytest.approx([3e6, -4e6])
    assert all(time.settled for time in times)
    assert {time.rounds for time in times} == {40}  # of 13 ms each, eight a turn, in five turns
    assert times[0].speedup == pytest.approx(4.0)


def test_slow_models_have_few_rounds() -> None:
    clock = FakeClock()
    (time,) = race(
        runner(clock, 400.0), [runner(clock, 100.0)], clock=clock, rng=Random(0), budget_s=60
    )
    assert time.rounds == LEAST_ROUNDS


def test_a_machine_that_becomes_slower_moves_no_ratio() -> None:
    clock = FakeClock()
    pair = [runner(clock, ms, noise=0.02, drift=3e3, seed=i) for i, ms in enumerate((4.0, 1.0))]
    (time,) = race(pair[0], [pair[1]], clock=clock, rng=Random(0), budget_s=60)
    assert time.speedup == pytest.approx(4.0, rel=0.03)


def test_noise_is_outwaited_and_owned_up_to() -> None:
    clock = FakeClock()
    pair = [runner(clock, ms, noise=0.4, seed=i) for i, ms in enumerate((4.0, 3.0))]
    (time,) = race(pair[0], [pair[1]], clock=clock, rng=Random(0), budget_s=600)
    assert time.rounds > LEAST_ROUNDS
    assert abs(time.saved.ns - 1e6) < 4 * time.saved.error_ns


def test_the_budget_ends_what_does_not_settle() -> None:
    clock = FakeClock()
    pair = [runner(clock, ms, noise=0.9, seed=i) for i, ms in enumerate((100.0, 99.0))]
    (time,) = race(pair[0], [pair[1]], clock=clock, rng=Random(0), budget_s=5)
    assert LEAST_ROUNDS <= time.rounds < MOST_ROUNDS
    assert clock.now_ms < 7_000
    assert not time.settled


def test_what_is_settled_does_not_run_on() -> None:
    clock = FakeClock()
    counted = {"quiet": 0, "loud": 0}

    def counting(name: str, run: Callable[[], None]) -> Callable[[], None]:
        def counted_run() -> None:
            counted[name] += 1
            run()

        return counted_run

    quiet = counting("quiet", runner(clock, 1.0))
    loud = counting("loud", runner(clock, 3.9, noise=0.5, seed=1))
    race(runner(clock, 4.0), [quiet, loud], clock=clock, rng=Random(0), budget_s=600)
    assert counted["loud"] > 4 * counted["quiet"]


def test_disturbed_rounds_are_left_out() -> None:
    clock, calls = FakeClock(), [0]

    def dense() -> None:
        calls[0] += 1
        disturbed = calls[0] % 3 == 0
        clock.advance(40.0 if disturbed else 4.0, preempted=disturbed)

    (time,) = race(dense, [runner(clock, 1.0)], clock=clock, rng=Random(0), budget_s=60)
    assert time.dense.ns == pytest.approx(4e6)
