"""One MAC is one multiply and one add, FLOPs are twice the MACs; only convolutions and matrix
products have MACs: bias, normalisation, activation and pooling have none.

Shapes in, number out. The shape of the weights already knows about groups, so no rule does:

    convolution             MACs = |output| · |weights| / N    each output meets C/G·K… weights
    transposed convolution  MACs = |input| · |weights| / C     each input meets N/G·K… weights
    matrix product          MACs = |output| · K                K is the length summed over

Positions in the padding count, as everywhere in the literature. A node that no rule covers is a
`Skip` with its reason and never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod

from gconvtool.facts import NodeFact, Parameter, Shape, Skip, describe_shape

ZERO = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization
    Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil
    Celu CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant ConstantOfShape Cos
    Cosh CumProd CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal
    Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu GlobalAveragePool
    GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HammingWindow HannWindow
    HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization
    LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool Max MaxPool MaxRoiPool
    MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Multinomial Neg NonMaxSuppression
    NonZero Not OneHot Optional OptionalGetElement OptionalHasElement Or PRelu Pad Pow
    QuantizeLinear RMSNormalization RandomNormal RandomNormalLike RandomUniform RandomUniformLike
    Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round
    ScatterElements ScatterND Scatter Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase
    SequenceInsert SequenceLength Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
    SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze
    StringConcat StringNormalizer StringSplit Sub Sum Swish Tan Tanh TfIdfVectorizer ThresholdedRelu
    Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
    """.split()
)
"""Operators of the ONNX standard that are zero by the convention above."""

NORMALISATIONS = frozenset(
    "BatchNormalization GroupNormalization InstanceNormalization LayerNormalization "
    "RMSNormalization".split()
)

LEARNED: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2),  # scale and bias; 3 and 4 are running statistics
    "Conv": (1, 2),
    "ConvInteger": (1,),
    "ConvTranspose": (1, 2),
    "DequantizeLinear": (),
    "DynamicQuantizeLinear": (),
    "FusedConv": (1, 2),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "PRelu": (1,),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (0, 3),
    "QuantizeLinear": (),
    "Resize": (),
    "Upsample": (),
}
"""Which inputs hold learned weights. Elsewhere a floating constant of several values counts."""


def macs(node: NodeFact) -> int | Skip:
    """The node's multiply-accumulates, exact, or why they are not known."""
    if node.domain == "com.microsoft" and node.op == "FusedConv":
        return _convolution(node, 1)
    if node.domain:
        return Skip(f"no rule for operators of the domain {node.domain}")
    if node.op in RULES:
        return RULES[node.op](node)
    if node.op in ZERO:
        return 0
    return Skip(f"no rule for {node.op} yet")


def learned(node: NodeFact) -> Iterator[Parameter]:
    """The learned constants that enter the node: weights, biases, scales; no statistics."""
    chosen = LEARNED.get(node.op)
    for index, parameter in enumerate(node.parameters):
        if parameter is None:
            continue
        several = parameter.floating and prod(parameter.shape) > 1
        if several if chosen is None else index in chosen:
            yield parameter


def layer_kind(node: NodeFact) -> str:
    """The kind of a node that is no convolution."""
    if node.op in RULES:
        return "linear"
    return "normalization" if node.op in NORMALISATIONS else "other"


def _convolution(node: NodeFact, weight: int) -> int | Skip:
    return _product((node.outputs[0], "output"), (_tail(node.inputs[weight]), "weight"))


def _transposed(node: NodeFact) -> int | Skip:
    return _product((node.inputs[0], "input"), (_tail(node.inputs[1]), "weight"))


def _matmul(node: NodeFact) -> int | Skip:
    left = node.inputs[0]
    return _product((node.outputs[0], "output"), (left and left[-1:], "input"))


def _gemm(node: NodeFact) -> int | Skip:
    left = node.inputs[0]
    axis = 0 if node.attributes.get("transA") else 1
    return _product((node.outputs[0], "output"), (left and left[axis : axis + 1], "input"))


def _tail(shape: Shape) -> Shape:
    return None if shape is None else shape[1:]


def _product(*factors: tuple[Shape, str]) -> int | Skip:
    """The product of all dimensions, or which of them is missing."""
    result = 1
    for shape, what in factors:
        if shape is None:
            return Skip(f"the shape of its {what} is not known")
        numbers = [dim for dim in shape if isinstance(dim, int)]
        if len(numbers) < len(shape):
            return Skip(f"its {what} has open dimensions: {describe_shape(shape)}")
        result *= prod(numbers)
    return result


RULES: Mapping[str, Callable[[NodeFact], int | Skip]] = {
    "Conv": lambda node: _convolution(node, 1),
    "ConvInteger": lambda node: _convolution(node, 1),
    "QLinearConv": lambda node: _convolution(node, 3),
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _matmul,
}
