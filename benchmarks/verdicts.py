"""How often `bench` is right about which of two models is faster, where the truth is known.

    python benchmarks/verdicts.py

Simulates comparisons: sessions of one model differ by 0.3, 1, 1.4 or 5 % (standard deviation of a
block's log-ratio), rounds have 2 % of lognormal noise a sample, whichever runs first is 4 % faster,
whichever session was created first 0.5 % slower. Prints two Markdown tables:

- how often an interval at 95 % holds the truth, from 3, 5 or 8 blocks that are looked at once: the
  percentiles of a two-level bootstrap, and Student's t over blocks (`timing.ratios`);
- what becomes of a comparison that may stop at a look (`stats.settled`) and ends after at most 4,
  8, 16 or 32 blocks: how often a model is called faster or slower than itself and a true 3 or 5 %
  is found, how often the interval of `stats.judge` holds the truth (the least of what is so for
  0, 3, 5 and 8 %), and how many blocks it takes.

2,000 comparisons a number, 5,000 in the second table (standard error 0.3 points at 95 %); some five
minutes on two cores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gconvtool.results import Block, Measurement, Round, Sample
from gconvtool.timing.protocol import MOST_BLOCKS
from gconvtool.timing.ratios import ORDERS, read
from gconvtool.timing.stats import judge, settled

Floats = NDArray[np.float64]

COMPARISONS, RESAMPLES, SEQUENTIAL = 2_000, 2_000, 5_000
BLOCKS, SESSIONS = (3, 5, 8), (0.003, 0.01, 0.014)
ENDS, NOISY = (4, 8, 16, MOST_BLOCKS), (*SESSIONS, 0.05)
SPEEDUPS = (1.0, 1.03, 1.05, 1.08)
ROUNDS = 99  # of each order in a block, which `bench` ends after 100; odd for the median's sake
NOISE, RAN_FIRST, CREATED_FIRST = 0.02, 0.04, 0.005


@dataclass(frozen=True)
class Scene:
    """What is true of a comparison, and after how many blocks it ends at the latest."""

    blocks: int
    sessions: float
    speedup: float


@dataclass(frozen=True)
class Ends:
    """What becomes of comparisons: shares of them, and blocks on average."""

    faster: float
    slower: float
    same: float
    held: float
    blocks: float


def ratios(scene: Scene, rng: np.random.Generator) -> Floats:
    """One comparison's log-ratios: block x order (AB, BA) x round."""
    created = CREATED_FIRST * (-1.0) ** np.arange(scene.blocks)
    block = math.log(scene.speedup) + created + rng.normal(0, scene.sessions, scene.blocks)
    first = np.array([-RAN_FIRST, RAN_FIRST])
    noise = math.sqrt(2) * NOISE * rng.standard_normal((scene.blocks, len(ORDERS), ROUNDS))
    drawn: Floats = block[:, None, None] + first[:, None] + noise
    return drawn


def measured(medians: Floats) -> Measurement:
    """A measurement whose blocks have these medians (block x order), each in one round.

    The median is all that the statistics want to know of the rounds of one order.
    """
    blocks = [
        tuple(
            Round(order, sample(3 * math.exp(ratio)), sample(3.0))
            for order, ratio in zip(ORDERS, block, strict=True)
        )
        for block in medians.tolist()
    ]
    return Measurement(tuple(Block((1.0, 1.0), (1.0, 1.0), rounds) for rounds in blocks), (1, 1))


def sample(ms: float) -> Sample:
    return Sample(ms, ms, preempted=False)


