"""Layers under the roof, with numbers that can be checked in the head; and its laws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.errors import InputError
from gconvtool.results import Layer, Placement
from gconvtool.roofline import place


def layer(
    name: str = "y", macs: int | None = 0, moved: tuple[int | None, int | None] = (0, 0), **row: Any
) -> Layer:
    weights, activations = moved
    shapes: dict[str, Any] = {"input_shape": None, "output_shape": None}
    return Layer(
        name,
        "Conv",
        "standard",
        macs,
        0,
        **shapes,
        weight_bytes=weights,
        activation_bytes=activations,
        **row,
    )


def test_the_ridge_parts_memory_from_compute() -> None:
    # 100 GFLOP/s and 10 GB/s: from 10 FLOPs a byte on, arithmetic is the limit
    rows = [
        layer("poor", 500_000_000, (100_000_000, 100_000_000)),  # 1 GFLOP over 0.2 GB
        layer("ridge", 500_000_000, (0, 100_000_000)),
        layer("rich", 1_000_000_000, (10_000_000, 10_000_000)),
    ]
    result = place(rows, 100.0, 10.0, measured=True)
    assert result.ridge == 10
    assert result.measured
    assert result.placements == (
        Placement("poor", 5.0, "memory", 50.0, 20.0),
        Placement("ridge", 10.0, "compute", 100.0, 10.0),
        Placement("rich", 100.0, "compute", 100.0, 20.0),
    )


def test_what_does_not_multiply_or_is_not_known_has_no_place() -> None:
    rows = [
        layer("relu", 0, (0, 8)),
        layer("open", None, (0, 8)),
        layer("unsized", 5, (0, None)),
        layer("still", 5, (0, 0)),
        layer("loop", 50, (0, 80)),
        layer("loop/body/y", 5, (0, 8), parent="loop", times=10),
    ]
    placed = place(rows, 1.0, 1.0, measured=False).placements
    assert [placement.name for placement in placed] == ["loop/body/y"]


@given(
    macs=st.integers(1, 10**12),
    moved=st.integers(1, 10**10),
    peak=st.floats(0.1, 1e5),
    bandwidth=st.floats(0.1, 1e4),
)
def test_a_layer_takes_its_least_time_at_its_roof(
    macs: int, moved: int, peak: float, bandwidth: float
) -> None:
    (placed,) = place([layer("y", macs, (0, moved))], peak, bandwidth, measured=False).placements
    assert placed.roof_gflops <= peak
    assert 2 * macs / placed.roof_gflops / 1e6 == pytest.approx(placed.least_ms)
    assert placed.least_ms == pytest.approx(
        max(2 * macs / (peak * 1e9), moved / (bandwidth * 1e9)) * 1000
    )


@pytest.mark.parametrize("limits", [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0), (1.0, 1e999)])
def test_limits_that_no_machine_has_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="more than zero"):
        place([], *limits, measured=False)
