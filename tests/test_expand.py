"""A model with functions costs what the same model without them costs."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import model, ort, proto
from onnx import helper

from gconvtool.errors import InputError
from gconvtool.graph.expand import ALWAYS, AT_TIMES, expand_functions, expand_holders
from gconvtool.pipeline.analyze import analyze
from gconvtool.pipeline.convert import convert
from gconvtool.recipes import Grouped
from gconvtool.results import Analysis

W = np.ones((4, 4, 3, 3), np.float32)
MACS = 4 * 4 * 9  # a position of the convolution
PADDED = "Conv <pads = [1, 1, 1, 1]>"


def with_functions(graph: str, *functions: str, opset: int = 17, **weights: np.ndarray) -> ir.Model:
    """Functions of the domain `f`; their operators are of version `opset`."""
    imports = f'<domain: "f", opset_import: ["": {opset}, "f": 1]>'
    return model(
        f"{graph} {' '.join(imports + text for text in functions)}", domains=["f"], **weights
    )


def counted(graph: str, *functions: str, opset: int = 17, **weights: np.ndarray) -> Analysis:
    return analyze(with_functions(graph, *functions, opset=opset, **weights))


X = "g (float[1, 4, 8, 8] x) => (float[N, M, P, Q] y)"
ONE = f"One (x, w) => (y) {{ y = {PADDED} (x, w) }}"


def test_every_call_counts_and_a_shared_weight_counts_once() -> None:
    result = counted(f"{X} {{ a = f.One (x, w) b = f.One (a, w) y = f.One (b, v) }}", ONE, w=W, v=W)
    assert result.totals.macs == 3 * 64 * MACS
    assert result.totals.params == 2 * W.size
    assert [layer.op for layer in result.layers] == ["Conv"] * 3
    assert result.totals.exact


def test_calls_in_calls_multiply() -> None:
    two = "Two (x, w) => (y) { a = f.One (x, w) y = f.One (a, w) }"
    four = "Four (x, w) => (y) { a = f.Two (x, w) b = Relu (a) y = f.Two (b, w) }"
    result = counted(f"{X} {{ a = f.Four (x, w) y = f.Two (a, w) }}", four, two, ONE, w=W)
    assert result.totals.macs == 6 * 64 * MACS
    assert result.totals.params == W.size
    assert len({layer.name for layer in result.layers}) == len(result.layers)


def test_the_order_of_functions_does_not_matter() -> None:
    two = "Two (x, w) => (y) { a = f.One (x, w) y = f.One (a, w) }"
    graph = f"{X} {{ y = f.Two (x, w) }}"
    assert counted(graph, two, ONE, w=W) == counted(graph, ONE, two, w=W)


def test_names_of_results_stay_when_calls_are_replaced() -> None:
    network = with_functions(f"{X} {{ a = f.One (x, w) y = f.One (a, w) }}", ONE, w=W)
    before = ort(network, x=np.ones((1, 4, 8, 8), np.float32))
    expand_functions(network)
    assert not network.functions
    assert [value.name for value in network.graph.outputs] == ["y"]
    np.testing.assert_array_equal(ort(network, x=np.ones((1, 4, 8, 8), np.float32)), before)


@pytest.mark.parametrize(
    ("call", "positions"),
    [
        ("f.Strided (x, w)", 4 * 4),  # the default
        ("f.Strided <s = [1, 1]> (x, w)", 8 * 8),
        ("f.Strided <s = [4, 2]> (x, w)", 2 * 4),
    ],
)
def test_attributes_of_a_call_win_over_defaults(call: str, positions: int) -> None:
    strided = """
    Strided <s: ints = [2, 2]> (x, w) => (y) {
      y = Conv <pads = [1, 1, 1, 1], strides: ints = @s> (x, w)
    }
    """
    assert counted(f"{X} {{ y = {call} }}", strided, w=W).totals.macs == positions * MACS


@pytest.mark.parametrize(("given", "positions"), [("<t = [1, 1]>", 8 * 8), ("<t = [2, 4]>", 4 * 2)])
def test_attributes_are_handed_on_through_calls(given: str, positions: int) -> None:
    outer = "Outer <t: ints> (x, w) => (y) { y = f.Inner <s: ints = @t> (x, w) }"
    inner = (
        f"Inner <s: ints> (x, w) => (y) {{"
        f" y = {PADDED.replace('>', ', strides: ints = @s>')} (x, w) }}"
    )
    result = counted(f"{X} {{ y = f.Outer {given} (x, w) }}", outer, inner, w=W)
    assert result.totals.macs == positions * MACS


INNER = "Inner <s: ints = [2, 2]> (x, w) => (y) { y = Conv <pads = [1, 1, 1, 1], S> (x, w) }"
OUTER = "Outer <t> (x, w) => (y) { y = f.Inner <s: ints = @t> (x, w) }"


@pytest.mark.parametrize(
    ("inner", "outer", "positions"),
    [
        (INNER, OUTER, 4 * 4),  # nothing is handed on: the inner default
        (INNER, OUTER.replace("<t>", "<t: ints = [4, 2]>"), 2 * 4),
        (INNER.replace("s: ints = [2, 2]", "s"), OUTER, 8 * 8),  # the operator's own default
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_what_a_call_does_not_give_has_its_default_or_is_absent(
    inner: str, outer: str, positions: int, order: int
) -> None:
    functions = [inner.replace("S>", "strides: ints = @s>"), outer][::order]
    graph = f"{X} {{ y = f.Outer (x, w) }}"
    assert counted(graph, *functions, w=W).totals.macs == positions * MACS
    (y,) = ort(with_functions(graph, *functions, w=W), x=np.ones((1, 4, 8, 8), np.float32))
    assert y[0, 0].size == positions


def test_a_call_inside_a_branch_counts() -> None:
    graph = """
    g (bool c, float[1, 4, 8, 8] x) => (float[N, M, P, Q] y) {
      y = If (c) <
        then_branch = t () => (float[N, M, P, Q] a) { b = f.One (x, w) a = f.One (b, w) },
        else_branch = e () => (float[N, M, P, Q] z) { z = Relu (x) }
      >
    }
    """
    result = counted(graph, ONE, w=W)
    assert (result.totals.macs, result.totals.params) == (2 * 64 * MACS, W.size)
    assert result.totals.exact


def test_an_if_inside_a_function_is_counted() -> None:
    branchy = f"""
    Branchy (c, x, w) => (y) {{
      y = If (c) <
        then_branch = t () => (a) {{ a = {PADDED} (x, w) }},
        else_branch = e () => (z) {{ z = Relu (x) }}
      >
    }}
    """
    graph = "g (bool c, float[1, 4, 8, 8] x) => (float[N, M, P, Q] y)"
    result = counted(f"{graph} {{ y = f.Branchy (c, x, w) }}", branchy, w=W)
    assert (result.totals.macs, result.totals.params) == (64 * MACS, W.size)


@pytest.mark.parametrize(
    "constant",
    ["value = float[4] {1, 2, 3, 4}", "value_floats = [1.0, 2.0, 3.0, 4.0]"],
)
def test_a_constant_inside_a_function_is_stored_once(constant: str) -> None:
    shift = f"Shift (x) => (y) {{ m = Constant <{constant}> () y = Add (x, m) }}"
    graph = "g (float[2, 4] x) => (float[2, 4] y) { a = f.Shift (x) y = f.Shift (a) }"
    result = counted(graph, shift)
    assert (result.totals.params, result.totals.elementwise_ops) == (4, 2 * 8)
    assert (result.parameters["learned"].tensors, result.parameters["learned"].numbers) == (1, 4)


def test_an_optional_input_may_be_left_out() -> None:
    biased = f"Biased (x, w, b) => (y) {{ y = {PADDED} (x, w, b) }}"
    graph = f"{X} {{ a = f.Biased (x, w) y = f.Biased (a, w, b) }}"
    result = counted(graph, biased, w=W, b=np.ones(4, np.float32))
    assert (result.totals.macs, result.totals.params) == (2 * 64 * MACS, W.size + 4)
    assert result.totals.bias_adds == 4 * 64


def test_functions_of_other_operators_are_unknown_and_stop_nothing() -> None:
    graph = f"{X} {{ a = f.One (x, w) y = {PADDED} (x, w) }}"
    result = counted(graph, ONE, opset=13, w=W)
    assert [unknown.op for unknown in result.unknown] == ["One"]
    assert result.totals.macs == 64 * MACS
    assert not result.totals.exact


def test_a_function_that_nobody_calls_costs_nothing() -> None:
    result = counted(f"{X} {{ y = {PADDED} (x, w) }}", ONE, w=W)
    assert (result.totals.macs, result.totals.params) == (64 * MACS, W.size)


def test_the_model_given_keeps_its_functions() -> None:
    network = with_functions(f"{X} {{ y = f.One (x, w) }}", ONE, w=W)
    before = ir.to_proto(network).SerializeToString(deterministic=True)
    analyze(network)
    assert ir.to_proto(network).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("circle", [("A",), ("A", "B"), ("A", "B", "C")])
def test_circles_are_refused_with_their_way_round(circle: tuple[str, ...]) -> None:
    functions = [
        f"{name} (x) => (y) {{ y = f.{circle[(i + 1) % len(circle)]} (x) }}"
        for i, name in enumerate(circle)
    ]
    with pytest.raises(InputError, match="circle") as caught:
        counted("g (float[1] x) => (float[1] y) { y = f.A (x) }", *functions)
    assert all(name in str(caught.value) for name in circle)


def test_a_circle_through_a_branch_is_refused() -> None:
    again = """
    Again (c, x) => (y) {
      y = If (c) < then_branch = t () => (a) { a = f.Again (c, x) },
                   else_branch = e () => (b) { b = Relu (x) } >
    }
    """
    with pytest.raises(InputError, match="circle"):
        counted("g (bool c, float[1] x) => (float[1] y) { y = f.Again (c, x) }", again)


def test_expansions_beyond_any_measure_are_refused_before_they_begin() -> None:
    functions = ["F0 (x) => (y) { y = Relu (x) }"] + [
        f"F{i} (x) => (y) {{ a = f.F{i - 1} (x) y = f.F{i - 1} (a) }}" for i in range(1, 200)
    ]
    with pytest.raises(InputError, match=r"nodes"):
        counted("g (float[1] x) => (float[1] y) { y = f.F199 (x) }", *functions)


def test_growth_that_nobody_calls_is_no_reason_to_refuse() -> None:
    functions = ["F0 (x) => (y) { y = Relu (x) }"] + [
        f"F{i} (x) => (y) {{ a = f.F{i - 1} (x) y = f.F{i - 1} (a) }}" for i in range(1, 30)
    ]
    assert counted("g (float[1] x) => (float[1] y) { y = f.F2 (x) }", *functions).totals.exact


def test_a_name_inside_a_function_may_be_a_name_outside() -> None:
    inner = f"One (x, y) => (z) {{ w = {PADDED} (x, y) a = Relu (w) z = {PADDED} (a, y) }}"
    result = counted(f"{X} {{ a = f.One (x, w) z = Relu (a) y = f.One (z, w) }}", inner, w=W)
    assert result.totals.macs == 4 * 64 * MACS
    names = [layer.name for layer in result.layers]
    assert len(set(names)) == len(names)
    assert {"a", "z", "y"} <= set(names)


def test_a_function_made_of_protobufs_with_a_domain_of_two_versions_expands() -> None:
    """As exporters write them: a function beside the standard operators' own domain name."""
    network = proto(f"{X} {{ y = f.One (x, w) }}", domains=["f"], w=W)
    node = helper.make_node("Conv", ["a", "b"], ["c"], pads=[1, 1, 1, 1])
    imports = [helper.make_opsetid("ai.onnx", 17)]
    network.functions.append(helper.make_function("f", "One", ["a", "b"], ["c"], [node], imports))
    assert analyze(ir.from_proto(network)).totals.macs == 64 * MACS


