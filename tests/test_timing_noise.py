"""How unsteady a machine is, on a clock that is made up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle

import pytest

from gconvtool.timing.noise import noise


class Scripted:
    """A clock that work moves on: each run takes the next of these times, in milliseconds."""

    def __init__(self, times_ms: Iterable[float], preempted: Iterable[bool] | None = None) -> None:
        self.times: Iterator[float] = cycle(times_ms)
        self.pauses = None if preempted is None else cycle(preempted)
        self.now_ns = self.runs = self.counted = 0

    def work(self) -> None:
        self.now_ns += round(1e6 * next(self.times))
        self.runs += 1
        self.counted += self.pauses is not None and next(self.pauses)

    def wall_ns(self) -> int:
        return self.now_ns

    def cpu_ns(self) -> int:
        return 0

    def preemptions(self) -> int | None:
        return None if self.pauses is None else self.counted


def test_the_same_time_again_and_again_is_no_noise():
    clock = Scripted([1.0], [False])
    seen = noise(clock.work, clock, 0.1)
    assert (seen.spread, seen.preempted, seen.runs) == (0.0, 0.0, 100)
    assert clock.runs == 101  # the first does not count


def test_the_spread_is_that_of_the_middle_80_percent():
    times = [*range(100, 200), 9999]  # deciles of 101 values: the 10.2th and the 91.8th
    seen = noise((clock := Scripted([1, *times])).work, clock, 24.85)
    assert seen.runs == 101
    assert seen.spread == pytest.approx((190.8 - 109.2) / 150)


def test_preempted_runs_are_counted():
    clock = Scripted([1.0], [True, False, False, False])
    assert noise(clock.work, clock, 0.04).preempted == pytest.approx(10 / 40)


def test_a_system_that_does_not_count_is_not_taken_for_a_quiet_one():
    clock = Scripted([1.0])
    assert noise(clock.work, clock, 0.04).preempted is None


def test_slow_work_runs_often_enough_for_deciles():
    clock = Scripted([1000.0], [False])
    assert noise(clock.work, clock, 0.5).runs == 20
