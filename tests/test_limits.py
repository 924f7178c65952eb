"""What a conversion lost of what it may lose, from its drift; and costs against their limits."""

from __future__ import annotations

from math import log10, sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.errors import InputError
from gconvtool.limits import CostLimit, Evidence, Judged, Limit, LossKind, LossLimit, require
from gconvtool.results import Drift


def drift(**facts: Any) -> Drift:
    usual: dict[str, Any] = {"output": "y", "samples": 1000}
    figures = dict.fromkeys(("relative_error", "snr_db", "cosine"))
    return Drift(**{**usual, **figures, **facts})


def accurate(before: float, after: float, **facts: Any) -> Drift:
    return drift(accuracy_before=before, accuracy_after=after, **facts)


@pytest.mark.parametrize(
    ("drifts", "points"),
    [
        ([accurate(0.9, 0.85)], 5),
        ([accurate(0.9, 0.85, top1_agreement=0.2)], 5),  # labels are better than agreement
        ([accurate(0.85, 0.9)], 0),  # a gain is no loss
        ([drift(top1_agreement=0.97)], 3),
        ([drift(top1_agreement=0.97), drift(top1_agreement=0.92), drift()], 8),
        ([accurate(0.9, 0.89, top1_agreement=0.9), drift(top1_agreement=0.5)], 1),
        ([drift(top1_agreement=1.0)], 0),
        ([drift(relative_error=0.1)], None),
        ([], None),
    ],
)
def test_points_are_of_accuracy_or_else_of_agreement(
    drifts: list[Drift], points: float | None
) -> None:
    lost = LossLimit("points", 1).lost(Evidence(tuple(drifts)))
    assert lost == (None if points is None else pytest.approx(points))


@pytest.mark.parametrize(
    ("before", "after", "lost"), [(34.0, 33.25, 0.75), (30.0, 31.0, 0), (None, 30.0, None)]
)
def test_decibels_are_of_psnr(before: float | None, after: float, lost: float | None) -> None:
    one = drift(psnr_before=before, psnr_after=after)
    assert LossLimit("psnr", 1).lost(Evidence((one, drift()))) == lost


def test_the_worst_output_counts_and_an_unknown_one_leaves_all_unknown() -> None:
    limit = LossLimit("error", 0.02)
    near, far = drift(relative_error=0.01), drift(relative_error=0.03)
    assert limit.lost(Evidence((near, far))) == 0.03
    assert limit.judge(Evidence((near, far))).holds is False
    assert limit.judge(Evidence((near,))).holds is True
    assert limit.lost(Evidence((far, drift()))) is None
    assert limit.lost(Evidence((far, drift(relative_error=float("nan"))))) is None
    assert limit.judge(Evidence((drift(),))) == Judged(None, 0.02)
    assert limit.judge(Evidence((drift(),))).holds is None
    assert limit.judge(Evidence((drift(),))).over is None


@given(relative_error=st.floats(1e-6, 0.99), least_db=st.floats(1, 100))
def test_an_snr_is_judged_by_the_error_that_it_stands_for(
    relative_error: float, least_db: float
) -> None:
    limit = LossLimit("snr", least_db)
    judged = limit.judge(Evidence((drift(relative_error=relative_error),)))
    snr_db = 10 * log10(1 / relative_error**2)  # of powers
    if abs(snr_db - least_db) > 1e-6:
        assert judged.holds is (snr_db > least_db)
    assert judged.used == relative_error


def test_the_largest_error_under_an_snr() -> None:
    assert LossLimit("snr", 20).most == pytest.approx(0.1)
    assert LossLimit("snr", 30).most == pytest.approx(sqrt(0.001))


@given(right=st.integers(0, 2000), lost=st.integers(0, 2000), samples=st.integers(1, 2000))
def test_a_limit_may_be_reached(right: int, lost: int, samples: int) -> None:
    right, lost = right % (samples + 1), lost % (samples + 1)
    after = max(0, right - lost)
    limit = LossLimit("points", 100 * (right - after) / samples)
    judged = limit.judge(Evidence((accurate(right / samples, after / samples),)))
    assert judged.holds is True
    assert judged.over == pytest.approx(0, abs=1e-9)


