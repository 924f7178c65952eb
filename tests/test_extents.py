"""Sizes behind operators that cut are those of Python's slices, and of what onnxruntime makes."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import strategies as st
from models import model, ort, proto
from often import often

from gconvtool.facts import Dim, Shape
from gconvtool.graph.constants import shape_of
from gconvtool.graph.shapes import fix, leave_open
from gconvtool.pipeline.analyze import analyze

SIZES = range(1, 31)
FAR = 2**63 - 1
BOUNDS = st.one_of(st.integers(-12, 24), st.sampled_from([FAR, -FAR - 1, 2**31 - 1, -(2**31)]))
STEPS = st.sampled_from([1, 1, 2, 3, 7, -1, -2, -5])
WORDS = {"floor": floor, "ceil": ceil, "min": min, "Max": max}


def untyped(graph: str, opset: int, **constants: Any) -> onnx.ModelProto:
    """A model that says nothing of its result's shape."""
    made = proto(graph, opset=opset, **constants)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return made


def open_shape(network: onnx.ModelProto) -> Shape:
    found = ir.from_proto(network)
    leave_open(found)
    return shape_of(found.graph.outputs[0])


def shape_at(network: onnx.ModelProto, size: int) -> Shape:
    found = ir.from_proto(network)
    fix(found, {"W": size}, {})
    return shape_of(found.graph.outputs[0])


def value(dim: Dim, size: int) -> Dim:
    """An expression as a reader would work it out; less than nothing is nothing."""
    if not isinstance(dim, str):
        return dim
    return max(0, int(eval(dim, {"__builtins__": {}}, {**WORDS, "W": size})))


def made(network: onnx.ModelProto, size: int) -> tuple[int, ...]:
    """What onnxruntime makes of an input whose open dimensions have this size."""
    dims = network.graph.input[0].type.tensor_type.shape.dim
    x = np.zeros([size if dim.dim_param else dim.dim_value for dim in dims], np.float32)
    return ort(network, x=x)[0].shape


def sliced(start: int, end: int, step: int, opset: int = 17) -> onnx.ModelProto:
    """`x[..., start:end:step]`."""
    bounds = {"s": start, "e": end, "a": -1, "k": step}
    graph = "g (float[2, W] x) => (float y) { y = Slice (x, s, e, a, k) }"
    return untyped(graph, opset, **{name: np.array([n]) for name, n in bounds.items()})


def check_sizes(network: onnx.ModelProto, sizes: Iterable[int] = SIZES) -> None:
    """Formulas, numbers and the runtime agree at all these sizes."""
    free = open_shape(network)
    for size in sizes:
        expected = made(network, size)
        assert shape_at(network, size) == expected
        if free is not None and None not in free:
            assert tuple(value(dim, size) for dim in free) == expected, (free, size)


@often(20, 60, start=BOUNDS, end=BOUNDS, step=STEPS)
def test_a_slice_of_any_size_has_pythons_length(start: int, end: int, step: int) -> None:
    network = sliced(start, end, step)
    free = open_shape(network)
    assert free is not None
    for size in SIZES:
        if step < 0 and start < -size:
            continue  # onnx begins at the first value, where Python has none left
        expected = len(range(size)[start:end:step])
        assert shape_at(network, size) == (2, expected)
        if free[1] is not None:
            assert value(free[1], size) == expected, (free, size)


@pytest.mark.parametrize(
    ("start", "end", "step", "text"),
    [
        (0, 100, 1, "min(100, W)"),
        (3, 10, 2, "min(4, floor(W/2) - 1)"),
        (0, FAR, 1, "W"),
        (0, 2**31 - 1, 2, "ceil(W/2)"),
        (2, -3, 1, "W - 5"),
        (-5, FAR, 1, "min(5, W)"),
        (20, FAR, 1, "W - 20"),
        (-1, -FAR - 1, -1, "W"),
        (5, -FAR - 1, -1, "min(6, W)"),
        (-10, -FAR - 1, -1, None),
    ],
)
def test_formulas_of_slices_are_short_and_right(
    start: int, end: int, step: int, text: str | None
) -> None:
    network = sliced(start, end, step)
    assert open_shape(network) == (2, text)
    check_sizes(network, (1, 2, 5, 9, 10, 11, 24, 120))


@pytest.mark.parametrize(("start", "step"), [(-3, -1), (-9, -2), (-FAR - 1, -1)])
def test_backwards_a_slice_begins_inside(start: int, step: int) -> None:
    check_sizes(sliced(start, -FAR - 1, step), range(1, 13))


