"""Models are timed in balanced pairs or alone, from fresh sessions, within the budget."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gconvtool.results import Measurement, Recording
from gconvtool.timing.protocol import Runner, measure, record


@dataclass
class FakeClock:
    """Time that passes only when a model says so."""

    now_ms: float = 0.0
    cpu_ms: float = 0.0
    switches: int | None = 0

    def wall_ns(self) -> int:
        return round(self.now_ms * 1e6)

    def cpu_ns(self) -> int:
        return round(self.cpu_ms * 1e6)

    def preemptions(self) -> int | None:
        return self.switches

    def advance(self, ms: float, *, cpu_ms: float | None = None, preempted: bool = False) -> None:
        self.now_ms += ms
        self.cpu_ms += ms if cpu_ms is None else cpu_ms
        if self.switches is not None:
            self.switches += preempted


class Session:
    """A runner that can be watched while it lives; each run takes the script's next duration."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.durations_ms = iter(model.script())

    def __call__(self) -> None:
        self.model.events.append(f"run {self.model.name}")
        self.model.clock.advance(
            next(self.durations_ms), cpu_ms=self.model.cpu_ms, preempted=self.model.preempted()
        )


@dataclass
class Model:
    """Opens sessions that run by a script, and writes down what was asked of it."""

    name: str
    clock: FakeClock
    script: Callable[[], Iterable[float]]
    create_ms: float = 0.0
    cpu_ms: float | None = None
    preempted: Callable[[], bool] = lambda: False
    events: list[str] = field(default_factory=list)
    sessions: list[weakref.ref[Session]] = field(default_factory=list)

    def open(self) -> Runner:
        self.events.append(f"open {self.name}")
        self.clock.advance(self.create_ms)
        session = Session(self)
        self.sessions.append(weakref.ref(session))
        return session


def steady(ms: float, first_ms: float | None = None) -> Callable[[], Iterator[float]]:
    """A first run of its own, then always the same."""
    first = ms if first_ms is None else first_ms
    return lambda: itertools.chain([first], itertools.repeat(ms))


def pair(clock: FakeClock, a_ms: float = 3.0, b_ms: float = 2.0) -> tuple[Model, Model]:
    """Two steady models that share one list of events."""
    a = Model("A", clock, steady(a_ms))
    return a, Model("B", clock, steady(b_ms), events=a.events)


def run(a: Model, b: Model, seed: int = 0, **options: object) -> Measurement:
    return measure(a.open, b.open, clock=a.clock, rng=Random(seed), **options)  # type: ignore[arg-type]


def orders(measurement: Measurement) -> list[list[str]]:
    return [[round_.order for round_ in block.rounds] for block in measurement.blocks]


def test_every_block_has_fresh_sessions_and_the_one_created_first_alternates() -> None:
    a, b = pair(FakeClock())
    run(a, b, blocks=4)
    opened = [event[-1] for event in a.events if event.startswith("open")]
    assert opened == list("ABBAABBA")


def test_old_sessions_are_gone_before_new_ones_are_made() -> None:
    a, b = pair(FakeClock())
    alive: list[int] = []

    def open_a() -> Runner:
        alive.append(sum(ref() is not None for ref in a.sessions))
        return a.open()

    measure(open_a, b.open, clock=a.clock, rng=Random(0), blocks=3)
    assert alive == [0, 0, 0]


def test_creation_first_run_and_steady_state_are_kept_apart() -> None:
    clock = FakeClock()
    a = Model("A", clock, steady(3.0, first_ms=50.0), create_ms=100.0)
    b = Model("B", clock, steady(2.0, first_ms=40.0), create_ms=70.0)
    measurement = run(a, b)
    for block in measurement.blocks:
        assert block.create_ms == pytest.approx((100.0, 70.0))
        assert block.first_run_ms == pytest.approx((50.0, 40.0))
        assert {round(r.a.wall_ms, 9) for r in block.rounds} == {3.0}
        assert {round(r.b.wall_ms, 9) for r in block.rounds} == {2.0}


@settings(max_examples=20, deadline=None)
@given(st.integers())
def test_each_pair_of_rounds_holds_both_orders(seed: int) -> None:
    measurement = run(*pair(FakeClock(), 40.0, 60.0), seed=seed)
    for block in orders(measurement):
        assert [set(two) for two in zip(block[::2], block[1::2], strict=True)] == [{"AB", "BA"}] * (
            len(block) // 2
        )


def test_which_order_comes_first_in_a_pair_is_left_to_chance() -> None:
    measurement = run(*pair(FakeClock()))
    firsts = [order for block in orders(measurement) for order in block[::2]]
    assert 0.4 < firsts.count("AB") / len(firsts) < 0.6


