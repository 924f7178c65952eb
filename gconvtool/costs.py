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
    Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike
    Ceil Celu CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant
    ConstantOfShape Cos Cosh CumProd CumSum DepthToSpace DequantizeLinear Det Div Dropout
    DynamicQuantizeLinear Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements
    GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization HammingWindow HannWindow Hardmax HardSigmoid HardSwish Identity
    InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
    LpNormalization LpPool LRN Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization Min
    Mish Mod Mul Multinomial Neg NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot
    Optional OptionalGetElement OptionalHasElement Or Pad Pow PRelu QuantizeLinear RandomNormal
    RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize ReverseSequence RMSNormalization RoiAlign Round Scatter
    ScatterElements ScatterND Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase
    SequenceInsert SequenceLength Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
    SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze
    StringConcat StringNormalizer StringSplit Sub Sum Swish Tan Tanh TfIdfVectorizer
    ThresholdedRelu Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor
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
    "OneHot": (),
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
    for contradiction in _contradictions(node, node.inputs[0], node.inputs[weight]):
        return Skip(contradiction)
    return _product((node.outputs[0], "output"), (_tail(node.inputs[weight]), "weight"))


def _transposed(node: NodeFact) -> int | Skip:
    data, weight = node.inputs[:2]
    if data and weight and None not in (data[1], weight[0]) and data[1] != weight[0]:
        return Skip(f"its input has {data[1]} channels, its weight is for {weight[0]}")
    return _product((data, "input"), (_tail(weight), "weight"))


def _contradictions(node: NodeFact, data: Shape, weight: Shape) -> Iterator[str]:
    """Why no runtime could run the convolution: ONNX's checker lets such nodes pass."""
    groups = node.attributes.get("group", 1)
    if data is None or weight is None or not isinstance(groups, int):
        return
    if groups < 1:
        yield f"it has {groups} groups"
    elif len(data) != len(weight) or len(weight) < 3:
        yield f"its input has {len(data)} dimensions, its weight {len(weight)}"
    else:
        channels, filters, share = data[1], weight[0], weight[1]
        if isinstance(channels, int) and isinstance(share, int) and channels != groups * share:
            yield f"its input has {channels} channels, its weight is for {groups * share}"
        if isinstance(filters, int) and filters % groups:
            yield f"{groups} groups do not divide its {filters} filters"
        if node.attributes.get("kernel_shape", weight[2:]) != weight[2:]:
            yield "its kernel_shape is not that of its weight"
        for name in ("strides", "dilations"):
            numbers = node.attributes.get(name, weight[2:])
            if isinstance(numbers, tuple) and len(numbers) != len(weight) - 2:
                yield f"its {name} are not for {len(weight) - 2} dimensions"


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
        if any(number < 1 for number in numbers):
            return Skip(f"its {what} is empty: {describe_shape(shape)}")
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
