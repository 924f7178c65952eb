"""Biases: one addition for each output that a convolution or a matrix product adds one to.

A bias that is an Add of its own, or part of an activation, is elementwise. What Einsum and the
like cannot have counts nothing; an operator without a rule is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gconvtool.costs import attention, recurrent
from gconvtool.costs.families import ZERO
from gconvtool.costs.node import given, known, output, qualified, shape
from gconvtool.costs.rules import ATTENTION, RECURRENT, RULES
from gconvtool.facts import NodeFact

BIAS: Mapping[str, int] = {
    "CausalConvWithState": 2,
    "Conv": 2,
    "ConvTranspose": 2,
    "DeformConv": 3,
    "Gemm": 2,
    "QLinearConv": 8,
    "com.microsoft.CausalConvWithState": 2,
    "com.microsoft.ConvTransposeWithDynamicPads": 3,
    "com.microsoft.DynamicQuantizeMatMul": 4,
    "com.microsoft.FusedConv": 2,
    "com.microsoft.FusedGemm": 2,
    "com.microsoft.GemmFastGelu": 2,
    "com.microsoft.GemmFloat8": 2,
    "com.microsoft.MatMulIntegerToFloat": 6,
    "com.microsoft.MatMulNBits": 5,
    "com.microsoft.NhwcConv": 2,
    "com.microsoft.NhwcFusedConv": 2,
    "com.microsoft.QGemm": 6,
    "com.microsoft.QLinearConv": 8,
}
"""Which input is the bias."""


def bias_adds(node: NodeFact) -> int | None:
    """How many additions of a bias; None where a shape is not known in numbers."""
    name = qualified(node)
    if name in OTHERWISE:
        return OTHERWISE[name](node)
    if name in BIAS and given(node, BIAS[name]):
        return known(output(node))
    return 0 if name in RULES or name in ZERO else None


def _linear_model(node: NodeFact) -> int | None:
    """Scores are the second output of a classifier."""
    scores = output(node, 1 if node.op == "LinearClassifier" else 0)
    return known(scores) if node.attributes.get("intercepts") else 0


def _multi_head(node: NodeFact) -> int | None:
    """One bias for queries, keys and values, but for those of another sequence's cache."""
    if not given(node, 3):
        return 0
    parts = [shape(node, index) for index in range(3) if given(node, index)]
    sizes = [known(part) for part in parts if part is None or len(part) != 4]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _decoding(node: NodeFact) -> int | None:
    if not given(node, 10):
        return 0
    return known(shape(node, 10), (shape(node, 0) or (None,))[:1])


OTHERWISE: Mapping[str, Callable[[NodeFact], int | None]] = {
    **dict.fromkeys(RECURRENT, recurrent.bias_adds),
    **dict.fromkeys(ATTENTION, attention.bias_adds),
    "ai.onnx.ml.LinearClassifier": _linear_model,
    "ai.onnx.ml.LinearRegressor": _linear_model,
    "com.microsoft.DecoderMaskedMultiHeadAttention": _decoding,
    "com.microsoft.MultiHeadAttention": _multi_head,
}
