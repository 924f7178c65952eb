"""Words that stand for amounts: numbers with units, increases, axes of a sweep, rates."""

from __future__ import annotations

import shlex
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.budgets import Increase
from gconvtool.cli import amounts
from gconvtool.errors import InputError

ZEROS = {"": 0, "K": 3, "k": 3, "M": 6, "G": 9, "T": 12}
SHIFTS = {"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}


def objection(call, *words) -> str:
    """What is said against it: it starts with what was typed."""
    with pytest.raises(InputError) as caught:
        call(*words)
    assert str(caught.value).startswith("--x")
    return str(caught.value)


@pytest.mark.parametrize("unit", ZEROS)
@given(number=st.integers(0, 10**6))
def test_a_unit_is_a_number_of_zeros(unit, number):
    assert amounts.limit("--x", "macs", f"{number}{unit}") == int(f"{number}{'0' * ZEROS[unit]}")
    assert amounts.limit("--x", "peak_memory", f"{number} {unit}B") == number * 10 ** ZEROS[unit]


@pytest.mark.parametrize("unit", SHIFTS)
def test_binary_units_are_shifts(unit):
    assert amounts.limit("--x", "peak_memory", f"3{unit}") == 3 << SHIFTS[unit]


@given(number=st.decimals("0", "999999", places=3))
def test_a_fraction_is_exact_and_what_is_less_than_one_is_dropped(number):
    assert amounts.limit("--x", "params", f"{number}K") == int(number * 1000)
    assert amounts.limit("--x", "params", f"{number}") == int(Decimal(number))


@pytest.mark.parametrize(
    "word",
    ["", " ", "M", "-5", "+5", "nan", "inf", "1e9", "1,000", "300MB", "3 X", "_1", "1_", "1.", ".5",
     "٣", "0x10", "9" * 5000],
)  # fmt: skip
def test_no_number(word):
    assert "300M" in objection(amounts.limit, "--x", "macs", word)


@pytest.mark.parametrize("word", ["", "20X", "8K", "-1B", "1e3", "20 M B"])
def test_no_size(word):
    assert "20MB" in objection(amounts.limit, "--x", "peak_memory", word)


def test_increases_by_figure():
    words = ["macs=2%, params=0", "peak-memory=1KiB", "flops=0.5%"]
    assert amounts.increases("--x", words) == {
        "macs": Increase(2.0, percent=True),
        "params": Increase(0, percent=False),
        "peak_memory": Increase(1024, percent=False),
        "flops": Increase(0.5, percent=True),
    }
    assert amounts.increases("--x", []) == {}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("", "FIGURE=AMOUNT"),
        ("macs", "FIGURE=AMOUNT"),
        ("macs=2%,", "FIGURE=AMOUNT"),
        ("bytes=1", "peak-memory"),
        ("macs=", "300M"),
        ("macs=-1", "300M"),
        ("peak-memory=5M", "20MB"),
        ("macs=%", "2%"),
        ("macs=-1%", "2%"),
        ("macs=nan%", "2%"),
        ("macs=1e400%", "2%"),
        (f"macs={'9' * 400}%", "2%"),
        ("macs=1,macs=2", "already"),
    ],
)
def test_no_increase(word, said):
    assert said in objection(amounts.increases, "--x", [word])


def test_the_dimensions_of_an_axis_go_together():
    assert amounts.axes("--x", ["H,W=8,16", "N=1,2"]) == (
        ({"H": 8, "W": 8}, {"H": 16, "W": 16}),
        ({"N": 1}, {"N": 2}),
    )


@pytest.mark.parametrize(
    "words",
    [[""], ["H"], ["H="], ["=1"], ["H,=1"], ["H=0"], ["H=-1"], ["H=1.5"], ["H=nan"],
     ["H=99999999999"], ["H,H=1"], ["H=1", "H=2"]],
)  # fmt: skip
def test_no_axis(words):
    objection(amounts.axes, "--x", words)


@pytest.mark.parametrize("number", [0.0, -1.0, 5e-324, 1e308, float("nan"), float("inf")])
def test_no_rate(number):
    objection(amounts.rate, "--x", number)


@given(st.text())
def test_what_was_typed_is_told_so_that_it_can_be_typed_again(word):
    assert shlex.split(amounts.told("--x", word)) == ["--x", word]
