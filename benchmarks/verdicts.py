"""How often `bench` is right about which of two models is faster, where the truth is known.

    python benchmarks/verdicts.py

Simulates comparisons: sessions of one model differ by 0.3, 1 or 1.4 % (standard deviation of a
block's log-ratio), rounds have lognormal noise, whichever runs first is 4 % faster, whichever
session was created first 0.5 % slower. Prints two Markdown tables: how often the 95 % interval
holds the truth, by the percentiles of a two-level bootstrap and by `stats.judge`; and how often
`judge` calls a model faster or slower than itself and finds a true 3 or 5 %, in 8 blocks. 2,000
comparisons a number (standard error 0.5 points at 95 %); two minutes on two cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gconvtool.results import Block, Measurement, Round, Sample
from gconvtool.timing.stats import ORDERS, judge

Floats = NDArray[np.float64]

COMPARISONS, RESAMPLES = 2_000, 2_000
BLOCKS, SESSIONS, SPEEDUPS = (3, 5, 8), (0.003, 0.01, 0.014), (1.0, 1.03, 1.05)
ROUNDS = 99  # of each order in a block, which `bench` ends after 100; odd for the median's sake
NOISE, RAN_FIRST, CREATED_FIRST = 0.02, 0.04, 0.005


@dataclass(frozen=True)
class Scene:
    """What is true of a comparison."""

    blocks: int
    sessions: float
    speedup: float


@dataclass(frozen=True)
class Shares:
    """How often either interval held the truth, and how often `judge` called a difference."""

    bootstrap: float
    judge: float
    called: float


def draw_ms(scene: Scene, rng: np.random.Generator) -> Floats:
    """One comparison's times: block x order (AB, BA) x round x model (A, B)."""
    created = CREATED_FIRST * (-1.0) ** np.arange(scene.blocks)
    ratio = math.log(scene.speedup) + created + rng.normal(0, scene.sessions, scene.blocks)
    first = -RAN_FIRST * np.eye(2)[:, None]
    noise = NOISE * rng.standard_normal((scene.blocks, len(ORDERS), ROUNDS, 2))
    times: Floats = 3 * np.exp(np.multiply.outer(ratio, [0.5, -0.5])[:, None, None] + first + noise)
    return times


def measurement(times_ms: Floats) -> Measurement:
    """The same as `bench` would have recorded it, undisturbed."""
    blocks = [
        tuple(
            Round(order, Sample(a, a, preempted=False), Sample(b, b, preempted=False))
            for order, rounds in zip(ORDERS, block, strict=True)
            for a, b in rounds
        )
        for block in times_ms.tolist()
    ]
    return Measurement(tuple(Block((1.0, 1.0), (1.0, 1.0), rounds) for rounds in blocks), (1, 1))


def bootstrap(times_ms: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """The speedup's 95 % percentile interval: redrawn are blocks, then each order's rounds.

    The median of n redrawn rounds is the sorted round on which the middle of n uniform numbers
    falls: Beta((n + 1) / 2, (n + 1) / 2) for odd n, so only that one is drawn.
    """
    ratios = np.sort(np.log(times_ms[..., 0] / times_ms[..., 1]), axis=-1)
    shape, half = (RESAMPLES, len(ratios), len(ORDERS)), (ROUNDS + 1) / 2
    block = rng.integers(len(ratios), size=(*shape[:2], 1))
    middle = (ROUNDS * rng.beta(half, half, shape)).astype(int)
    redrawn = ratios[block, np.arange(len(ORDERS)), middle].mean(axis=(1, 2))
    low, high = np.exp(np.percentile(redrawn, [2.5, 97.5]))
    return float(low), float(high)


def simulate(scene: Scene) -> Shares:
    rng, truth = np.random.default_rng([round(1000 * x) for x in astuple(scene)]), scene.speedup
    calls = ("faster",) if truth > 1 else ("faster", "slower")
    counts = np.zeros(3)
    for _ in range(COMPARISONS):
        times_ms = draw_ms(scene, rng)
        low, high = bootstrap(times_ms, rng)
        judged = judge(measurement(times_ms))
        held = judged.speedup.low <= truth <= judged.speedup.high
        counts += [low <= truth <= high, held, judged.verdict in calls]
    return Shares(*(counts / COMPARISONS).tolist())


def table(head: str, rows: Iterable[Sequence[float]]) -> None:
    print(f"| sessions differ by | {head} |\n{'|---' * (2 + head.count('|'))}|")
    for sessions, shares in zip(SESSIONS, rows, strict=True):
        print(f"| {100 * sessions:g} % | {' | '.join(f'{100 * x:.1f} %' for x in shares)} |")


def main() -> None:
    most = BLOCKS[-1]
    scenes = [Scene(most, s, speedup) for s, speedup in product(SESSIONS, SPEEDUPS)]
    scenes += [Scene(blocks, s, 1.0) for blocks, s in product(BLOCKS[:-1], SESSIONS)]
    with ProcessPoolExecutor() as pool:
        shares = dict(zip(scenes, pool.map(simulate, scenes), strict=True))
    held = [[shares[Scene(blocks, s, 1.0)] for blocks in BLOCKS] for s in SESSIONS]
    table(
        "bootstrap, 3 blocks | 5 blocks | 8 blocks | `judge`, 3 blocks | 5 blocks | 8 blocks",
        [[x.bootstrap for x in row] + [x.judge for x in row] for row in held],
    )
    print()
    table(
        "itself: faster or slower | 3 % faster: found | 5 % faster: found",
        [[shares[Scene(most, s, speedup)].called for speedup in SPEEDUPS] for s in SESSIONS],
    )


if __name__ == "__main__":
    main()
