"""Percentiles are bounded by runs, whatever their distribution and however blocks differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, norm, t

from gconvtool.timing.tails import bounds, percentile


@pytest.mark.parametrize(("q", "error"), [(0.95, 0.05), (0.95, 0.01), (0.5, 0.03)])
def test_runs_of_blocks_that_are_alike_are_bounded_by_binomial_ranks(q: float, error: float):
    every = np.arange(1.0, 1001.0) ** 3
    blocks = [every[start::10] for start in range(10)]
    worth = int(1000 * (norm.ppf(error / 2) / t.ppf(error / 2, 9)) ** 2)
    low, high = binom.ppf([error / 2, 1 - error / 2], worth, q)
    ranks = math.floor(low * 1000 / worth), math.ceil((high + 1) * 1000 / worth)
    assert bounds(blocks, q, error) == pytest.approx([rank**3 for rank in ranks])


@pytest.mark.parametrize("between", [0.01, 0.1])
def test_bounds_hold_the_truth_where_blocks_differ(between: float):
    rng, many = np.random.default_rng(4), 150
    truth = math.exp(norm.ppf(0.95) * math.hypot(0.1, between))
    below = above = 0
    for _ in range(many):
        logs = rng.normal(0, between, (16, 1)) + rng.normal(0, 0.1, (16, 100))
        low, high = bounds(list(np.exp(logs)), 0.95, 0.05)
        below += low is not None and low > truth
        above += high is not None and high < truth
    assert max(below, above) <= 0.025 * many + 3 * math.sqrt(0.025 * many)


def test_blocks_that_differ_are_worth_fewer_runs():
    alike = [np.arange(1.0, 201.0) for _ in range(8)]
    apart = [block + 30 * (index % 2) for index, block in enumerate(alike)]
    ends = np.array([bounds(blocks, 0.8, 0.05) for blocks in (alike, apart)], dtype=float)
    narrow, wide = ends[:, 1] - ends[:, 0]
    assert wide > 2 * narrow


def test_where_no_run_is_an_upper_bound_another_block_is():
    p95_ms = (1.0, 1.1, 2.0, 3.0)
    blocks = [np.full(300, ms) for ms in p95_ms]
    logs = np.log(p95_ms)
    reach = t.ppf(0.975, 3) * np.std(logs, ddof=1) * math.sqrt(5 / 4)
    assert bounds(blocks, 0.95, 0.05)[1] == pytest.approx(math.exp(np.mean(logs) + reach))


def test_too_few_runs_have_no_bounds():
    assert bounds([np.arange(1000.0)], 0.95, 0.05) == (None, None)
    assert bounds([np.arange(5.0)] * 4, 0.95, 0.05)[1] is None
    assert bounds([np.ones(300), np.ones(0), np.ones(300), np.ones(300)], 0.5, 0.05) == (1.0, 1.0)


@pytest.mark.parametrize(("q", "least"), [(0.95, 59), (0.99, 299)])
def test_a_percentile_needs_enough_runs(q: float, least: int):
    assert percentile(np.ones(least - 1), q) is None
    assert percentile(np.ones(least), q) == 1.0
