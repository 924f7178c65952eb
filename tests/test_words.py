"""Numbers and results in words: nothing is rounded away, nothing unknown becomes a number."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from helpers_cli import comparison
from hypothesis import assume, given
from hypothesis import strategies as st

from gconvtool.report import words
from gconvtool.results import Drift, Gate, Layer, Totals

COUNTS = st.integers(0, 10**15)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def layer(**facts: object) -> Layer:
    return Layer("y", "Conv", "standard", 1, 1, (1, 8, 4, 4), (1, 8, 4, 4), **facts)


def only_number(text: str) -> Fraction:
    (found,) = NUMBER.findall(text)
    return Fraction(found)


@given(COUNTS)
def test_a_number_keeps_all_its_digits_in_groups_of_three(count):
    text = words.number(count)
    assert text.replace(",", "") == str(count)
    first, *groups = text.split(",")
    assert 1 <= len(first) <= 3
    assert all(len(group) == 3 for group in groups)


def test_an_unknown_number_is_no_number():
    assert words.number(None) == "?"
    assert words.share(None, Totals(100, 1)) == "?"


@given(COUNTS)
def test_a_sum_with_an_unknown_part_is_a_lower_bound(count):
    assert words.total(count, exact=True) == words.number(count)
    assert words.total(count, exact=False) == f"≥ {words.number(count)}"


@given(part=COUNTS, rest=COUNTS)
def test_a_share_is_right_to_its_last_digit(part, rest):
    text = words.share(part, Totals(part + rest, 1))
    if part + rest == 0:
        assert text == ""
    else:
        assert text.endswith(" %")
        exact = Fraction(100 * part, part + rest)
        assert abs(only_number(text) - exact) <= Fraction(5001, 100000)


@given(before=st.integers(1, 10**12), after=st.integers(1, 10**12))
def test_a_ratio_says_fewer_or_more_and_is_right_to_its_last_digit(before, after):
    assume(before != after)
    text = words.ratio(Totals(before, 1), Totals(after, 1), "macs")
    factor = Fraction(max(before, after), min(before, after))
    assert abs(only_number(text) - factor) <= Fraction(5001, 10**6) + factor / 10**12
    assert text.endswith("fewer" if after < before else "more")


@pytest.mark.parametrize("what", ["macs", "params"])
def test_what_did_not_change_is_neither_fewer_nor_more(what):
    text = words.ratio(Totals(800, 90), Totals(800, 90), what)
    assert "fewer" not in text
    assert "more" not in text


def test_a_ratio_of_parameters_is_not_that_of_macs():
    before, after = Totals(macs=800, params=90), Totals(macs=100, params=30)
    assert words.ratio(before, after, "macs") == "8.00x fewer"
    assert words.ratio(before, after, "params") == "3.00x fewer"


def test_nothing_has_no_ratio():
    assert words.ratio(Totals(0, 0), Totals(0, 0), "macs") == ""
    assert words.ratio(Totals(10, 0), Totals(0, 0), "macs") == ""


@pytest.mark.parametrize("exact", [(False, True), (True, False), (False, False)])
def test_bounds_have_no_ratio(exact):
    before, after = Totals(800, 80, exact[0]), Totals(400, 40, exact[1])
    assert not NUMBER.search(words.ratio(before, after, "macs"))


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, 64, 28, 28), "64×28×28"),
        ((1, 10), "10"),
        ((1, 8, "H", None), "8×H×?"),
        ((1, 8, "H - 2", "ceil(W/2)"), "8×(H - 2)×ceil(W/2)"),
        (None, "?"),
    ],
)
def test_a_feature_map_leaves_the_batch_out(shape, text):
    assert words.feature_map(shape) == text


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, ""),
        ({"kernel": (3, 3), "strides": (1, 1), "groups": 1}, "3×3"),
        ({"kernel": (3, 3), "strides": (2, 2), "groups": 1}, "3×3 /2"),
        ({"kernel": (3, 5), "strides": (1, 2), "groups": 4}, "3×5 /1×2 g4"),
        ({"kernel": (3,), "strides": (1,), "groups": 16}, "3 g16"),
        ({"kernel": (3, 3, 3), "strides": (2, 2, 2), "groups": 2}, "3×3×3 /2 g2"),
    ],
)
def test_a_kernel_names_stride_and_groups_where_they_matter(facts, text):
    assert words.kernel(layer(**facts)) == text


def test_a_drift_names_what_is_known():
    drift = Drift("y", 8, 0.0261, 31.67, 0.999663, top1_agreement=0.985)
    assert words.drift(drift) == (
        "relative error 2.61 %, SNR 31.7 dB, cosine 0.99966, top-1 agreement 98.5 %"
    )
    assert words.drift(Drift("y", 8, None, None, None)) == "identical"
    assert words.drift(Drift("y", 8, 0.5, None, None)) == "relative error 50 %"


@pytest.mark.parametrize("error", [1e-7, 3.2e-5, 0.004, 0.5, 12.0])
def test_a_small_drift_is_not_rounded_to_nothing(error):
    (shown,) = re.findall(r"relative error (\S+) %", words.drift(Drift("y", 8, error, 1.0, 1.0)))
    assert float(shown) == pytest.approx(100 * error, rel=6e-3)


def test_quality_is_against_labels_or_a_target_or_nothing():
    plain = {"output": "y", "samples": 2000, "relative_error": 0.1, "snr_db": 20.0, "cosine": 0.99}
    labelled = Drift(**plain, accuracy_before=0.924, accuracy_after=0.911)
    assert words.quality(labelled) == "top-1 92.4 % → 91.1 % on 2,000 samples"
    restored = Drift(**plain, psnr_before=31.256, psnr_after=30.0)
    assert words.quality(restored) == "PSNR 31.26 dB → 30.00 dB on 2,000 samples"
    assert words.quality(Drift(**plain)) is None


def test_the_verdict_is_one_line():
    drift = Drift("y", 2000, 0.1, 20.0, 0.99, 0.97, accuracy_before=0.924, accuracy_after=0.911)
    assert words.verdict(comparison(drift=drift)) == (
        "B is 1.83x faster (95 % 1.78–1.88) on CPU, 2 threads; "
        "top-1 92.4 % → 91.1 % on 2,000 samples"
    )


def test_slower_is_told_the_other_way_round():
    line = words.verdict(comparison((0.5, 0.4, 0.625), "slower", threads=1))
    assert line == "B is 2.00x slower (95 % 1.60–2.50) on CPU, 1 thread"


@pytest.mark.parametrize("verdict", ["same", "inconclusive"])
def test_what_is_not_decided_is_not_called_faster(verdict):
    line = words.verdict(comparison((1.01, 0.95, 1.08), verdict))
    assert "faster" not in line
    assert "slower" not in line
    assert [number in line for number in ("1.01x", "0.95", "1.08")] == [True] * 3


def test_without_labels_the_verdict_tells_how_often_both_agree():
    line = words.verdict(comparison(drift=Drift("y", 8, 0.1, 20.0, 0.99, top1_agreement=0.875)))
    assert line.endswith("; top-1 agreement 87.5 % on test.npz")


def test_the_provider_is_named():
    assert " on CUDA, 2 threads" in words.verdict(comparison(provider="cuda"))


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        (Gate("min_speedup", 1.5, 1.83, True), "--min-speedup 1.5: held (1.83x)"),
        (Gate("min_speedup", 2.0, 1.83, False), "--min-speedup 2: FAILED (1.83x)"),
        (Gate("min_speedup", 1.8, 1.83, None), "--min-speedup 1.8: cannot tell (1.83x)"),
        (Gate("max_accuracy_drop", 1.0, 1.3, False), "--max-accuracy-drop 1: FAILED (1.30 points)"),
        (
            Gate("max_accuracy_drop", 1.0, None, None),
            "--max-accuracy-drop 1: cannot tell (unknown)",
        ),
        (Gate("max_slowdown", 1.05, 1.0504, None), "--max-slowdown 1.05: cannot tell (1.0504x)"),
        (Gate("max_p95", 12.5, 3.0, True), "--max-p95 12.5: held (3.00 ms)"),
        (
            Gate("max_relative_error", 0.02, 0.0213, False),
            "--max-relative-error 2%: FAILED (2.13 %)",
        ),
        (
            Gate("max_relative_error", 1e-6, 3.1e-8, True),
            "--max-relative-error 0.0001%: held (3.1e-06 %)",
        ),
        (Gate("min_agreement", 0.99, 0.985, False), "--min-agreement 99%: FAILED (98.50 %)"),
        (Gate("min_snr", 30, 29.999, False), "--min-snr 30: FAILED (29.999 dB)"),
        (Gate("min_snr", 30, None, True), "--min-snr 30: held (no difference)"),
        (
            Gate("max_relative_error", 0.1, None, False),
            "--max-relative-error 10%: FAILED (infinitely far, since A's are zeros)",
        ),
        (Gate("max_p95", 0.0137, 0.0139, False), "--max-p95 0.0137: FAILED (0.0139 ms)"),
        (Gate("max_abs", 1e-5, 0.0, True), "--max-abs 1e-05: held (0.00)"),
        (Gate("max_abs", 1e-5, 1e-5, True), "--max-abs 1e-05: held (1e-05)"),
        (
            Gate("max_size", 5e6, 3141592, True),
            "--max-size 5,000,000 bytes: held (3,141,592 bytes)",
        ),
        (
            Gate("max_regression", 0.02, 0.035, False),
            "--baseline, at most 2% lost: FAILED (3.50 %)",
        ),
        (Gate("max_regression", 0.02, -0.035, True), "--baseline, at most 2% lost: held (-3.50 %)"),
    ],
)
def test_a_gate_says_its_limit_its_value_and_whether_it_held(gate, text):
    assert words.gate(gate) == text
