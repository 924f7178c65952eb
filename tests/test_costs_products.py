"""Convolutions and matrix products of all domains, against runs and arrays that count."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_costs import MICROSOFT, fact, ones, ran
from models import Numbers, convolve, counted, spread
from onnx import TensorProto

from gconvtool import costs
from gconvtool.facts import NodeFact, Skip

SCALE, ZERO = np.float32(1), np.uint8(0)


def bytes_of(*shape: int) -> Numbers:
    return np.ones(shape, np.uint8)


def multiplied(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    tally = [0]
    np.matmul(counted(np.ones(left), tally), counted(np.ones(right), tally))
    return tally[0]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_channels_last_costs_what_channels_first_does(groups: int) -> None:
    share, scales = 4 // groups, (SCALE, ZERO)
    weight = bytes_of(4, share, 3, 2)
    node = ran(
        "QLinearConv", bytes_of(2, 6, 5, 4), *scales, weight, *scales, *scales, domain=MICROSOFT,
        channels_last=1, group=groups, dtype=TensorProto.UINT8,
    )  # fmt: skip
    _, expected = convolve(ones(2, 4, 6, 5), weight, groups, (1, 1), (1, 1), (0, 0, 0, 0))
    assert node.outputs == ((2, 4, 4, 4),)
    assert costs.macs(node) == expected


@pytest.mark.parametrize(
    ("op", "weight"),
    [
        ("NhwcFusedConv", (8, 2, 3, 3)),
        ("NhwcConv", (8, 2, 3, 3)),
        ("NhwcConv", (8, 3, 3, 2)),
    ],
)
def test_nhwc_convolution(op: str, weight: tuple[int, ...]) -> None:
    # 5·5·8 outputs, each of 3·3 positions of the 2 channels of its group
    node = fact(
        op, (1, 7, 7, 4), weight, out=(1, 5, 5, 8), domain=MICROSOFT, attributes={"group": 2}
    )
    assert costs.macs(node) == 25 * 8 * 9 * 2


def test_nhwc_contradictions_look_at_the_last_axis() -> None:
    node = fact("NhwcFusedConv", (1, 4, 7, 5), (8, 4, 3, 3), out=(1, 2, 5, 8), domain=MICROSOFT)
    answer = costs.macs(node)
    assert isinstance(answer, Skip)
    assert "5 channels" in answer.reason


@pytest.mark.parametrize("groups", [1, 2])
def test_deformable_convolution_costs_what_a_plain_one_does(groups: int) -> None:
    x, w = ones(1, 4, 6, 6), ones(6, 4 // groups, 3, 3)
    offset = np.zeros((1, 18, 4, 4), np.float32)
    node = ran("DeformConv", x, w, offset, opset=19, group=groups, kernel_shape=[3, 3])
    _, expected = convolve(x, w, groups, (1, 1), (1, 1), (0, 0, 0, 0))
    assert costs.macs(node) == expected
    # one sample of each channel for each weight and position
    assert costs.elementwise_ops(node) == 4 * 3 * 3 * 4 * 4


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_transposed_convolution_with_pads_as_an_input(groups: int) -> None:
    x, w = ones(1, 4, 5, 5), ones(4, 3, 3, 3)
    _, expected = spread(x, w, groups, (2, 2), (1, 1), (0, 0, 0, 0))
    node = fact("ConvTransposeWithDynamicPads", x.shape, w.shape, (4,), out=None, domain=MICROSOFT)
    assert costs.macs(node) == expected


def test_causal_convolution_is_depthwise_with_what_was_carried_over() -> None:
    x, w = ones(2, 4, 6), ones(4, 1, 3)
    node = ran("CausalConvWithState", x, w, domain=MICROSOFT, outputs=2)
    _, expected = convolve(x, w, 4, (1,), (1,), (2, 0))
    assert costs.macs(node) == expected
    standard = fact("CausalConvWithState", x.shape, w.shape, out=[x.shape, (2, 4, 2)])
    assert costs.macs(standard) == expected


@pytest.mark.parametrize(
    ("turned", "batch_turned", "left"),
    [(0, 0, (2, 3, 5, 4)), (1, 0, (2, 3, 4, 5)), (0, 1, (5, 2, 3, 4)), (1, 1, (4, 2, 3, 5))],
    ids=str,
)
def test_fused_matmul_in_all_orders(turned: int, batch_turned: int, left: tuple[int, ...]) -> None:
    node = ran(
        "FusedMatMul", ones(*left), ones(2, 3, 4, 6), domain=MICROSOFT,
        transA=turned, transBatchA=batch_turned,
    )  # fmt: skip
    assert node.outputs == ((2, 3, 5, 6),)
    assert costs.macs(node) == multiplied((2, 3, 5, 4), (2, 3, 4, 6))


def test_fused_matmul_does_not_turn_a_vector() -> None:
    node = ran("FusedMatMul", ones(4), ones(4, 6), domain=MICROSOFT, transA=1)
    assert costs.macs(node) == multiplied((4,), (4, 6))


QUANTISED = [
    pytest.param("MatMulInteger", "", (0, 1), 2, TensorProto.INT32, id="MatMulInteger"),
    pytest.param("QLinearMatMul", "", (0, 3), 8, TensorProto.UINT8, id="QLinearMatMul"),
    pytest.param("QGemm", MICROSOFT, (0, 3), 9, TensorProto.UINT8, id="QGemm"),
    pytest.param("MatMulIntegerToFloat", MICROSOFT, (0, 1), 4, 1, id="MatMulIntegerToFloat"),
]


@pytest.mark.parametrize(("op", "domain", "operands", "count", "dtype"), QUANTISED)
def test_quantised_products(
    op: str, domain: str, operands: tuple[int, int], count: int, dtype: int
) -> None:
    scales = {"QLinearMatMul": (1, 4, 6), "QGemm": (1, 4, 7), "MatMulIntegerToFloat": (2, 3)}
    inputs: list[Numbers | None] = [ZERO] * count
    for index in scales.get(op, ()):
        inputs[index] = SCALE
    if op == "QGemm":
        inputs[6] = None
    inputs[operands[0]], inputs[operands[1]] = bytes_of(3, 4), bytes_of(4, 5)
    node = ran(op, *inputs, domain=domain, dtype=dtype)
    assert costs.macs(node) == multiplied((3, 4), (4, 5))


@pytest.mark.parametrize("turned_a", [0, 1])
@pytest.mark.parametrize("turned_b", [0, 1])
def test_fused_gemm_either_way_round(turned_a: int, turned_b: int) -> None:
    node = ran(
        "FusedGemm", ones(*((4, 3) if turned_a else (3, 4))),
        ones(*((5, 4) if turned_b else (4, 5))), ones(5), domain=MICROSOFT,
        transA=turned_a, transB=turned_b, activation="Relu",
    )  # fmt: skip
    assert costs.macs(node) == multiplied((3, 4), (4, 5))
    assert (costs.bias_adds(node), costs.elementwise_ops(node)) == (15, 15)


def test_weights_packed_into_blocks_have_their_length_as_an_attribute() -> None:
    node = ran(
        "MatMulNBits", ones(2, 3, 40), bytes_of(6, 2, 16), ones(6, 2), domain=MICROSOFT,
        K=40, N=6, bits=4, block_size=32,
    )  # fmt: skip
    assert costs.macs(node) == multiplied((2, 3, 40), (40, 6))
    assert costs.elementwise_ops(node) == 40 * 6


def test_either_operand_tells_the_length_where_the_other_does_not() -> None:
    assert costs.macs(fact("MatMul", None, (4, 5), out=(3, 5))) == 60
    assert costs.macs(fact("MatMul", (3, None), (4,), out=(3,))) == 12
    turned = fact("Gemm", None, (5, 4), out=(3, 5), attributes={"transB": 1})
    assert costs.macs(turned) == 60


def test_an_affine_grid_maps_every_position() -> None:
    # 5·6 positions, each a product of a 2×3 matrix with (x, y, 1)
    node = fact("AffineGrid", (2, 2, 3), (4,), out=(2, 5, 6, 2))
    assert costs.macs(node) == 2 * 5 * 6 * 2 * 3


@pytest.mark.parametrize(("shape", "samples"), [((7, 4), 7), ((4,), 1)])
def test_linear_models_multiply_their_coefficients(shape: tuple[int, ...], samples: int) -> None:
    attributes = {"coefficients": (0.5,) * 12, "intercepts": (1.0,) * 3}
    node = fact(
        "LinearRegressor", shape, out=(samples, 3), domain="ai.onnx.ml", attributes=attributes
    )
    assert costs.macs(node) == samples * 4 * 3
    assert costs.bias_adds(node) == samples * 3


def test_trees_multiply_nothing_and_vector_machines_are_unknown() -> None:
    def classical(op: str) -> NodeFact:
        return fact(op, (7, 4), domain="ai.onnx.ml")

    assert costs.macs(classical("TreeEnsembleClassifier")) == 0
    assert costs.elementwise_ops(classical("TreeEnsembleClassifier")) is None
    assert isinstance(costs.macs(classical("SVMClassifier")), Skip)


def test_blocked_channels_are_unknown_with_a_reason() -> None:
    node = fact("Conv", (1, 8, 7, 7), (8, 8, 3, 3), domain="com.microsoft.nchwc")
    answer = costs.macs(node)
    assert isinstance(answer, Skip)
    assert "padded" in answer.reason
