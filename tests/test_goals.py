"""Words to goals and back, and what is said to words that are none."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gconvtool import goals
from gconvtool.errors import InputError
from gconvtool.goals import goal
from gconvtool.limits import CostLimit, Goal, Limit, LossLimit

READERS: dict[str, Callable[[str], Limit]] = {
    "--max-drop": goals.drop,
    "--min-snr": goals.snr,
    "--min-speedup": goals.speedup,
    "--max-macs": goals.macs,
}


def read(text: str) -> Limit:
    option, _, word = text.partition(" ")
    return READERS[option](word)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("--max-drop 1%", LossLimit("points", 1)),
        ("--max-drop 0.25 %", LossLimit("points", 0.25)),
        ("--max-drop 0%", LossLimit("points", 0)),
        ("--max-drop 0.5dB", LossLimit("psnr", 0.5)),
        ("--max-drop 2 DB", LossLimit("psnr", 2)),
        ("--max-drop 0.02", LossLimit("error", 0.02)),
        ("--max-drop 2e-3", LossLimit("error", 0.002)),
        ("--min-snr 30dB", LossLimit("snr", 30)),
        ("--min-snr 30", LossLimit("snr", 30)),
        ("--min-speedup 2", CostLimit("speedup", 2)),
        ("--min-speedup 1.5x", CostLimit("speedup", 1.5)),
        ("--max-macs 50%", CostLimit("share", 50)),
        ("--max-macs 300M", CostLimit("count", 300_000_000)),
        ("--max-macs 1.1k", CostLimit("count", 1100)),
        ("--max-macs 12345", CostLimit("count", 12345)),
    ],
)
def test_a_limit_is_read(text: str, limit: Limit) -> None:
    assert read(text) == limit


finite = st.floats(1.001, 1e6, allow_subnormal=False)
small = st.floats(1e-9, 0.999)
limits = st.one_of(
    st.builds(LossLimit, st.just("points"), st.floats(0, 100)),
    st.builds(LossLimit, st.just("psnr"), finite | small),
    st.builds(LossLimit, st.just("error"), small),
    st.builds(LossLimit, st.just("snr"), finite | small),
    st.builds(CostLimit, st.just("speedup"), finite),
    st.builds(CostLimit, st.just("share"), st.floats(1e-9, 100)),
    st.builds(CostLimit, st.just("count"), st.integers(1, 10**15)),
)


@given(limit=limits)
@example(limit=LossLimit("psnr", 1e-05))
def test_a_limit_is_written_as_it_is_read(limit: Limit) -> None:
    assert read(str(limit)) == limit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("--max-drop ", "--max-drop '': write 1% (points of accuracy), 0.5dB"),
        ("--max-drop 1pt", "--max-drop 1pt: write 1%"),
        ("--max-drop -1%", "--max-drop -1%: write 1%"),
        ("--max-drop nan", "--max-drop nan: write 1%"),
        ("--max-drop 1e999%", "--max-drop 1e999%: write 1%"),
        ("--max-drop 101%", "there are only 100 points to lose"),
        ("--max-drop 1", "relative error of 1, so that this is no limit"),
        ("--min-snr 0", "write a ratio above 0 dB such as 30dB"),
        ("--min-snr 30%", "write a ratio above 0 dB such as 30dB"),
        ("--min-speedup 1", "write a factor above 1 such as 2"),
        ("--min-speedup fast", "write a factor above 1 such as 2"),
        ("--max-macs 0%", "write a share of today's such as 50%, or a number such as 300M"),
        ("--max-macs 101%", "write a share of today's such as 50%"),
        ("--max-macs 0.5", "write a share of today's such as 50%"),
        ("--max-macs 1.5", "write a share of today's such as 50%"),
        ("--max-macs 1e308T", "write a share of today's such as 50%"),
        ("--max-macs 5MB", "write a share of today's such as 50%"),
    ],
)
def test_what_is_no_limit_is_told_what_is(text: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        read(text)


@given(text=st.text())
def test_any_other_text_is_a_limit_or_an_input_error(text: str) -> None:
    for reader in READERS.values():
        with suppress(InputError):
            limit = reader(text)
            assert read(str(limit)) == limit


def test_goals() -> None:
    point = LossLimit("points", 1)
    assert goal() == Goal(point, "latency")
    assert goal(objective="params") == Goal(point, "params")
    assert goal(min_snr="30dB", objective="size") == Goal(LossLimit("snr", 30), "size")
    assert goal(min_speedup="2") == Goal(CostLimit("speedup", 2), "latency")
    assert goal(max_macs="50%", objective="macs") == Goal(CostLimit("share", 50), "macs")


def test_a_metric_gives_drops_another_meaning() -> None:
    name = "scores:f1"
    assert goal(max_drop="0.02", metric=name) == Goal(LossLimit("score", 0.02), "latency", name)
    assert goal(max_drop="5", metric=name).limit == LossLimit("score", 5)
    assert goal(max_drop="2%", metric=name).limit == LossLimit("ratio", 2)
    assert goal(metric=max, objective="macs") == Goal(LossLimit("ratio", 1), "macs", max)
    assert [str(LossLimit(kind, 2)) for kind in ("score", "ratio")] == [
        "--max-drop 2",
        "--max-drop 2%",
    ]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"max_drop": "1dB", "metric": "a:b"}, "--max-drop 1dB: with --metric write 0.01"),
        ({"min_snr": "30dB", "metric": "a:b"}, "give it with --max-drop, not --min-snr 30dB"),
        ({"max_macs": "50%", "metric": "a:b"}, "give it with --max-drop, not --max-macs 50%"),
        (
            {"max_drop": "1%", "min_speedup": "2"},
            "--max-drop 1% and --min-speedup 2x: give one limit",
        ),
        ({"objective": "speed"}, "--objective speed: write one of latency, macs, params, size"),
        (
            {"min_speedup": "2", "objective": "macs"},
            "--objective macs: within --min-speedup 2x the loss is made small",
        ),
    ],
)
def test_goals_that_do_not_go_together(asked: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        goal(**asked)
