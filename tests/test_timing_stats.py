"""A speedup's estimate, interval and verdict, on samples whose truth is known."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from gconvtool.results import Block, Interval, Measurement, Recording, Round, Sample, SoloBlock
from gconvtool.timing.stats import against, floor, judge, latency, settled, timing, timing_of

# at right angles to a constant and to the alternation of creation orders; its squares sum to 8
WOBBLE = (1, 1, -1, -1, 1, 1, -1, -1)


def a_round(order: str, log_ratio: float, *, preempted: bool | None = False) -> Round:
    """A and B around 3 ms, with the given log(A / B) on both clocks."""
    a, b = (3.0 * math.exp(sign * log_ratio / 2) for sign in (1, -1))
    return Round(order, Sample(a, a, preempted), Sample(b, b, preempted))


def block(log_ratio: float, *, order_effect: float = 0.0, rounds: int = 10) -> Block:
    """Rounds without noise, whichever runs first being faster by `order_effect`."""
    pairs = [
        a_round(order, log_ratio - sign * order_effect)
        for _ in range(rounds // 2)
        for order, sign in (("AB", 1), ("BA", -1))
    ]
    return Block(create_ms=(10.0, 20.0), first_run_ms=(5.0, 6.0), rounds=tuple(pairs))


def measured(log_ratios: Sequence[float], **options: float) -> Measurement:
    return Measurement(tuple(block(x, **options) for x in log_ratios), (1, 1))  # type: ignore[arg-type]


def wobbling(log_speedup: float, spread: float) -> Measurement:
    """Eight blocks: standard error spread / √6, with 6 degrees of freedom.

    Two looks have had 2/5 of the 5 % and the one before the end 1/5 of the 1 %: Student's t has
    t(6) = 2.829 for 97 % (the interval) and 3.898 for 99.2 % (faster, slower).
    """
    return measured([log_speedup + spread * sign for sign in WOBBLE])


def noisy(rng: np.random.Generator, truth: float, *, sessions: float, blocks: int) -> Measurement:
    """Sessions that differ, order and creation effects, and heavy-tailed rounds."""
    made = []
    for index in range(blocks):
        centre = math.log(truth) + 0.005 * (-1) ** index + rng.normal(0, sessions)
        rounds = [
            a_round(order, centre + effect + 0.02 * rng.standard_t(3))
            for _ in range(5)
            for order, effect in (("AB", -0.02), ("BA", 0.02))
        ]
        made.append(Block((1.0, 1.0), (1.0, 1.0), tuple(rounds)))
    return Measurement(tuple(made), (1, 1))


def test_without_noise_the_speedup_is_exact() -> None:
    judgement = judge(measured([math.log(2)] * 5))
    assert judgement.verdict == "faster"
    assert judgement.speedup.estimate == pytest.approx(2.0, rel=1e-12)
    assert judgement.speedup.low == pytest.approx(judgement.speedup.high, rel=1e-9)
    assert (judgement.clock, judgement.rounds, judgement.clean_rounds) == ("wall", 50, 50)
    assert judgement.warnings == ()


def test_the_advantage_of_running_first_cancels() -> None:
    judgement = judge(measured([0.0] * 5, order_effect=0.04))
    assert judgement.speedup.estimate == pytest.approx(1.0, abs=1e-12)
    assert judgement.verdict == "same"


def test_the_cost_of_being_created_first_cancels_even_in_an_odd_number_of_blocks() -> None:
    judgement = judge(measured([0.01, -0.01, 0.01, -0.01, 0.01]))
    assert judgement.speedup.estimate == pytest.approx(1.0, abs=1e-12)
    assert judgement.speedup.high == pytest.approx(1.0, abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=5, max_size=10))
def test_the_interval_is_that_of_two_groups_with_a_common_variance(ratios: list[float]) -> None:
    first_a, first_b = ratios[::2], ratios[1::2]
    middle = (statistics.mean(first_a) + statistics.mean(first_b)) / 2
    squares = sum((len(g) - 1) * statistics.variance(g) for g in (first_a, first_b))
    degrees = len(ratios) - 2
    error = math.sqrt(squares / degrees * (1 / len(first_a) + 1 / len(first_b))) / 2
    speedup = judge(measured(ratios, rounds=2)).speedup
    assert math.log(speedup.estimate) == pytest.approx(middle, abs=1e-9)
    looks = sum(len(ratios) >= look for look in (4, 8))
    half = float(t.ppf(1 - 0.025 * (1 - looks / 5), degrees)) * error
    assert math.log(speedup.high) - middle == pytest.approx(half, rel=1e-3, abs=1e-9)
    assert middle - math.log(speedup.low) == pytest.approx(half, rel=1e-3, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=4))
def test_few_blocks_are_one_group(ratios: list[float]) -> None:
    level = 0.98 if len(ratios) == 4 else 0.975  # a look at 4 blocks has had a fifth of 5 %
    half = float(t.ppf(level, len(ratios) - 1)) * statistics.stdev(ratios)
    speedup = judge(measured(ratios, rounds=2)).speedup
    expected = statistics.mean(ratios) + half / math.sqrt(len(ratios))
    assert math.log(speedup.high) == pytest.approx(expected, rel=1e-3, abs=1e-9)


@settings(deadline=None)
@given(st.floats(-0.2, 0.2), st.floats(0.0, 0.05))
def test_swapping_the_models_inverts_the_judgement(log_speedup: float, spread: float) -> None:
    swapped = {"faster": "slower", "slower": "faster"}
    one, other = judge(wobbling(log_speedup, spread)), judge(wobbling(-log_speedup, -spread))
    assert other.verdict == swapped.get(one.verdict, one.verdict)
    assert other.speedup.estimate == pytest.approx(1 / one.speedup.estimate)
    assert other.speedup.low == pytest.approx(1 / one.speedup.high)


@pytest.mark.parametrize(
    ("log_speedup", "spread", "verdict"),
    [
        (0.049, 0.010, "faster"),  # 99.2 %: 0.033 to 0.065, the margin is 0.0198
        (0.049, 0.020, "inconclusive"),  # 99.2 %: 0.017; 97 % would have said faster
        (-0.049, 0.010, "slower"),
        (-0.049, 0.020, "inconclusive"),
        (0.000, 0.010, "same"),
        (0.005, 0.001, "same"),  # faster for certain, and by less than matters
        (0.020, 0.001, "inconclusive"),  # across the margin
        (0.000, 0.050, "inconclusive"),
    ],
)
def test_the_verdict_follows_the_bounds(log_speedup: float, spread: float, verdict: str) -> None:
    assert judge(wobbling(log_speedup, spread)).verdict == verdict


def test_the_margin_is_a_ratio_either_way() -> None:
    assert judge(wobbling(math.log(1.099), 0.0), margin=0.1).verdict == "same"
    assert judge(wobbling(math.log(1.101), 0.0), margin=0.1).verdict == "faster"
    assert judge(wobbling(-math.log(1.101), 0.0), margin=0.1).verdict == "slower"


def test_an_open_verdict_says_why() -> None:
    assert "too noisy" in judge(wobbling(0.0, 0.05)).warnings[0]
    assert "B looks faster" in judge(wobbling(0.03, 0.01)).warnings[0]
    assert "B looks slower" in judge(wobbling(-0.03, 0.01)).warnings[0]


def test_disturbed_rounds_are_left_out_of_the_ratio() -> None:
    clean = wobbling(0.05, 0.01)
    hit = tuple(a_round(order, 3.0, preempted=True) for order in ("AB", "BA") * 20)
    mixed = replace(clean, blocks=tuple(replace(b, rounds=b.rounds + hit) for b in clean.blocks))
    judgement = judge(mixed)
    assert judgement.speedup == judge(clean).speedup
    assert (judgement.clock, judgement.rounds, judgement.clean_rounds) == ("wall", 400, 80)


def preempted(cpu_ratios: Sequence[float], wall_ratios: Sequence[float]) -> Measurement:
    """Blocks of which every round was disturbed, with a ratio for either clock."""

    def sample(cpu: float, wall: float) -> Sample:
        return Sample(wall_ms=3.0 * math.exp(wall), cpu_ms=2.0 * math.exp(cpu), preempted=True)

    rounds = [
        tuple(Round(order, sample(cpu, wall), sample(0.0, 0.0)) for order in ("AB", "BA") * 5)
        for cpu, wall in zip(cpu_ratios, wall_ratios, strict=True)
    ]
    return Measurement(tuple(Block((1.0, 1.0), (1.0, 1.0), r) for r in rounds), (1, 1))


def test_without_undisturbed_rounds_the_steadier_cpu_time_is_compared() -> None:
    judgement = judge(preempted([0.1 + 0.001 * x for x in WOBBLE], [0.1 * x for x in WOBBLE]))
    assert (judgement.clock, judgement.verdict, judgement.clean_rounds) == ("cpu", "faster", 0)
    assert judgement.speedup.estimate == pytest.approx(math.exp(0.1))
    assert "only 0 of 80 rounds" in judgement.warnings[0]
    assert "CPU time" in judgement.warnings[0]


def test_the_wall_clock_stays_where_cpu_time_is_no_steadier() -> None:
    judgement = judge(preempted([0.02 * x for x in WOBBLE], [0.03 * x for x in WOBBLE]))
    assert judgement.clock == "wall"
    assert judgement.speedup.high == pytest.approx(math.exp(2.829 * 0.03 / math.sqrt(6)), rel=1e-4)
    assert "the disturbed ones are used too" in judgement.warnings[0]


def test_cpu_time_that_is_not_counted_is_not_compared() -> None:
    measurement = preempted([-math.inf] * 8, [0.1 * x for x in WOBBLE])
    assert judge(measurement).clock == "wall"


def test_one_block_without_clean_rounds_is_enough_to_use_them_all() -> None:
    clean = wobbling(0.0, 0.01)
    hit = tuple(
        a_round(r.order, 0.0, preempted=i > 3) for i, r in enumerate(clean.blocks[0].rounds)
    )
    blocks = (replace(clean.blocks[0], rounds=hit), *clean.blocks[1:])
    assert "only 74 of 80 rounds" in judge(replace(clean, blocks=blocks)).warnings[0]


def test_uncounted_preemptions_are_said() -> None:
    rounds = tuple(a_round(order, 0.0, preempted=None) for order in ("AB", "BA") * 5)
    judgement = judge(Measurement((Block((1.0, 1.0), (1.0, 1.0), rounds),) * 8, (1, 1)))
    assert (judgement.clock, judgement.clean_rounds) == ("wall", 80)
    assert "does not say which rounds were disturbed" in judgement.warnings[0]


def test_one_block_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="two blocks"):
        judge(measured([0.0]))


def test_a_model_against_itself_is_never_called_faster_or_slower() -> None:
    rng = np.random.default_rng(0)
    judged = [judge(noisy(rng, 1.0, sessions=0.01, blocks=8)) for _ in range(300)]
    assert {j.verdict for j in judged} <= {"same", "inconclusive"}
    covered = sum(j.speedup.low <= 1.0 <= j.speedup.high for j in judged)
    assert 0.94 * 300 <= covered <= 0.99 * 300  # 97 % where no look before was used to stop


@pytest.mark.parametrize(("truth", "verdict"), [(1.05, "faster"), (1 / 1.05, "slower")])
def test_five_percent_are_found(truth: float, verdict: str) -> None:
    rng = np.random.default_rng(1)
    judged = [judge(noisy(rng, truth, sessions=0.01, blocks=8)).verdict for _ in range(100)]
    assert judged.count(verdict) >= 90  # type: ignore[arg-type]


@pytest.mark.parametrize("blocks", [2, 3, 5, 7, 9, 12])
def test_between_looks_nothing_is_settled(blocks: int) -> None:
    assert not settled(measured([math.log(2)] * blocks))


@pytest.mark.parametrize("blocks", [4, 8, 16])
def test_a_look_settles_what_is_certain(blocks: int) -> None:
    assert settled(measured([math.log(2)] * blocks))
    assert settled(measured([-math.log(2)] * blocks))
    assert settled(measured([0.0] * blocks))


@pytest.mark.parametrize(
    ("log_speedup", "spread", "answer"),
    [
        # a look at 8 blocks takes t(6) = 5.208 for 99.8 %, and 3.707 for 99 %, over √6
        (0.049, 0.013, True),  # 0.049 - 0.0276 = 0.0214, the margin is 0.0198
        (0.049, 0.014, False),  # 0.0192; at the end, 3.898 would be enough
        (0.000, 0.013, True),  # 0.0197
        (0.000, 0.0135, False),  # 0.0204; at the end, 2.829 would be enough
    ],
)
def test_a_look_has_to_be_surer_than_the_end(
    log_speedup: float, spread: float, answer: bool
) -> None:
    for sign in (1, -1):
        measurement = wobbling(sign * log_speedup, spread)
        assert settled(measurement) == answer
        assert judge(measurement).verdict != "inconclusive"


@pytest.mark.parametrize(
    ("limits", "answer"),
    [
        # 1.2 within 3.707 · 0.02 / √6 = 0.0303 on the logarithm: 1.164 to 1.237
        ((1.0,), True),
        ((1.16,), True),
        ((1.17,), False),
        ((1.23,), False),
        ((1.24,), True),
        ((1.0, 1.2), False),
        ((0.0,), True),
    ],
)
def test_a_look_also_waits_for_the_limits_of_gates(limits: tuple[float, ...], answer: bool) -> None:
    assert settled(wobbling(math.log(1.2), 0.02), limits) == answer


def tailed(b_ms: float) -> Measurement:
    """Four blocks of 800 runs of B, a tenth of which take the given time and the others 1 ms."""
    rounds = tuple(
        Round(order, Sample(2.0, 2.0, False), Sample(ms, ms, False))
        for ms in (b_ms, *[1.0] * 9)
        for order in ("AB", "BA")
    )
    return Measurement(tuple(Block((1.0, 1.0), (1.0, 1.0), rounds * 40) for _ in range(4)), (1, 1))


def test_a_look_also_waits_for_the_limit_on_the_percentile() -> None:
    measurement = tailed(5.0)
    limits = (4.9, 5.0, 5.1)
    assert [settled(measurement, most_p95_ms=limit) for limit in limits] == [True] * 3
    few = replace(
        measurement, blocks=tuple(replace(b, rounds=b.rounds[:20]) for b in measurement.blocks)
    )
    assert [settled(few, most_p95_ms=limit) for limit in (None, 9.0)] == [True, False]


def test_percentiles_of_means_are_those_of_the_last_runs() -> None:
    last_ms = [0.1] * 54 + [7.0] * 6
    samples = tuple(Sample(0.2, 0.2, False, ms) for ms in last_ms)
    found = timing_of("a", Recording((SoloBlock(1.0, 1.0, samples),) * 2, 5))
    assert (found.median_ms, found.p95_ms) == (0.2, 7.0)
    means = tuple(replace(sample, last_ms=None) for sample in samples)
    unknown = timing_of("a", Recording((SoloBlock(1.0, 1.0, means),) * 2, 5))
    assert (unknown.median_ms, unknown.p95_ms, unknown.p95_low_ms) == (0.2, None, None)


def sequential(rng: np.random.Generator, truth: float, sessions: float) -> Measurement:
    """Blocks until a look settles it, 32 at most; one round an order, since ratios are the same."""
    ratios: list[float] = []
    while len(ratios) < 32 and not (ratios and settled(measured(ratios, rounds=2))):
        ratios.append(math.log(truth) + rng.normal(0, sessions))
    return measured(ratios, rounds=2)


def test_stopping_at_looks_keeps_what_the_interval_and_the_verdict_promise() -> None:
    rng = np.random.default_rng(2)
    same = [judge(sequential(rng, 1.0, 0.014)) for _ in range(150)]
    other = [judge(sequential(rng, 1.05, 0.014)) for _ in range(150)]
    assert {j.verdict for j in same} == {"same"}
    assert {j.verdict for j in other} == {"faster"}
    held = sum(j.speedup.low <= 1.0 <= j.speedup.high for j in same)
    held += sum(j.speedup.low <= 1.05 <= j.speedup.high for j in other)
    assert held >= 0.92 * 300  # 95 % less two standard errors


def test_the_floor_is_half_the_interval() -> None:
    noise, _ = floor(wobbling(0.0, 0.01))
    assert noise == pytest.approx(math.expm1(2.829 * 0.01 / math.sqrt(6)), rel=1e-3)


@pytest.mark.parametrize(("blocks", "sessions"), [(8, 0.01), (8, 0.03), (6, 0.01), (16, 0.02)])
def test_the_detectable_effect_is_found_in_nine_of_ten(blocks: int, sessions: float) -> None:
    rng = np.random.default_rng(blocks)
    alike = np.tile([1, 1, -1, -1], 4)[:blocks] * sessions  # at right angles to what is fitted
    if blocks == 6:
        alike = np.array([1, -1, 0, 0, -1, 1]) * sessions * math.sqrt(6 / 4)
    # as noisy as `sessions` says: the fit divides by blocks - 2 what has blocks squares
    _, detectable = floor(measured(list(alike * math.sqrt((blocks - 2) / blocks)), rounds=2))
    drawn = math.log1p(detectable) + rng.normal(0, sessions, (400, blocks))
    found = [judge(measured(list(ratios), rounds=2)).verdict for ratios in drawn]
    assert 0.86 * 400 <= found.count("faster") <= 0.94 * 400


def test_without_noise_all_beyond_the_margin_is_detectable() -> None:
    noise, detectable = floor(measured([0.0] * 8))
    assert noise == pytest.approx(0.0, abs=1e-12)
    assert detectable == pytest.approx(0.02, rel=1e-9)


def test_a_change_of_the_speedup_carries_both_errors() -> None:
    now, then = Interval(1.2, 1.2 / 1.03, 1.2 * 1.03), Interval(1.5, 1.5 / 1.04, 1.5 * 1.04)
    change = against(now, then)
    half = math.exp(math.sqrt(math.log(1.03) ** 2 + math.log(1.04) ** 2))
    assert change.estimate == pytest.approx(0.8)
    assert (change.low, change.high) == pytest.approx((0.8 / half, 0.8 * half))


def test_a_lopsided_interval_counts_on_the_side_where_it_matters() -> None:
    sure = Interval(2.0, 2.0, 2.0)
    assert against(sure, Interval(1.0, 0.8, 1.0)) == Interval(2.0, 2.0, pytest.approx(2.5))
    assert against(Interval(1.0, 0.8, 1.0), sure) == Interval(0.5, pytest.approx(0.4), 0.5)


@settings(max_examples=50, deadline=None)
@given(*2 * [st.floats(0.5, 2.0)], *2 * [st.floats(0.0, 0.3)])
def test_a_change_covers_the_truth_as_often_as_the_intervals_did(
    now: float, then: float, of_now: float, of_then: float
) -> None:
    one, other = (
        Interval(x, x * math.exp(-w), x * math.exp(w)) for x, w in ((now, of_now), (then, of_then))
    )
    change = against(one, other)
    assert math.log(change.high / change.low) / 2 == pytest.approx(math.hypot(of_now, of_then))
    back = against(other, one)
    assert back.high == pytest.approx(1 / change.low)


def recorded(*blocks: Sequence[float], hit: Sequence[int] = ()) -> Recording:
    """One model's samples in ms, a sequence a block; those at the places `hit` were preempted."""
    made = [
        SoloBlock(
            10.0 + i, 5.0 - i, tuple(Sample(ms, ms, place in hit) for place, ms in enumerate(block))
        )
        for i, block in enumerate(blocks)
    ]
    return Recording(tuple(made), 1)


