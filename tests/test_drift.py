"""Drift is what comparing all outputs at once would give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gconvtool.drift import Reference, compare
from gconvtool.errors import InputError, VerificationError


def fixed(*outputs: np.ndarray):
    """A runner that gives its outputs batch by batch, whatever it is fed."""
    parts = iter(outputs)
    return lambda feeds: {"y": next(parts)}


def batches(*sizes: int):
    return [{"x": np.zeros((size, 1))} for size in sizes]


def test_sums_over_batches_equal_the_whole():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((7, 4)), rng.standard_normal((7, 4))
    labels = rng.integers(0, 4, 7)
    (drift,) = compare(
        fixed(a[:3], a[3:]), fixed(b[:3], b[3:]), batches(3, 4), Reference(labels=labels)
    )
    relative = np.linalg.norm(b - a) / np.linalg.norm(a)
    assert drift.samples == 7
    assert drift.relative_error == pytest.approx(relative)
    assert drift.snr_db == pytest.approx(-20 * math.log10(relative))
    assert drift.cosine == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=0.2)
    assert drift.cosine == pytest.approx((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
    assert drift.top1_agreement == np.mean(a.argmax(1) == b.argmax(1))
    assert drift.accuracy_before == np.mean(a.argmax(1) == labels)
    assert drift.accuracy_after == np.mean(b.argmax(1) == labels)


def test_scalars_that_are_fed_are_no_samples():
    made = np.array([[row, row + 1.0] for row in range(6)])
    feeds = [{"rate": np.array(8), "x": np.zeros((3, 1))} for _ in range(2)]
    run = fixed(made[:3], made[3:])
    labels = Reference("labels", np.array([1, 1, 1, 1, 0, 1]))
    (drift,) = compare(run, fixed(made[:3], made[3:]), feeds, labels)
    assert (drift.samples, drift.accuracy_before) == (6, 5 / 6)


def test_psnr_is_over_the_targets_range():
    target = np.zeros((2, 1, 2, 2))
    target[0] = 2.0
    a, b = target + 0.02, target + 0.2
    (drift,) = compare(
        fixed(a[:1], a[1:]), fixed(b[:1], b[1:]), batches(1, 1), Reference(target=target)
    )
    # A range of 2 against errors of 0.02 and 0.2: a hundredth and a tenth.
    assert drift.psnr_before == pytest.approx(40)
    assert drift.psnr_after == pytest.approx(20)
    assert drift.top1_agreement is None


def test_identical_outputs_have_no_error_and_no_finite_snr():
    a = np.ones((2, 3))
    (drift,) = compare(fixed(a), fixed(a.copy()), batches(2))
    assert drift.relative_error == 0
    assert drift.snr_db is None
    assert drift.cosine == pytest.approx(1)


def test_zero_outputs_have_no_relative_error():
    (drift,) = compare(fixed(np.zeros((2, 3))), fixed(np.ones((2, 3))), batches(2))
    assert drift.relative_error is None
    assert drift.cosine is None


@pytest.mark.parametrize("sizes", [(400,), (1, 399), (100, 100, 200)])
def test_absolute_errors_are_those_of_the_whole_whatever_the_batches(sizes):
    rng = np.random.default_rng(3)
    a = rng.standard_normal((400, 5))
    b = a + rng.standard_normal((400, 5)) * 10.0 ** rng.integers(-9, 3, (400, 5))
    cuts = np.cumsum(sizes)[:-1]
    runs = fixed(*np.split(a, cuts)), fixed(*np.split(b, cuts))
    (drift,) = compare(*runs, batches(*sizes))
    errors = np.sort(np.abs(b - a).ravel())
    assert drift.max_abs == errors[-1]
    assert drift.mean_abs == pytest.approx(errors.mean())
    for share, found in ((50, drift.p50_abs), (90, drift.p90_abs), (99, drift.p99_abs)):
        assert found == pytest.approx(errors[2000 * share // 100 - 1], rel=0.0101)


@pytest.mark.parametrize(
    ("errors", "quantiles"),
    [
        ([0.0] * 100, (0, 0, 0)),
        ([0.0] * 95 + [1.0] * 5, (0, 0, 1)),
        ([0.0] * 50 + [1.0] * 50, (0, 1, 1)),
        ([0.0] * 49 + [1.0] * 51, (1, 1, 1)),
        ([1e-150] * 50 + [1e150] * 50, (1e-150, 1e150, 1e150)),
        ([7.0], (7, 7, 7)),
    ],
)
def test_quantiles_of_errors_far_apart(errors, quantiles):
    b = np.array(errors)[None, :, None]
    (drift,) = compare(fixed(np.zeros_like(b)), fixed(b), batches(1))
    found = (drift.p50_abs, drift.p90_abs, drift.p99_abs)
    assert found == pytest.approx(quantiles, rel=0.0101, abs=0)


def test_a_class_may_be_among_the_five_largest():
    a = np.eye(7)[[0, 0, 0]]
    b = np.array([[9.0, 1, 2, 3, 4, 5, 6], [2.5, 1, 2, 3, 4, 5, 6], [1.5, 1, 2, 3, 4, 5, 6]])
    (drift,) = compare(fixed(a), fixed(b), batches(3))
    # Class 0 is the largest, the fifth and the sixth.
    assert drift.top1_agreement == pytest.approx(1 / 3)
    assert drift.top5_agreement == pytest.approx(2 / 3)


def test_among_five_classes_every_one_is_among_the_five_largest():
    (drift,) = compare(fixed(np.eye(5)), fixed(np.eye(5)), batches(5))
    assert drift.top1_agreement == 1
    assert drift.top5_agreement is None


def test_outputs_that_are_not_finite_are_refused():
    good, bad = np.ones((1, 3)), np.array([[1.0, np.nan, 1.0]])
    with pytest.raises(VerificationError, match="model B"):
        compare(fixed(good), fixed(bad), batches(1))
    with pytest.raises(InputError, match="model A"):
        compare(fixed(bad), fixed(good), batches(1))


def test_models_that_do_another_job_are_refused():
    with pytest.raises(InputError, match="same job"):
        compare(fixed(np.ones((1, 3))), fixed(np.ones((1, 4))), batches(1))
    with pytest.raises(InputError, match="no output in common"):
        compare(fixed(np.ones((1, 3))), lambda feeds: {"z": np.ones((1, 3))}, batches(1))
