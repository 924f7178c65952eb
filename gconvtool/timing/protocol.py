"""Two models timed against each other, so that what disturbs one disturbs the other too.

A shared machine drifts, and its drift is autocorrelated: all runs of A and then all of B compare
two moments rather than two models. So a *round* runs both, one right after the other, and only
ratios within a round are used. What else would tilt the comparison, and what is done about it:

    the first of a round is faster       rounds come in pairs, one AB and one BA, in random order
    sessions of one model differ (1 %)   several blocks, each with fresh ones, A or B created first
    a session starts cold                its first run is kept apart, then it warms up
    others take the CPU                  each sample knows whether it was preempted
    a clock has grain                    a sample lasts >= 0.5 ms, over as many runs as that takes

The clock, the random generator and the models are handed in: nothing here knows the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Protocol, TypeVar

from gconvtool.results import Block, Measurement, Round, Sample

Runner = Callable[[], object]
"""Runs a model once, and returns when it is done."""

Open = Callable[[], Runner]
"""Makes a fresh session of a model."""

T = TypeVar("T")
U = TypeVar("U")

S_NS, MS_NS = 1e9, 1e6

SAMPLE_NS = 0.5 * MS_NS
WARM_LEAST_NS, WARM_MOST_NS = 0.5 * S_NS, 10 * S_NS
STEADY_RUNS, STEADY_SHARE = 5, 0.05

LEAST_BLOCKS = 4  # fewer hardly say how much sessions differ
LEAST_ROUNDS = 2  # one AB and one BA: when models are slow, blocks are worth more than rounds
FEW_ROUNDS = 20  # fewer in a block are worth a warning
PLENTY_CLEAN = 200  # rounds then add little to the 1 % by which sessions differ
MOST_ROUNDS = 1000  # where four rounds of five are disturbed, more do not help


class Clock(Protocol):
    """What is read before and after a sample."""

    def wall_ns(self) -> int:
        """Time that passes, from any origin."""

    def cpu_ns(self) -> int:
        """CPU time of this process, all threads together; constant where it is not counted."""

    def preemptions(self) -> int | None:
        """How often this process had to yield a CPU; None where the system does not say."""


@dataclass(frozen=True)
class _Bench:
    """What was handed in."""

    opens: tuple[Open, Open]
    clock: Clock
    rng: Random
    tell: Callable[[float], None]


@dataclass(frozen=True)
class _Share:
    """The time that block `index` of `blocks` may take."""

    index: int
    blocks: int
    start_ns: int
    length_ns: float

    @property
    def end_ns(self) -> float:
        """When the block should be over."""
        return self.start_ns + self.length_ns

    @property
    def warm_up_ns(self) -> tuple[float, float]:
        """Least and most time to warm one model up: 0.5 and 10 s, or a tenth and a fifth of all."""
        return min(WARM_LEAST_NS, self.length_ns / 10), min(WARM_MOST_NS, self.length_ns / 5)

    def done(self, now_ns: int) -> float:
        """How much of the whole measurement is behind us, 0 to 1."""
        return (self.index + min(1.0, (now_ns - self.start_ns) / self.length_ns)) / self.blocks


@dataclass(frozen=True)
class _Warm:
    """How a warm-up went: its fastest run, and whether it was steady at the end or too short."""

    fastest_ns: int
    steady: bool


@dataclass(frozen=True)
class _Outcome:
    """A block, and what the next one and the warnings want to know. Pairs are (A's, B's)."""

    block: Block
    runs_per_sample: tuple[int, int]
    steady: bool


def measure(
    open_a: Open,
    open_b: Open,
    *,
    clock: Clock,
    rng: Random,
    time_budget_s: float = 60.0,
    blocks: int = 8,
    progress: Callable[[float], None] | None = None,
) -> Measurement:
    """Time A against B in blocks of balanced rounds, each block with fresh sessions.

    A block ends with 200 undisturbed rounds, with 1,000 rounds, or with its share of the budget;
    the time that it leaves goes to those that follow. Slow models get 2 rounds a block and 4
    blocks (or `blocks`, where that is less), past the budget if need be, and a warning says so.

    `progress` hears which share is done (0 to 1): between rounds, never during one.
    """
    bench = _Bench((open_a, open_b), clock, rng, progress or (lambda share: None))
    outcomes: list[_Outcome] = []
    for share in _shares(clock, time_budget_s * S_NS, blocks):
        outcomes.append(_block(bench, share, outcomes[0].runs_per_sample if outcomes else None))
    bench.tell(1.0)
    return Measurement(
        blocks=tuple(outcome.block for outcome in outcomes),
        runs_per_sample=outcomes[0].runs_per_sample,
        warnings=_warnings(outcomes, blocks),
    )


def _shares(clock: Clock, budget_ns: float, blocks: int) -> Iterator[_Share]:
    """For each block an equal part of what the earlier ones left of the budget."""
    end_ns = clock.wall_ns() + budget_ns
    for index in range(blocks):
        now_ns = clock.wall_ns()
        if now_ns >= end_ns and index >= LEAST_BLOCKS:
            return
        yield _Share(index, blocks, now_ns, max(end_ns - now_ns, 1.0) / (blocks - index))


def _block(bench: _Bench, share: _Share, runs: tuple[int, int] | None) -> _Outcome:
    """One fresh pair of sessions from its creation to its last round; gone when this returns."""
    order, clock = "BA" if share.index % 2 else "AB", bench.clock
    opened = _in_order(order, lambda open_: _timed(open_, clock), bench.opens)
    runners = (opened[0][0], opened[1][0])
    first_run_ns = _in_order(order, lambda runner: _timed(runner, clock)[1], runners)
    warm = _in_order(order, lambda runner: _warm_up(runner, clock, share), runners)
    bench.tell(share.done(clock.wall_ns()))
    runs = runs or (_runs_per_sample(warm[0]), _runs_per_sample(warm[1]))
    models = ((runners[0], runs[0]), (runners[1], runs[1]))
    block = Block(
        create_ms=(opened[0][1] / MS_NS, opened[1][1] / MS_NS),
        first_run_ms=(first_run_ns[0] / MS_NS, first_run_ns[1] / MS_NS),
        rounds=_rounds(bench, share, models),
    )
    return _Outcome(block, runs, all(w.steady for w in warm))


def _in_order(order: str, act: Callable[[T], U], models: tuple[T, T]) -> tuple[U, U]:
    """`act` on A and B, first on the one that `order` names first; the answer is (A's, B's)."""
    if order == "AB":
        a, b = act(models[0]), act(models[1])
    else:
        b, a = act(models[1]), act(models[0])
    return a, b


def _timed(act: Callable[[], T], clock: Clock) -> tuple[T, int]:
    """What `act` returns, and the nanoseconds that it took."""
    start_ns = clock.wall_ns()
    answer = act()
    return answer, clock.wall_ns() - start_ns


def _warm_up(runner: Runner, clock: Clock, share: _Share) -> _Warm:
    """Run until the times are steady: at least once, and within the share's two limits."""
    least_ns, most_ns = share.warm_up_ns
    start_ns = clock.wall_ns()
    times_ns: list[int] = []
    while True:
        times_ns.append(_timed(runner, clock)[1])
        spent_ns, steady = clock.wall_ns() - start_ns, _steady(times_ns)
        if spent_ns >= most_ns or (spent_ns >= least_ns and steady):
            return _Warm(min(times_ns), steady or len(times_ns) < 2 * STEADY_RUNS)


