"""The taxonomy: by hand, and against what a convolution's filters really read when it runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import convolve, site

from gconvtool.kinds import kind

TABLE = [
    # kind, C, N, G, kernel
    ("standard", 64, 128, 1, (3, 3)),
    ("standard", 3, 64, 1, (7, 7)),
    ("standard", 8, 8, 1, (1, 3)),
    ("standard", 1, 16, 1, (5,)),
    ("standard", 4, 4, 1, (3, 1, 1)),
    ("pointwise", 64, 128, 1, (1, 1)),
    ("pointwise", 64, 128, 1, (1,)),
    ("pointwise", 64, 128, 1, (1, 1, 1)),
    ("grouped", 96, 256, 2, (5, 5)),
    ("grouped", 128, 128, 32, (3, 3)),
    ("grouped", 6, 9, 3, (1, 1, 2)),
    ("grouped-pointwise", 240, 60, 3, (1, 1)),
    ("grouped-pointwise", 4, 4, 2, (1,)),
    ("depthwise", 32, 32, 32, (3, 3)),
    ("depthwise", 32, 32, 32, (3,)),
    ("depthwise", 32, 32, 32, (3, 3, 3)),
    ("depthwise", 32, 32, 32, (1, 1)),
    ("depthwise-multiplier", 32, 64, 32, (3, 3)),
    ("depthwise-multiplier", 2, 6, 2, (1, 1)),
    ("gdc", 512, 512, 512, (10, 10)),
    ("gdc", 16, 16, 16, (10,)),
]


@pytest.mark.parametrize(("expected", "channels", "filters", "groups", "kernel"), TABLE)
def test_kind_follows_from_channels_groups_and_kernel(
    expected: str, channels: int, filters: int, groups: int, kernel: tuple[int, ...]
) -> None:
    it = site(channels=channels, filters=filters, groups=groups, kernel=kernel)
    assert kind(it) == expected


@pytest.mark.parametrize("kernel", [(3, 3), (1, 1), (10, 10)])
def test_one_channel_in_one_group_is_dense(kernel: tuple[int, int]) -> None:
    it = site(channels=1, filters=1, groups=1, kernel=kernel)
    assert kind(it) == ("pointwise" if kernel == (1, 1) else "standard")


@pytest.mark.parametrize(
    ("expected", "channels", "filters", "groups"),
    [
        ("standard", 8, 4, 1),
        ("grouped", 8, 4, 2),
        ("depthwise", 8, 8, 8),
        ("depthwise-multiplier", 8, 16, 8),
    ],
)
def test_transposed_convolutions_have_the_same_kinds(
    expected: str, channels: int, filters: int, groups: int
) -> None:
    it = site(op="ConvTranspose", channels=channels, filters=filters, groups=groups)
    assert kind(it) == expected


GDC = {"channels": 4, "filters": 4, "groups": 4, "kernel": (7, 7), "output_shape": (1, 4, 1, 1)}


@pytest.mark.parametrize("batch", [1, 8, "N", None])
def test_gdc_does_not_depend_on_the_batch(batch: int | str | None) -> None:
    assert kind(site(**{**GDC, "input_shape": (batch, 4, 7, 7)})) == "gdc"


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"input_shape": None}, id="input not known"),
        pytest.param({"output_shape": None}, id="output not known"),
        pytest.param({"input_shape": (1, 4, "H", "W")}, id="open map"),
        pytest.param({"input_shape": (1, 4, 7, 9)}, id="kernel smaller than the map"),
        pytest.param({"input_shape": (1, 4, 5, 5), "pads": (1, 1, 1, 1)}, id="padded"),
        pytest.param({"pads": None}, id="padding not known"),
        pytest.param(
            {"input_shape": (1, 4, 7, 7), "pads": (0, 0, 1, 0), "output_shape": (1, 4, 2, 1)},
            id="padded to two positions",
        ),
        pytest.param(
            {"input_shape": (1, 4, 7, 7), "pads": (1, 1, 1, 1), "strides": (7, 7)},
            id="padded, and the stride skips all but one position",
        ),
        pytest.param({"op": "ConvTranspose"}, id="transposed"),
    ],
)
def test_gdc_is_claimed_only_where_the_shapes_prove_it(facts: dict[str, object]) -> None:
    assert kind(site(**{**GDC, "input_shape": (1, 4, 7, 7), **facts})) == "depthwise"


@given(
    groups=st.integers(1, 4),
    channels_per_group=st.integers(1, 3),
    filters_per_group=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    size=st.tuples(st.integers(3, 4), st.integers(3, 4)),
)
def test_kind_is_what_the_filters_of_a_running_convolution_read(
    groups: int,
    channels_per_group: int,
    filters_per_group: int,
    kernel: tuple[int, int],
    size: tuple[int, int],
) -> None:
    channels, filters = groups * channels_per_group, groups * filters_per_group
    x = np.zeros((channels, channels, *size))  # sample c has ones in channel c alone
    x[range(channels), range(channels)] = 1
    w = np.ones((filters, channels_per_group, *kernel))
    y, _ = convolve(x, w, groups, (1, 1), (1, 1), (0, 0, 0, 0))
    reads = y.any(axis=(2, 3))  # channel × filter
    it = site(
        channels=channels,
        filters=filters,
        groups=groups,
        kernel=kernel,
        input_shape=(1, channels, *size),
        output_shape=(1, *y.shape[1:]),
    )
    assert kind(it) == _by_reading(reads, int(y.max()), size, y.shape[2:])


def _by_reading(
    reads: np.ndarray, taps: int, size: tuple[int, ...], positions: tuple[int, ...]
) -> str:
    """The kind, from which channels each filter read and how many values of each."""
    if reads.all():
        return "pointwise" if taps == 1 else "standard"
    if (reads.sum(axis=0) > 1).any():
        return "grouped-pointwise" if taps == 1 else "grouped"
    if (reads.sum(axis=1) > 1).any():
        return "depthwise-multiplier"
    return "gdc" if taps == size[0] * size[1] and positions == (1, 1) else "depthwise"
