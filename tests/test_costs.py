"""The cost rules, against convolutions and products that execute and count what they multiply."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import Numbers, convolve, counted, model, ort, plain, proto, spread

from gconvtool import costs
from gconvtool.facts import NodeFact, Parameter, Shape, Skip
from gconvtool.pipeline.analyze import analyze
from gconvtool.results import Totals


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, object]:
    """Sizes of a small legal convolution in one, two or three dimensions."""
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    kernel, dilations, begins, ends = each(1, 3), each(1, 2), each(0, 2), each(0, 2)
    reach = (d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True))
    least = (max(1, r - b - e) for r, b, e in zip(reach, begins, ends, strict=True))
    return {
        "kernel": kernel,
        "dilations": dilations,
        "strides": each(1, 3),
        "pads": (*begins, *ends),
        "size": tuple(small + draw(st.integers(0, 2)) for small in least),
        "groups": draw(st.integers(1, 3)),
        "channels": draw(st.integers(1, 2)),  # of a group
        "filters": draw(st.integers(1, 2)),
        "batch": draw(st.integers(1, 2)),
    }


def _whole(seed: int, *shape: int) -> Numbers:
    """Small whole numbers: float32 sums of their products are exact."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def _attributes(g: dict[str, object]) -> str:
    """Without kernel_shape, which the weights know."""
    lists = (f"{key} = {list(g[key])}" for key in ("strides", "dilations", "pads"))
    return ", ".join([f"group = {g['groups']}", *lists])


@settings(max_examples=60)
@given(geometries())
def test_convolution_costs_what_it_multiplies_when_it_runs(g: dict) -> None:
    x = _whole(0, g["batch"], g["groups"] * g["channels"], *g["size"])
    w = _whole(1, g["groups"] * g["filters"], g["channels"], *g["kernel"])
    expected, multiplied = convolve(x, w, g["groups"], g["strides"], g["dilations"], g["pads"])
    network = proto(
        f"g (float{list(x.shape)} x) => (float y) {{ y = Conv <{_attributes(g)}> (x, w) }}", w=w
    )
    network.graph.output[0].type.tensor_type.ClearField("shape")
    np.testing.assert_array_equal(ort(network, x=x)[0], expected)  # it was a convolution
    (layer,) = analyze(ir.from_proto(network)).layers
    assert (layer.macs, layer.params) == (multiplied, w.size)
    assert layer.output_shape == expected.shape


@settings(max_examples=60)
@given(geometries())
def test_transposed_convolution_costs_what_it_multiplies_when_it_runs(g: dict) -> None:
    x = _whole(0, g["batch"], g["groups"] * g["channels"], *g["size"])
    w = _whole(1, g["groups"] * g["channels"], g["filters"], *g["kernel"])
    g = {**g, "pads": _cropped(g)}
    expected, multiplied = spread(x, w, g["groups"], g["strides"], g["dilations"], g["pads"])
    node = f"ConvTranspose <{_attributes(g)}>"
    network = proto(f"g (float{list(x.shape)} x) => (float y) {{ y = {node} (x, w) }}", w=w)
    network.graph.output[0].type.tensor_type.ClearField("shape")
    np.testing.assert_array_equal(ort(network, x=x)[0], expected)
    (layer,) = analyze(ir.from_proto(network)).layers
    assert (layer.macs, layer.params) == (multiplied, w.size)


def _cropped(g: dict) -> tuple[int, ...]:
    """The padding where it leaves something of the output, which it crops; none otherwise."""
    axes = len(g["kernel"])
    full = [
        (size - 1) * s + d * (k - 1) + 1
        for size, s, d, k in zip(g["size"], g["strides"], g["dilations"], g["kernel"], strict=True)
    ]
    begins, ends = g["pads"][:axes], g["pads"][axes:]
    fits = all(f > b + e for f, b, e in zip(full, begins, ends, strict=True))
    return g["pads"] if fits else (0,) * 2 * axes


def test_values_that_a_transposed_convolution_crops_count_too() -> None:
    x, w = _whole(0, 1, 2, 4, 4), _whole(1, 2, 3, 3, 3)
    expected, multiplied = spread(x, w, 1, (2, 2), (1, 1), (1, 1, 1, 1))
    network = proto(
        "g (float[1, 2, 4, 4] x) => (float[1, 3, 7, 7] y)"
        "{ y = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w) }",
        w=w,
    )
    np.testing.assert_array_equal(ort(network, x=x)[0], expected)
    assert analyze(ir.from_proto(network)).totals.macs == multiplied == 2 * 4 * 4 * 3 * 3 * 3


