"""Sizes for open dimensions: what is given wins; a batch is 1, and all else stays open."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import assume
from hypothesis import strategies as st
from models import model, ort, proto
from often import often
from onnx import TensorProto, helper, numpy_helper

from gconvtool.errors import InputError
from gconvtool.facts import Shape
from gconvtool.graph.constants import shape_of
from gconvtool.graph.shapes import fix, kept, leave_open
from gconvtool.pipeline.analyze import analyze

W = np.ones((4, 3, 3, 3), np.float32)
OPEN = "g (float[N, 3, H, W] x) => (float[N, 4, P, Q] y) { h = Conv (x, w) y = Relu (h) }"
UNNAMED = "g (float[?, 3, ?, 8] x) => (float[?, 4, ?, 6] y) { h = Conv (x, w) y = Relu (h) }"
FIXED = """
g (float[1, 3, 8, 8] x) => (float[1, 4, 6, 6] y) <float[1, 4, 6, 6] h>
{ h = Conv (x, w) y = Relu (h) }
"""
TWO = "g (float[N, 3] a, float[N, 3] b) => (float[N, 3] y) { y = Add (a, b) }"


def fixed(
    graph: str,
    dims: Mapping[str, int] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    **constants: Any,
) -> tuple[dict[str, int], dict[str, Shape]]:
    """The sizes in force, and the shape of every value."""
    network = model(graph, w=W, **constants)
    sizes = fix(network, dims or {}, shapes or {}).sizes
    values = [*network.graph.inputs, *(value for node in network.graph for value in node.outputs)]
    return sizes, {value.name or "": shape_of(value) for value in values}


def test_a_leading_open_dimension_is_a_batch_of_one() -> None:
    sizes, shapes = fixed(OPEN)
    assert sizes == {"N": 1}
    assert shapes["x"] == (1, 3, "H", "W")
    assert shapes["h"] is not None
    assert shapes["h"][:2] == (1, 4)


def test_sizes_reach_every_value() -> None:
    sizes, shapes = fixed(OPEN, {"H": 9, "W": 8})
    assert sizes == {"N": 1, "H": 9, "W": 8}
    assert shapes == {"x": (1, 3, 9, 8), "h": (1, 4, 7, 6), "y": (1, 4, 7, 6)}


def test_a_batch_may_be_given() -> None:
    sizes, shapes = fixed(OPEN, {"N": 5, "H": 8, "W": 8})
    assert sizes["N"] == 5
    assert shapes["y"] == (5, 4, 6, 6)


@pytest.mark.parametrize(
    "given", [{"dims": {"N": 2, "H": 7, "W": 9}}, {"shapes": {"x": (2, 3, 7, 9)}}]
)
def test_the_result_has_the_shape_that_onnxruntime_gives(given: dict[str, Any]) -> None:
    _, shapes = fixed(OPEN, **given)
    (y,) = ort(model(OPEN, w=W), x=np.zeros((2, 3, 7, 9), np.float32))
    assert shapes["y"] == y.shape


def test_a_whole_shape_gives_the_names_their_sizes() -> None:
    sizes, shapes = fixed(OPEN, shapes={"x": (2, 3, 8, 9)})
    assert sizes == {"N": 2, "H": 8, "W": 9}
    assert shapes["y"] == (2, 4, 6, 7)


def test_a_whole_shape_wins_over_a_dimension() -> None:
    sizes, _ = fixed(OPEN, {"N": 5, "H": 3}, {"x": (2, 3, 8, 9)})
    assert sizes == {"N": 2, "H": 8, "W": 9}


def test_one_inputs_shape_holds_for_the_same_names_elsewhere() -> None:
    sizes, shapes = fixed(TWO, shapes={"b": (4, 3)})
    assert sizes == {"N": 4}
    assert shapes == {"a": (4, 3), "b": (4, 3), "y": (4, 3)}


def test_dimensions_without_a_name_are_called_after_their_input() -> None:
    sizes, shapes = fixed(UNNAMED, {"x_2": 10})
    assert sizes == {"x_0": 1, "x_2": 10}
    assert shapes["y"] == (1, 4, 8, 6)


def test_a_batch_without_a_name_may_be_given_too() -> None:
    sizes, shapes = fixed(UNNAMED, {"x_0": 3, "x_2": 5})
    assert sizes == {"x_0": 3, "x_2": 5}
    assert shapes["x"] == (3, 3, 5, 8)


def test_a_vector_has_no_batch() -> None:
    sizes, shapes = fixed("g (float[L] x) => (float[L] y) { y = Relu (x) }")
    assert sizes == {}
    assert shapes == {"x": ("L",), "y": ("L",)}


def test_a_fixed_model_has_no_sizes_to_report() -> None:
    sizes, shapes = fixed(FIXED)
    assert sizes == {}
    assert shapes["y"] == (1, 4, 6, 6)


def test_a_whole_shape_overrides_a_fixed_one_and_what_the_file_says_inside() -> None:
    sizes, shapes = fixed(FIXED, shapes={"x": (2, 3, 10, 12)})
    assert sizes == {}
    assert shapes == {"x": (2, 3, 10, 12), "h": (2, 4, 8, 10), "y": (2, 4, 8, 10)}


def test_an_overridden_input_is_counted_at_its_new_size() -> None:
    # 8·10 positions of 4 filters with 3·3·3 taps
    result = analyze(model(FIXED, w=W), input_shapes={"x": (2, 3, 10, 12)})
    assert result.totals.macs == 2 * 8 * 10 * 4 * 27


def test_a_whole_shape_serves_an_input_without_a_rank() -> None:
    graph = "g (float[] x) => (float[] y) { h = Conv (x, w) y = Relu (h) }"
    assert fixed(graph, shapes={"x": (1, 3, 8, 8)})[1]["y"] == (1, 4, 6, 6)


def test_numbers_that_shapes_are_computed_from_are_followed() -> None:
    graph = """
    g (float[N, 3, H, H] x) => (float[A, B] y) {
      h = Conv (x, w) s = Shape (h) first = Gather (s, zero) n = Unsqueeze (first, zeros)
      t = Concat <axis = 0> (n, rest) y = Reshape (h, t)
    }
    """
    one = {"zero": np.array(0), "zeros": np.array([0]), "rest": np.array([-1])}
    assert fixed(graph, {"N": 2, "H": 5}, **one)[1]["y"] == (2, 36)


@pytest.mark.parametrize(
    ("dims", "expected"), [({"N": 8}, (8, 4, 6, 6)), ({"N": 1, "H": 12}, (1, 4, 10, 6))]
)
def test_a_given_size_overrides_what_the_file_says_inside(
    dims: dict[str, int], expected: Shape
) -> None:
    graph = FIXED.replace("float[1, 3, 8, 8] x", "float[N, 3, H, 8] x")
    sizes, shapes = fixed(graph, {"H": 8, **dims})
    assert shapes["x"] == (sizes["N"], 3, sizes["H"], 8)
    assert shapes["h"] == shapes["y"] == expected


def test_two_sizes_for_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="N"):
        fixed(TWO, shapes={"a": (2, 3), "b": (4, 3)})


@pytest.mark.parametrize(
    "given", [{"dims": {"H": 0}}, {"dims": {"N": -1}}, {"shapes": {"x": (1, 3, -8, 8)}}]
)
def test_a_size_below_one_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="1"):
        fixed(OPEN, **given)


@pytest.mark.parametrize(
    ("graph", "dims", "words"),
    [
        (OPEN, {"n": 1}, ["--dim n", "H, N, W"]),
        (OPEN, {"batch": 1}, ["--dim batch", "H, N, W"]),
        (OPEN.replace("H", "height"), {"hight": 1}, ["--dim hight", "did you mean height?"]),
        (OPEN, {"P": 1}, ["--dim P"]),
        (UNNAMED, {"x_1": 1}, ["--dim x_1", "did you mean x_"]),
        (FIXED, {"N": 1}, ["--dim N", "no open dimension"]),
    ],
)
def test_an_unknown_dimension_is_named_with_what_there_is(
    graph: str, dims: dict[str, int], words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        fixed(graph, dims)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("graph", "shapes", "words"),
    [
        (OPEN.replace(" x", " image"), {"imgae": (1, 3, 8, 8)}, ["imgae", "did you mean image?"]),
        (TWO, {"pixels": (1, 3)}, ["pixels", "a, b"]),
        (OPEN, {"w": (4, 3, 3, 3)}, ["w", "x"]),
        (OPEN, {"y": (1, 4, 6, 6)}, ["y", "x"]),
        (OPEN, {"x": (1, 3, 8)}, ["x", "3", "4"]),
        (OPEN, {"x": (1, 1, 3, 8, 8)}, ["x", "5", "4"]),
        (FIXED, {"x": (3, 8, 8)}, ["x", "3", "4"]),
        (
            "g () => (float[1] y) { y = Constant <value_floats = [1.0]> () }",
            {"x": (1,)},
            ["no input"],
        ),
    ],
)
def test_a_wrong_input_shape_is_refused_with_what_there_is(
    graph: str, shapes: dict[str, tuple[int, ...]], words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        fixed(graph, shapes=shapes)
    assert all(word in str(caught.value) for word in words)


def test_stored_weights_that_old_files_list_as_inputs_are_no_inputs() -> None:
    graph = (
        "g (float[N, 3, 8, 8] x, float[4, 3, 3, 3] w) => (float[N, 4, 6, 6] y) { y = Conv (x, w) }"
    )
    network = model(graph, opset=9, ir_version=3, w=W)
    assert fix(network, {}, {}).sizes == {"N": 1}
    with pytest.raises(InputError, match="no input"):
        fix(network, {}, {"w": (4, 3, 3, 3)})


def test_the_model_that_is_analysed_stays_as_it_was() -> None:
    network = model(OPEN, w=W)
    before = ir.to_proto(network).SerializeToString(deterministic=True)
    analyze(network, dims={"H": 8, "W": 8})
    assert ir.to_proto(network).SerializeToString(deterministic=True) == before


def test_an_open_map_makes_its_convolution_unknown_and_the_total_a_bound() -> None:
    result = analyze(model(OPEN, w=W))
    assert [unknown.node for unknown in result.unknown] == ["h"]
    assert not result.totals.exact
    assert (result.totals.macs, result.totals.params) == (0, W.size)


CHAIN: tuple[tuple[str, dict[str, Any], Any], ...] = (
    ("Conv", {}, (3, 3, 3, 2)),
    ("Conv", {"strides": [2, 3], "pads": [1, 0, 2, 1]}, (3, 3, 3, 2)),
    ("Conv", {"strides": [2, 1], "dilations": [1, 2]}, (3, 3, 2, 2)),
    ("Conv", {"strides": [3, 2], "auto_pad": "SAME_UPPER"}, (3, 3, 3, 2)),
    ("Conv", {"strides": [1, 2], "auto_pad": "SAME_LOWER"}, (3, 3, 2, 4)),
    ("Conv", {"strides": [2, 2], "auto_pad": "VALID"}, (3, 3, 2, 3)),
    ("ConvTranspose", {"strides": [2, 3], "output_padding": [1, 2]}, (3, 3, 3, 3)),
    ("ConvTranspose", {"strides": [2, 1], "pads": [1, 0, 0, 1], "dilations": [1, 2]}, (3, 3, 2, 3)),
    ("ConvTranspose", {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, (3, 3, 3, 2)),
    ("MaxPool", {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1}, None),
    ("MaxPool", {"kernel_shape": [2, 1], "strides": [3, 2], "ceil_mode": 1}, None),
    ("MaxPool", {"kernel_shape": [3, 2], "dilations": [2, 1], "pads": [2, 1, 1, 0]}, None),
    ("MaxPool", {"kernel_shape": [3, 4], "strides": [2, 3], "pads": [1, 3, 2, 3], "ceil_mode": 1},
     None),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 3], "auto_pad": "SAME_UPPER"}, None),
    ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 1], "ceil_mode": 1}, None),
    ("AveragePool", {"kernel_shape": [3, 2], "strides": [3, 2], "auto_pad": "SAME_LOWER"}, None),
    ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "VALID",
                     "ceil_mode": 1}, None),
    ("LpPool", {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [1, 0, 0, 1]}, None),
    ("Resize", {"mode": "nearest"}, [1, 1, 2, 0.5]),
    ("Resize", {"mode": "nearest"}, [1, 1, 0.75, 1.5]),
    ("Slice", {}, [[0, 1], [-1, 2**31 - 1], [2, 3], [1, 2]]),
    ("Slice", {}, [[1, 0], [2**63 - 1, -2], [-2, -1], [3, 1]]),
    ("Pad", {}, [0, 0, 1, -1, 0, 0, 0, 2]),
    ("Concat", {"axis": 2}, None),
    ("Concat", {"axis": -1}, None),
    ("DepthToSpace", {"blocksize": 2}, None),
)  # fmt: skip
"""Nodes that keep three channels, and the weights or numbers that they need."""


def chained(steps: Sequence[int]) -> onnx.ModelProto:
    """These nodes one after the other; every value is a result."""
    nodes: list[onnx.NodeProto] = []
    stored: list[onnx.TensorProto] = []

    def constant(numbers: Any, name: str) -> str:
        stored.append(numpy_helper.from_array(np.asarray(numbers), name))
        return name

    def put(op: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [f"v{len(nodes)}"], **attributes))
        return f"v{len(nodes) - 1}"

    data = "x"
    for place, step in enumerate(steps):
        op, attributes, more = CHAIN[step]
        inputs = [data]
        if op in ("Conv", "ConvTranspose"):
            inputs.append(constant(np.ones(more, np.float32), f"c{place}"))
        elif op == "Resize":
            inputs += ["", constant(np.float32(more), f"c{place}")]
        elif op == "Slice":
            inputs += [constant(n, f"c{place}_{i}") for i, n in enumerate(more)]
        elif op == "Pad":
            inputs.append(constant(more, f"c{place}"))
        elif op == "Concat":
            inputs.append(data)
        elif op == "DepthToSpace":
            inputs = [put("Concat", data, data, data, data, axis=1)]
        data = put(op, *inputs, **attributes)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info(n.output[0], TensorProto.FLOAT, None) for n in nodes],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def at(value: ir.Value, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A value's shape with its expressions worked out."""
    words = {"floor": floor, "ceil": ceil, **sizes}
    return tuple(
        eval(str(dim.value), {"__builtins__": {}}, words)
        if isinstance(dim, ir.SymbolicDim)
        else dim
        for dim in value.shape or ()
    )


