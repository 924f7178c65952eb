"""Models timed in blocks with fresh sessions: two against each other, or one by itself.

A shared machine drifts, and its drift is autocorrelated: all runs of A and then all of B compare
two moments rather than two models. So a *round* runs both, one right after the other, and only
ratios within a round are used. What else would tilt the comparison, and what is done about it:

    the first of a round is faster       rounds come in pairs, one AB and one BA, in random order
    sessions of one model differ (1 %)   several blocks, each with fresh ones, A or B created first
    a session starts cold                its first run is kept apart, then it warms up
    others take the CPU                  each sample knows whether it was preempted
    a clock has grain                    a sample lasts >= 0.5 ms, over as many runs as that takes
    means hide the slowest runs          of several runs, the last is also timed by itself

One model by itself has nothing to be compared with, and its blocks hold samples instead of rounds;
how much these differ says how far its latency can be trusted.

The clock, the random generator, the models and the rule by which to stop are handed in: nothing
here knows the time or what times mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import median
from typing import Generic, Protocol, TypeVar

from gconvtool.results import Block, Measurement, Recording, Round, Sample, SoloBlock
from gconvtool.timing.shares import Budget, Share

Runner = Callable[[], object]
"""Runs a model once, and returns when it is done."""

Open = Callable[[], Runner]
"""Makes a fresh session of a model."""

Progress = Callable[[float], None]
"""Hears how much of the measurement is done, 0 to 1."""

T = TypeVar("T")
U = TypeVar("U")

S_NS, MS_NS = 1e9, 1e6

SAMPLE_NS = 0.5 * MS_NS
WARM_LEAST_NS, WARM_MOST_NS = 0.5 * S_NS, 10 * S_NS
STEADY_RUNS, STEADY_SHARE = 5, 0.05

BLOCKS, MOST_BLOCKS = 8, 32
LEAST_DRAWN = 2  # an AB and a BA: when models are slow, blocks are worth more than rounds
FEW_DRAWN = 20  # fewer in a block are worth a warning
PLENTY_CLEAN = 200  # more add little to the 1 % by which sessions differ
MOST_DRAWN = 1000  # where four of five are disturbed, more do not help


class Clock(Protocol):
    """What is read before and after a sample."""

    def wall_ns(self) -> int:
        """Time that passes, from any origin."""

    def cpu_ns(self) -> int:
        """CPU time of this process, all threads together; constant where it is not counted."""

    def preemptions(self) -> int | None:
        """How often this process had to yield a CPU; None where the system does not say."""


@dataclass(frozen=True)
class _Warm:
    """How a warm-up went: its fastest run, and whether it was steady at the end or too short."""

    fastest_ns: int
    steady: bool


@dataclass(frozen=True)
class _Pair:
    """What was handed in to time two models against each other."""

    opens: tuple[Open, Open]
    clock: Clock
    rng: Random
    tell: Progress


@dataclass(frozen=True)
class _Outcome(Generic[T]):
    """A block, and what the next one and the warnings want to know."""

    block: T
    runs_per_sample: tuple[int, ...]
    drawn: int
    steady: bool


def measure(
    open_a: Open,
    open_b: Open,
    *,
    clock: Clock,
    rng: Random,
    time_budget_s: float = 60.0,
    blocks: int = BLOCKS,
    enough: Callable[[Measurement], bool] | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Time A against B in blocks of balanced rounds, each block with fresh sessions.

    A block ends with 200 undisturbed rounds, with 1,000 rounds, or with its share of the budget;
    the time that it leaves goes to those that follow. Slow models get 2 rounds a block and 4
    blocks (or `blocks`, where that is less), past the budget if need be, and a warning says so.

    `enough` is asked after each block whether what was measured so far will do. It may end the
    measurement before `blocks` blocks; as long as it does not, there are up to 32 of them while
    there is time. Without it there are `blocks`.

    `progress` hears which share is done (0 to 1): between rounds, never during one.
    """
    pair = _Pair((open_a, open_b), clock, rng, progress or _silent)
    most = blocks if enough is None else max(blocks, MOST_BLOCKS)
    outcomes: list[_Outcome[Block]] = []
    settled = False
    for share in Budget(clock.wall_ns, time_budget_s * S_NS, blocks, most).shares():
        outcomes.append(_block(pair, share, outcomes[0].runs_per_sample if outcomes else ()))
        settled = enough is not None and enough(_measurement(outcomes))
        if settled:
            break
    pair.tell(1.0)
    wanted = len(outcomes) if settled else blocks
    return replace(
        _measurement(outcomes), warnings=_warnings(outcomes, wanted, "rounds of A and B")
    )


def record(
    open_: Open,
    *,
    clock: Clock,
    time_budget_s: float = 60.0,
    blocks: int = BLOCKS,
    progress: Progress | None = None,
) -> Recording:
    """Time one model in blocks, each with a fresh session.

    A block ends as those of `measure` do, with samples in place of rounds.
    """
    tell = progress or _silent
    outcomes: list[_Outcome[SoloBlock]] = []
    for share in Budget(clock.wall_ns, time_budget_s * S_NS, blocks, blocks).shares():
        runs = outcomes[0].runs_per_sample if outcomes else ()
        outcomes.append(_solo_block(open_, clock, share, runs, tell))
    tell(1.0)
    return Recording(
        blocks=tuple(outcome.block for outcome in outcomes),
        runs_per_sample=outcomes[0].runs_per_sample[0],
        warnings=_warnings(outcomes, blocks, "samples"),
    )


def _silent(share: float) -> None:
    """Nobody wants to hear it."""