def test_models_run_in_the_order_that_the_round_names() -> None:
    a, b = pair(FakeClock(), 400.0, 400.0)
    measurement = run(a, b, blocks=1)
    ran = "".join(event[-1] for event in a.events)
    rounds = "".join(round_.order for round_ in measurement.blocks[0].rounds)
    assert ran.endswith(rounds)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.02, 4.0))
def test_a_sample_lasts_half_a_millisecond_and_no_longer_than_it_must(run_ms: float) -> None:
    clock = FakeClock()
    a, b = Model("A", clock, steady(run_ms)), Model("B", clock, steady(1.0))
    measurement = run(a, b, time_budget_s=0.1, blocks=2)
    runs = measurement.runs_per_sample[0]
    assert runs * run_ms >= 0.5 - 1e-5
    assert (runs - 1) * run_ms <= 0.5 + 1e-5
    assert measurement.runs_per_sample[1] == 1
    assert measurement.blocks[1].rounds[0].a.wall_ms == pytest.approx(run_ms, abs=1e-5)


def test_the_last_of_several_runs_is_also_timed_by_itself() -> None:
    clock = FakeClock()
    durations = itertools.cycle([0.1, 0.1, 0.1, 0.1, 0.6])
    a = Model("A", clock, lambda: durations)
    b = Model("B", clock, steady(1.0))
    found = run(a, b, time_budget_s=0.5, blocks=2)
    rounds = [round_ for block in found.blocks for round_ in block.rounds]
    assert found.runs_per_sample == (5, 1)
    assert {round(r.a.wall_ms, 6) for r in rounds} == {0.2}
    assert {round(r.a.last_ms or 0, 6) for r in rounds} <= {0.1, 0.6}
    assert {r.b.last_ms for r in rounds} == {None}


def test_a_sample_knows_its_cpu_time_and_whether_it_was_preempted() -> None:
    clock = FakeClock()
    a = Model("A", clock, steady(3.0), cpu_ms=5.0, preempted=lambda: True)
    b = Model("B", clock, steady(2.0), cpu_ms=1.0)
    first = run(a, b).blocks[0].rounds[0]
    assert (first.a.cpu_ms, first.b.cpu_ms) == pytest.approx((5.0, 1.0))
    assert (first.a.preempted, first.b.preempted, first.clean) == (True, False, False)


def test_a_system_that_counts_no_preemptions_leaves_them_unknown() -> None:
    measurement = run(*pair(FakeClock(switches=None)))
    assert {r.a.preempted for block in measurement.blocks for r in block.rounds} == {None}


def test_the_runs_of_a_sample_stay_the_same_when_a_later_session_is_slower() -> None:
    clock = FakeClock()
    speeds = iter([0.1, 0.25])
    a = Model("A", clock, lambda: itertools.repeat(next(speeds)), cpu_ms=0.7)
    b = Model("B", clock, steady(3.0), events=a.events)
    measurement = run(a, b, time_budget_s=0.5, blocks=2)
    assert measurement.runs_per_sample == (5, 1)
    last_runs = [
        len(list(same)) for event, same in itertools.groupby(a.events[-40:]) if "A" in event
    ]
    assert set(last_runs[1:-1]) <= {5, 10}
    for block, wall_ms in zip(measurement.blocks, (0.1, 0.25), strict=True):
        samples = [round_.a for round_ in block.rounds]
        assert [sample.wall_ms for sample in samples] == pytest.approx([wall_ms] * len(samples))
        assert [sample.cpu_ms for sample in samples] == pytest.approx([0.7] * len(samples))


def test_a_model_warms_up_until_it_is_steady() -> None:
    clock = FakeClock()

    def cooling() -> Iterator[float]:
        yield from (3.0 + 30.0 * 0.96**n for n in itertools.count())

    measurement = run(Model("A", clock, cooling), Model("B", clock, steady(3.0)))
    slowest = max(r.a.wall_ms for block in measurement.blocks for r in block.rounds)
    assert slowest < 4.5  # half a second of warm-up would have ended at 15 ms
    assert measurement.warnings == ()


@pytest.mark.parametrize(("budget_s", "warm_ms"), [(60.0, 500), (2.0, 200)])
def test_a_steady_model_warms_up_for_half_a_second_or_a_tenth(
    budget_s: float, warm_ms: float
) -> None:
    a, b = pair(FakeClock(), 2.0, 2.0)
    measurement = run(a, b, time_budget_s=budget_s, blocks=1)
    warm = a.events.count("run A") - 1 - len(measurement.blocks[0].rounds)
    assert warm * 2.0 == warm_ms


