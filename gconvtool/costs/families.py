"""Families of operators that multiply no matrices: zero MACs by definition, and what they do.

Operators of other domains carry theirs: `com.microsoft.FastGelu`. A tree of decisions compares and
adds, so that it is here; a support vector machine is not.
"""

from __future__ import annotations


def _microsoft(names: str) -> frozenset[str]:
    return frozenset(f"com.microsoft.{name}" for name in names.split())


def _classical(names: str) -> frozenset[str]:
    return frozenset(f"ai.onnx.ml.{name}" for name in names.split())


ACTIVATIONS = frozenset(
    """
    Celu Clip Elu Gelu HardSigmoid HardSwish Hardmax LeakyRelu LogSoftmax Mish PRelu
    ParametricSoftplus Relu ScaledTanh Selu Shrink Sigmoid Softmax Softplus Softsign Swish Tanh
    ThresholdedRelu
    """.split()
) | _microsoft("FastGelu Gelu QLinearLeakyRelu QLinearSigmoid QLinearSoftmax QuickGelu")
"""One value from one."""

COMPOSED_ACTIVATIONS = frozenset({"SwiGLU"}) | _microsoft(
    "BiasGelu BiasSoftmax BiasSplitGelu SwiGLU"
)
"""An activation after the sum with a bias, or as a gate."""

ARITHMETIC = (
    frozenset(
        """
        Abs Acos Acosh Add And Asin Asinh Atan Atanh Bernoulli BitShift BitwiseAnd BitwiseNot
        BitwiseOr BitwiseXor BlackmanWindow Ceil Cos Cosh CumProd CumSum DequantizeLinear Div
        DynamicQuantizeLinear Equal Erf Exp Floor Greater GreaterOrEqual HammingWindow HannWindow
        IsInf IsNaN Less LessOrEqual Log Mod Mul Multinomial Neg Not Or Pow QuantizeLinear
        RandomNormal RandomNormalLike RandomUniform RandomUniformLike Reciprocal Round Sign Sin Sinh
        Sqrt Sub Tan Where Xor
        """.split()
    )
    | _microsoft(
        "BiasAdd BiasDropout BitmaskBiasDropout DequantizeLinear MulInteger QLinearAdd QLinearMul "
        "QLinearWhere QuantizeLinear"
    )
    | _classical("Binarizer Imputer")
)
"""One value of the output from one of each operand."""

VARIADIC = frozenset("Max Mean Min Sum".split())
"""Any number of operands."""

NORMALISATIONS = (
    frozenset(
        """
        Affine BatchNormalization GroupNormalization ImageScaler InstanceNormalization LRN
        LayerNormalization LpNormalization MeanVarianceNormalization RMSNormalization
        SimplifiedLayerNormalization
        """.split()
    )
    | _microsoft("GroupNorm")
    | _classical("Normalizer Scaler")
)
"""Scale and shift."""

ADDING_NORMALISATIONS = _microsoft(
    "EmbedLayerNormalization SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization"
)
"""The same after sums."""

POOLINGS = frozenset("AveragePool LpPool MaxPool".split()) | _microsoft(
    "NhwcMaxPool QLinearAveragePool"
)
GLOBAL_POOLINGS = frozenset("GlobalAveragePool GlobalLpPool GlobalMaxPool".split()) | _microsoft(
    "QLinearGlobalAveragePool"
)
REGION_POOLINGS = frozenset("MaxRoiPool RoiAlign".split())
"""How much they read depends on the regions."""

REDUCTIONS = frozenset(
    """
    ArgMax ArgMin Col2Im NegativeLogLikelihoodLoss ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare SoftmaxCrossEntropyLoss
    TopK Unique
    """.split()
) | _microsoft("QLinearReduceMean ReduceSumInteger Unique")

RESAMPLINGS = frozenset("GridSample Resize Upsample".split()) | _microsoft("GridSample")

MOVES = (
    frozenset(
        """
        BitCast Cast CastLike CenterCropPad Compress Concat ConcatFromSequence Constant
        ConstantOfShape DepthToSpace Dropout Expand EyeLike Flatten Gather GatherElements GatherND
        Identity MaxUnpool NonZero OneHot Optional OptionalGetElement OptionalHasElement Pad Range
        RegexFullMatch Reshape ReverseSequence SequenceAt SequenceConstruct SequenceEmpty
        SequenceErase SequenceInsert SequenceLength Shape Size Slice SpaceToDepth Split
        SplitToSequence Squeeze StringConcat StringNormalizer StringSplit TensorScatter Tile
        Transpose Trilu Unsqueeze
        """.split()
    )
    | _microsoft(
        "BitmaskDropout ExpandDims GatherND Pad QLinearConcat Range RemovePadding RestorePadding "
        "Tokenizer Trilu UnfoldTensor"
    )
    | frozenset({"com.microsoft.nchwc.ReorderInput", "com.microsoft.nchwc.ReorderOutput"})
    | _classical(
        "ArrayFeatureExtractor CastMap CategoryMapper DictVectorizer FeatureVectorizer "
        "LabelEncoder OneHotEncoder ZipMap"
    )
)
"""They only move, name, pick or reshape data."""

UNMEASURED = (
    frozenset(
        """
        Det NonMaxSuppression RotaryEmbedding Scatter ScatterElements ScatterND TfIdfVectorizer
        """.split()
    )
    | _microsoft("CropAndResize GatherBlockQuantized GemmaRotaryEmbedding RotaryEmbedding")
    | _classical("TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor")
)
"""No MACs either, and how much else they do depends on data or on attributes that vary it."""

ANY_ACTIVATION = ACTIVATIONS | COMPOSED_ACTIVATIONS
ANY_NORMALISATION = NORMALISATIONS | ADDING_NORMALISATIONS
ANY_POOLING = POOLINGS | GLOBAL_POOLINGS | REGION_POOLINGS
ANY_ARITHMETIC = ARITHMETIC | VARIADIC | REDUCTIONS
ZERO = (
    ANY_ACTIVATION
    | ANY_NORMALISATION
    | ANY_POOLING
    | ANY_ARITHMETIC
    | RESAMPLINGS
    | MOVES
    | UNMEASURED
)
"""Operators that are zero by the convention."""