def bootstrap(drawn: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """The log-speedup's 95 % percentile interval: redrawn are blocks, then each order's rounds.

    The median of n redrawn rounds is the sorted round on which the middle of n uniform numbers
    falls: Beta((n + 1) / 2, (n + 1) / 2) for odd n, so only that one is drawn.
    """
    ordered = np.sort(drawn, axis=-1)
    shape, half = (RESAMPLES, len(ordered), len(ORDERS)), (ROUNDS + 1) / 2
    block = rng.integers(len(ordered), size=(*shape[:2], 1))
    middle = (ROUNDS * rng.beta(half, half, shape)).astype(int)
    redrawn = ordered[block, np.arange(len(ORDERS)), middle].mean(axis=(1, 2))
    low, high = np.percentile(redrawn, [2.5, 97.5])
    return float(low), float(high)


def generator(scene: Scene) -> np.random.Generator:
    return np.random.default_rng([round(1000 * x) for x in astuple(scene)])


def coverage(scene: Scene) -> tuple[float, float]:
    """How often the bootstrap's interval and Student's hold the truth, which is a speedup of 1."""
    rng, counts = generator(scene), np.zeros(2)
    for _ in range(COMPARISONS):
        drawn = ratios(scene, rng)
        low, high = bootstrap(drawn, rng)
        fit = read(measured(np.median(drawn, axis=-1)).blocks).fit
        counts += [low <= 0 <= high, abs(fit.log_speedup) <= fit.half_width(0.05)]
    shares = counts / COMPARISONS
    return float(shares[0]), float(shares[1])


def ends(scene: Scene) -> Ends:
    """Comparisons that stop when they are settled, and at the latest when the scene ends."""
    rng, counts = generator(scene), np.zeros(5)
    for _ in range(SEQUENTIAL):
        medians = np.median(ratios(scene, rng), axis=-1)
        seen = next(m for m in growing(medians) if settled(m) or len(m.blocks) == scene.blocks)
        judged = judge(seen)
        counts += [
            *(judged.verdict == verdict for verdict in ("faster", "slower", "same")),
            judged.speedup.low <= scene.speedup <= judged.speedup.high,
            len(seen.blocks),
        ]
    return Ends(*(counts / SEQUENTIAL).tolist())


def growing(medians: Floats) -> Iterator[Measurement]:
    """What is measured after so many blocks, where it may be over."""
    for blocks in ENDS:
        yield measured(medians[:blocks])


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def first_table(pool: ProcessPoolExecutor) -> None:
    scenes = [Scene(blocks, s, 1.0) for s, blocks in product(SESSIONS, BLOCKS)]
    found = dict(zip(scenes, pool.map(coverage, scenes), strict=True))
    print("| sessions differ by | bootstrap, 3 blocks | 5 | 8 | Student's t, 3 blocks | 5 | 8 |")
    print("|---" * 7 + "|")
    for s in SESSIONS:
        shares = [found[Scene(blocks, s, 1.0)][which] for which in (0, 1) for blocks in BLOCKS]
        print(f"| {100 * s:g} % | {' | '.join(map(percent, shares))} |")


def second_table(pool: ProcessPoolExecutor) -> None:
    scenes = [Scene(*parts) for parts in product(ENDS, NOISY, SPEEDUPS)]
    found = dict(zip(scenes, pool.map(ends, scenes), strict=True))
    print(
        "| sessions differ by | ends after | itself: faster or slower | same | 3 % faster: found ",
        end="",
    )
    print("| 5 % faster: found | interval holds the truth | blocks: itself | 5 % |")
    print("|---" * 9 + "|")
    for s, last in product(NOISY, ENDS):
        row = {speedup: found[Scene(last, s, speedup)] for speedup in SPEEDUPS}
        itself, three, five = row[1.0], row[1.03], row[1.05]
        shares = [
            itself.faster + itself.slower,
            itself.same,
            three.faster,
            five.faster,
            min(one.held for one in row.values()),
        ]
        blocks = f"{itself.blocks:.1f} | {five.blocks:.1f}"
        print(f"| {100 * s:g} % | {last} | {' | '.join(map(percent, shares))} | {blocks} |")


def main() -> None:
    with ProcessPoolExecutor() as pool:
        first_table(pool)
        print()
        second_table(pool)


if __name__ == "__main__":
    main()
