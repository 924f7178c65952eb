"""What a stored tensor is for: learned weights, statistics, quantisation, or plain constants.

Where an operator is not listed, a floating constant of several values is learned (a bias that is an
Add, an embedding behind Gather), and anything else a constant. A tensor that several nodes read has
the first of its roles in the order above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gconvtool.costs.node import qualified
from gconvtool.facts import NodeFact, Parameter
from gconvtool.results import Role

Inputs = tuple[int, ...]


LEARNED: Mapping[str, Inputs] = {
    "BatchNormalization": (1, 2),
    "CausalConvWithState": (1, 2),
    "Clip": (),
    "Conv": (1, 2),
    "ConvInteger": (1,),
    "ConvTranspose": (1, 2),
    "ConvTransposeWithDynamicPads": (1, 3),
    "DecoderMaskedSelfAttention": (1, 2),
    "DeformConv": (1, 3),
    "DequantizeLinear": (),
    "DynamicQuantizeLSTM": (1, 2, 3, 7),
    "DynamicQuantizeLinear": (),
    "DynamicQuantizeMatMul": (0, 1, 4),
    "FusedConv": (1, 2),
    "FusedGemm": (0, 1, 2),
    "FusedMatMul": (0, 1),
    "GRU": (1, 2, 3),
    "GatherBlockQuantized": (0,),
    "Gemm": (0, 1, 2),
    "GemmFastGelu": (0, 1, 2),
    "GemmFloat8": (0, 1, 2),
    "GroupQueryAttention": (14, 15),
    "LSTM": (1, 2, 3, 7),
    "MatMul": (0, 1),
    "MatMulBnb4": (1,),
    "MatMulInteger": (0, 1),
    "MatMulIntegerToFloat": (0, 1, 6),
    "MatMulNBits": (1, 5),
    "NhwcConv": (1, 2),
    "NhwcFusedConv": (1, 2),
    "OneHot": (),
    "PRelu": (1,),
    "PackedAttention": (1, 2),
    "QAttention": (1, 2),
    "QGemm": (0, 3, 6),
    "QLinearAdd": (0, 3),
    "QLinearAveragePool": (),
    "QLinearConv": (3, 8),
    "QLinearGlobalAveragePool": (),
    "QLinearLeakyRelu": (),
    "QLinearMatMul": (0, 3),
    "QLinearMul": (0, 3),
    "QLinearReduceMean": (),
    "QLinearSigmoid": (),
    "QLinearSoftmax": (),
    "QLinearWhere": (1, 4),
    "QuantizeLinear": (),
    "RNN": (1, 2, 3),
    "Resize": (),
    "RotaryEmbedding": (),
    "Upsample": (),
    "com.microsoft.Attention": (1, 2),
}
"""Which inputs hold learned weights."""

STATISTICS: Mapping[str, Inputs] = {"BatchNormalization": (3, 4)}
"""Running means and variances."""

QUANTISATION: Mapping[str, Inputs] = {
    "ConvInteger": (2, 3),
    "DequantizeLinear": (1, 2),
    "DynamicQuantizeLSTM": (8, 9, 10, 11),
    "DynamicQuantizeMatMul": (2, 3),
    "GatherBlockQuantized": (2, 3),
    "GemmFloat8": (3, 4, 5),
    "GroupQueryAttention": (12, 13),
    "MatMulBnb4": (2,),
    "MatMulInteger": (2, 3),
    "MatMulIntegerToFloat": (2, 3, 4, 5),
    "MatMulNBits": (2, 3),
    "MulInteger": (1, 3),
    "QAttention": (3, 4, 6, 7),
    "QGemm": (1, 2, 4, 5, 7, 8),
    "QLinearAdd": (1, 2, 4, 5, 6, 7),
    "QLinearAveragePool": (1, 2, 3, 4),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearGlobalAveragePool": (1, 2, 3, 4),
    "QLinearLeakyRelu": (1, 2, 3, 4),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "QLinearMul": (1, 2, 4, 5, 6, 7),
    "QLinearReduceMean": (1, 2, 3, 4),
    "QLinearSigmoid": (1, 2, 3, 4),
    "QLinearSoftmax": (1, 2, 3, 4),
    "QLinearWhere": (2, 3, 5, 6, 7, 8),
    "QuantizeLinear": (1, 2),
}
"""Scales and zero points."""


CONCATENATION = "QLinearConcat"
"""Scale and zero point of the output, then three inputs an operand."""


def role(node: NodeFact, index: int) -> Role:
    """What the constant behind an input is for, as far as this node goes."""
    if node.op == CONCATENATION:
        return "learned" if index > 1 and index % 3 == 2 else "quantisation"
    if index in (_listed(QUANTISATION, node) or ()):
        return "quantisation"
    if index in (_listed(STATISTICS, node) or ()):
        return "statistics"
    chosen = _listed(LEARNED, node)
    return (
        "learned" if (_several(node, index) if chosen is None else index in chosen) else "constants"
    )


def learned(node: NodeFact) -> Iterator[Parameter]:
    """The learned constants that enter the node: weights, biases, scales; no statistics."""
    for index, parameter in enumerate(node.parameters):
        if parameter is not None and role(node, index) == "learned":
            yield parameter


def _listed(table: Mapping[str, Inputs], node: NodeFact) -> Inputs | None:
    """An operator of another domain is taken for the one of its name, unless it has its own row."""
    return table.get(qualified(node), table.get(node.op))


def _several(node: NodeFact, index: int) -> bool:
    parameter = node.parameters[index] if index < len(node.parameters) else None
    return parameter is not None and parameter.floating and parameter.numbers > 1
