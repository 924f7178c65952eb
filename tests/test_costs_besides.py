"""What is no MAC: biases and elementwise operations, counted by hand; and kinds and roles."""

from __future__ import annotations

from typing import Any

import pytest
from helpers_costs import MICROSOFT, fact
from onnx import defs

from gconvtool import costs
from gconvtool.costs.families import ZERO
from gconvtool.costs.rules import CONTROL
from gconvtool.facts import Parameter, Shape, Skip

OUT = (2, 8, 5, 5)  # 400 values
CONV = ((2, 4, 7, 7), (8, 4, 3, 3))


@pytest.mark.parametrize(
    ("op", "domain", "before"),
    [
        ("Conv", "", 0),
        ("FusedConv", MICROSOFT, 0),
        ("NhwcConv", MICROSOFT, 0),
        ("ConvTranspose", "", 0),
        ("DeformConv", "", 1),
        ("ConvTransposeWithDynamicPads", MICROSOFT, 1),
        ("QLinearConv", "", 6),
        ("QLinearConv", MICROSOFT, 6),
    ],
)
def test_a_bias_is_added_once_to_each_output(op: str, domain: str, before: int) -> None:
    shapes = (*CONV, *[(1,)] * before)
    plain = fact(op, *shapes, out=OUT, domain=domain)
    biased = fact(op, *shapes, (8,), out=OUT, domain=domain)
    assert (costs.bias_adds(plain), costs.bias_adds(biased)) == (0, 400)


def test_a_bias_left_out_by_name_adds_nothing() -> None:
    node = fact("Gemm", (3, 4), (4, 5), (5,), out=(3, 5), reads=("a", "b", ""))
    assert costs.bias_adds(node) == 0


def test_a_single_number_is_a_bias_where_it_has_a_name() -> None:
    node = fact("Gemm", (3, 4), (4, 5), (), out=(3, 5), reads=("a", "b", "c"))
    assert costs.bias_adds(node) == 15


@pytest.mark.parametrize("count", [costs.bias_adds, costs.elementwise_ops], ids=["bias", "other"])
def test_unknown_is_never_zero(count: Any) -> None:
    assert count(fact("NoSuchOperator", (1, 8))) is None
    assert count(fact("Relu", (1, 8), domain="com.acme")) is None
    assert count(fact("FusedConv", *CONV, (8,), OUT, out=None, domain=MICROSOFT)) is None
    assert count(fact("Loop", (), ())) is None