@often(
    15,
    60,
    steps=st.lists(st.integers(0, len(CHAIN) - 1), min_size=1, max_size=6),
    sizes=st.fixed_dictionaries(
        {"N": st.integers(1, 2), "H": st.integers(12, 70), "W": st.integers(12, 70)}
    ),
)
def test_formulas_and_numbers_are_the_sizes_that_onnxruntime_makes(
    steps: list[int], sizes: dict[str, int]
) -> None:
    network = chained(steps)
    free, bound = ir.from_proto(network), ir.from_proto(network)
    leave_open(free)
    assert fix(bound, sizes, {}) == (sizes, ())
    shapes = [at(value, sizes) for value in free.graph.outputs]
    assume(all(min(shape) > 1 for shape in (s[2:] for s in shapes)))
    assert [shape_of(value) for value in bound.graph.outputs] == shapes
    x = np.zeros((sizes["N"], 3, sizes["H"], sizes["W"]), np.float32)
    assert shapes == [y.shape for y in ort(network, x=x)]


def test_each_link_of_the_chains_alone_makes_what_onnxruntime_makes() -> None:
    x = np.zeros((1, 3, 23, 24), np.float32)
    for step in range(len(CHAIN)):
        network = ir.from_proto(chained([step]))
        leave_open(network)
        made = at(network.graph.outputs[-1], {"N": 1, "H": 23, "W": 24})
        assert made == ort(chained([step]), x=x)[-1].shape, CHAIN[step]