def test_the_latency_lies_between_the_blocks() -> None:
    # logarithms of medians: log 4 ± log 2, so s = log 2 · √2, and t(1) = 12.71 for 95 %
    found = latency(recorded([1.0, 2.0, 9.0], [8.0, 8.0, 8.0]))
    assert found.estimate == pytest.approx(4.0)
    assert math.log(found.high / 4.0) == pytest.approx(12.706 * math.log(2.0), rel=1e-4)
    assert found.low * found.high == pytest.approx(16.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.1, 10.0), min_size=2, max_size=8))
def test_the_latency_is_a_t_interval_of_logarithms(medians: list[float]) -> None:
    found, logs = latency(recorded(*([ms] for ms in medians))), [math.log(ms) for ms in medians]
    half = float(t.ppf(0.975, len(logs) - 1)) * statistics.stdev(logs) / math.sqrt(len(logs))
    assert math.log(found.estimate) == pytest.approx(statistics.mean(logs), abs=1e-9)
    assert math.log(found.high / found.estimate) == pytest.approx(half, rel=1e-3, abs=1e-9)


def test_preempted_samples_do_not_lengthen_the_latency_where_there_are_others() -> None:
    slow_at_the_end = [3.0] * 5 + [30.0] * 6
    assert latency(recorded(*2 * [slow_at_the_end], hit=range(5, 11))).estimate == pytest.approx(3)
    assert latency(recorded(*2 * [slow_at_the_end], hit=range(4, 11))).estimate == pytest.approx(30)


