"""Which rule counts which operator, and on which inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import TypeAlias

from gconvtool.costs.attention import SCORES, attention
from gconvtool.costs.convolution import convolution, of_any_layout, quantised, transposed
from gconvtool.costs.einsum import einsum
from gconvtool.costs.families import (
    ANY_ACTIVATION,
    ANY_ARITHMETIC,
    ANY_NORMALISATION,
    ANY_POOLING,
    ZERO,
)
from gconvtool.costs.node import qualified
from gconvtool.costs.product import (
    affine_grid,
    blockwise,
    blockwise_4bit,
    fused_matmul,
    gemm,
    linear_model,
    matmul,
)
from gconvtool.costs.recurrent import recurrent
from gconvtool.costs.term import Terms
from gconvtool.facts import NodeFact, Skip

Rule: TypeAlias = Callable[[NodeFact], Terms | Skip]


def _channels_last(node: NodeFact) -> Terms | Skip:
    return convolution(node, channels_last=True)


def _microsoft(rules: Mapping[str, Rule]) -> dict[str, Rule]:
    return {f"com.microsoft.{name}": rule for name, rule in rules.items()}


CONVOLUTIONS: Mapping[str, Rule] = {
    "CausalConvWithState": of_any_layout,
    "Conv": convolution,
    "ConvInteger": convolution,
    "ConvTranspose": transposed,
    "DeformConv": convolution,
    "QLinearConv": quantised,
    **_microsoft(
        {
            "CausalConvWithState": of_any_layout,
            "ConvTransposeWithDynamicPads": transposed,
            "FusedConv": convolution,
            "NhwcConv": of_any_layout,
            "NhwcFusedConv": _channels_last,
            "QLinearConv": quantised,
        }
    ),
}

PRODUCTS: Mapping[str, Rule] = {
    "AffineGrid": affine_grid,
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": matmul,
    "MatMulInteger": matmul,
    "QLinearMatMul": lambda node: matmul(node, 3),
    "ai.onnx.ml.LinearClassifier": linear_model,
    "ai.onnx.ml.LinearRegressor": linear_model,
    **_microsoft(
        {
            "DynamicQuantizeMatMul": matmul,
            "FusedGemm": gemm,
            "FusedMatMul": fused_matmul,
            "FusedMatMulActivation": fused_matmul,
            "GemmFastGelu": matmul,
            "GemmFloat8": gemm,
            "MatMulBnb4": blockwise_4bit,
            "MatMulInteger16": matmul,
            "MatMulIntegerToFloat": matmul,
            "MatMulNBits": blockwise,
            "QGemm": lambda node: gemm(node, 3),
            "TransposeMatMul": fused_matmul,
        }
    ),
}

RECURRENT: Mapping[str, Rule] = {
    "com.microsoft.DynamicQuantizeLSTM": recurrent,
    **dict.fromkeys(("GRU", "LSTM", "RNN"), recurrent),
}

ATTENTION: Mapping[str, Rule] = dict.fromkeys(SCORES, attention)

RULES: Mapping[str, Rule] = {**CONVOLUTIONS, **PRODUCTS, **RECURRENT, **ATTENTION}
"""Operators that multiply. All others are in `ZERO`, or unknown."""

CONTROL = frozenset(("If", "Loop", "Scan", "SequenceMap"))


KINDS: Mapping[str, Container[str]] = {
    "convolution": CONVOLUTIONS,
    "linear": PRODUCTS,
    "recurrent": RECURRENT,
    "attention": ATTENTION,
    "normalization": ANY_NORMALISATION,
    "pooling": ANY_POOLING,
    "activation": ANY_ACTIVATION,
    "elementwise": ANY_ARITHMETIC,
    "control": CONTROL,
}


def terms(node: NodeFact) -> Terms | Skip:
    """What the node multiplies: nothing, sums of products, or why it is not known."""
    name = qualified(node)
    if name in RULES:
        return RULES[name](node)
    if name in ZERO:
        return ()
    if name in CONTROL:
        return Skip(f"what {node.op} costs is the cost of its bodies")
    if name == "com.microsoft.nchwc.Conv":
        return Skip("its channels are padded to blocks, which hides how many there are")
    if name != node.op and node.domain not in ("com.microsoft", "ai.onnx.ml"):
        return Skip(f"no rule for operators of the domain {node.domain}")
    return Skip(f"no rule for {node.op} yet")


def layer_kind(node: NodeFact) -> str:
    """The family of a node that is no convolution with facts of its own."""
    name = qualified(node)
    return next((kind for kind, names in KINDS.items() if name in names), "other")