INDEX = "sh = Shape (x) w = Gather (sh, one) "
ONE = {"one": np.array([1])}
CUT: dict[str, tuple[str, int, dict[str, Any]]] = {
    "a slice of a slice": ("a = Slice (x, z, t, one) y = Slice (a, z, ten, one)", 17, {}),
    "a slice that is joined again": ("a = Slice (x, z, ten, one) y = Concat <axis = 1> (x, a)", 17,
                                     {}),
    "up to a size": (INDEX + "y = Slice (x, z, w, one)", 17, {}),
    "up to twice a size": (INDEX + "d = Mul (w, two) y = Slice (x, two, d, one)", 17, {}),
    "a slice of old": ("y = Slice <starts = [2], ends = [9], axes = [1]> (x)", 9, {}),
    "a slice of old without axes": ("y = Slice <starts = [0, 1], ends = [1, 1000]> (x)", 9, {}),
    "the rest of a split": (INDEX + "r = Sub (w, two) p = Concat <axis = 0> (two, r)"
                            "a, y = Split <axis = 1> (x, p)", 17, {}),
    "padding taken away": ("y = Pad (x, less)", 17, {"less": np.array([0, -1, 0, 0])}),
    "the most of old": ("y, i = TopK <k = 1> (x)", 9, {}),
    "the pooled, spread": ("u = Unsqueeze (x, z) p, i = MaxPool <kernel_shape = [2]> (u)"
                           "q = MaxUnpool <kernel_shape = [2]> (p, i) y = Squeeze (q, z)", 17, {}),
    "stretched by an attribute": ("y = Upsample <scales = [1.0, 2.0]> (x)", 7, {}),
    "stretched by an input": ("y = Upsample (x, f)", 9, {}),
    "resized as upsampled": ("y = Resize (x, f)", 10, {}),
    "resized": ("y = Resize (x, , f)", 13, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CUT)
def test_operators_that_cut_or_stretch_make_what_onnxruntime_makes(case: str) -> None:
    nodes, opset, more = CUT[case]
    known = {
        **ONE, **more, "z": np.array([0]), "two": np.array([2]), "ten": np.array([10]),
        "t": np.array([20]), "f": np.float32([1, 1.5]),
    }  # fmt: skip
    used = {name: n for name, n in known.items() if name in _words(nodes)}
    network = untyped(f"g (float[2, W] x) => (float y) {{ {nodes} }}", opset, **used)
    if "r = Sub" in nodes or "Pool" in nodes:
        check_sizes(network, range(3, 30))
    else:
        check_sizes(network, range(2, 30))


def _words(nodes: str) -> set[str]:
    return set(nodes.translate(str.maketrans("(),", "   ")).split())


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_a_kept_aspect_ratio_rounds_and_hangs_on_all_axes(policy: str) -> None:
    graph = (
        "g (float[1, 1, W, 20] x) => (float y) {"
        f'y = Resize <axes = [2, 3], keep_aspect_ratio_policy = "{policy}"> (x, , , s) }}'
    )
    network = untyped(graph, 18, s=np.array([10, 7]))
    assert open_shape(network) == (1, 1, None, None)
    check_sizes(network)


def test_bounds_that_have_to_be_fed_leave_the_other_axes_known() -> None:
    graph = "g (float[2, W] x, int64[1] s) => (float y) { y = Slice (x, s, e, one) }"
    network = untyped(graph, 17, **ONE, e=np.array([9]))
    assert open_shape(network) == shape_at(network, 20) == (2, None)


def test_axes_or_steps_that_have_to_be_fed_leave_nothing_to_say() -> None:
    graph = "g (float[2, W] x, int64[1] k) => (float y) { y = Slice (x, s, s, A) }"
    for last, expected in (("k", (None, None)), ("s, k", (2, None))):
        network = untyped(graph.replace("A", last), 17, s=np.array([1]))
        assert shape_at(network, 20) == expected


def test_parts_of_unknown_sizes_are_not_taken_for_equal() -> None:
    graph = "g (float[2, W] x, int64[2] p) => (float y) { y, b = Split <axis = 1> (x, p) }"
    assert open_shape(untyped(graph, 17)) == (2, None)


def test_a_layer_behind_a_slice_is_a_formula_until_the_size_is_known() -> None:
    graph = """
    g (float[1, 3, 8, W] x) => (float[1, 4, 8, Q] y) {
      c = Slice (x, s, e, a) y = Conv <pads = [1, 1, 1, 1], strides = [1, 2]> (c, w)
    }
    """
    bounds = {"s": np.array([0]), "e": np.array([100]), "a": np.array([3])}
    network = model(graph, w=np.ones((4, 3, 3, 3), np.float32), **bounds)
    result = analyze(network)
    assert (result.totals.macs, result.totals.exact) == (0, False)
    assert result.macs_formula == "864·min(50, ceil(W/2))"  # 8 · 4·27 for each column
    for size in (1, 7, 99, 100, 101, 500):
        columns = -(-min(100, size) // 2)
        assert analyze(network, dims={"W": size}).totals.macs == 864 * columns
