"""Rewritten convolutions compute what their factors say, under the names that were there."""

from __future__ import annotations

import nets
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from gconvtool.fit.factor import GroupedFactors, SeparableFactors
from gconvtool.fit.grouping import Grouping
from gconvtool.graph import surgery

C, N = 8, 12
WINDOWS = {
    1: "pads = [2, 1], strides = [2]",
    2: "pads = [1, 0, 1, 2], dilations = [1, 2]",
    3: "pads = [1, 1, 1, 0, 1, 0]",
}


def single(axes: int, kind: str = "float", bias: bool = False) -> onnx.ModelProto:
    """One convolution `y` in one to three dimensions, between two other nodes."""
    spatial = ", ".join(["7"] * axes)
    kernel = ", ".join(["3"] * axes)
    return nets.network(
        f"""
        <ir_version: 8, opset_import: ["": 17]>
        single ({kind}[M, {C}, {spatial}] x) => ({kind}[] out)
          <{kind}[{N}, {C}, {kernel}] w{f", {kind}[{N}] b" if bias else ""}>
        {{
          a = Neg (x)
          y = Conv <{WINDOWS[axes]}> (a, w{", b" if bias else ""})
          out = Neg (y)
        }}
        """.replace("[] out", f"[M, {N}, {', '.join('pqr'[:axes])}] out")
    )


def separable(taps: int, rank: int = 2) -> SeparableFactors:
    rng = np.random.default_rng(1)
    return SeparableFactors(
        rng.standard_normal((rank, C, taps)),
        rng.standard_normal((rank, N, C)),
        rng.standard_normal(N),
    )


def grouped(taps: int, groups: int = 4) -> GroupedFactors:
    rng = np.random.default_rng(2)
    inputs = rng.permutation(C).reshape(groups, -1)
    outputs = rng.permutation(N).reshape(groups, -1)
    weight = rng.standard_normal((N, C // groups * taps))
    return GroupedFactors(weight, rng.standard_normal(N), Grouping(inputs, outputs), taps)


def with_dense(proto: onnx.ModelProto, kernel: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """The same network with another dense kernel and a bias."""
    dense = onnx.ModelProto()
    dense.CopyFrom(proto)
    weight = dense.graph.initializer[0]
    numbers = kernel.reshape(tuple(weight.dims)).astype(onnx.numpy_helper.to_array(weight).dtype)
    weight.CopyFrom(onnx.numpy_helper.from_array(numbers, "w"))
    dense.graph.initializer.append(
        onnx.numpy_helper.from_array(bias.astype(numbers.dtype), "new_bias")
    )
    conv = dense.graph.node[1]
    del conv.input[2:]
    conv.input.append("new_bias")
    return dense


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("make", [separable, grouped])
@pytest.mark.parametrize("bias", [False, True])
def test_the_rewrite_computes_the_equivalent_dense_kernel(axes, make, bias):
    proto, factors = single(axes, "double", bias), make(3**axes)
    model = ir.from_proto(proto)
    surgery.replace(model, "y", factors)
    x = np.random.default_rng(0).standard_normal((2, C, *[7] * axes))
    expected = nets.run(with_dense(proto, factors.kernel(), factors.bias), {"x": x})
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    np.testing.assert_allclose(nets.run(model, {"x": x}), expected, atol=1e-10)


def test_branches_are_true_depthwise_and_the_last_one_carries_the_bias():
    model = ir.from_proto(single(2))
    surgery.replace(model, "y", separable(9, rank=3))
    convolutions = [node for node in model.graph if node.op_type == "Conv"]
    depthwise, pointwise = convolutions[0::2], convolutions[1::2]
    assert [node.attributes["group"].as_int() for node in depthwise] == [C] * 3
    assert [node.inputs[1].shape.numpy() for node in depthwise] == [(C, 1, 3, 3)] * 3
    assert [len(node.inputs) for node in depthwise] == [2] * 3
    assert [len(node.inputs) for node in pointwise] == [2, 2, 3]
    assert [node.op_type for node in model.graph][-3:] == ["Add", "Add", "Neg"]


def test_names_and_surroundings_stay_and_old_weights_go():
    model = ir.from_proto(single(2, bias=True))
    surgery.replace(model, "y", separable(9))
    assert surgery.find(model, "y").op_type == "Add"
    assert [v.name for v in (*model.graph.inputs, *model.graph.outputs)] == ["x", "out"]
    assert not {"w", "b"} & set(model.graph.initializers)


def test_weights_that_another_node_reads_stay():
    proto = single(2)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("v", 1, None))
    proto.graph.node.append(onnx.helper.make_node("Neg", ["w"], ["v"]))
    model = ir.from_proto(proto)
    surgery.replace(model, "y", separable(9))
    assert "w" in model.graph.initializers


def test_a_permutation_that_changes_nothing_is_not_written():
    grouping = Grouping(np.arange(C).reshape(4, -1), np.arange(N).reshape(4, -1))
    plain = GroupedFactors(np.ones((N, C // 4 * 9)), np.zeros(N), grouping, 9)
    model = ir.from_proto(single(2))
    surgery.replace(model, "y", plain)
    assert [node.op_type for node in model.graph] == ["Neg", "Conv", "Neg"]


def test_new_names_avoid_those_that_are_taken():
    proto = single(2)
    proto.graph.node[0].output[0] = proto.graph.node[1].input[0] = "y/dw0"
    model = ir.from_proto(proto)
    surgery.replace(model, "y", separable(9))
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_half_precision_stays_half_precision():
    model = ir.from_proto(single(2, "float16"))
    surgery.replace(model, "y", separable(9))
    assert {v.dtype for v in model.graph.initializers.values()} == {ir.DataType.FLOAT16}