def test_how_much_it_is_over() -> None:
    limit = LossLimit("points", 1)
    assert limit.judge(Evidence((accurate(0.9, 0.865),))).over == pytest.approx(2.5)
    assert limit.judge(Evidence((accurate(0.9, 0.895),))).over == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("limit", "most"),
    [
        (CostLimit("speedup", 2.5), 40),
        (CostLimit("share", 25), 25),
        (CostLimit("count", 30), 30),
    ],
)
def test_limits_on_costs(limit: CostLimit, most: float) -> None:
    assert limit.most(100) == most
    assert limit.judge(100, most).holds is True
    assert limit.judge(100, most + 1) == Judged(most + 1, most)
    assert limit.judge(100, most + 1).holds is False
    assert limit.objective == ("latency" if limit.kind == "speedup" else "macs")


@pytest.mark.parametrize(
    ("limit", "after", "words"),
    [
        (CostLimit("speedup", 2), 400, "2.50x"),
        (CostLimit("share", 50), 480, "48%"),
        (CostLimit("count", 1_000_000), 1234, "1,234"),
    ],
)
def test_what_is_left_of_a_cost_is_told_in_the_unit_of_its_limit(
    limit: CostLimit, after: float, words: str
) -> None:
    assert limit.told(1000, after) == words


@pytest.mark.parametrize(
    ("kind", "scores", "lost"),
    [
        ("score", (0.8, 0.75), 0.05),
        ("score", (0.8, 0.9), 0),
        ("ratio", (0.8, 0.6), 25),
        ("ratio", (-4.0, -5.0), 25),
        ("ratio", (0.0, -1.0), None),
        ("score", None, None),
        ("ratio", None, None),
    ],
)
def test_scores_are_lost_as_numbers_or_as_shares_of_the_originals(
    kind: LossKind, scores: tuple[float, float] | None, lost: float | None
) -> None:
    found = LossLimit(kind, 1).lost(Evidence((drift(relative_error=0.5),), scores))
    assert found == (None if lost is None else pytest.approx(lost))


def test_of_a_score_of_nothing_there_is_no_share() -> None:
    limit = LossLimit("ratio", 1)
    with pytest.raises(InputError, match=r"score is 0.*write a plain number"):
        require(limit, classes=True, target=True, score=0.0)
    require(limit, classes=False, target=False, score=-0.5)
    require(LossLimit("score", 1), classes=False, target=False, score=0.0)


@pytest.mark.parametrize(
    ("limit", "lost", "words"),
    [
        (LossLimit("points", 1), 0.8, "0.8%"),
        (LossLimit("psnr", 1), 0.3125, "0.312dB"),
        (LossLimit("error", 0.02), 0.018, "0.018"),
        (LossLimit("snr", 30), 0.01, "40dB"),
        (LossLimit("snr", 30), 0.0, "infdB"),
    ],
)
def test_a_loss_is_told_in_the_unit_of_its_limit(limit: LossLimit, lost: float, words: str) -> None:
    assert limit.told(lost) == words


@pytest.mark.parametrize(
    ("limit", "classes", "target", "words"),
    [
        (LossLimit("points", 1), False, True, "--max-drop 1%: no output holds scores of classes"),
        (LossLimit("psnr", 0.5), True, False, "--max-drop 0.5dB: a PSNR needs targets"),
    ],
)
def test_what_a_limit_needs_is_asked_for_before_any_work(
    limit: Limit, classes: bool, target: bool, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        require(limit, classes=classes, target=target)
    require(limit, classes=True, target=True)


@pytest.mark.parametrize(
    "limit", [LossLimit("error", 0.1), LossLimit("snr", 30), CostLimit("count", 5)], ids=str
)
def test_other_limits_need_nothing(limit: Limit) -> None:
    require(limit, classes=False, target=False)