X, Y = (1, 4, 6, 6), (1, 4, 3, 3)  # 144 and 36 values
ELEMENTWISE = [
    ("Relu", "", [X], X, {}, 144),
    ("Softmax", "", [X], X, {}, 144),
    ("Add", "", [X, (4, 1, 1)], X, {}, 144),
    ("Sum", "", [X, X, X], X, {}, 2 * 144),
    ("Mean", "", [X, X, X], X, {}, 3 * 144),
    ("Max", "", [X], X, {}, 0),
    ("BatchNormalization", "", [X, (4,), (4,), (4,), (4,)], X, {}, 2 * 144),
    ("LayerNormalization", "", [X, (6,)], X, {}, 2 * 144),
    ("MaxPool", "", [X], Y, {"kernel_shape": (2, 2)}, 36 * 4),
    ("AveragePool", "", [X], Y, {"kernel_shape": (3, 2)}, 36 * 6),
    ("GlobalAveragePool", "", [X], (1, 4, 1, 1), {}, 144),
    ("ReduceMean", "", [X], (1, 4), {}, 144),
    ("Resize", "", [Y, (), (4,)], X, {"mode": "linear"}, 144),
    ("Resize", "", [Y, (), (4,)], X, {}, 0),
    ("Transpose", "", [X], X, {}, 0),
    ("Reshape", "", [X, (2,)], (4, 36), {}, 0),
    ("Concat", "", [Y, Y], (1, 8, 3, 3), {}, 0),
    ("QuantizeLinear", "", [X, (1,), (1,)], X, {}, 144),
    ("ScatterND", "", [X, (5, 4), (5,)], X, {}, 0),
    ("ScatterND", "", [X, (5, 4), (5,)], X, {"reduction": "add"}, 5),
    ("Conv", "", CONV, OUT, {}, 0),
    ("MatMul", "", [(3, 4), (4, 5)], (3, 5), {}, 0),
    ("QLinearConv", "", CONV, OUT, {}, 400),
    ("RoiAlign", "", [X, (2, 4), (2,)], (2, 4, 3, 3), {}, None),
    ("FusedConv", MICROSOFT, [*CONV, (8,)], OUT, {"activation": "Relu"}, 400),
    ("FusedConv", MICROSOFT, [*CONV, (8,), OUT], OUT, {"activation": "Relu"}, 800),
    ("FusedConv", MICROSOFT, [*CONV, (8,)], OUT, {}, 0),
    ("CausalConvWithState", "", [(1, 4, 6), (4, 1, 3)], (1, 4, 6), {"activation": "silu"}, 24),
    ("CausalConvWithState", "", [(1, 4, 6), (4, 1, 3)], (1, 4, 6), {"activation": "none"}, 0),
    ("BiasGelu", MICROSOFT, [X, (6,)], X, {}, 2 * 144),
    ("FastGelu", MICROSOFT, [X], X, {}, 144),
    ("FastGelu", MICROSOFT, [X, (6,)], X, {}, 2 * 144),
    ("SkipLayerNormalization", MICROSOFT, [X, X, (6,)], X, {}, 3 * 144),
    ("SkipLayerNormalization", MICROSOFT, [X, X, (6,), (6,), (6,)], X, {}, 4 * 144),
    ("GroupNorm", MICROSOFT, [X, (4,), (4,)], X, {"activation": 1}, 3 * 144),
    ("RotaryEmbedding", "", [X, (9, 3), (9, 3)], X, {}, 3 * 144),
    ("RotaryEmbedding", "", [X, (9, 3), (9, 3)], X, {"rotary_embedding_dim": 2}, None),
    ("QLinearAdd", MICROSOFT, [X], X, {}, 144),
]


@pytest.mark.parametrize(("op", "domain", "inputs", "out", "attributes", "expected"), ELEMENTWISE)
def test_what_is_computed_besides_products(
    op: str, domain: str, inputs: list, out: Shape, attributes: dict, expected: int | None
) -> None:
    node = fact(op, *inputs, out=out, domain=domain, attributes=attributes)
    assert costs.elementwise_ops(node) == expected


@pytest.mark.parametrize(
    ("ops", "domain", "kind"),
    [
        ("Gemm MatMul MatMulInteger QLinearMatMul Einsum", "", "linear"),
        ("FusedGemm QGemm MatMulNBits", MICROSOFT, "linear"),
        ("LSTM GRU RNN", "", "recurrent"),
        ("DynamicQuantizeLSTM", MICROSOFT, "recurrent"),
        ("Attention", "", "attention"),
        ("Attention QAttention GroupQueryAttention", MICROSOFT, "attention"),
        ("BatchNormalization LRN LpNormalization", "", "normalization"),
        ("SkipLayerNormalization GroupNorm", MICROSOFT, "normalization"),
        ("MaxPool AveragePool GlobalMaxPool RoiAlign", "", "pooling"),
        ("Relu PRelu Softmax Clip", "", "activation"),
        ("BiasGelu", MICROSOFT, "activation"),
        ("Add Where Erf ReduceMean", "", "elementwise"),
        ("If Loop Scan", "", "control"),
        ("Reshape Resize NoSuchOperator", "", "other"),
        ("Relu", "com.acme", "other"),
        ("DeformConv", "", "convolution"),
    ],
)
def test_kinds_of_what_is_no_convolution(ops: str, domain: str, kind: str) -> None:
    assert {costs.layer_kind(fact(op, (1, 8), domain=domain)) for op in ops.split()} == {kind}