def test_one_block_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two blocks"):
        latency(recorded([1.0, 2.0]))


def test_a_recording_has_the_same_figures_as_a_comparison_of_the_same_samples() -> None:
    values_ms = list(np.random.default_rng(3).lognormal(1.0, 0.5, 320))
    one = timing_of("a.onnx", recorded(values_ms[:160], values_ms[160:]))
    other = timing("a.onnx", latencies(values_ms), "a")
    assert (one.path, one.median_ms) == ("a.onnx", pytest.approx(statistics.median(values_ms)))
    assert (one.p95_ms, one.p99_ms) == (other.p95_ms, other.p99_ms)
    assert (one.create_ms, one.first_run_ms) == (10.5, 4.5)


def latencies(values_ms: Sequence[float], *, preempted: bool = False) -> Measurement:
    """One block in which A took the given times and B twice as long."""
    rounds = tuple(
        Round("AB", Sample(ms, ms, preempted), Sample(2 * ms, ms, preempted)) for ms in values_ms
    )
    return Measurement((Block((10.0, 20.0), (5.0, 6.0), rounds),), (1, 1))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(299, 400))
def test_latencies_are_medians_and_percentiles_of_all_samples(seed: int, count: int) -> None:
    values_ms = list(np.random.default_rng(seed).lognormal(1.0, 0.5, count))
    hundredths = statistics.quantiles(values_ms, n=100, method="inclusive")
    result = timing("a.onnx", latencies(values_ms, preempted=True), "a")
    assert result.path == "a.onnx"
    assert result.median_ms == pytest.approx(statistics.median(values_ms))
    assert result.p95_ms == pytest.approx(hundredths[94])
    assert result.p99_ms == pytest.approx(hundredths[98])
    assert timing("b", latencies(values_ms), "b").median_ms == pytest.approx(2 * result.median_ms)


@pytest.mark.parametrize(
    ("count", "p95", "p99"),
    [(58, False, False), (59, True, False), (298, True, False), (299, True, True)],
)
def test_percentiles_need_enough_samples(count: int, p95: bool, p99: bool) -> None:
    result = timing("a", latencies([1.0] * count), "a")
    assert (result.p95_ms is not None, result.p99_ms is not None) == (p95, p99)


def test_creation_and_first_run_are_medians_over_blocks() -> None:
    creations = ((9.0, 1.0), (2.0, 7.0), (3.0, 8.0))
    rounds = (a_round("AB", 0.0),)
    blocks = tuple(Block(create, create[::-1], rounds) for create in creations)
    a, b = (timing("m", Measurement(blocks, (1, 1)), which) for which in ("a", "b"))  # type: ignore[arg-type]
    assert (a.create_ms, a.first_run_ms) == (3.0, 7.0)
    assert (b.create_ms, b.first_run_ms) == (7.0, 3.0)