def test_positions_in_the_padding_count() -> None:
    # one input value in a ring of zeros: 3 × 3 outputs, each of 9 products, 81 of them with zeros
    network = model(
        "g (float[1, 1, 1, 1] x, float[1, 1, 3, 3] w) => (float[1, 1, 3, 3] y)"
        "{ y = Conv <pads = [2, 2, 2, 2]> (x, w) }"
    )
    assert analyze(network).totals.macs == 81


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 5)),
        ((2, 1, 3, 4), (2, 4, 5)),
        ((2, 3, 4), (1, 4, 5)),
        ((4, 2), (3, 1, 2, 2)),
    ],
    ids=str,
)
def test_matrix_product_costs_what_numpy_multiplies(
    left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    tally = [0]
    product = np.matmul(counted(np.ones(left), tally), counted(np.ones(right), tally))
    network = model(
        f"g (float{list(left)} a, float{list(right)} b) => (float{list(np.shape(product))} y)"
        "{ y = MatMul (a, b) }"
    )
    assert analyze(network).totals.macs == tally[0] > 0


@pytest.mark.parametrize("turned_a", [False, True])
@pytest.mark.parametrize("turned_b", [False, True])
def test_gemm_costs_what_numpy_multiplies_either_way_round(turned_a: bool, turned_b: bool) -> None:
    tally = [0]
    a, b = np.ones((2, 3)), np.ones((3, 5))
    plain(counted(a, tally) @ counted(b, tally))
    network = model(
        f"g (float{[3, 2] if turned_a else [2, 3]} a, float{[5, 3] if turned_b else [3, 5]} b,"
        " float[5] c) => (float[2, 5] y)"
        f"{{ y = Gemm <alpha = 2.0, beta = 3.0, transA = {int(turned_a)}, transB = {int(turned_b)}>"
        "(a, b, c) }"
    )
    assert analyze(network).totals.macs == tally[0] == 30


def test_a_multiply_add_is_two_operations() -> None:
    assert Totals(macs=220_965_376, params=0).flops == 441_930_752  # MobileFaceNet's "0.44 G"


def fact(op: str, *inputs: Shape, out: Shape = (1, 8), **more: object) -> NodeFact:
    facts: dict[str, object] = {"domain": "", "attributes": {}, **more}
    return NodeFact("y", op, inputs=inputs, outputs=(out,), **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "op",
    "Add AveragePool BatchNormalization Cast Concat Constant ConstantOfShape DequantizeLinear "
    "Flatten Gelu GlobalAveragePool HardSwish LayerNormalization MaxPool PRelu Pad QuantizeLinear "
    "ReduceMean Relu Reshape Resize Sigmoid Softmax Transpose".split(),
)
def test_bias_normalisation_activation_and_pooling_have_none(op: str) -> None:
    assert costs.macs(fact(op, (1, 8))) == 0


@pytest.mark.parametrize(
    "op",
    "Attention CausalConvWithState Conv ConvInteger ConvTranspose DFT DeformConv Einsum GRU Gemm "
    "If LSTM LinearAttention Loop MatMul MatMulInteger MelWeightMatrix QLinearConv QLinearMatMul "
    "RNN STFT Scan SequenceMap NoSuchOperator".split(),
)
def test_an_operator_that_may_multiply_is_never_silently_free(op: str) -> None:
    answer = costs.macs(fact(op, *[None] * 9, out=None))
    assert isinstance(answer, Skip)
    assert answer.reason


def test_an_unknown_domain_is_unknown_even_under_a_known_name() -> None:
    answer = costs.macs(fact("Relu", (1, 8), domain="com.acme"))
    assert isinstance(answer, Skip)
    assert "com.acme" in answer.reason


@pytest.mark.parametrize(
    ("output", "weight", "word"),
    [
        ((1, 4, "H", 6), (4, 2, 3, 3), "output"),
        (None, (4, 2, 3, 3), "output"),
        ((1, 4, 6, 6), (4, 2, None, 3), "weight"),
        ((1, 4, 6, 6), None, "weight"),
    ],
)
def test_what_is_not_known_is_named(output: Shape, weight: Shape, word: str) -> None:
    answer = costs.macs(fact("Conv", (1, 2, 8, 8), weight, out=output))
    assert isinstance(answer, Skip)
    assert word in answer.reason


def test_an_open_number_of_filters_does_not_matter() -> None:
    # |output| has the N that |weights| / N takes off: 1·4·6·6 outputs, each of 2·3·3 products
    assert costs.macs(fact("Conv", (1, 2, 8, 8), ("N", 2, 3, 3), out=(1, 4, 6, 6))) == 2592


@pytest.mark.parametrize("kernel", [3, 4, 5, 7])
def test_a_kernel_that_does_not_fit_into_its_map_is_unknown(kernel: int) -> None:
    result = analyze(
        model(
            f"g (float[1, 3, 2, 2] x, float[4, 3, {kernel}, {kernel}] w) => (float[N, M, P, Q] y)"
            "{ h = Conv (x, w) y = Relu (h) }"
        )
    )
    assert not result.totals.exact
    assert [unknown.node for unknown in result.unknown] == ["h"]
    assert result.totals.macs == 0


@pytest.mark.parametrize(
    ("channels", "weight", "attributes"),
    [
        pytest.param(5, (4, 3, 3, 3), "", id="5 channels against 3"),
        pytest.param(6, (5, 3, 3, 3), "group = 2", id="2 groups of 5 filters"),
        pytest.param(3, (4, 3, 3, 3), "kernel_shape = [5, 5]", id="another kernel_shape"),
        pytest.param(3, (4, 3, 3, 3), "group = 0", id="no groups"),
    ],
)
def test_a_convolution_that_contradicts_itself_is_unknown(
    channels: int, weight: tuple[int, ...], attributes: str
) -> None:
    text = f"<{attributes}>" if attributes else ""
    result = analyze(
        model(
            f"g (float[1, {channels}, 8, 8] x, float{list(weight)} w) => (float[N, M, P, Q] y)"
            f"{{ y = Conv {text} (x, w) }}"
        )
    )
    assert [unknown.node for unknown in result.unknown] == ["y"]


P = Parameter


@pytest.mark.parametrize(
    ("op", "parameters", "learned"),
    [
        pytest.param(
            "BatchNormalization", [None, *(P(n, (8,), True) for n in "abcd")], "ab", id="statistics"
        ),
        pytest.param(
            "Conv", [None, P("w", (1, 1, 1, 1), True), P("b", (1,), True)], "wb", id="one"
        ),
        pytest.param("Conv", [P("x", (1, 2, 8, 8), True), P("w", (4, 2, 1, 1), True)], "w", id="x"),
        pytest.param("PRelu", [None, P("s", (), True)], "s", id="one slope"),
        pytest.param("Add", [None, P("c", (), True)], "", id="scalar"),
        pytest.param("Add", [None, P("c", (8,), True)], "c", id="bias as an Add"),
        pytest.param("Gather", [P("e", (100, 16), True), P("i", (7,), False)], "e", id="embedding"),
        pytest.param("Slice", [None, P("i", (4,), False)], "", id="indices"),
        pytest.param(
            "QLinearConv",
            [
                None,
                *(P(n, (), True) for n in "sz"),
                P("w", (4, 2, 3, 3), False),
                *(P(n, (4,), True) for n in "tuvo"),
                P("b", (4,), False),
            ],
            "wb",
            id="quantised",
        ),
        pytest.param("Resize", [None, P("r", (8,), True), P("s", (4,), True)], "", id="scales"),
    ],
)
def test_learned_weights_are_told_from_statistics_scales_and_indices(
    op: str, parameters: list[Parameter | None], learned: str
) -> None:
    node = fact(op, parameters=tuple(parameters))
    assert [parameter.name for parameter in costs.learned(node)] == list(learned)


def test_the_off_and_on_values_of_onehot_are_not_learned() -> None:
    node = fact("OneHot", parameters=(None, P("depth", (), False), P("values", (2,), True)))
    assert not list(costs.learned(node))


def test_a_free_operator_is_not_also_counted() -> None:
    assert costs.ZERO.isdisjoint(costs.RULES)