def test_a_model_that_never_settles_is_measured_with_a_warning() -> None:
    clock = FakeClock()
    swinging = Model("A", clock, lambda: itertools.cycle([3.0] * 5 + [6.0] * 5))
    measurement = run(swinging, Model("B", clock, steady(3.0)))
    assert len(measurement.blocks) == 8
    assert any("still changing" in warning for warning in measurement.warnings)


def test_plenty_of_undisturbed_rounds_end_a_block_before_its_time() -> None:
    a, b = pair(FakeClock())
    measurement = run(a, b, time_budget_s=60.0)
    assert {len(block.rounds) for block in measurement.blocks} == {200}
    assert a.clock.now_ms < 20_000
    assert measurement.warnings == ()


def test_disturbed_rounds_are_made_up_for_within_a_limit() -> None:
    clock = FakeClock()
    chance = Random(1)
    half = Model("A", clock, steady(1.0), preempted=lambda: chance.random() < 0.5)
    measurement = run(half, Model("B", clock, steady(1.0)))
    assert all(200 <= sum(r.clean for r in b.rounds) <= 201 for b in measurement.blocks)
    always = Model("A", clock, steady(1.0), preempted=lambda: True)
    measurement = run(always, Model("B", clock, steady(1.0)))
    assert {len(block.rounds) for block in measurement.blocks} == {1000}


def test_a_small_budget_is_kept_and_still_gives_every_block_its_rounds() -> None:
    a, b = pair(FakeClock(), 3.0, 3.0)
    measurement = run(a, b, time_budget_s=5.0)
    assert len(measurement.blocks) == 8
    assert min(len(block.rounds) for block in measurement.blocks) >= 60
    assert a.clock.now_ms <= 5_000 + 12


def test_time_lost_in_one_block_is_shared_by_the_others() -> None:
    clock = FakeClock()
    a, b = pair(clock, 100.0, 100.0)
    created = itertools.chain([20_000.0], itertools.repeat(0.0))

    def open_a() -> Runner:
        clock.advance(next(created))
        return a.open()

    measurement = measure(open_a, b.open, clock=clock, rng=Random(0), time_budget_s=60.0)
    rounds = [len(block.rounds) for block in measurement.blocks]
    assert rounds[0] == 2
    assert max(rounds[1:]) - min(rounds[1:]) <= 4
    assert 58_000 < clock.now_ms < 61_000


def test_slow_models_get_few_rounds_in_few_blocks_and_warnings() -> None:
    a, b = pair(FakeClock(), 2_000.0, 2_000.0)
    measurement = run(a, b, time_budget_s=60.0)
    # a block: 2 first runs, 2 to warm up, 2 rounds of 2; the fifth would begin past 60 s
    assert a.clock.now_ms == 4 * 16_000
    assert [len(block.rounds) for block in measurement.blocks] == [2] * 4
    assert [warning.split(":")[0] for warning in measurement.warnings] == [
        "only 4 of 8 blocks fitted into the time budget",
        "only 2 rounds of A and B fitted into a block",
    ]


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 1e5), st.floats(0.5, 1e5), st.floats(0.0, 20.0), st.integers(1, 9))
def test_any_speed_and_any_budget_give_balanced_blocks(
    a_ms: float, b_ms: float, budget_s: float, blocks: int
) -> None:
    a, b = pair(FakeClock(), a_ms, b_ms)
    measurement = run(a, b, time_budget_s=budget_s, blocks=blocks)
    assert min(blocks, 4) <= len(measurement.blocks) <= blocks
    for block in orders(measurement):
        assert block.count("AB") == block.count("BA") >= 1
    # what is begun within the budget: four blocks, or one more round of each model
    assert a.clock.now_ms <= budget_s * 1e3 + 5 * 4 * (a_ms + b_ms) + 1e-3


def test_progress_grows_to_one_and_is_told_between_rounds() -> None:
    a, b = pair(FakeClock())
    told: list[float] = []

    def progress(share: float) -> None:
        told.append(share)
        a.clock.advance(1.0)

    measurement = run(a, b, progress=progress)
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] == 1.0
    samples = [r.a.wall_ms for block in measurement.blocks for r in block.rounds]
    assert samples == pytest.approx([3.0] * len(samples))


def test_the_same_seed_and_the_same_times_give_the_same_measurement() -> None:
    assert run(*pair(FakeClock()), seed=7) == run(*pair(FakeClock()), seed=7)
    assert run(*pair(FakeClock()), seed=7) != run(*pair(FakeClock()), seed=8)


def after(blocks: int) -> Callable[[Measurement], bool]:
    """What is measured will do from so many blocks on."""
    return lambda measurement: len(measurement.blocks) >= blocks