@pytest.mark.parametrize(
    "name",
    ["batch size", "a.b", "x-1", "N", "E", "I", "S", "pi", "oo", "max", "Max", "floor", "ceil",
     "mod", "höhe", "名前", "lambda", "1x", "H*2", "-H", "(", "dim_0_", "unk__12", "N*H", "?!"],
)  # fmt: skip
def test_a_dimension_may_be_called_anything(name: str) -> None:
    network = proto("g (float[N, 3, H, 8] x) => (float y) { h = Conv (x, w) y = Relu (h) }", w=W)
    network.graph.input[0].type.tensor_type.shape.dim[2].dim_param = name
    network.graph.output[0].type.tensor_type.ClearField("shape")
    free = ir.from_proto(network)
    leave_open(free)
    shape = shape_of(free.graph.outputs[0])
    assert shape is not None
    if name == "N":
        assert shape == ("N", 4, "N - 2", 6)
    else:
        assert (shape[0], *shape[1::2]) == ("N", 4, 6)
        assert shape[2] == f"{name} - 2" or shape[2] == f"-2 + {name}"
    bound = ir.from_proto(network)
    assert fix(bound, {name: 9}, {}).sizes == {"N": 9 if name == "N" else 1, name: 9}
    assert shape_of(bound.graph.outputs[0]) == (9 if name == "N" else 1, 4, 7, 6)


