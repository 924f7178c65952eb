"""The peaks are the best attempts, by a clock that only moves when the test says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gconvtool.timing import peaks


class Clock:
    """Every second reading ends an attempt, which took the next of these seconds."""

    def __init__(self, attempts: list[float]) -> None:
        self.attempts: Iterator[float] = iter(attempts)
        self.now = 0.0
        self.acts = 0

    def __call__(self) -> float:
        return self.now

    def act(self) -> None:
        self.acts += 1
        self.now += next(self.attempts)


def test_the_fastest_of_the_attempts_that_fit_counts() -> None:
    clock = Clock([3.0, 1.0, 2.0, 0.5, 4.0, 9.0])
    assert peaks._fastest(clock.act, clock, 10.0) == 0.5
    assert clock.acts == 5  # after 10.5 seconds there is no time for another


def test_a_few_attempts_are_made_however_long_they_take() -> None:
    clock = Clock([70.0, 60.0, 50.0])
    assert peaks._fastest(clock.act, clock, 1.0) == 50.0


def test_a_clock_that_sees_no_time_pass_divides_by_nothing() -> None:
    clock = Clock([0.0, 0.0, 0.0])
    assert peaks._fastest(clock.act, clock, 0.0) > 0


def test_operations_and_bytes_are_those_of_the_product_and_the_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peaks, "SIDE", 50)
    monkeypatch.setattr(peaks, "NUMBERS", 1001)
    monkeypatch.setattr(peaks, "_fastest", lambda act, clock, seconds: act() is None or 1e-3)
    gflops, bandwidth_gbs = peaks.measure(lambda: 0.0, 1.0)
    assert gflops * 1e9 == pytest.approx(50 * 50 * (50 + 50) / 1e-3)
    assert bandwidth_gbs * 1e9 == pytest.approx(2 * 1001 * 4 / 1e-3)
