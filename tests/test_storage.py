"""What is stored goes by what it is for, counts once, and takes its packed size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import model, proto
from onnx import TensorProto, helper, numpy_helper

from gconvtool.facts import Parameter
from gconvtool.pipeline.analyze import analyze
from gconvtool.results import Role, Stored

W = np.ones((8, 4, 3, 3), np.float32)
EIGHT = np.ones(8, np.float32)


def stored(graph: str, **settings: Any) -> dict[Role, Stored]:
    return dict(analyze(model(graph, **settings)).parameters)


X = "g (float[1, 4, 8, 8] x) => (float[N, M, P, Q] y)"


def test_every_role_has_its_own_sum() -> None:
    found = stored(
        f"""{X} {{
          a = Conv (x, w, b) n = BatchNormalization (a, scale, shift, mean, variance)
          q = QuantizeLinear (n, s, z) d = DequantizeLinear (q, s, z) y = Reshape (d, shape)
        }}""",
        w=W, b=EIGHT, scale=EIGHT, shift=EIGHT, mean=EIGHT, variance=EIGHT,
        s=np.float32(1), z=np.uint8(0), shape=np.array([1, 8, 36, 1]), dead=np.ones(3, np.float16),
    )  # fmt: skip
    assert found == {
        "learned": Stored(4, W.size + 3 * 8, 4 * (W.size + 3 * 8)),
        "statistics": Stored(2, 16, 64),
        "quantisation": Stored(2, 2, 4 + 1),
        "constants": Stored(1, 4, 32),
        "unused": Stored(1, 3, 6),
    }
    assert list(found) == ["learned", "statistics", "quantisation", "constants", "unused"]


def test_everything_in_the_file_is_in_one_role() -> None:
    constants: dict[str, Any] = {"w": W, "b": EIGHT, "dead": EIGHT, "shape": np.array([1, 288])}
    graph = f"{X.replace('N, M, P, Q', 'A, B')} {{ a = Conv (x, w, b) y = Reshape (a, shape) }}"
    found = stored(graph, **constants)
    assert sum(part.tensors for part in found.values()) == len(constants)
    assert sum(part.bytes for part in found.values()) == sum(c.nbytes for c in constants.values())


@pytest.mark.parametrize(
    "body",
    [
        "a = Conv (x, w) y = Conv (x, w)",
        "v = Identity (w) a = Conv (x, w) y = Conv (x, v)",
        "f = Identity (w) v = Identity (f) y = Conv (x, v)",
        "t = Transpose <perm = [0, 1, 3, 2]> (w) y = Conv (x, t)",
        "r = Reshape (w, s) y = Conv (x, r)",
    ],
)
def test_a_weight_counts_once_behind_whatever_carries_it(body: str) -> None:
    found = stored(f"{X} {{ {body} }}", w=W, s=np.array(W.shape))
    assert found["learned"] == Stored(1, W.size, W.nbytes)


def test_quantised_weights_count_at_their_stored_size_behind_what_widens_them() -> None:
    found = stored(
        f"{X} {{ v = DequantizeLinear (w, s, z) y = Conv (x, v) }}",
        w=W.astype(np.int8), s=np.float32(1), z=np.int8(0),
    )  # fmt: skip
    assert found["learned"] == Stored(1, W.size, W.size)
    assert found["quantisation"] == Stored(2, 2, 5)


@pytest.mark.parametrize(
    ("kind", "numbers", "size"),
    [
        (TensorProto.INT4, 6, 3),
        (TensorProto.INT4, 7, 4),  # half a byte is left over
        (TensorProto.UINT4, 1, 1),
        (TensorProto.INT8, 7, 7),
        (TensorProto.UINT8, 7, 7),
        (TensorProto.BOOL, 7, 7),
        (TensorProto.FLOAT16, 7, 14),
        (TensorProto.BFLOAT16, 7, 14),
        (TensorProto.FLOAT8E4M3FN, 7, 7),
        (TensorProto.FLOAT, 7, 28),
        (TensorProto.INT64, 7, 56),
        (TensorProto.DOUBLE, 7, 56),
        (TensorProto.COMPLEX64, 7, 56),
        (TensorProto.FLOAT, 0, 0),
    ],
)
def test_a_tensor_takes_its_packed_size(kind: int, numbers: int, size: int) -> None:
    network = proto("g (float[1] x) => (float[1] y) { y = Relu (x) }", opset=21, ir_version=10)
    network.graph.initializer.append(helper.make_tensor("t", kind, [numbers], [0] * numbers))
    (found,) = analyze(ir.from_proto(network)).parameters.values()
    assert found == Stored(1, numbers, size)


def test_four_bits_are_what_they_are_behind_a_node_too() -> None:
    network = proto(
        "g (float[2, 4] x) => (float[2, 3] y) { v = DequantizeLinear (w, s) y = MatMul (x, v) }",
        opset=21, ir_version=10, s=np.float32(1),
    )  # fmt: skip
    weight = np.ones((4, 3), ml_dtypes.int4)
    network.graph.initializer.append(
        helper.make_tensor("w", TensorProto.INT4, weight.shape, weight.astype(int).ravel())
    )
    result = analyze(ir.from_proto(network))
    assert result.parameters["learned"] == Stored(1, 12, 6)
    assert result.totals.params == 12


@pytest.mark.parametrize(("numbers", "bits", "size"), [(0, 4, 0), (1, 4, 1), (3, 4, 2), (5, 2, 2)])
def test_packing_rounds_up_to_whole_bytes(numbers: int, bits: int, size: int) -> None:
    assert Parameter("p", (numbers,), True, bits).stored_bytes == size


def test_what_is_learned_somewhere_is_learned_whatever_else_reads_it() -> None:
    graph = """
    g (float[2, 4] x) => (float[2, 4] y, float[2, 4] z) {
      z = Clip (x, w) v = Reshape (w, s) y = MatMul (x, v)
    }
    """
    found = stored(graph, w=np.ones((2, 8), np.float32), s=np.array([4, 4]))
    assert found == {"learned": Stored(1, 16, 64), "constants": Stored(1, 2, 16)}


def test_a_weight_that_also_gives_a_shape_is_learned() -> None:
    graph = """
    g (float[2, 4] x) => (float[2, 4] y, float[A, B] z) {
      y = Mul (x, w) i = Cast <to = 7> (w) z = Expand (one, i)
    }
    """
    found = stored(graph, w=np.array([2, 2, 2, 2], np.float32), one=np.float32(1))
    assert found["learned"] == Stored(1, 4, 16)


def test_a_constant_that_goes_straight_out_is_a_constant() -> None:
    graph = "g (float[2] x) => (float[2] y, float[3] t) { y = Relu (x) }"
    assert stored(graph, t=np.ones(3, np.float32)) == {"constants": Stored(1, 3, 12)}


def test_a_weight_that_can_be_fed_is_stored_all_the_same() -> None:
    graph = f"{X.replace('x)', 'x, float[8, 4, 3, 3] w)', 1)} {{ y = Conv (x, w) }}"
    assert stored(graph, w=W)["learned"] == Stored(1, W.size, W.nbytes)
    assert stored(graph) == {}


def test_constant_nodes_and_fills_are_stored_too() -> None:
    graph = """
    g (float[2, 3] x) => (float[2, 3] y) {
      a = Constant <value_floats = [1.0, 2.0, 3.0]> () b = Add (x, a)
      s = Constant <value_ints = [2, 3]> () f = ConstantOfShape <value = float[1] {0.5}> (s)
      y = Mul (b, f)
    }
    """
    found = stored(graph)
    assert found["learned"].numbers == 3 + 6
    assert found["constants"].numbers == 2


def test_text_has_no_size() -> None:
    graph = "g (float[2] x) => (float[2] y) { y = Relu (x) }"
    network = proto(graph)
    network.graph.initializer.append(numpy_helper.from_array(np.array(["a", "b"]), "t"))
    (found,) = analyze(ir.from_proto(network)).parameters.values()
    assert (found.tensors, found.numbers, found.bytes) == (1, 2, 0)


def test_sizes_are_known_while_the_data_are_elsewhere(tmp_path: Path) -> None:
    network = proto(f"{X} {{ y = Conv (x, w) }}", w=W)
    onnx.save_model(network, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin")
    (tmp_path / "w.bin").unlink()
    assert analyze(tmp_path / "m.onnx").parameters == {"learned": Stored(1, W.size, W.nbytes)}
