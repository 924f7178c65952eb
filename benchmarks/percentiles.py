"""How often the bounds of a 95th percentile miss it, on simulated runs whose truth is known.

    python benchmarks/percentiles.py

A run takes 10 % of lognormal noise, and all runs of a block share a factor of their own, lognormal
too. In the last row a share of each block's runs takes four times as long, 10 % on average and
another one in each block. The truth is taken from 4,000 blocks. Prints the table of docs/timing.md:
a lower bound above the truth is too high, an upper bound below it too low.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gconvtool.timing.tails import bounds

NOISE, RUNS, MANY = 0.1, 200, 300
BLOCKS = (4, 8, 16)
SCENES = ((0.01, False), (0.1, False), (0.3, False), (0.1, True))


def runs(
    rng: np.random.Generator, blocks: int, between: float, bursts: bool
) -> NDArray[np.float64]:
    """Times in ms, a row a block."""
    logs = rng.normal(0, between, (blocks, 1)) + rng.normal(0, NOISE, (blocks, RUNS))
    share = rng.beta(0.5, 4.5, (blocks, 1)) if bursts else np.zeros((blocks, 1))
    return np.exp(logs) * np.where(rng.random((blocks, RUNS)) < share, 4, 1)


def missed(blocks: int, between: float, bursts: bool, truth: float) -> tuple[float, float]:
    """Shares of lower and of upper bounds on the wrong side."""
    rng = np.random.default_rng(0)
    drawn = (list(runs(rng, blocks, between, bursts)) for _ in range(MANY))
    found = np.array([bounds(part, 0.95, 0.05) for part in drawn], dtype=float)
    return float(np.mean(found[:, 0] > truth)), float(np.mean(found[:, 1] < truth))


def main() -> None:
    """Print a row a scene."""
    heads = (f"{blocks} blocks: too high | too low" for blocks in BLOCKS)
    print(f"| blocks differ by | {' | '.join(heads)} |")
    print("|---" * (1 + 2 * len(BLOCKS)) + "|")
    for between, bursts in SCENES:
        truth = float(np.quantile(runs(np.random.default_rng(1), 4000, between, bursts), 0.95))
        shares = [s for blocks in BLOCKS for s in missed(blocks, between, bursts, truth)]
        name = f"{between:.0%}".replace("%", " %") + ", and bursts" * bursts
        print(f"| {name} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |")


if __name__ == "__main__":
    main()