def test_a_window_larger_than_its_map_leaves_nothing() -> None:
    assert fixed(OPEN, {"H": 1, "W": 9})[1]["y"] == (1, 4, 0, 7)


BROKEN = """
g (float[1, 3, 8, 8] x) => (float[N, 4, P, Q] y) {
  bad = Conv <strides = [1]> (x, w) worse = MatMul (x, two) h = Conv (x, w) y = Relu (h)
}
"""


def test_a_node_that_contradicts_itself_does_not_stop_the_others() -> None:
    network = model(BROKEN, w=W, two=np.ones((2, 2), np.float32))
    domains = [(node.domain, node.name) for node in network.graph]
    said = fix(network, {}, {}).contradictions
    assert [line.split(":")[0] for line in said] == ["bad", "worse"]
    assert shape_of(network.graph.outputs[0]) == (1, 4, 6, 6)
    assert [(node.domain, node.name) for node in network.graph] == domains


@pytest.mark.parametrize("count", [1, 9, 40])
def test_many_contradictions_do_not_stop_the_others_either(count: int) -> None:
    bad = " ".join(f"b{i} = Conv <strides = [1]> (x, w)" for i in range(count))
    graph = BROKEN.replace("bad = Conv <strides = [1]> (x, w) worse = MatMul (x, two)", bad)
    network = model(graph, w=W)
    assert fix(network, {}, {}).contradictions
    assert shape_of(network.graph.outputs[0]) == (1, 4, 6, 6)