FREE = {
    "": "Relu RotaryEmbedding SwiGLU TensorScatter",
    MICROSOFT: "BiasGelu FastGelu QuickGelu SkipLayerNormalization EmbedLayerNormalization "
    "RotaryEmbedding QLinearAdd QLinearConcat NhwcMaxPool QuantizeLinear Trilu Pad",
    "ai.onnx.ml": "Scaler Normalizer LabelEncoder TreeEnsembleRegressor",
    "com.microsoft.nchwc": "ReorderInput ReorderOutput",
}


@pytest.mark.parametrize("domain", FREE)
def test_operators_without_products_are_free_in_every_domain(domain: str) -> None:
    assert {costs.macs(fact(op, (1, 8), domain=domain)) for op in FREE[domain].split()} == {0}


def test_the_standards_operators_are_each_counted_free_or_known_to_be_open() -> None:
    schemas = [schema for schema in defs.get_all_schemas() if schema.since_version <= 27]
    names = {schema.name for schema in schemas if schema.domain == ""}
    missing = names - set(costs.RULES) - set(ZERO) - CONTROL
    assert missing <= {"DFT", "STFT", "MelWeightMatrix", "ImageDecoder", "LinearAttention"}


def test_operators_that_were_dropped_or_are_left_by_training_are_free() -> None:
    dropped = "Affine ImageScaler ParametricSoftplus ScaledTanh".split()
    trained = "BiasDropout BitmaskBiasDropout BitmaskDropout GemmaRotaryEmbedding".split()
    facts = [fact(op, (1, 8)) for op in dropped]
    facts += [fact(op, (1, 8), domain=MICROSOFT) for op in trained]
    assert {costs.macs(node) for node in facts} == {0}


def test_an_operator_of_another_domain_says_which() -> None:
    answer = costs.macs(fact("Inverse", (2, 2), domain=MICROSOFT))
    assert answer == Skip("no rule for Inverse yet")


P = Parameter


@pytest.mark.parametrize(
    ("op", "domain", "roles"),
    [
        ("Conv", "", "-ll"),
        ("DeformConv", "", "-l-l"),
        ("BatchNormalization", "", "-llss"),
        ("LSTM", "", "-lll---l"),
        ("GRU", "", "-lll"),
        ("QuantizeLinear", "", "-qq"),
        ("DequantizeLinear", "", "-qq"),
        ("QLinearConv", "", "-qqlqqqql"),
        ("QLinearMatMul", "", "lqqlqqqq"),
        ("ConvInteger", "", "-lqq"),
        ("MatMulInteger", "", "llqq"),
        ("QGemm", MICROSOFT, "lqqlqqlqq"),
        ("QAttention", MICROSOFT, "-llqq-qq"),
        ("Attention", MICROSOFT, "-ll--"),
        ("MatMulNBits", MICROSOFT, "-lqq-l"),
        ("QLinearAdd", MICROSOFT, "lqqlqqqq"),
        ("QLinearConcat", MICROSOFT, "qqlqqlqq"),
        ("QLinearSigmoid", MICROSOFT, "-qqqq"),
        ("QLinearConv", MICROSOFT, "-qqlqqqql"),
        ("NhwcFusedConv", MICROSOFT, "-ll"),
        ("GroupQueryAttention", MICROSOFT, "------------qqll"),
        ("RotaryEmbedding", "", "---"),
        ("Resize", "", "---"),
    ],
)
def test_what_a_stored_tensor_is_for(op: str, domain: str, roles: str) -> None:
    node = fact(op, *[(8,)] * len(roles), domain=domain)
    words = {"l": "learned", "s": "statistics", "q": "quantisation", "-": "constants"}
    assert [costs.role(node, index) for index in range(len(roles))] == [words[r] for r in roles]


@pytest.mark.parametrize(
    ("parameter", "role"),
    [
        (P("bias", (8,), True), "learned"),
        (P("number", (), True), "constants"),
        (P("one", (1,), True), "constants"),
        (P("indices", (8,), False), "constants"),
        (None, "constants"),
    ],
)
def test_elsewhere_several_floating_numbers_are_learned(
    parameter: Parameter | None, role: str
) -> None:
    assert costs.role(fact("Add", (1, 8), (8,), parameters=(None, parameter)), 1) == role