HOLDER = f"Holder (x, w) => (y) {{ t = {PADDED} (x, w) y = Relu (t) }}"
OUTSIDE = "Outside (x, w) => (y) { a = f.Holder (x, w) y = f.Plain (a) }"
PLAIN = "Plain (x) => (y) { t = Abs (x) y = Neg (t) }"
POOLING = "Pooling (x) => (y) { t = GlobalAveragePool (x) y = Neg (t) }"
MIXED = f"""{X} {{
  p = f.Plain (x)
  a = f.Holder (p, w)
  b = f.Outside (a, w)
  c = f.Plain (b)
  y = f.Pooling (c)
}}"""


def mixed() -> ir.Model:
    return with_functions(MIXED, PLAIN, HOLDER, OUTSIDE, POOLING, w=W)


def test_only_functions_that_hold_what_is_rewritten_are_expanded() -> None:
    network, x = mixed(), np.random.default_rng(0).standard_normal((1, 4, 8, 8), np.float32)
    before = ort(network, x=x)
    assert expand_holders(network, ALWAYS) == 2
    kept = [node.op_type for node in network.graph if node.domain]
    assert kept == ["Plain", "Plain", "Plain", "Pooling"]
    assert {name for _, name, _ in network.functions} == {"Plain", "Pooling"}
    np.testing.assert_array_equal(ort(network, x=x), before)
    assert expand_holders(network, AT_TIMES) == 1
    assert {name for _, name, _ in network.functions} == {"Plain"}
    np.testing.assert_array_equal(ort(network, x=x), before)