@pytest.mark.parametrize("count", [1, 40])
def test_some_contradictions_leave_formulas(count: int) -> None:
    bad = " ".join(f"b{i} = Conv <strides = [1]> (x, w)" for i in range(count))
    graph = BROKEN.replace("bad = Conv <strides = [1]> (x, w) worse = MatMul (x, two)", bad)
    network = model(graph.replace("1, 3, 8, 8", "B, 3, H, 8"), w=W)
    leave_open(network)
    assert shape_of(network.graph.outputs[0]) == ("B", 4, "H - 2", 6)


CUSTOM = """
g (float[N, 3, H, 8] x) => (float[A, B, P, Q] y) <float[N, 3, H, 4] d> {
  d = my.Halve (x) h = Conv (d, w) y = Relu (h)
}
"""


def custom(**settings: Any) -> tuple[Shape, Shape]:
    _, shapes = fixed(CUSTOM, **settings, domains=["my"])
    return shapes["d"], shapes["y"]


def test_what_the_file_says_of_an_unknown_operator_is_believed_at_any_size() -> None:
    assert custom() == ((1, 3, None, 4), (1, 4, None, 2))
    assert custom(dims={"H": 10, "N": 2}) == ((2, 3, 10, 4), (2, 4, 8, 2))


def test_nothing_in_the_file_is_believed_beside_another_input_shape() -> None:
    d, y = custom(shapes={"x": (1, 3, 10, 16)})
    assert d is None or None in d
    assert y is None or None in y