def _measurement(outcomes: Sequence[_Outcome[Block]]) -> Measurement:
    """What is measured by now."""
    a, b = outcomes[0].runs_per_sample
    return Measurement(tuple(outcome.block for outcome in outcomes), (a, b))


def _block(pair: _Pair, share: Share, runs: tuple[int, ...]) -> _Outcome[Block]:
    """One fresh pair of sessions from its creation to its last round; gone when this returns."""
    order, clock = "BA" if share.index % 2 else "AB", pair.clock
    opened = _in_order(order, lambda open_: _timed(open_, clock), pair.opens)
    runners = (opened[0][0], opened[1][0])
    first_run_ns = _in_order(order, lambda runner: _timed(runner, clock)[1], runners)
    warm = _in_order(order, lambda runner: _warm_up(runner, clock, share), runners)
    pair.tell(share.done)
    runs = runs or (_runs_per_sample(warm[0]), _runs_per_sample(warm[1]))
    models = ((runners[0], runs[0]), (runners[1], runs[1]))
    block = Block(
        create_ms=(opened[0][1] / MS_NS, opened[1][1] / MS_NS),
        first_run_ms=(first_run_ns[0] / MS_NS, first_run_ns[1] / MS_NS),
        rounds=_drawn(lambda: _two_rounds(pair, models), _is_clean, share, pair.tell),
    )
    return _Outcome(block, runs, len(block.rounds), all(w.steady for w in warm))


def _solo_block(
    open_: Open, clock: Clock, share: Share, runs: tuple[int, ...], tell: Progress
) -> _Outcome[SoloBlock]:
    """One fresh session from its creation to its last sample; gone when this returns."""
    runner, create_ns = _timed(open_, clock)
    first_run_ns = _timed(runner, clock)[1]
    warm = _warm_up(runner, clock, share)
    tell(share.done)
    runs = runs or (_runs_per_sample(warm),)
    block = SoloBlock(
        create_ms=create_ns / MS_NS,
        first_run_ms=first_run_ns / MS_NS,
        samples=_drawn(
            lambda: (sample(runner, runs[0], clock),), lambda one: not one.preempted, share, tell
        ),
    )
    return _Outcome(block, runs, len(block.samples), warm.steady)


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


def _warm_up(runner: Runner, clock: Clock, share: Share) -> _Warm:
    """Run until the times are steady: for 0.5 to 10 s, or a tenth to a fifth of the share."""
    least_ns = min(WARM_LEAST_NS, share.length_ns / 10)
    most_ns = min(WARM_MOST_NS, share.length_ns / 5)
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


def _drawn(
    draw: Callable[[], Sequence[T]], is_clean: Callable[[T], bool], share: Share, tell: Progress
) -> tuple[T, ...]:
    """Draw until there are plenty that are undisturbed, or too many, or the time is up."""
    drawn: list[T] = []
    clean = 0
    while not _plenty(len(drawn), clean, time_is_up=share.is_over):
        more = draw()
        drawn += more
        clean += sum(map(is_clean, more))
        tell(share.done)
    return tuple(drawn)


def _plenty(drawn: int, clean: int, *, time_is_up: bool) -> bool:
    """The rule by which a block ends."""
    return drawn >= LEAST_DRAWN and (time_is_up or clean >= PLENTY_CLEAN or drawn >= MOST_DRAWN)


def _two_rounds(
    pair: _Pair, models: tuple[tuple[Runner, int], tuple[Runner, int]]
) -> tuple[Round, ...]:
    """One AB and one BA, in random order."""
    rounds = []
    for order in pair.rng.sample(("AB", "BA"), 2):
        a, b = _in_order(order, lambda model: sample(*model, pair.clock), models)
        rounds.append(Round(order, a, b))
    return tuple(rounds)


def _is_clean(round_: Round) -> bool:
    return round_.clean


def sample(runner: Runner, runs: int, clock: Clock) -> Sample:
    """The mean of `runs` runs back to back; the wall clock is read innermost.

    The mean of several hides how long the slow ones take, so that the last is read by itself, too:
    one more reading in half a millisecond.
    """
    preemptions, cpu_ns, start_ns = clock.preemptions(), clock.cpu_ns(), clock.wall_ns()
    for _ in range(runs - 1):
        runner()
    last_ns = clock.wall_ns() if runs > 1 else start_ns
    runner()
    end_ns, cpu_ns = clock.wall_ns(), clock.cpu_ns() - cpu_ns
    after = clock.preemptions()
    return Sample(
        wall_ms=(end_ns - start_ns) / runs / MS_NS,
        cpu_ms=cpu_ns / runs / MS_NS,
        preempted=None if preemptions is None or after is None else after > preemptions,
        last_ms=(end_ns - last_ns) / MS_NS if runs > 1 else None,
    )


def _warnings(outcomes: Sequence[_Outcome[T]], wanted: int, what: str) -> tuple[str, ...]:
    """What the reader should know about how the measurement went, with advice."""
    blocks, fewest = len(outcomes), min(outcome.drawn for outcome in outcomes)
    unsteady = sum(not outcome.steady for outcome in outcomes)
    said = {
        f"only {blocks} of {wanted} blocks fitted into the time budget: a longer one narrows the "
        "interval": blocks < wanted,
        f"only {fewest} {what} fitted into a block: a longer time budget narrows the "
        "interval": fewest < FEW_DRAWN,
        f"run times were still changing after the warm-up of {unsteady} of {blocks} "
        "blocks: close other programs, or give a longer time budget": 2 * unsteady > blocks,
    }
    return tuple(warning for warning, holds in said.items() if holds)
