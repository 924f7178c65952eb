"""Facts of a graph: where constants are stored, how convolutions are padded, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import model, ort, proto
from onnx import helper

from gconvtool.facts import ConvSite, Parameter, Skip, Survey
from gconvtool.graph.shapes import infer
from gconvtool.graph.survey import survey
from gconvtool.pipeline.analyze import analyze

W = np.ones((4, 1, 3, 3), np.float32)
INT8 = W.astype(np.int8)
SCALE = {"scale": np.float32(0.5), "zero": np.int8(0)}
SHAPE = np.array(W.shape)
ONES = f"{{{', '.join(['1'] * W.size)}}}"


def surveyed(graph: str, **settings: Any) -> Survey:
    network = model(graph, **settings)
    infer(network)
    return survey(network)


def the_site(graph: str, **settings: Any) -> ConvSite:
    (site,) = surveyed(graph, **settings).sites.values()
    return site


def behind(body: str, **constants: np.ndarray) -> Parameter | None:
    """What is found behind the `w` that `body` makes for a convolution."""
    graph = f"g (float[1, 1, 8, 8] x) => (float[1, 4, 6, 6] y) {{ {body} y = Conv (x, w) }}"
    conv = surveyed(graph, **constants).nodes[-1]
    assert conv.inputs[1] == W.shape
    return conv.parameters[1]


@pytest.mark.parametrize(
    ("body", "constants", "name", "floating"),
    [
        ("", {"w": W}, "w", True),
        ("w = Identity (a)", {"a": W}, "a", True),
        ("b = Identity (a) w = Identity (b)", {"a": W}, "a", True),
        ("w = Cast <to = 1> (a)", {"a": W.astype(np.float16)}, "a", True),
        ("w = Cast <to = 1> (a)", {"a": INT8}, "a", False),
        ("w = Reshape (a, s)", {"a": W.ravel(), "s": SHAPE}, "a", True),
        ("w = Transpose <perm = [3, 2, 1, 0]> (a)", {"a": W.T}, "a", True),
        ("w = Unsqueeze (a, s)", {"a": W[:, 0], "s": np.array([1])}, "a", True),
        ("w = Squeeze (a, s)", {"a": W[None], "s": np.array([0])}, "a", True),
        ("w = DequantizeLinear (a, scale, zero)", {"a": INT8, **SCALE}, "a", False),
        (
            "b = DequantizeLinear (a, scale, zero) w = Transpose <perm = [1, 0, 2, 3]> (b)",
            {"a": INT8.swapaxes(0, 1), **SCALE},
            "a",
            False,
        ),
        ("w = ConstantOfShape <value = float[1] {0.5}> (s)", {"s": SHAPE}, "w", True),
        ("a = ConstantOfShape (s) w = Identity (a)", {"s": SHAPE}, "a", True),
        (
            "s = Constant <value = int64[4] {4, 1, 3, 3}> () w = ConstantOfShape (s)",
            {},
            "w",
            True,
        ),
        (f"w = Constant <value = float[4, 1, 3, 3] {ONES}> ()", {}, "w", True),
        (f"a = Constant <value = float[36] {ONES}> () w = Reshape (a, s)", {"s": SHAPE}, "a", True),
    ],
)
def test_a_weight_is_followed_to_where_it_is_stored(
    body: str, constants: dict[str, np.ndarray], name: str, floating: bool
) -> None:
    found = behind(body, **constants)
    assert found is not None
    assert (found.name, np.prod(found.shape), found.floating) == (name, W.size, floating)


def test_a_weight_is_followed_through_quantisation() -> None:
    found = behind(
        "q = QuantizeLinear (a, scale, zero) w = DequantizeLinear (q, scale, zero)", a=W, **SCALE
    )
    assert found == Parameter("a", W.shape, True)


@pytest.mark.parametrize(
    "body", ["w = Relu (a)", "w = Mul (a, a)", "w = my.Decode (a)", "w = ConstantOfShape (n)"]
)
def test_a_weight_that_is_computed_has_no_store(body: str) -> None:
    conv = surveyed(
        "g (float[1, 1, 8, 8] x, int64[4] n) => (float[1, 4, 6, 6] y)"
        f"<float[4, 1, 3, 3] w> {{ {body} y = Conv (x, w) }}",
        a=W,
        domains=["my"],
    ).nodes[-1]
    assert conv.parameters == (None, None)


def test_a_weight_that_is_fed_has_no_store() -> None:
    facts = surveyed(
        "g (float[1, 1, 8, 8] x, float[4, 1, 3, 3] w) => (float[1, 4, 6, 6] y) { y = Conv (x, w) }"
    )
    assert facts.nodes[0].parameters == (None, None)
    assert facts.sites["y"].filters == 4


CHAIN = """
g (float[1, 4, 8, 8] x, float[4, 4, 3, 3] fed, float[4] fed_bias) => (float[1, 4, P, Q] y)
"""


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ("a = Conv (x, w) y = Conv (a, w)", {}),
        ("a = Conv (x, w) y = Conv (a, w, b)", {"a": "shares", "y": "shares"}),
        ("a = Conv (x, w) y = Conv (a, v)", {}),
        (
            "i = Identity (w) j = Cast <to = 1> (w) a = Conv (x, i) y = Conv (a, j)",
            {},
        ),
        (
            "i = Identity (fed) j = Relu (w) a = Conv (x, i) y = Conv (a, j)",
            {"a": "is fed", "y": "made by Relu"},
        ),
        ("a = ConvTranspose (x, fed) y = Conv (a, v)", {"a": "is fed"}),
        ("a = Conv (x, fed) y = Conv (a, w)", {"a": "is fed"}),
        ("a = Conv (x, v, fed_bias) y = Conv (a, w)", {"a": "bias"}),
        ("a = Conv (x, v, b) y = Conv (a, w, b)", {}),
        ("a = ConvTranspose (x, w) y = Conv (a, v)", {}),
    ],
)
def test_convolutions_that_a_rewrite_would_break_are_refused(
    body: str, reasons: dict[str, str]
) -> None:
    weights = {name: np.ones((4, 4, 3, 3), np.float32) for name in "wv"}
    facts = surveyed(f"{CHAIN} {{ {body} }}", **weights, b=np.ones(4, np.float32))
    assert set(facts.skipped) == set(reasons)
    for name, words in reasons.items():
        assert words in facts.skipped[name].reason


def test_a_weight_that_callers_may_override_is_refused() -> None:
    facts = surveyed(
        "g (float[1, 1, 8, 8] x, float[4, 1, 3, 3] w) => (float[1, 4, 6, 6] y) { y = Conv (x, w) }",
        w=W,
    )
    assert facts.skipped["y"] == Skip("its weight is fed, not stored")


def test_a_constant_node_may_be_rewritten() -> None:
    facts = surveyed(
        "g (float[1, 1, 8, 8] x) => (float[1, 4, 6, 6] y)"
        f"{{ w = Constant <value = float[4, 1, 3, 3] {ONES}> () y = Conv (x, w) }}"
    )
    assert facts.skipped == {}


QUANTISED = {
    "QLinearConv": "y = QLinearConv (x, s, z, w, s, z, s, z)",
    "ConvInteger": "y = ConvInteger (x, w, z, z)",
    "FusedConv": 'y = com.microsoft.FusedConv <activation = "Relu"> (x, w, , x)',
}


def quantised(op: str) -> Survey:
    dtype = np.float32 if op == "FusedConv" else np.uint8
    word = np.dtype(dtype).name.replace("32", "")
    return surveyed(
        f"g ({word}[1, 1, 5, 5] x) => ({word}[1, 1, 5, 5] y) {{ {QUANTISED[op]} }}",
        domains=["com.microsoft"],
        w=np.ones((1, 1, 1, 1), dtype),
        s=np.float32(1),
        z=np.uint8(0),
    )


@pytest.mark.parametrize("op", QUANTISED)
def test_fused_and_quantised_convolutions_are_sites_but_refused(op: str) -> None:
    facts = quantised(op)
    assert facts.sites["y"].op == op
    assert (facts.sites["y"].channels, facts.sites["y"].kernel) == (1, (1, 1))
    assert op in facts.skipped["y"].reason


@pytest.mark.parametrize("op", QUANTISED)
def test_zero_points_and_sums_are_no_bias(op: str) -> None:
    assert not quantised(op).sites["y"].bias


@pytest.mark.parametrize(
    ("inputs", "bias"), [("x, w", False), ("x, w, b", True), ("x, w, ", False)]
)
def test_a_bias_is_seen(inputs: str, bias: bool) -> None:
    graph = f"g (float[1, 1, 8, 8] x) => (float[1, 4, 6, 6] y) {{ y = Conv ({inputs}) }}"
    assert the_site(graph, w=W, b=np.ones(4, np.float32)).bias is bias


@pytest.mark.parametrize(
    ("node", "weight", "facts"),
    [
        ("Conv <group = 2>", (6, 2, 3, 5), {"channels": 4, "filters": 6, "groups": 2}),
        ("Conv <group = 4>", (4, 1, 3, 5), {"channels": 4, "filters": 4, "groups": 4}),
        ("Conv", (6, 4, 3, 5), {"channels": 4, "filters": 6, "groups": 1}),
        ("Conv <kernel_shape = [3, 5]>", (6, 4, 3, 5), {"channels": 4, "kernel": (3, 5)}),
        ("ConvTranspose <group = 2>", (4, 3, 3, 5), {"channels": 4, "filters": 6, "groups": 2}),
        ("ConvTranspose", (4, 6, 3, 5), {"channels": 4, "filters": 6, "groups": 1}),
    ],
)
def test_channels_filters_and_kernel_are_read_from_the_weights(
    node: str, weight: tuple[int, ...], facts: dict[str, Any]
) -> None:
    it = the_site(
        f"g (float[1, 4, 9, 9] x) => (float[N, M, P, Q] y) {{ y = {node} (x, w) }}",
        w=np.ones(weight, np.float32),
    )
    assert {name: getattr(it, name) for name in facts} == facts
    assert (it.kernel, it.strides, it.dilations, it.pads) == ((3, 5), (1, 1), (1, 1), (0,) * 4)
    assert it.input_shape == (1, 4, 9, 9)
    assert it.output_shape is not None
    assert it.output_shape[1] == it.filters


AXES = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
    min_size=1,
    max_size=2,
)
"""Size, kernel, stride and dilation of every axis."""


def padded(mode: str, axes: list[tuple[int, int, int, int]]) -> tuple[onnx.ModelProto, ConvSite]:
    """A convolution with automatic padding, and its facts."""
    size, kernel, strides, dilations = (list(values) for values in zip(*axes, strict=True))
    lists = f'strides = {strides}, dilations = {dilations}, auto_pad = "{mode}"'
    open_shape = ", ".join(["1", "2", *"PQ"[: len(size)]])
    text = f"g (float{[1, 1, *size]} x) => (float[{open_shape}] y) {{ y = Conv <{lists}> (x, w) }}"
    w = np.random.default_rng(0).integers(-4, 5, (2, 1, *kernel)).astype(np.float32)
    network = ir.from_proto(proto(text, w=w))
    infer(network)
    return proto(text, w=w), survey(network).sites["y"]


@settings(max_examples=80)
@given(mode=st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]), axes=AXES)
def test_automatic_padding_is_what_onnxruntime_pads(
    mode: str, axes: list[tuple[int, int, int, int]]
) -> None:
    if mode == "VALID":
        axes = [(max(size, d * (k - 1) + 1), k, s, d) for size, k, s, d in axes]
    else:
        axes = [(size, k, s, 1) for size, k, s, _ in axes]  # onnxruntime has it without dilation
    network, site = padded(mode, axes)
    x = np.random.default_rng(1).integers(-4, 5, (1, 1, *(a[0] for a in axes))).astype(np.float32)
    (expected,) = ort(network, x=x)
    assert site.output_shape == expected.shape
    (attribute,) = (a for a in network.graph.node[0].attribute if a.name == "auto_pad")
    network.graph.node[0].attribute.remove(attribute)
    network.graph.node[0].attribute.append(helper.make_attribute("pads", site.pads))
    np.testing.assert_array_equal(ort(network, x=x)[0], expected)


@given(mode=st.sampled_from(["SAME_UPPER", "SAME_LOWER"]), axes=AXES)
def test_same_padding_is_the_least_for_a_position_every_stride_and_split_evenly(
    mode: str, axes: list[tuple[int, int, int, int]]
) -> None:
    _, site = padded(mode, axes)
    assert site.pads is not None
    begins, ends = site.pads[: len(axes)], site.pads[len(axes) :]
    for axis, begin, end in zip(axes, begins, ends, strict=True):
        wanted = len(range(0, axis[0], axis[2]))
        assert _positions(axis, begin + end) >= wanted
        assert begin + end == 0 or _positions(axis, begin + end - 1) < wanted
        larger, smaller = (end, begin) if mode == "SAME_UPPER" else (begin, end)
        assert larger - smaller in (0, 1)


def _positions(axis: tuple[int, int, int, int], padding: int) -> int:
    """Where a window may start."""
    size, kernel, stride, dilation = axis
    return len(range(0, size + padding - dilation * (kernel - 1), stride))


@pytest.mark.parametrize(
    ("x", "node"),
    [
        ("1, 1, H, 8", 'Conv <auto_pad = "SAME_UPPER", strides = [2, 1]>'),
        ("1, 1, H, W", 'Conv <auto_pad = "SAME_LOWER", strides = [2, 2]>'),
        ("1, 4, H, 8", "ConvTranspose <output_shape = [9, 9]>"),
    ],
)
def test_automatic_padding_without_a_known_size_is_not_known(x: str, node: str) -> None:
    graph = f"g (float[{x}] x) => (float[N, M, P, Q] y) {{ y = {node} (x, w) }}"
    assert the_site(graph, w=W).pads is None


@pytest.mark.parametrize(
    ("mode", "pads"), [("SAME_UPPER", (1, 0, 2, 1)), ("SAME_LOWER", (2, 1, 1, 0))]
)
def test_same_padding_of_steps_of_one_needs_no_size(mode: str, pads: tuple[int, ...]) -> None:
    graph = (
        "g (float[1, 1, H, 8] x) => (float[N, M, P, Q] y) "
        f'{{ y = Conv <auto_pad = "{mode}", dilations = [1, 1], strides = [1, 3]> (x, w) }}'
    )
    assert the_site(graph, w=np.ones((4, 1, 4, 3), np.float32)).pads == pads


@pytest.mark.parametrize("mode", ["VALID", "NOTSET"])
def test_padding_that_needs_no_size_is_known_without(mode: str) -> None:
    graph = f'g (float[1, 1, H, W] x) => (float y) {{ y = Conv <auto_pad = "{mode}"> (x, w) }}'
    assert the_site(graph, w=W).pads == (0, 0, 0, 0)


def test_nodes_come_in_the_graphs_order_under_their_outputs_names() -> None:
    facts = surveyed(
        "g (float[1, 1, 8, 8] x) => (float[1, 4, 6, 6] y)"
        "{ a = Relu (x) b = Conv (a, w) c, mask = Dropout (b) y = Sigmoid (c) }",
        w=W,
    )
    assert [(node.name, node.op) for node in facts.nodes] == [
        ("a", "Relu"),
        ("b", "Conv"),
        ("c", "Dropout"),
        ("y", "Sigmoid"),
    ]
    assert list(facts.sites) == ["b"]


IF = """
g (bool c, float[1, 1, 8, 8] x) => (float[1, 4, 6, 6] y) {
  y = If (c) <
    then_branch = t () => (float[1, 4, 6, 6] a) { a = Conv (x, w) },
    else_branch = e () => (float[1, 4, 6, 6] b) { b = Conv (x, w) }
  >
}
"""


def test_a_convolution_inside_a_branch_is_named_after_what_holds_it() -> None:
    facts = survey(model(IF, w=W))
    assert [site for site in facts.sites if "/" in site] == ["y/then_branch/a", "y/else_branch/b"]
    assert all("body" in facts.skipped[name].reason for name in facts.sites if "/" in name)


@pytest.mark.parametrize("op", ["Conv", "QLinearConv", "Normal"])
def test_a_function_of_the_models_own_is_no_convolution_whatever_its_name(op: str) -> None:
    result = analyze(
        model(
            f"g (float[1, 1, 8, 8] x) => (float[1, 1, 8, 8] y) {{ y = local.{op} (x) }}"
            f'<domain: "local", opset_import: ["": 17]> {op} (x) => (z) {{ z = Relu (x) }}',
            domains=["local"],
        )
    )
    assert [(layer.op, layer.kind) for layer in result.layers] == [("Relu", "activation")]
    assert result.totals.exact


def test_a_node_without_outputs_is_unknown() -> None:
    network = proto("g (float[1] x) => (float[1] y) { y = Relu (x) }", domains=["my"])
    network.graph.node.append(helper.make_node("Print", ["y"], [], "printer", domain="my"))
    result = analyze(ir.from_proto(network))
    assert [(unknown.node, unknown.op) for unknown in result.unknown] == [("printer", "Print")]


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ("1, 1, 8", 'auto_pad = "SAME_UPPER"'),
        ("1, 1, 8, 8, 8", 'auto_pad = "SAME_UPPER"'),
        ("1, 1, 8, 8", 'auto_pad = "SAME_LOWER", strides = [2]'),
        ("1, 1, 8, 8", 'auto_pad = "SAME_LOWER", dilations = [1, 1, 1]'),
    ],
)
def test_a_convolution_of_mixed_rank_is_unknown(shape: str, attributes: str) -> None:
    graph = f"g (float[{shape}] x) => (float[N, M, P, Q] y) {{ y = Conv <{attributes}> (x, w) }}"
    result = analyze(model(graph, w=W))
    assert [unknown.node for unknown in result.unknown] == ["y"]
