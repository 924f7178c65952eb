"""How often bodies run, against onnxruntime running them with a counter inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from models import model, ort, proto

from gconvtool.facts import Body, nested
from gconvtool.graph.shapes import fix
from gconvtool.graph.survey import survey
from gconvtool.pipeline.analyze import analyze
from gconvtool.results import Layer

W = np.ones((4, 4), np.float32)
MACS = 2 * 4 * 4  # (2, 4) times (4, 4)


def bodies(graph: str, op: str, **constants: Any) -> tuple[Body, ...]:
    network = model(graph, **constants)
    fix(network, {}, {})
    (node,) = (node for node in nested(survey(network).nodes) if node.op == op)
    return node.bodies


def loop(limit: str, condition: str, goes_on: str, inputs: str = "") -> str:
    """A loop that multiplies a matrix and counts its trips."""
    more = f", {inputs}" if inputs else ""
    return f"""
    g (float[2, 4] x{more}) => (float[2, 4] y, int64[1] n) {{
      zero = Constant <value_ints = [0]> ()
      y, n = Loop ({limit}, {condition}, x, zero) <body = b
        (int64 i, bool c, float[2, 4] a, int64[1] k) => (bool d, float[2, 4] z, int64[1] m)
        {{ z = MatMul (a, w) one = Constant <value_ints = [1]> () m = Add (k, one) {goes_on} }}
      >
    }}
    """


PASSED_ON = "d = Identity (c)"
TRUE = "d = Constant <value = bool {1}> ()"
FALSE = "d = Constant <value = bool {0}> ()"
KNOWN = {
    "a limit alone": ("limit", "", PASSED_ON),
    "a true condition, passed on": ("limit", "yes", PASSED_ON),
    "passed on through several nodes": ("limit", "yes", "e = Identity (c) d = Identity (e)"),
    "always true inside": ("limit", "yes", TRUE),
    "always true inside, none outside": ("limit", "", TRUE),
    "false from the start": ("limit", "no", PASSED_ON),
    "no trips": ("none", "", PASSED_ON),
    "false from the start, without a limit": ("", "no", PASSED_ON),
    "less than none": ("minus", "", PASSED_ON),
}
CONSTANTS: dict[str, Any] = {
    "w": W,
    "limit": np.array(5),
    "none": np.array(0),
    "minus": np.array(-3),
    "yes": np.array(True),
    "no": np.array(False),
}


@pytest.mark.parametrize("case", KNOWN)
def test_a_loop_runs_as_often_as_onnxruntime_runs_it(case: str) -> None:
    graph = loop(*KNOWN[case])
    (_, counted) = ort(proto(graph, **CONSTANTS), x=np.ones((2, 4), np.float32))
    (body,) = bodies(graph, "Loop", **CONSTANTS)
    assert (body.trips, body.reason) == (counted[0], None)
    result = analyze(model(graph, **CONSTANTS))
    assert (result.totals.macs, result.totals.exact) == (counted[0] * MACS, True)


UNKNOWN = {
    "a limit that is fed": (loop("fed", "", PASSED_ON, "int64 fed"), "number of trips"),
    "no limit": (loop("", "yes", PASSED_ON), "number of trips"),
    "a condition that is fed": (loop("limit", "c0", PASSED_ON, "bool c0"), "condition"),
    "a condition that is computed": (
        loop("limit", "", "s = ReduceSum <keepdims = 0> (z) t = Cast <to = 9> (s) d = Not (t)"),
        "condition",
    ),
    "false after the first trip": (loop("limit", "yes", FALSE), "condition"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_a_loop_that_depends_on_data_says_on_what_and_what_a_trip_costs(case: str) -> None:
    graph, words = UNKNOWN[case]
    (body,) = bodies(graph, "Loop", **CONSTANTS)
    assert body.trips is None
    assert body.reason is not None
    assert words in body.reason
    result = analyze(model(graph, **CONSTANTS))
    (unknown,) = result.unknown
    assert (unknown.node, unknown.op) == ("y", "Loop")
    assert f"one trip costs {MACS} MACs" in unknown.reason
    assert (result.totals.macs, result.totals.exact) == (0, False)
    (product,) = (layer for layer in result.layers if layer.op == "MatMul")
    assert (product.parent, product.macs, product.times) == ("y", MACS, None)


GROWING = """
g (float[1, 4] x) => (float[N, 4] y) {
  y = Loop (limit, , x) <body = b (int64 i, bool c, float[M, 4] a) => (bool d, float[K, 4] z)
    { p = MatMul (a, w) z = Concat <axis = 0> (a, p) d = Identity (c) } >
}
"""


def test_a_loop_whose_state_grows_does_not_cost_the_same_every_time() -> None:
    (grown,) = ort(proto(GROWING, **CONSTANTS), x=np.ones((1, 4), np.float32))
    assert grown.shape == (2**5, 4)
    (body,) = bodies(GROWING, "Loop", **CONSTANTS)
    assert body.trips is None
    assert "size" in str(body.reason)
    assert not analyze(model(GROWING, **CONSTANTS)).totals.exact


def scan(inputs: str, attributes: str, slice_: str = "float[2, 4]", more: str = "") -> str:
    """A scan that multiplies every slice and counts them."""
    return f"""
    g ({inputs}) => (int64[1] n, float[A, B, C] y) {{
      zero = Constant <value_ints = [0]> ()
      n, y = Scan <num_scan_inputs = {1 if not more else 2}{attributes}, body = b
        (int64[1] k, {slice_} a{more}) => (int64[1] m, float[2, 4] z)
        {{ z = MatMul (a, w) one = Constant <value_ints = [1]> () m = Add (k, one) }}
      > (zero, x{", x" if more else ""})
    }}
    """


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((7, 2, 4), ""),
        ((7, 2, 4), ", scan_input_axes = [0]"),
        ((2, 6, 4), ", scan_input_axes = [1]"),
        ((2, 4, 5), ", scan_input_axes = [2]"),
        ((2, 4, 5), ", scan_input_axes = [-1]"),
        ((2, 6, 4), ", scan_input_axes = [-2], scan_input_directions = [1]"),
        ((7, 2, 4), ", scan_input_axes = [-3], scan_output_axes = [-1]"),
    ],
)
def test_a_scan_runs_once_a_slice(shape: tuple[int, ...], attributes: str) -> None:
    graph = scan(f"float{list(shape)} x", attributes)
    counted, _ = ort(proto(graph, w=W), x=np.ones(shape, np.float32))
    (body,) = bodies(graph, "Scan", w=W)
    assert (body.trips, body.reason) == (counted[0], None)
    assert analyze(model(graph, w=W)).totals.macs == counted[0] * MACS


def test_the_longest_axis_is_the_first_inputs() -> None:
    graph = scan("float[3, 2, 4] x", ", scan_input_axes = [0, 0]", more=", float[2, 4] b")
    counted, _ = ort(proto(graph, w=W), x=np.ones((3, 2, 4), np.float32))
    assert bodies(graph, "Scan", w=W)[0].trips == counted[0] == 3


@pytest.mark.parametrize(
    ("inputs", "attributes"),
    [
        ("float[N, L, 2, 4] x", ", scan_input_axes = [1]"),
        ("float[] x", ""),
        ("float[2, L, 4] x", ", scan_input_axes = [1]"),
    ],
)
def test_a_scan_over_an_open_axis_is_of_unknown_length(inputs: str, attributes: str) -> None:
    (body,) = bodies(scan(inputs, attributes), "Scan", w=W)
    assert body.trips is None
    assert "length" in str(body.reason)


def test_an_open_length_that_is_given_is_known() -> None:
    network = model(scan("float[2, L, 4] x", ", scan_input_axes = [-2]"), w=W)
    assert not analyze(network).totals.exact
    assert analyze(network, dims={"L": 9}).totals.macs == 9 * MACS


BOTH = """
g (bool c, float[2, 4] x) => (float[2, 4] y) {
  y = If (c) <
    then_branch = t () => (float[2, 4] a) { b = MatMul (x, w) a = MatMul (b, w) },
    else_branch = e () => (float[2, 4] d) { d = MatMul (x, w) }
  >
}
"""


def rows(graph: str, **more: Any) -> dict[str, Layer]:
    return {layer.name: layer for layer in analyze(model(graph, w=W, **more)).layers}


def test_an_if_counts_its_costlier_branch_and_shows_both() -> None:
    found = rows(BOTH)
    assert found["y"].macs == 2 * MACS
    assert {n: (r.parent, r.times, r.macs) for n, r in found.items() if r.parent} == {
        "y/then_branch/b": ("y", 1, MACS),
        "y/then_branch/a": ("y", 1, MACS),
        "y/else_branch/d": ("y", 0, MACS),
    }


def test_an_if_with_one_unknown_branch_is_not_exact() -> None:
    graph = BOTH.replace("d = MatMul (x, w)", "d = my.Guess (x)")
    result = analyze(model(graph, w=W, domains=["my"]))
    assert not result.totals.exact
    assert [unknown.op for unknown in result.unknown] == ["Guess"]


IN_A_FUNCTION = """
g (bool c, float[2, 4] x) => (float[2, 4] y) { a = f.Often (c, x, w) y = f.Often (c, a, w) }
<domain: "f", opset_import: ["": 17]>
Often (c, x, w) => (y) {
  limit = Constant <value_int = 5> ()
  y = Loop (limit, , x) <body = b (i, d, a) => (e, z) {
    e = Identity (d)
    z = If (c) <
      then_branch = t () => (p) { q = MatMul (a, w) p = MatMul (q, w) },
      else_branch = s () => (r) { r = MatMul (a, w) }
    >
  } >
}
"""


def test_an_if_in_a_loop_in_a_function_multiplies_all_the_way() -> None:
    result = analyze(model(IN_A_FUNCTION, w=W, domains=["f"]))
    assert result.totals.macs == 2 * 5 * 2 * MACS
    assert (result.totals.params, result.totals.exact) == (W.size, True)
    loops = [layer for layer in result.layers if layer.op == "Loop"]
    assert [layer.macs for layer in loops] == [5 * 2 * MACS] * 2
    ifs = [layer for layer in result.layers if layer.op == "If"]
    assert [(layer.macs, layer.times) for layer in ifs] == [(2 * MACS, 5)] * 2


def test_loops_in_loops_multiply() -> None:
    graph = """
    g (float[2, 4] x) => (float[2, 4] y) {
      y = Loop (limit, , x) <body = b (int64 i, bool c, float[2, 4] a) => (bool d, float[2, 4] z) {
        d = Identity (c)
        z = Loop (limit, , a) <body = e (int64 j, bool f, float[2, 4] h) => (bool k, float[2, 4] l)
          { k = Identity (f) l = MatMul (h, w) } >
      } >
    }
    """
    result = analyze(model(graph, **CONSTANTS))
    assert (result.totals.macs, result.totals.exact) == (5 * 5 * MACS, True)
    assert result.totals.params == W.size
    assert result.kinds["linear"].macs == 5 * 5 * MACS


def test_a_body_of_an_operator_that_nobody_knows_is_of_unknown_use() -> None:
    graph = """
    g (float[2, 4] x) => (float[2, 4] y) {
      y = my.Repeat (x) <body = b (float[2, 4] a) => (float[2, 4] z) { z = MatMul (a, w) }>
    }
    """
    result = analyze(model(graph, w=W, domains=["my"]))
    assert not result.totals.exact
    assert result.unknown[0].op == "Repeat"


def test_a_scan_of_the_eighth_version_is_not_counted_by_its_batches() -> None:
    graph = """
    g (float[3, 2] s, float[3, 7, 2, 4] x) => (float[3, 2] t, float[3, 7, 2, 4] y) {
      t, y = Scan <num_scan_inputs = 1, body = b (float[2] k, float[2, 4] a)
        => (float[2] m, float[2, 4] z) { z = MatMul (a, w) m = Identity (k) } > (, s, x)
    }
    """
    (body,) = bodies(graph, "Scan", opset=8, w=W)
    assert body.trips is None
    assert not analyze(model(graph, opset=8, w=W)).totals.exact


def test_a_condition_that_is_constant_counts_both_branches_for_what_they_are() -> None:
    graph = BOTH.replace("bool c, ", "")
    result = analyze(model(graph, w=W, c=np.array(False)))
    assert result.totals.macs in (MACS, 2 * MACS)
    assert len([layer for layer in result.layers if layer.parent == "y"]) == 3
