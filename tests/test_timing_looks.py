"""The error that is allowed in all is spent at looks, and no more than that."""

from __future__ import annotations

from itertools import combinations

import pytest

from gconvtool.timing.looks import LOOKS, at_end, at_look, of_interval


@pytest.mark.parametrize(
    ("blocks", "end", "interval"),
    [
        (2, 5, 5),
        (3, 5, 5),
        (4, 5, 4),
        (5, 4, 4),
        (7, 4, 4),
        (8, 4, 3),
        (9, 3, 3),
        (15, 3, 3),
        (16, 3, 2),
        (17, 2, 2),
        (32, 2, 2),
    ],
)
def test_every_look_costs_a_fifth(blocks: int, end: int, interval: int) -> None:
    assert at_look(5.0) == pytest.approx(1.0)
    assert at_end(5.0, blocks) == pytest.approx(end)
    assert of_interval(5.0, blocks) == pytest.approx(interval)


@pytest.mark.parametrize("end", range(2, 33))
def test_all_looks_and_the_end_never_err_more_often_than_allowed(end: int) -> None:
    before = [look for look in LOOKS if look < end]
    for size in range(len(before) + 1):
        for taken in combinations(before, size):  # a look that was not taken spends nothing
            assert len(taken) * at_look(0.05) + at_end(0.05, end) <= 0.05 + 1e-12


@pytest.mark.parametrize("blocks", range(2, 33))
def test_what_a_look_finds_stands_at_the_end(blocks: int) -> None:
    assert at_look(0.01) < of_interval(0.01, blocks) <= at_end(0.01, blocks)
