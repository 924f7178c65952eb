"""New weights take a convolution's place, under the names that were there."""

from __future__ import annotations

import nets
import numpy as np
import onnx
import onnx_ir as ir
import pytest

from gconvtool.fit.grouping import Grouping
from gconvtool.fit.structure import GroupedFactors, SeparableFactors
from gconvtool.graph import shapes, surgery
from gconvtool.spellings import SPELLINGS, Spelling

C, N = 8, 12


def single(kind: str = "float", bias: bool = False, groups: int = 1) -> onnx.ModelProto:
    """One 3×3 convolution `y` of 8 channels and 12 filters, between two other nodes."""
    return nets.network(
        f"""
        <ir_version: 8, opset_import: ["": 17]>
        single ({kind}[M, {C}, 7, 7] x) => ({kind}[M, {N}, p, q] out)
          <{kind}[{N}, {C // groups}, 3, 3] w{f", {kind}[{N}] b" if bias else ""}>
        {{
          a = Neg (x)
          y = Conv <group = {groups}> (a, w{", b" if bias else ""})
          out = Neg (y)
        }}
        """
    )


def separable() -> SeparableFactors:
    rng = np.random.default_rng(1)
    draw = rng.standard_normal
    return SeparableFactors(draw((2, C, 9)), draw((2, N, C)), draw(N))


def replaced(proto: onnx.ModelProto, spelling: Spelling = "auto") -> ir.Model:
    model = ir.from_proto(proto)
    surgery.replace(model, "y", separable(), spelling)
    return model


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_names_and_surroundings_stay_and_old_weights_go(spelling):
    model = replaced(single(bias=True), spelling)
    assert [v.name for v in (*model.graph.inputs, *model.graph.outputs)] == ["x", "out"]
    assert surgery.find(model, "y").outputs[0] is model.graph[-1].inputs[0]
    assert not {"w", "b"} & set(model.graph.initializers)
    assert all(value.uses() for value in model.graph.initializers.values())


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_convolution_whose_output_is_the_graphs_is_replaced_under_its_name(spelling):
    proto = single()
    proto.graph.node.pop()
    proto.graph.output[0].name = "y"
    model = replaced(proto, spelling)
    assert [value.name for value in model.graph.outputs] == ["y"]
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_weights_that_another_node_reads_stay():
    proto = single()
    proto.graph.output.append(onnx.helper.make_tensor_value_info("v", 1, None))
    proto.graph.node.append(onnx.helper.make_node("Neg", ["w"], ["v"]))
    assert "w" in replaced(proto).graph.initializers


def test_weights_of_a_constant_node_go_with_it():
    proto = single()
    weight = proto.graph.initializer.pop()
    proto.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w"], value=weight))
    assert "Constant" not in [node.op_type for node in replaced(proto).graph]


def test_a_permutation_that_changes_nothing_is_not_written():
    grouping = Grouping(np.arange(C).reshape(4, -1), np.arange(N).reshape(4, -1))
    plain = GroupedFactors(np.ones((N, C // 4 * 9)), np.zeros(N), grouping, 9)
    model = ir.from_proto(single())
    surgery.replace(model, "y", plain)
    assert [node.op_type for node in model.graph] == ["Neg", "Conv", "Neg"]


def test_new_names_avoid_those_that_are_taken():
    proto = single()
    proto.graph.node[0].output[0] = proto.graph.node[1].input[0] = "y/dw0"
    onnx.checker.check_model(ir.to_proto(replaced(proto)), full_check=True)


def test_a_part_can_be_replaced_again():
    model = replaced(single())
    surgery.replace(
        model, "y/pw1", SeparableFactors(np.ones((1, C, 1)), np.ones((1, N, C)), np.ones(N))
    )
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_shapes_can_be_inferred_and_the_outputs_is_kept(spelling):
    model = ir.from_proto(single())
    shapes.infer(model)
    known = surgery.find(model, "y").outputs[0].shape
    surgery.replace(model, "y", separable(), spelling)
    assert surgery.find(model, "y").outputs[0].shape == known
    shapes.infer(model)
    assert all(value.shape is not None for node in model.graph for value in node.outputs)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_weights_come_as_rows_of_what_a_filter_sees(groups, bias):
    proto = single("float16", bias, groups)
    weight, numbers = surgery.weight_and_bias(ir.from_proto(proto), "y")
    stored = [onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer]
    assert weight.dtype == numbers.dtype == np.float64
    np.testing.assert_array_equal(weight, stored[0].reshape(N, C // groups * 9))
    np.testing.assert_array_equal(numbers, stored[1] if bias else np.zeros(N))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_weights_of_a_transposed_convolution_come_by_filters_too(groups):
    text = f"""
        <ir_version: 8, opset_import: ["": 17]>
        single (float[M, {C}, 7, 7] x) => (float[M, {N}, p, q] y)
          <float[{C}, {N // groups}, 3, 3] w>
        {{ y = ConvTranspose <group = {groups}> (x, w) }}
    """
    proto = nets.network(text)
    weight, _ = surgery.weight_and_bias(ir.from_proto(proto), "y")
    stored = onnx.numpy_helper.to_array(proto.graph.initializer[0])
    for f, c in np.ndindex(N, C // groups):
        channel = f // (N // groups) * (C // groups) + c
        taps = stored[channel, f % (N // groups)].ravel()
        np.testing.assert_array_equal(weight[f, 9 * c : 9 * c + 9], taps)