def test_convolutions_have_the_names_that_analyze_gives_them() -> None:
    network, whole = mixed(), mixed()
    expand_holders(network, ALWAYS)
    expand_functions(whole)
    names = [
        [n.outputs[0].name for n in of.graph if n.op_type == "Conv"] for of in (network, whole)
    ]
    assert names[0] == names[1]
    assert len(set(names[0])) == 2


def test_functions_of_other_operators_keep_what_they_call() -> None:
    """What they call may mean another thing by their versions of the operators."""
    network = with_functions(f"{X} {{ a = f.Old (x, w) y = f.Holder (a, w) }}", HOLDER, w=W)
    old = with_functions(MIXED, "Old (x, w) => (y) { y = f.Holder (x, w) }", opset=13)
    network.functions.update(old.functions)
    assert expand_holders(network, ALWAYS) == 1
    assert {name for _, name, _ in network.functions} == {"Old", "Holder"}
    (function,) = (f for f in network.functions.values() if f.name == "Old")
    assert [node.op_type for node in function] == ["Holder"]


def test_a_convolution_of_another_domain_is_none() -> None:
    network = with_functions(
        f"{X} {{ y = f.Foreign (x) }}", "Foreign (x) => (y) { y = f.Conv (x) }", PLAIN
    )
    assert expand_holders(network, ALWAYS) == 0


