"""Sizes for open dimensions: what is given wins; a batch is 1, and all else stays open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from models import model, ort

from gconvtool.errors import InputError
from gconvtool.facts import Shape
from gconvtool.graph.constants import shape_of
from gconvtool.graph.shapes import fix
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
