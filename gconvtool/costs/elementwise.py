"""What is computed besides products of matrices, by one convention; it is no measure of time.

    activation, arithmetic    one per value produced (a sum of n operands n − 1, Softmax one)
    fused to those            one more per value for each bias, residual or gate
    normalisation             two per value produced: scale and shift
    pooling                   |output| · ΠK: one per value that a window reads
    global pooling, reduction one per value read
    resampling                one per value produced; choosing the nearest moves data
    fused and quantised       what is fused to a product, and one per value that is rescaled
    recurrent, attention      by the tables of their own rules

Moving, naming, casting, picking or reshaping data is none. None means that it is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gconvtool.costs import attention, families, recurrent
from gconvtool.costs.node import given, known, output, qualified, shape, whole, word
from gconvtool.costs.rules import ATTENTION, RECURRENT, RULES
from gconvtool.facts import Dim, NodeFact


def elementwise_ops(node: NodeFact) -> int | None:
    """How many; None where a shape is not known in numbers, or the operator is not."""
    name = qualified(node)
    rule = OPERATIONS.get(name)
    if rule is not None:
        return rule(node)
    return 0 if name in RULES or name in families.MOVES else None


def _each(times: int) -> Callable[[NodeFact], int | None]:
    return lambda node: _outputs(node, times)


def _outputs(node: NodeFact, times: int) -> int | None:
    return 0 if times == 0 else known(output(node), (times,))


def _read(node: NodeFact) -> int | None:
    return known(shape(node, 0))


def _variadic(node: NodeFact) -> int | None:
    """Mean divides after its sums."""
    return _outputs(node, len(node.inputs) - 1 + (node.op == "Mean"))


def _biased_activation(node: NodeFact) -> int | None:
    return _outputs(node, 1 + given(node, 1))


def _pooling(node: NodeFact) -> int | None:
    kernel = node.attributes.get("kernel_shape")
    return known(output(node), _whole_numbers(kernel) if isinstance(kernel, tuple) else None)


def _whole_numbers(values: tuple[object, ...]) -> tuple[Dim, ...]:
    return tuple(value if isinstance(value, int) else None for value in values)


def _resampling(node: NodeFact) -> int | None:
    default = "linear" if node.op == "GridSample" else "nearest"
    return _outputs(node, int(word(node, "mode", default) != "nearest"))


def _normalisation(node: NodeFact) -> int | None:
    """With an activation where one is fused in, a residual, and a bias for that."""
    sums = 1 + given(node, SKIP_BIAS[node.op]) if node.op in SKIP_BIAS else 0
    return _outputs(node, 2 + sums + (whole(node, "activation") > 0))


SKIP_BIAS = {"SkipGroupNorm": 4, "SkipLayerNormalization": 4, "SkipSimplifiedLayerNormalization": 3}
"""Normalisations of a sum, and which input is the bias of that."""


def _embedding(node: NodeFact) -> int | None:
    """Words, positions and, where they are there, segments are added up."""
    return _outputs(node, 3 + given(node, 4))


def _fused_convolution(node: NodeFact) -> int | None:
    """An activation, and a residual."""
    return _outputs(node, _fused(node) + given(node, 3))


def _fused_product(node: NodeFact) -> int | None:
    return _outputs(node, _fused(node))


def _fused(node: NodeFact) -> int:
    return int(word(node, "activation").lower() not in ("", "none"))


def _deformable(node: NodeFact) -> int | None:
    """A sample for each weight of a group's channel at each position, and a product with a mask."""
    data, weight, out = shape(node, 0), shape(node, 1), output(node)
    if data is None or weight is None or out is None:
        return None
    return known(data[:2], weight[2:], out[2:], (1 + given(node, 4),))


def _unpacked(node: NodeFact) -> int | None:
    """Weights of few bits are brought back to scale."""
    return known((whole(node, "K") or None, whole(node, "N") or None))


def _bias_add(node: NodeFact) -> int | None:
    return _outputs(node, len(node.inputs) - 1)


def _classifier(node: NodeFact) -> int | None:
    scores = output(node, 1 if node.op == "LinearClassifier" else 0)
    return 0 if word(node, "post_transform", "NONE") == "NONE" else known(scores)


def _rotation(node: NodeFact) -> int | None:
    """Two products and a sum a value; None where only some channels are rotated."""
    return None if whole(node, "rotary_embedding_dim") else _outputs(node, 3)


def _scatter(node: NodeFact) -> int | None:
    reduced = word(node, "reduction", "none") != "none"
    return known(shape(node, 2)) if reduced else 0


def _microsoft(*names: str) -> tuple[str, ...]:
    return tuple(f"com.microsoft.{name}" for name in names)


OPERATIONS: Mapping[str, Callable[[NodeFact], int | None]] = {
    **dict.fromkeys(families.ACTIVATIONS | families.ARITHMETIC, _each(1)),
    **dict.fromkeys(families.COMPOSED_ACTIVATIONS, _each(2)),
    "com.microsoft.BiasSplitGelu": _each(4),  # two biases, one activation, one gate
    "com.microsoft.FastGelu": _biased_activation,
    **dict.fromkeys(families.VARIADIC, _variadic),
    **dict.fromkeys(families.ANY_NORMALISATION, _normalisation),
    "com.microsoft.EmbedLayerNormalization": _embedding,
    **dict.fromkeys(families.POOLINGS, _pooling),
    **dict.fromkeys(families.GLOBAL_POOLINGS | families.REDUCTIONS, _read),
    **dict.fromkeys(families.RESAMPLINGS, _resampling),
    **dict.fromkeys(RECURRENT, recurrent.elementwise_ops),
    **dict.fromkeys(ATTENTION, attention.elementwise_ops),
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), _scatter),
    **dict.fromkeys(("RotaryEmbedding", "com.microsoft.RotaryEmbedding"), _rotation),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul"), _each(1)),
    **dict.fromkeys(_microsoft("FusedConv", "NhwcFusedConv"), _fused_convolution),
    **dict.fromkeys(
        _microsoft("CausalConvWithState", "FusedGemm", "FusedMatMulActivation", "GemmFloat8"),
        _fused_product,
    ),
    "CausalConvWithState": _fused_product,
    "DeformConv": _deformable,
    **dict.fromkeys(_microsoft("MatMulBnb4", "MatMulNBits"), _unpacked),
    **dict.fromkeys(
        _microsoft(
            "DynamicQuantizeMatMul", "GemmFastGelu", "MatMulIntegerToFloat", "QGemm", "QLinearConv"
        ),
        _each(1),
    ),
    "com.microsoft.BiasAdd": _bias_add,
    "ai.onnx.ml.LinearClassifier": _classifier,
    "ai.onnx.ml.LinearRegressor": _classifier,
}