@pytest.mark.parametrize("blocks", [1, 4, 8, 13, 32])
def test_whoever_hands_in_the_rule_decides_when_it_is_over(blocks: int) -> None:
    a, b = pair(FakeClock(), 1.0, 1.0)
    measurement = run(a, b, time_budget_s=120.0, enough=after(blocks))
    assert len(measurement.blocks) == blocks
    assert measurement.warnings == ()
    assert a.events.count("open A") == blocks


def test_the_rule_sees_what_was_measured_so_far() -> None:
    seen: list[Measurement] = []

    def enough(measurement: Measurement) -> bool:
        seen.append(measurement)
        return len(seen) == 3

    measurement = run(*pair(FakeClock()), enough=enough)
    assert [len(m.blocks) for m in seen] == [1, 2, 3]
    assert seen[-1].blocks == measurement.blocks
    assert seen[0].runs_per_sample == measurement.runs_per_sample == (1, 1)


def never(measurement: Measurement) -> bool:
    return False


def test_undecided_fast_models_use_the_time_that_is_left() -> None:
    a, b = pair(FakeClock(), 1.0, 1.0)
    assert len(run(a, b, time_budget_s=120.0, enough=never).blocks) == 32
    a, b = pair(FakeClock())
    # a block: 0.5 s to warm each up and 200 rounds of 5 ms, 2 s; the last ones warm up for less
    measurement = run(a, b, time_budget_s=40.0, enough=never)
    assert len(measurement.blocks) == 20
    assert 38_000 < a.clock.now_ms < 40_000
    assert measurement.warnings == ()


def test_undecided_models_without_time_left_end_as_ever() -> None:
    for ms in (150.0, 2_000.0):
        plain, asked = pair(FakeClock(), ms, ms), pair(FakeClock(), ms, ms)
        assert run(*asked, enough=never) == run(*plain)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.5, 1e4), st.floats(0.5, 30.0), st.integers(1, 9))
def test_more_blocks_never_break_the_budget(ms: float, budget_s: float, blocks: int) -> None:
    a, b = pair(FakeClock(), ms, ms)
    measurement = run(a, b, time_budget_s=budget_s, blocks=blocks, enough=never)
    assert min(blocks, 4) <= len(measurement.blocks) <= 32
    assert a.clock.now_ms <= budget_s * 1e3 + 5 * 4 * 2 * ms + 1e-3


def test_progress_also_grows_when_the_end_is_open() -> None:
    for enough in (never, after(4)):
        told: list[float] = []
        run(*pair(FakeClock()), enough=enough, progress=told.append)
        assert told == sorted(told)
        assert 0 < told[0] < told[-1] == 1.0


def alone(model: Model, **options: object) -> Recording:
    return record(model.open, clock=model.clock, **options)  # type: ignore[arg-type]


def test_one_model_is_recorded_in_blocks_with_fresh_sessions() -> None:
    model = Model("A", FakeClock(), steady(3.0, first_ms=50.0), create_ms=100.0)
    recording = alone(model)
    assert [len(block.samples) for block in recording.blocks] == [200] * 8
    assert model.events.count("open A") == 8
    assert not any(ref() for ref in model.sessions)
    for block in recording.blocks:
        assert (block.create_ms, block.first_run_ms) == pytest.approx((100.0, 50.0))
        assert {round(sample.wall_ms, 9) for sample in block.samples} == {3.0}
    assert (recording.runs_per_sample, recording.warnings) == (1, ())


def test_a_recording_averages_fast_runs_and_knows_what_was_preempted() -> None:
    chance = Random(4)
    model = Model("A", FakeClock(), steady(0.1), 0.0, 0.3, lambda: chance.random() < 0.1)
    recording = alone(model, time_budget_s=10.0)
    assert recording.runs_per_sample == 5
    samples = recording.blocks[1].samples
    assert {round(sample.wall_ms, 9) for sample in samples} == {0.1}
    assert {round(sample.cpu_ms, 9) for sample in samples} == {0.3}
    assert sum(not sample.preempted for sample in samples) == 200 < len(samples)


def test_a_slow_model_is_recorded_past_the_budget_with_warnings() -> None:
    model = Model("A", FakeClock(), steady(5_000.0))
    recording = alone(model, time_budget_s=60.0)
    # a block: a first run, one to warm up, two samples
    assert [len(block.samples) for block in recording.blocks] == [2] * 4
    assert [warning.split(":")[0] for warning in recording.warnings] == [
        "only 4 of 8 blocks fitted into the time budget",
        "only 2 samples fitted into a block",
    ]


def test_a_recording_tells_how_far_it_is() -> None:
    told: list[float] = []
    alone(Model("A", FakeClock(), steady(3.0)), progress=told.append)
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] == 1.0