def test_names_of_a_function_may_be_those_of_a_body() -> None:
    graph = """
    g (bool c, float[1, 4, 8, 8] x) => (float[N, M, P, Q] y) {
      a = f.Holder (x, w)
      y = If (c) <
        then_branch = yes () => (float[N, M, P, Q] b) { t = Abs (a) b = f.Holder (t, w) },
        else_branch = no () => (float[N, M, P, Q] z) { t = Neg (a) z = Relu (t) }
      >
    }
    """
    network = with_functions(graph, HOLDER, w=W)
    feeds = {"x": np.ones((1, 4, 8, 8), np.float32)}
    before = [ort(network, **feeds, c=np.array(c))[0] for c in (True, False)]
    expand_functions(network)
    onnx.checker.check_model(ir.to_proto(network), full_check=True)
    after = [ort(network, **feeds, c=np.array(c))[0] for c in (True, False)]
    np.testing.assert_array_equal(after, before)


def test_convert_rewrites_what_functions_hold_and_says_so() -> None:
    wide = MIXED.replace("1, 4, 8, 8", "1, 8, 8, 8")
    weight = np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32)
    network = with_functions(wide, PLAIN, HOLDER, OUTSIDE, POOLING, w=weight)
    result = convert(network, recipe=Grouped(2))
    assert [site.recipe for site in result.sites] == ["grouped(2)"] * 2
    assert any(note.startswith("2 calls of functions") for note in result.warnings)
    names = {layer.name for layer in analyze(network).layers if layer.op == "Conv"}
    assert {site.name for site in result.sites} == names
