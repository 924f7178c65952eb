"""Traces with known sums, and one that onnxruntime 1.32 left of fashion_resnet's first layers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gconvtool.timing.profile import profile

RECORDED = Path(__file__).parent / "traces" / "two_runs.json"


def run(ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "ph": "X", "name": "model_run", "ts": ts, "dur": dur, "args": {}}


def kernel(name: str, ts: int, dur: int) -> dict[str, Any]:
    args = {"provider": "CPUExecutionProvider", "op_name": "Conv"}
    title = f"{name}_kernel_time"
    return {"cat": "Node", "ph": "X", "name": title, "ts": ts, "dur": dur, "args": args}


def test_a_time_is_the_median_of_sums_and_not_the_sum_of_medians() -> None:
    pairs = [(10, 1), (1, 10), (4, 4)]
    events = []
    for start, (a, b) in zip((100, 200, 300), pairs, strict=True):
        events += [kernel("a", start, a), kernel("b", start + a, b), run(start, 50)]
    found = profile(events, warm_up=0)
    assert found.median_us(["a", "b"]) == 11
    assert found.median_us(["a"]) + found.median_us(["b"]) == 8


def test_runs_of_the_warm_up_do_not_count() -> None:
    events = [run(0, 100), kernel("a", 5, 90), run(200, 20), kernel("a", 205, 7)]
    assert profile(events, warm_up=1).median_us(["a"]) == 7


def test_a_kernel_is_of_the_run_that_it_began_in_wherever_its_event_stands() -> None:
    events = [kernel("a", 205, 3), run(0, 100), kernel("a", 5, 1), run(200, 20)]
    assert [dict(part) for part in profile(events, 0).runs] == [{"a": 1}, {"a": 3}]


def test_a_kernel_between_runs_is_of_none() -> None:
    events = [run(0, 100), kernel("a", 150, 9), run(200, 20)]
    assert profile(events, 0).median_us(["a"]) == 0


def test_a_node_in_a_loop_adds_up() -> None:
    events = [run(0, 100), *(kernel("y/body/z", ts, 2) for ts in (10, 20, 30)), kernel("y", 5, 40)]
    found = profile(events, 0)
    assert found.median_us(["y/body/z"]) == 6
    assert found.median_us(["y"]) == 40


def test_a_trace_without_a_run_is_refused() -> None:
    with pytest.raises(ValueError, match="no run after the warm-up"):
        profile([run(0, 10), kernel("a", 1, 1)], warm_up=1)


def test_a_recorded_trace() -> None:
    """41 + 502 µs in the first run and 16 + 494 µs in the second, added up by hand."""
    found = profile(json.loads(RECORDED.read_text(encoding="utf-8")), warm_up=0)
    assert len(found.runs) == 2
    assert found.providers["stem.relu_nchwc"] == "CPUExecutionProvider"
    assert found.median_us(["stem.relu_nchwc", "stage1.0.relu1_nchwc"]) == (543 + 510) / 2