def _steady(times_ns: Sequence[int]) -> bool:
    """The median of the last five runs is within 5 % of that of the five before."""
    before, last = times_ns[-2 * STEADY_RUNS : -STEADY_RUNS], times_ns[-STEADY_RUNS:]
    return len(before) == STEADY_RUNS and (
        abs(median(last) - median(before)) <= STEADY_SHARE * median(before)
    )


def _runs_per_sample(warm: _Warm) -> int:
    """As few runs as last half a millisecond together, even when they are fast."""
    return math.ceil(SAMPLE_NS / max(warm.fastest_ns, 1))


def _rounds(
    bench: _Bench, share: _Share, models: tuple[tuple[Runner, int], tuple[Runner, int]]
) -> tuple[Round, ...]:
    """Pairs of rounds, AB and BA in random order, until there are plenty or the time is up."""
    rounds: list[Round] = []
    clean = 0
    while not _enough(len(rounds), clean, time_is_up=bench.clock.wall_ns() >= share.end_ns):
        for order in bench.rng.sample(("AB", "BA"), 2):
            a, b = _in_order(order, lambda model: sample(*model, bench.clock), models)
            rounds.append(Round(order, a, b))
            clean += rounds[-1].clean
        bench.tell(share.done(bench.clock.wall_ns()))
    return tuple(rounds)


def _enough(rounds: int, clean: int, *, time_is_up: bool) -> bool:
    """The rule by which a block ends."""
    return rounds >= LEAST_ROUNDS and (time_is_up or clean >= PLENTY_CLEAN or rounds >= MOST_ROUNDS)


def sample(runner: Runner, runs: int, clock: Clock) -> Sample:
    """The mean of `runs` runs back to back; the wall clock is read innermost."""
    preemptions, cpu_ns, wall_ns = clock.preemptions(), clock.cpu_ns(), clock.wall_ns()
    for _ in range(runs):
        runner()
    wall_ns, cpu_ns = clock.wall_ns() - wall_ns, clock.cpu_ns() - cpu_ns
    after = clock.preemptions()
    return Sample(
        wall_ms=wall_ns / runs / MS_NS,
        cpu_ms=cpu_ns / runs / MS_NS,
        preempted=None if preemptions is None or after is None else after > preemptions,
    )


def _warnings(outcomes: Sequence[_Outcome], blocks: int) -> tuple[str, ...]:
    """What the reader should know about how the measurement went, with advice."""
    fewest = min(len(outcome.block.rounds) for outcome in outcomes)
    unsteady = sum(not outcome.steady for outcome in outcomes)
    said = {
        f"only {len(outcomes)} of {blocks} blocks fitted into the time budget: a longer one "
        "narrows the interval": len(outcomes) < blocks,
        f"only {fewest} rounds of A and B fitted into a block: a longer time budget narrows the "
        "interval": fewest < FEW_ROUNDS,
        f"run times were still changing after the warm-up of {unsteady} of {len(outcomes)} "
        "blocks: close other programs, or give a longer time budget": 2 * unsteady > len(outcomes),
    }
    return tuple(warning for warning, holds in said.items() if holds)
