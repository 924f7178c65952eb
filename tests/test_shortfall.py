"""What holds a layer back: kernels with times made up so that one cause costs most."""

from __future__ import annotations

import pytest

from gconvtool.pipeline.attribution import NCHWC
from gconvtool.pipeline.shortfall import Part, off_the_blocks, shortfall
from gconvtool.results import Layer
from gconvtool.runtime.profiling import Kernel

DENSE_US, DENSE_MACS = 400.0, 4_000_000


def part(us: float, op: str, layer: Layer, domain: str = "") -> Part:
    return Part(Kernel("", op, domain, (), ()), us, layer)


def conv(
    macs: int,
    channels: int,
    filters: int,
    groups: int = 1,
    kind: str = "grouped",
    kernel: tuple[int, ...] = (3, 3),
    op: str = "Conv",
) -> Layer:
    return Layer("y", op, kind, macs, 0, None, None, channels, filters, groups, kernel)


def free(op: str) -> Layer:
    return Layer("z", op, "", 0, 0, None, None)


THIN = conv(250_000, 64, 64, 16)
WIDE = conv(1_000_000, 64, 128, 4)


def test_groups_that_do_not_fill_blocks() -> None:
    said = shortfall(DENSE_US, DENSE_MACS, [part(150, "FusedConv", THIN)], blocks=True)
    assert said.startswith("groups of 4 → 4 channels do not fill blocks of 16")
    assert said.endswith("4 groups would fill them")


def test_groups_that_fill_blocks_are_not_what_keeps_it_from_them() -> None:
    said = off_the_blocks([part(9, "Conv", WIDE)])
    assert said is not None
    assert "do not fill" not in said


def test_groups_of_which_no_number_fills_blocks() -> None:
    said = off_the_blocks([part(9, "Conv", conv(10, 60, 40, 4, "grouped-pointwise", (1, 1)))])
    assert said is not None
    assert said.startswith("groups of 15 → 10 channels")
    assert said.endswith("multiples of 16 would fill them")


def test_where_there_are_no_blocks_nothing_is_said_of_them() -> None:
    said = shortfall(DENSE_US, DENSE_MACS, [part(150, "Conv", THIN)], blocks=False)
    assert "blocks" not in said


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (conv(1, 64, 128, 64, "depthwise-multiplier"), "multiplier has no blocked kernel"),
        (conv(1, 64, 64, op="ConvTranspose"), "ConvTranspose over 2 axes has no blocked kernel"),
        (conv(1, 64, 64, kernel=(3,)), "Conv over 1 axis has no blocked kernel"),
        (conv(1, 30, 30, 30, "depthwise"), "no multiple of 4"),
    ],
)
def test_other_convolutions_beside_the_blocks(node: Layer, said: str) -> None:
    assert said in (off_the_blocks([part(9, node.op, node)]) or "")


def test_several_convolutions_that_copy_their_input() -> None:
    node = conv(1, 64, 64, op="ConvTranspose")
    kernels = [part(9, node.op, node), part(8, node.op, node)]
    assert (off_the_blocks(kernels) or "").endswith("--spelling multiplier has fewest of them")


def test_quantised_convolutions_have_kernels_of_their_own() -> None:
    node = conv(1, 30, 30, op="QLinearConv")
    assert off_the_blocks([part(9, node.op, node)]) is None


def test_a_layer_in_blocks_has_nothing_beside_them() -> None:
    assert off_the_blocks([part(9, "Conv", WIDE, NCHWC), part(9, "Relu", free("Relu"))]) is None


def test_time_that_goes_into_moving_numbers() -> None:
    """100 µs are what the MACs are worth; 60 of 170 µs go into the order of channels."""
    kernels = [
        part(20, "ReorderOutput", WIDE, NCHWC),
        part(40, "Gather", free("Gather")),
        part(110, "Conv", WIDE, NCHWC),
    ]
    said = shortfall(DENSE_US, DENSE_MACS, kernels, blocks=True)
    assert said.startswith("35 % of its time goes into ReorderOutput, Gather:")


def test_groups_that_are_written_out() -> None:
    kernels = [part(90, "Split", free("Split")), part(110, "Conv", WIDE, NCHWC)]
    said = shortfall(DENSE_US, DENSE_MACS, kernels, blocks=True)
    assert said == "45 % of its time goes into Split: --spelling auto writes none of them"


def test_scaling_that_is_run_as_a_convolution_is_none() -> None:
    scaling = part(9, "Conv", free("Mul"), NCHWC)
    assert not scaling.convolves
    assert off_the_blocks([scaling]) is None


def test_time_that_goes_into_depthwise_convolutions() -> None:
    depthwise = conv(100_000, 64, 64, 64, "depthwise")
    pointwise = conv(900_000, 64, 64, 1, "pointwise", (1, 1))
    kernels = [part(90, "Conv", depthwise, NCHWC), part(100, "Conv", pointwise, NCHWC)]
    said = shortfall(DENSE_US, DENSE_MACS, kernels, blocks=True)
    assert said.startswith("47 % of its time is depthwise")
    assert said.endswith("a bottleneck of fewer groups has none")
    both = [kernels[0], kernels[0], *kernels]
    assert shortfall(DENSE_US, DENSE_MACS, both, blocks=True).endswith(
        "a lower rank has less of it"
    )


def test_groups_that_are_narrow() -> None:
    narrow = conv(1_000_000, 128, 64, 4)
    said = shortfall(DENSE_US, DENSE_MACS, [part(200, "Conv", narrow, NCHWC)], blocks=True)
    assert said.startswith("16 filters a group keep the blocked kernel below its rate")


def test_time_that_goes_into_additions() -> None:
    kernels = [part(110, "Conv", WIDE, NCHWC), part(80, "Add", free("Add"))]
    said = shortfall(DENSE_US, DENSE_MACS, kernels, blocks=True)
    assert said.startswith("42 % of its time goes into Add, which did not fuse")


def test_convolutions_that_are_slow_by_themselves() -> None:
    said = shortfall(DENSE_US, DENSE_MACS, [part(190, "Conv", WIDE, NCHWC)], blocks=True)
    assert said.startswith("its convolutions do fewer MACs a second than the dense one did")


def test_layers_and_kernels_that_hardly_do_anything() -> None:
    assert "leave it dense" in shortfall(12, 1000, [part(9, "Conv", THIN)], blocks=True)
    many = [part(us, "Conv", WIDE, NCHWC) for us in (3, 4, 200)]
    assert "many kernels are short" in shortfall(DENSE_US, DENSE_MACS, many, blocks=True)