def test_an_input_shape_that_agrees_leaves_the_file_its_credit() -> None:
    assert custom(shapes={"x": (2, 3, 10, 8)}) == ((2, 3, 10, 4), (2, 4, 8, 2))


def test_a_rule_knows_better_than_the_file_also_at_first_sight() -> None:
    script = (
        "import sys; from gconvtool import analyze, load;"
        "print(analyze(load(sys.argv[1])).totals.macs)"
    )
    graph = FIXED.replace("float[1, 4, 6, 6] h", "float[1, 4, 5, 5] h")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(proto(graph.replace("(float[1, 4, 6, 6] y)", "(float[N, 4, P, Q] y)"), w=W), path)
        run = [sys.executable, "-c", script, str(path)]
        said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert int(said) == 4 * 6 * 6 * 27


NESTED = """
g (bool c, float[N, 3, H, 8] x) => (float[A, B, P, Q] y) <float[N, 4, 5, 5] k> {
  k = Conv (x, w)
  y = If (c) <
    then_branch = t () => (float[A, B, P, Q] a) <float[1, 2, 3, 4] b> { b = Relu (k) a = Relu (b) },
    else_branch = e () => (float[1, 1, 1, 1] z) { z = Conv <strides = [1]> (k, w) }
  >
}
"""


def test_whatever_is_inferred_meanwhile_is_forgotten_afterwards() -> None:
    network = model(NESTED, w=W)
    before = ir.to_proto(network).SerializeToString(deterministic=True)
    with kept(network):
        leave_open(network)
    with kept(network):
        fix(network, {"H": 9}, {})
    with pytest.raises(InputError), kept(network):
        fix(network, {"K": 9}, {})
    assert ir.to_proto(network).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("graph", [OPEN, NESTED, UNNAMED, BROKEN])
def test_one_model_is_analysed_at_many_sizes_and_never_changes(graph: str) -> None:
    network = model(graph, w=W, two=np.ones((2, 2), np.float32))
    before = ir.to_proto(network).SerializeToString(deterministic=True)
    axis = {OPEN: "H", NESTED: "H", UNNAMED: "x_2"}.get(graph)
    given = [{axis: size} if axis else {} for size in (9, 20, 9)]
    first, other, again = (analyze(network, dims=dims) for dims in given)
    alone = [analyze(model(graph, w=W, two=np.ones((2, 2), np.float32)), dims=d) for d in given]
    assert [first, other, again] == alone
    assert ir.to_proto(network).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(("size", "macs"), [(8, 6 * 6), (10, 8 * 8), (20, 18 * 18)])
def test_each_size_has_its_own_count(size: int, macs: int) -> None:
    network = model(OPEN, w=W)
    assert analyze(network, dims={"H": 7, "W": 7}).totals.macs == 5 * 5 * 4 * 27
    assert analyze(network, dims={"H": size, "W": size}).totals.macs == macs * 4 * 27
