"""Small legal models as ONNX text, and what each of them costs, worked out by hand.

One MAC is one multiply and one add. A convolution meets C/G·K… weights at each output, a transposed
one N/G·K… weights at each input; a matrix product sums over K at each output; positions in the
padding count; bias, normalisation, activation and pooling have none. Numbers of several factors
are written as products in that order: |output| (or |input|), then what each of them meets.

Weights that a text declares without values get some from a seed. Outputs are declared without a
shape (`float[] y`), so that it has to be inferred.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

Numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Case:
    """A model, and what it costs.

    `kinds` are those of convolutions by row, or only their list where a function's expansion makes
    the names. `stored` are numbers by role, where a role is in doubt. `dims` are sizes given for
    open dimensions, `feeds` inputs that must not be random. `cannot_run` is why onnxruntime has no
    kernel for it here, "" where it has.
    """

    name: str
    graph: str
    macs: int
    params: int
    kinds: Mapping[str, str] | tuple[str, ...] = field(default_factory=dict)
    unknown: int = 0
    stored: Mapping[str, int] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    feeds: Mapping[str, object] = field(default_factory=dict)
    opset: int = 17
    ir_version: int = 8
    functions: str = ""
    cannot_run: str = ""

    def model(self) -> onnx.ModelProto:
        """The model, with numbers in its weights."""
        imports = f'"": {self.opset}, "com.microsoft": 1, "com.acme": 1, "local": 1'
        header = f"<ir_version: {self.ir_version}, opset_import: [{imports}]>"
        model = parser.parse_model(f"{header}\ng {self.graph}\n{self.functions}")
        _fill(model.graph, np.random.default_rng(0))
        return model


def _fill(graph: onnx.GraphProto, rng: np.random.Generator) -> None:
    """Give numbers to the values that are declared and that nothing makes."""
    made = {name for node in graph.node for name in node.output}
    for value in [value for value in graph.value_info if value.name not in made]:
        shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        numbers = random_numbers(value.type.tensor_type.elem_type, shape, rng)
        graph.initializer.append(numpy_helper.from_array(numbers, value.name))
        graph.value_info.remove(value)


def random_numbers(elem_type: int, shape: tuple[int, ...], rng: np.random.Generator) -> Numbers:
    """Small random numbers of a type; truth for booleans."""
    dtype = helper.tensor_dtype_to_np_dtype(elem_type)
    if dtype == np.bool_:
        return np.ones(shape, dtype)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, 5, shape).astype(dtype)
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def _convolutions() -> Iterator[Case]:
    yield Case(
        "conv in one dimension",
        "(float[2,3,10] x) => (float[] y) <float[4,3,3] w> { y = Conv <pads=[1,1]> (x, w) }",
        macs=2 * 4 * 10 * 3 * 3,
        params=4 * 3 * 3,
        kinds={"y": "standard"},
    )
    yield Case(
        "conv in two dimensions with bias",
        "(float[1,3,8,8] x) => (float[] y) <float[16,3,3,3] w, float[16] b>{ y = Conv (x, w, b) }",
        macs=16 * 6 * 6 * 3 * 3 * 3,  # 8 − 3 + 1 = 6 a side
        params=16 * 3 * 3 * 3 + 16,
        kinds={"y": "standard"},
        stored={"learned": 16 * 3 * 3 * 3 + 16},
    )
    yield Case(
        "conv in three dimensions",
        "(float[1,2,4,5,6] x) => (float[] y) <float[3,2,2,2,2] w> { y = Conv (x, w) }",
        macs=3 * 3 * 4 * 5 * 2 * 2 * 2 * 2,
        params=3 * 2 * 2 * 2 * 2,
        kinds={"y": "standard"},
    )
    yield Case(
        "conv with kernel_shape said",
        "(float[1,3,8,8] x) => (float[] y) <float[4,3,1,5] w>"
        "{ y = Conv <kernel_shape=[1,5]> (x, w) }",
        macs=4 * 8 * 4 * 3 * 1 * 5,
        params=4 * 3 * 5,
        kinds={"y": "standard"},
    )
    yield Case(
        "conv of a batch",
        "(float[4,3,5,5] x) => (float[] y) <float[2,3,3,3] w> { y = Conv (x, w) }",
        macs=4 * 2 * 3 * 3 * 3 * 3 * 3,
        params=2 * 3 * 3 * 3,
        kinds={"y": "standard"},
    )
    yield Case(
        "conv of one channel in one group is standard",
        "(float[1,1,6,6] x) => (float[] y) <float[1,1,3,3] w> { y = Conv <group=1> (x, w) }",
        macs=4 * 4 * 3 * 3,
        params=3 * 3,
        kinds={"y": "standard"},
    )
    yield Case(
        "pointwise",
        "(float[1,8,5,5] x) => (float[] y) <float[6,8,1,1] w> { y = Conv (x, w) }",
        macs=6 * 5 * 5 * 8,
        params=6 * 8,
        kinds={"y": "pointwise"},
    )
    yield Case(
        "pointwise with strides, one dimension",
        "(float[1,8,7] x) => (float[] y) <float[6,8,1] w> { y = Conv <strides=[2]> (x, w) }",
        macs=6 * 4 * 8,  # positions 0, 2, 4, 6
        params=6 * 8,
        kinds={"y": "pointwise"},
    )
    yield Case(
        "grouped",
        "(float[1,8,6,6] x) => (float[] y) <float[4,4,3,3] w> { y = Conv <group=2> (x, w) }",
        macs=4 * 4 * 4 * 4 * 3 * 3,  # each output sees 8 / 2 channels
        params=4 * 4 * 3 * 3,
        kinds={"y": "grouped"},
    )
    yield Case(
        "grouped pointwise",
        "(float[1,8,6,6] x) => (float[] y) <float[12,2,1,1] w> { y = Conv <group=4> (x, w) }",
        macs=12 * 6 * 6 * 2,
        params=12 * 2,
        kinds={"y": "grouped-pointwise"},
    )
    for spatial, taps, outputs in (("5", "3", 3), ("5,6", "3,3", 3 * 4), ("3,4,5", "2,2,2", 24)):
        kernel = int(np.prod([int(k) for k in taps.split(",")]))
        yield Case(
            f"depthwise in {spatial.count(',') + 1} dimensions",
            f"(float[1,6,{spatial}] x) => (float[] y) <float[6,1,{taps}] w>"
            "{ y = Conv <group=6> (x, w) }",
            macs=6 * outputs * kernel,
            params=6 * kernel,
            kinds={"y": "depthwise"},
        )
    yield Case(
        "depthwise with multiplier",
        "(float[1,4,6,6] x) => (float[] y) <float[12,1,3,3] w> { y = Conv <group=4> (x, w) }",
        macs=12 * 4 * 4 * 3 * 3,
        params=12 * 3 * 3,
        kinds={"y": "depthwise-multiplier"},
    )
    yield Case(
        "global depthwise",
        "(float[1,6,4,4] x) => (float[] y) <float[6,1,4,4] w> { y = Conv <group=6> (x, w) }",
        macs=6 * 1 * 1 * 4 * 4,
        params=6 * 4 * 4,
        kinds={"y": "gdc"},
    )
    yield Case(
        "global depthwise in one dimension",
        "(float[1,6,9] x) => (float[] y) <float[6,1,9] w> { y = Conv <group=6> (x, w) }",
        macs=6 * 9,
        params=6 * 9,
        kinds={"y": "gdc"},
    )
    yield Case(
        "a kernel as large as its padded map is not global",
        "(float[1,6,4,4] x) => (float[] y) <float[6,1,4,4] w>"
        "{ y = Conv <group=6, pads=[1,1,1,1]> (x, w) }",
        macs=6 * 3 * 3 * 4 * 4,
        params=6 * 4 * 4,
        kinds={"y": "depthwise"},
    )
    yield Case(
        "one value left by a stride is not global",
        "(float[1,6,5,5] x) => (float[] y) <float[6,1,4,4] w>"
        "{ y = Conv <group=6, strides=[2,2]> (x, w) }",
        macs=6 * 1 * 1 * 4 * 4,  # one window, and its last row and column are never read
        params=6 * 4 * 4,
        kinds={"y": "depthwise"},
    )
    yield Case(
        "one value left by a dilation is not global",
        "(float[1,6,4,4] x) => (float[] y) <float[6,1,2,2] w>"
        "{ y = Conv <group=6, dilations=[3,3]> (x, w) }",
        macs=6 * 1 * 1 * 2 * 2,
        params=6 * 2 * 2,
        kinds={"y": "depthwise"},
    )
    yield Case(
        "dense kernel over the whole map is standard",
        "(float[1,6,4,4] x) => (float[] y) <float[5,6,4,4] w> { y = Conv (x, w) }",
        macs=5 * 6 * 4 * 4,
        params=5 * 6 * 4 * 4,
        kinds={"y": "standard"},
    )


def _geometry() -> Iterator[Case]:
    weights = "<float[3,2,3,3] w>"
    per_output = 2 * 3 * 3
    for name, size, attributes, outputs in (
        ("dilations", "9,9", "dilations=[2,2]", 5 * 5),  # reaches over 5
        ("dilations one way only", "9,9", "dilations=[1,3]", 7 * 3),  # 9 − 7 + 1 = 3
        ("strides that differ", "9,10", "strides=[2,3]", 4 * 3),  # ⌊6/2⌋ + 1, ⌊7/3⌋ + 1
        ("pads that differ", "5,5", "pads=[0,1,2,3]", 5 * 7),  # 5 + 2 − 2, 5 + 4 − 2
        ("pads, strides and dilations", "8,8", "pads=[2,2,1,1], strides=[2,2], dilations=[2,1]",
         4 * 5),  # ⌊(11 − 5)/2⌋ + 1, ⌊(11 − 3)/2⌋ + 1
        ("NOTSET", "6,6", 'auto_pad="NOTSET", pads=[1,1,1,1]', 6 * 6),
        ("VALID", "6,6", 'auto_pad="VALID"', 4 * 4),
        ("VALID with stride and dilation", "9,9", 'auto_pad="VALID", strides=[2,2], '
         "dilations=[2,2]", 3 * 3),  # ⌊(9 − 5)/2⌋ + 1
        ("SAME_UPPER", "6,5", 'auto_pad="SAME_UPPER"', 6 * 5),
        ("SAME_LOWER", "6,5", 'auto_pad="SAME_LOWER"', 6 * 5),
        ("SAME_UPPER with stride", "7,8", 'auto_pad="SAME_UPPER", strides=[2,2]', 4 * 4),
        ("SAME_LOWER with stride", "7,8", 'auto_pad="SAME_LOWER", strides=[3,2]', 3 * 4),
    ):  # fmt: skip
        yield Case(
            f"conv with {name}",
            f"(float[1,2,{size}] x) => (float[] y) {weights} {{ y = Conv <{attributes}> (x, w) }}",
            macs=3 * outputs * per_output,
            params=3 * per_output,
            kinds={"y": "standard"},
        )
    for mode in ("SAME_UPPER", "SAME_LOWER"):
        yield Case(
            f"conv with {mode} and dilation",
            f'(float[1,2,7,7] x) => (float[] y) {weights} {{ y = Conv <auto_pad="{mode}", '
            "dilations=[2,2]> (x, w) }",
            macs=3 * 7 * 7 * per_output,  # ⌈7 / 1⌉ a side, whatever the dilation
            params=3 * per_output,
            kinds={"y": "standard"},
            cannot_run="no kernel combines the two",
        )


def _transposed() -> Iterator[Case]:
    data = "(float[1,4,5,5] x) => (float[] y)"
    for name, weight, attributes, kind in (
        ("dense", (4, 6, 3, 3), "strides=[2,2]", "standard"),
        ("cropped", (4, 6, 3, 3), "strides=[2,2], pads=[1,1,1,1]", "standard"),
        ("dilated", (4, 6, 3, 3), "dilations=[2,2]", "standard"),
        ("pointwise", (4, 6, 1, 1), "strides=[2,2]", "pointwise"),
        ("grouped", (4, 3, 3, 3), "group=2, strides=[2,2]", "grouped"),
        ("depthwise", (4, 1, 4, 4), "group=4, strides=[2,2], pads=[1,1,1,1]", "depthwise"),
        ("multiplied", (4, 2, 3, 3), "group=4", "depthwise-multiplier"),
        ("with output_padding", (4, 6, 3, 3), "strides=[2,2], output_padding=[1,1]", "standard"),
        ("with output_shape", (4, 6, 3, 3), "strides=[2,2], output_shape=[10,10]", "standard"),
        ("SAME_UPPER", (4, 6, 3, 3), 'strides=[2,2], auto_pad="SAME_UPPER"', "standard"),
        ("VALID", (4, 6, 3, 3), 'strides=[3,3], auto_pad="VALID"', "standard"),
    ):
        _, share, k, _ = weight
        yield Case(
            f"transposed {name}",
            f"{data} <float{list(weight)} w> {{ y = ConvTranspose <{attributes}> (x, w) }}",
            macs=4 * 5 * 5 * share * k * k,  # each input is spread over N/G·K·K outputs
            params=4 * share * k * k,
            kinds={"y": kind},
        )
    yield Case(
        "transposed in one dimension with bias",
        "(float[2,4,7] x) => (float[] y) <float[4,3,4] w, float[3] b>"
        "{ y = ConvTranspose <strides=[2]> (x, w, b) }",
        macs=2 * 4 * 7 * 3 * 4,
        params=4 * 3 * 4 + 3,
        kinds={"y": "standard"},
    )
    yield Case(
        "transposed in three dimensions",
        "(float[1,2,2,3,4] x) => (float[] y) <float[2,3,2,2,2] w>"
        "{ y = ConvTranspose <strides=[2,2,2]> (x, w) }",
        macs=2 * 2 * 3 * 4 * 3 * 2 * 2 * 2,
        params=2 * 3 * 2 * 2 * 2,
        kinds={"y": "standard"},
    )


SCALES = "float s = {0.1}, uint8 z = {3}"


def _quantised() -> Iterator[Case]:
    yield Case(
        "ConvInteger of uint8",
        "(uint8[1,3,6,6] x) => (int32[] y) <uint8[4,3,3,3] w, uint8 z = {3}>"
        "{ y = ConvInteger (x, w, z, z) }",
        macs=4 * 4 * 4 * 3 * 3 * 3,
        params=4 * 3 * 3 * 3,
        kinds={"y": "standard"},
        stored={"learned": 4 * 3 * 3 * 3, "quantisation": 1},
    )
    for sizes, taps, outputs in (("8", "3", 6), ("6,6", "3,3", 16), ("4,4,4", "3,3,3", 8)):
        kernel = int(np.prod([int(k) for k in taps.split(",")]))
        yield Case(
            f"QLinearConv in {sizes.count(',') + 1} dimensions",
            f"(uint8[1,2,{sizes}] x) => (uint8[] y) <{SCALES}, uint8[4,2,{taps}] w, int32[4] b>"
            "{ y = QLinearConv (x, s, z, w, s, z, s, z, b) }",
            macs=4 * outputs * 2 * kernel,
            params=4 * 2 * kernel + 4,
            kinds={"y": "standard"},
            stored={"learned": 4 * 2 * kernel + 4, "quantisation": 2},
        )
    yield Case(
        "QLinearConv depthwise, a scale a channel",
        f"(uint8[1,4,6,6] x) => (uint8[] y) <{SCALES}, int8[4,1,3,3] w, float[4] t ="
        " {1.0, 1.0, 1.0, 1.0}, int8[4] v = {0, 0, 0, 0}>"
        "{ y = QLinearConv <group=4> (x, s, z, w, t, v, s, z) }",
        macs=4 * 4 * 4 * 3 * 3,
        params=4 * 3 * 3,
        kinds={"y": "depthwise"},
        stored={"quantisation": 1 + 1 + 4 + 4},
    )
    yield Case(
        "conv between QuantizeLinear and DequantizeLinear",
        f"(float[1,3,6,6] x) => (float[] y) <{SCALES}, int8[4,3,3,3] q, float t = {{0.1}}, "
        "int8 v = {0}, int32[4] c, float u = {0.01}> {"
        "xq = QuantizeLinear (x, s, z)  xd = DequantizeLinear (xq, s, z)"
        "w = DequantizeLinear (q, t, v)  b = DequantizeLinear (c, u)"
        "h = Conv (xd, w, b)  hq = QuantizeLinear (h, s, z)  y = DequantizeLinear (hq, s, z) }",
        macs=4 * 4 * 4 * 3 * 3 * 3,
        params=4 * 3 * 3 * 3 + 4,
        kinds={"h": "standard"},
        stored={"learned": 4 * 3 * 3 * 3 + 4, "quantisation": 5},
    )
    yield Case(
        "QLinearConv with channels last",
        f"(uint8[1,6,6,2] x) => (uint8[] y) <{SCALES}, uint8[4,2,3,3] w>"
        "{ y = com.microsoft.QLinearConv <channels_last=1> (x, s, z, w, s, z, s, z) }",
        macs=4 * 4 * 4 * 2 * 3 * 3,
        params=4 * 2 * 3 * 3,
        kinds={"y": "standard"},
    )


def _contributed() -> Iterator[Case]:
    yield Case(
        "FusedConv with activation",
        "(float[1,3,6,6] x) => (float[] y) <float[4,3,3,3] w, float[4] b>"
        '{ y = com.microsoft.FusedConv <activation="Relu", pads=[1,1,1,1]> (x, w, b) }',
        macs=4 * 6 * 6 * 3 * 3 * 3,
        params=4 * 3 * 3 * 3 + 4,
        kinds={"y": "standard"},
    )
    yield Case(
        "FusedConv, depthwise, that adds",
        "(float[1,4,6,6] x, float[1,4,4,4] z) => (float[] y) <float[4,1,3,3] w, float[4] b>"
        '{ y = com.microsoft.FusedConv <activation="Relu", group=4> (x, w, b, z) }',
        macs=4 * 4 * 4 * 3 * 3,
        params=4 * 3 * 3 + 4,
        kinds={"y": "depthwise"},
    )
    yield Case(
        "NhwcConv",
        "(float[1,6,7,3] x) => (float[] y) <float[4,3,3,3] w>"
        "{ y = com.microsoft.NhwcConv <strides=[1,2]> (x, w) }",
        macs=4 * 3 * 4 * 3 * 3 * 3,  # height 6 − 2, width ⌊(7 − 3)/2⌋ + 1
        params=4 * 3 * 3 * 3,
        kinds={"y": "standard"},
        cannot_run="for other devices than the processor",
    )
    yield Case(
        "NhwcConv, global depthwise",
        "(float[1,5,5,6] x) => (float[] y) <float[6,1,5,5] w>"
        "{ y = com.microsoft.NhwcConv <group=6> (x, w) }",
        macs=6 * 5 * 5,
        params=6 * 5 * 5,
        kinds={"y": "gdc"},
        cannot_run="for other devices than the processor",
    )
    yield Case(
        "NhwcFusedConv",
        "(float16[1,6,6,4] x) => (float16[] y) <float16[8,2,3,3] w, float16[8] b>"
        '{ y = com.microsoft.NhwcFusedConv <activation="Relu", group=2> (x, w, b) }',
        macs=8 * 4 * 4 * 2 * 3 * 3,
        params=8 * 2 * 3 * 3 + 8,
        kinds={"y": "grouped"},
        cannot_run="for processors that compute with float16",
    )
    yield Case(
        "deformable",
        "(float[1,4,6,6] x, float[1,18,4,4] offset) => (float[] y) <float[6,2,3,3] w, float[6] b>"
        "{ y = DeformConv <group=2> (x, w, offset, b) }",
        macs=6 * 4 * 4 * 2 * 3 * 3,
        params=6 * 2 * 3 * 3 + 6,
        opset=19,
        kinds={"y": "grouped"},
    )
    yield Case(
        "QGemm",
        f"(uint8[2,3] x) => (uint8[] y) <{SCALES}, uint8[5,3] w>"
        "{ y = com.microsoft.QGemm <transB=1> (x, s, z, w, s, z, , s, z) }",
        macs=2 * 5 * 3,
        params=5 * 3,
        stored={"learned": 5 * 3, "quantisation": 2},
    )
    yield Case(
        "FusedMatMul of a transposed matrix",
        "(float[2,3,4] x) => (float[] y) <float[5,4] w>"
        "{ y = com.microsoft.FusedMatMul <transB=1> (x, w) }",
        macs=2 * 3 * 5 * 4,
        params=5 * 4,
    )
    yield Case(
        "DynamicQuantizeMatMul",
        "(float[3,4] x) => (float[] y) <int8[4,5] w, float t = {0.1}>"
        "{ y = com.microsoft.DynamicQuantizeMatMul (x, w, t) }",
        macs=3 * 5 * 4,
        params=4 * 5,
        stored={"learned": 4 * 5, "quantisation": 1},
    )
    yield Case(
        "FusedConv in the middle",
        "(float[1,3,8,8] x) => (float[] y) <float[4,3,3,3] v, float[5,4,3,3] w> {"
        'h = com.microsoft.FusedConv <activation="Relu"> (x, v)'
        "y = Conv <strides=[2,2]> (h, w) }",
        macs=4 * 6 * 6 * 3 * 3 * 3 + 5 * 2 * 2 * 4 * 3 * 3,
        params=4 * 3 * 3 * 3 + 5 * 4 * 3 * 3,
        kinds={"h": "standard", "y": "standard"},
    )
    yield Case(
        "contributed activations in the middle",
        "(float[2,3,8] x) => (float[] y) <float[8,6] v, float[6] b, float[6,4] w> {"
        "h = MatMul (x, v)  i = com.microsoft.FastGelu (h, b)  j = com.microsoft.BiasGelu (i, b)"
        "k = com.microsoft.QuickGelu (j)  y = MatMul (k, w) }",
        macs=2 * 3 * 6 * 8 + 2 * 3 * 4 * 6,
        params=8 * 6 + 6 + 6 * 4,
    )
    yield Case(
        "FusedConv, then pooling, then Gemm",
        "(float[1,3,8,8] x) => (float[] y) <float[4,3,1,1] v, float[7,64] w> {"
        'h = com.microsoft.FusedConv <activation="Relu"> (x, v)'
        "p = MaxPool <kernel_shape=[2,2], strides=[2,2]> (h)  f = Flatten (p)"
        "y = Gemm <transB=1> (f, w) }",
        macs=4 * 8 * 8 * 3 + 7 * 64,
        params=4 * 3 + 7 * 64,
        kinds={"h": "pointwise"},
    )


def _products() -> Iterator[Case]:
    for first, second in ((0, 0), (0, 1), (1, 0), (1, 1)):
        a, b = ([3, 2] if first else [2, 3]), ([5, 3] if second else [3, 5])
        yield Case(
            f"Gemm transA={first} transB={second}",
            f"(float{a} x) => (float[] y) <float{b} w, float[5] c>"
            f"{{ y = Gemm <transA={first}, transB={second}> (x, w, c) }}",
            macs=2 * 5 * 3,
            params=3 * 5 + 5,
        )
    for left, right, macs in (
        ([3, 4], [4, 5], 3 * 5 * 4),
        ([4], [4, 5], 5 * 4),
        ([3, 4], [4], 3 * 4),
        ([4], [4], 4),
        ([2, 1, 3, 4], [6, 4, 5], 2 * 6 * 3 * 5 * 4),
        ([4], [6, 4, 5], 6 * 5 * 4),
    ):
        yield Case(
            f"MatMul {left} by {right}".replace(",", "").replace("[", "").replace("]", ""),
            f"(float{left} x) => (float[] y) <float{right} w> {{ y = MatMul (x, w) }}",
            macs=macs,
            params=int(np.prod(right)),
        )
    yield Case(
        "MatMul of two inputs",
        "(float[2,3,4] a, float[2,4,5] b) => (float[] y) { y = MatMul (a, b) }",
        macs=2 * 3 * 5 * 4,
        params=0,
    )
    yield Case(
        "MatMulInteger",
        "(uint8[3,4] x) => (int32[] y) <uint8[4,5] w, uint8 z = {2}>"
        "{ y = MatMulInteger (x, w, z, z) }",
        macs=3 * 5 * 4,
        params=4 * 5,
        stored={"learned": 4 * 5, "quantisation": 1},
    )
    yield Case(
        "QLinearMatMul",
        f"(uint8[2,3,4] x) => (uint8[] y) <{SCALES}, uint8[4,5] w>"
        "{ y = QLinearMatMul (x, s, z, w, s, z, s, z) }",
        macs=2 * 3 * 5 * 4,
        params=4 * 5,
        stored={"learned": 4 * 5, "quantisation": 2},
    )
    for equation, shapes, macs in (
        ("ij,jk->ik", "23 34", 2 * 3 * 4),
        ("ij,jk", "23 34", 2 * 3 * 4),  # an output that is not said: i, k
        ("bij,bjk->bik", "523 534", 5 * 2 * 3 * 4),
        ("...ij,jk->...ik", "5623 34", 5 * 6 * 2 * 3 * 4),
        ("bhid,bhjd->bhij", "2345 2365", 2 * 3 * 4 * 6 * 5),
        ("i,j->ij", "4 5", 4 * 5),  # an outer product sums nothing and multiplies all the same
        ("ij,ij->", "23 23", 2 * 3),
        ("ii->", "44", 0),  # a trace only adds
        ("ij->ji", "23", 0),
        ("...i,...i->...", "352 352", 3 * 5 * 2),
    ):
        names = "ab"[: len(shapes.split())]
        inputs = ", ".join(
            f"float{[int(size) for size in shape]} {name}"
            for name, shape in zip(names, shapes.split(), strict=True)
        )
        yield Case(
            f"Einsum {equation}",
            f'({inputs}) => (float[] y) {{ y = Einsum <equation="{equation}"> '
            f"({', '.join(names)}) }}",
            macs=macs,
            params=0,
        )


def _recurrent() -> Iterator[Case]:
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for direction, ways in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            w, r, b = [ways, gates * 4, 3], [ways, gates * 4, 4], [ways, 2 * gates * 4]
            yield Case(
                f"{op} {direction}",
                f"(float[5,2,3] x) => (float[] y) <float{w} w, float{r} r, float{b} b>"
                f'{{ y = {op} <hidden_size=4, direction="{direction}"> (x, w, r, b) }}',
                macs=5 * 2 * ways * gates * 4 * (3 + 4),  # steps, batch, ways; input and state
                params=ways * gates * 4 * (3 + 4 + 2),
            )
    yield Case(
        "LSTM with the batch first",
        "(float[2,5,3] x) => (float[] y) <float[1,16,3] w, float[1,16,4] r>"
        "{ y = LSTM <hidden_size=4, layout=1> (x, w, r) }",
        macs=2 * 5 * 4 * 4 * (3 + 4),
        params=4 * 4 * (3 + 4),
        cannot_run="layout=1 has no kernel",
    )
    yield Case(
        "LSTM of which only the last state is used",
        "(float[5,2,3] x) => (float[] h) <float[1,16,3] w, float[1,16,4] r>"
        "{ , h = LSTM <hidden_size=4> (x, w, r) }",
        macs=5 * 2 * 4 * 4 * (3 + 4),
        params=4 * 4 * (3 + 4),
    )


def _attention() -> Iterator[Case]:
    scores, mixed = 2 * 4 * 6 * 7 * 8, 2 * 4 * 6 * 7 * 5
    yield Case(
        "Attention of four dimensions",
        "(float[2,4,6,8] q, float[2,4,7,8] k, float[2,4,7,5] v) => (float[] y)"
        "{ y = Attention (q, k, v) }",
        macs=scores + mixed,  # batch, heads, queries, keys; a head's size
        params=0,
        opset=23,
        ir_version=11,
    )
    yield Case(
        "Attention of three dimensions with shared keys",
        "(float[2,6,32] q, float[2,7,16] k, float[2,7,16] v) => (float[] y)"
        "{ y = Attention <q_num_heads=4, kv_num_heads=2> (q, k, v) }",
        macs=2 * (2 * 4 * 6 * 7 * 8),  # 32 / 4 = 16 / 2 = 8 numbers a head
        params=0,
        opset=23,
        ir_version=11,
    )
    yield Case(
        "contributed Attention with its projections",
        "(float[2,6,16] x) => (float[] y) <float[16,48] w, float[48] b>"
        "{ y = com.microsoft.Attention <num_heads=4> (x, w, b) }",
        macs=2 * 6 * 48 * 16 + 2 * (2 * 4 * 6 * 6 * 4),
        params=16 * 48 + 48,
    )
    yield Case(
        "MultiHeadAttention across two sequences",
        "(float[2,6,16] q, float[2,7,16] k, float[2,7,16] v) => (float[] y)"
        "{ y = com.microsoft.MultiHeadAttention <num_heads=4> (q, k, v) }",
        macs=2 * (2 * 4 * 6 * 7 * 4),
        params=0,
    )


def _free() -> Iterator[Case]:
    yield Case(
        "pooling",
        "(float[1,3,8,8] x) => (float[] y) {"
        "a = MaxPool <kernel_shape=[2,2], strides=[2,2]> (x)"
        "b = AveragePool <kernel_shape=[3,3]> (a)  y = GlobalAveragePool (b) }",
        macs=0,
        params=0,
    )
    yield Case(
        "batch normalisation",
        "(float[1,3,8,8] x) => (float[] y)"
        " <float[3] s, float[3] b, float[3] m, float[3] v = {1.0, 2.0, 3.0}>"
        "{ y = BatchNormalization (x, s, b, m, v) }",
        macs=0,
        params=3 + 3,
        stored={"learned": 3 + 3, "statistics": 3 + 3},
    )
    yield Case(
        "normalisations, activations and arithmetic",
        "(float[1,4,6,6] x) => (float[] y) <float[6] s, float[6] b, float[4,1,1] t> {"
        "a = LayerNormalization (x, s, b)  c = Sigmoid (a)  d = Mul (c, x)  e = PRelu (d, t)"
        "f = Softmax (e)  y = Add (f, x) }",
        macs=0,
        params=6 + 6 + 4,
    )
    yield Case(
        "reshaping and resizing",
        "(float[1,4,6,6] x) => (float[] y) <int64[4] t = {1, 2, 12, 6}, float[4] s ="
        " {1.0, 1.0, 2.0, 2.0}> {"
        "a = Reshape (x, t)  b = Transpose <perm=[0,2,3,1]> (a)  c = Transpose"
        " <perm=[0,3,1,2]> (b)  y = Resize (c, , s) }",
        macs=0,
        params=0,
        stored={"constants": 4 + 4},
    )


def _control_flow() -> Iterator[Case]:
    yield Case(
        "If counts its costlier branch",
        "(float[1,4] x, bool c) => (float[] y) <float[4,6] v, float[6,6] w> {"
        "y = If (c) <then_branch = t () => (float[1,6] p) { p = MatMul (x, v) },"
        "else_branch = e () => (float[1,6] r) { q = MatMul (x, v)  r = MatMul (q, w) }> }",
        macs=max(4 * 6, 4 * 6 + 6 * 6),
        params=4 * 6 + 6 * 6,
    )
    yield Case(
        "If of convolutions",
        "(float[1,4,6,6] x, bool c) => (float[] y) <float[4,4,3,3] v, float[4,1,3,3] w> {"
        "y = If (c) <then_branch = t () => (float[1,4,4,4] p) { p = Conv (x, v) },"
        "else_branch = e () => (float[1,4,4,4] q) { q = Conv <group=4> (x, w) }> }",
        macs=max(4 * 4 * 4 * 4 * 3 * 3, 4 * 4 * 4 * 3 * 3),
        params=4 * 4 * 3 * 3 + 4 * 3 * 3,
        kinds={"y/then_branch/p": "standard", "y/else_branch/q": "depthwise"},
    )
    yield Case(
        "If in an If",
        "(float[1,4] x, bool c) => (float[] y) <float[4,4] w> {"
        "y = If (c) <then_branch = t () => (float[1,4] p) { p = If (c) <"
        "then_branch = tt () => (float[1,4] a) { u = MatMul (x, w)  a = MatMul (u, w) },"
        "else_branch = te () => (float[1,4] b) { b = MatMul (x, w) }> },"
        "else_branch = e () => (float[1,4] q) { q = MatMul (x, w) }> }",
        macs=max(2 * 4 * 4, 4 * 4, 4 * 4),
        params=4 * 4,
    )
    loop = (
        "(float[1,4,6,6] x) => (float[] y) <float[4,4,3,3] w, int64 trips = {3}, bool go = {1}> {"
        "y = Loop (trips, go, x) <body = b (int64 i, bool on, float[1,4,6,6] a)"
        " => (bool still, float[1,4,6,6] z) {"
    )
    yield Case(
        "Loop of three trips",
        loop + "still = Identity (on)  z = Conv <pads=[1,1,1,1]> (a, w) }> }",
        macs=3 * (4 * 6 * 6 * 4 * 3 * 3),
        params=4 * 4 * 3 * 3,
        kinds={"y/body/z": "standard"},
    )
    yield Case(
        "Loop that its condition may end",
        loop + "s = ReduceSum <keepdims=0> (a)  zero = Constant <value = float {0.0}> ()"
        "still = Greater (s, zero)  z = Conv <pads=[1,1,1,1]> (a, w) }> }",
        macs=0,
        params=4 * 4 * 3 * 3,
        kinds={"y/body/z": "standard"},
        unknown=1,
    )
    yield Case(
        "Loop whose trips are an input",
        "(float[2,4] x, int64 trips) => (float[] y) <float[4,4] w, bool go = {1}> {"
        "y = Loop (trips, go, x) <body = b (int64 i, bool on, float[2,4] a)"
        " => (bool still, float[2,4] z) { still = Identity (on)  z = MatMul (a, w) }> }",
        macs=0,
        params=4 * 4,
        unknown=1,
        feeds={"trips": np.int64(2)},
    )
    yield Case(
        "If in a Loop",
        "(float[1,4] x, bool c) => (float[] y) <float[4,4] w, int64 trips = {5}, bool go = {1}> {"
        "y = Loop (trips, go, x) <body = b (int64 i, bool on, float[1,4] a)"
        " => (bool still, float[1,4] z) { still = Identity (on)"
        "z = If (c) <then_branch = t () => (float[1,4] p) { p = MatMul (a, w) },"
        "else_branch = e () => (float[1,4] q) { q = Relu (a) }> }> }",
        macs=5 * (4 * 4),
        params=4 * 4,
    )
    yield Case(
        "Loop in a Loop",
        "(float[1,4] x) => (float[] y) <float[4,4] w, int64 n = {3}, int64 m = {2}, bool go = {1}>"
        "{ y = Loop (n, go, x) <body = b (int64 i, bool on, float[1,4] a)"
        " => (bool still, float[1,4] z) { still = Identity (on)"
        "z = Loop (m, go, a) <body = bb (int64 j, bool onn, float[1,4] aa)"
        " => (bool stills, float[1,4] zz) { stills = Identity (onn)  zz = MatMul (aa, w) }> }> }",
        macs=3 * 2 * (4 * 4),
        params=4 * 4,
    )
    yield Case(
        "Scan over a sequence",
        "(float[5,2,3] x, float[2,4] start) => (float[] s, float[] y) <float[3,4] v, float[4,4] w>"
        "{ s, y = Scan <num_scan_inputs=1, body = b (float[2,4] state, float[2,3] a)"
        " => (float[2,4] next, float[2,4] out) {"
        "p = MatMul (a, v)  q = MatMul (state, w)  next = Add (p, q)  out = Identity (next)"
        "}> (start, x) }",
        macs=5 * (2 * 4 * 3 + 2 * 4 * 4),
        params=3 * 4 + 4 * 4,
    )
    yield Case(
        "a weight inside a branch",
        "(float[1,2] x, bool c) => (float[] y) {"
        "y = If (c) <then_branch = t () => (float[1,2] p)"
        " <float[2,2] w = {1.0, 2.0, 3.0, 4.0}> { p = MatMul (x, w) },"
        "else_branch = e () => (float[1,2] q) { q = Relu (x) }> }",
        macs=2 * 2,
        params=2 * 2,
    )
    yield Case(
        "after control flow",
        "(float[1,4] x, bool c) => (float[] y) <float[4,4] w, float[4,7] v> {"
        "h = If (c) <then_branch = t () => (float[1,4] p) { p = MatMul (x, w) },"
        "else_branch = e () => (float[1,4] q) { q = Relu (x) }>  y = MatMul (h, v) }",
        macs=4 * 4 + 4 * 7,
        params=4 * 4 + 4 * 7,
    )


def _functions() -> Iterator[Case]:
    block = (
        '<domain: "local", opset_import: ["": 17]>'
        "block (x, w) => (y) { h = Conv <pads=[1,1,1,1]> (x, w)  y = Relu (h) }"
    )
    yield Case(
        "a function called twice",
        "(float[1,4,6,6] x) => (float[] y) <float[4,4,3,3] v, float[4,4,3,3] w>"
        "{ h = local.block (x, v)  y = local.block (h, w) }",
        functions=block,
        macs=2 * (4 * 6 * 6 * 4 * 3 * 3),
        params=2 * (4 * 4 * 3 * 3),
        kinds=("standard", "standard"),
    )
    yield Case(
        "functions in functions",
        "(float[1,4,6,6] x) => (float[] y) <float[4,4,3,3] w>"
        "{ h = local.pair (x, w)  y = local.pair (h, w) }",
        functions='<domain: "local", opset_import: ["": 17, "local": 1]>'
        "pair (x, w) => (y) { h = local.block (x, w)  y = local.block (h, w) }\n" + block,
        macs=2 * 2 * (4 * 6 * 6 * 4 * 3 * 3),
        params=4 * 4 * 3 * 3,
        kinds=("standard",) * 4,
    )
    yield Case(
        "a function that takes its stride",
        "(float[1,4,6,6] x) => (float[] y) <float[4,1,3,3] w>"
        "{ y = local.down <steps=[2,2]> (x, w) }",
        functions='<domain: "local", opset_import: ["": 17]>'
        "down <steps> (x, w) => (y) { y = Conv <group=4, strides: ints = @steps> (x, w) }",
        macs=4 * 2 * 2 * 3 * 3,
        params=4 * 3 * 3,
        kinds=("depthwise",),
    )
    yield Case(
        "a function with a weight of its own",
        "(float[1,2] x) => (float[] y) { h = local.turn (x)  y = local.turn (h) }",
        functions='<domain: "local", opset_import: ["": 17]>'
        "turn (x) => (y) { w = Constant <value = float[2,2] {0.0, 1.0, 2.0, 3.0}> ()"
        "y = MatMul (x, w) }",
        macs=2 * (2 * 2),
        params=2 * 2,  # stored once
    )


def _weights() -> Iterator[Case]:
    data = "(float[1,3,4,4] x) => (float[] y)"
    macs = 2 * 4 * 4 * 3
    paths: Mapping[str, tuple[str, str]] = {
        "Constant": ("", "w = Constant <value = float[2,3,1,1] {1.0,2.0,3.0,4.0,5.0,6.0}> ()"),
        "ConstantOfShape": ("int64[4] n = {2,3,1,1}", "w = ConstantOfShape (n)"),
        "Identity": ("float[2,3,1,1] v", "w = Identity (v)"),
        "Cast": ("float16[2,3,1,1] v", "w = Cast <to=1> (v)"),
        "Reshape": ("float[2,3] v, int64[4] n = {2,3,1,1}", "w = Reshape (v, n)"),
        "Transpose": ("float[3,2,1,1] v", "w = Transpose <perm=[1,0,2,3]> (v)"),
        "Squeeze": ("float[1,2,3,1,1] v, int64[1] n = {0}", "w = Squeeze (v, n)"),
        "Unsqueeze": ("float[2,3] v, int64[2] n = {2,3}", "w = Unsqueeze (v, n)"),
        "DequantizeLinear": (
            "int8[2,3,1,1] v, float t = {0.1}, int8 o = {1}",
            "w = DequantizeLinear (v, t, o)",
        ),
        "several of them": (
            "float16[3,2] v, int64[4] n = {2,3,1,1}",
            "a = Cast <to=1> (v)  b = Transpose (a)  c = Identity (b)  w = Reshape (c, n)",
        ),
    }
    for name, (declared, nodes) in paths.items():
        yield Case(
            f"weights behind {name}",
            f"{data} {f'<{declared}>' if declared else ''} {{ {nodes}  y = Conv (x, w) }}",
            macs=macs,
            params=2 * 3,
            kinds={"y": "pointwise"},
        )
    yield Case(
        "weights of Gemm behind Transpose",
        "(float[2,3] x) => (float[] y) <float[5,3] v> { w = Transpose (v)  y = Gemm (x, w) }",
        macs=2 * 5 * 3,
        params=5 * 3,
    )
    yield Case(
        "shared weights",
        "(float[1,3,4,4] x) => (float[] y) <float[3,3,1,1] w, float[3] b>"
        "{ h = Conv (x, w, b)  y = Conv (h, w, b) }",
        macs=2 * (3 * 4 * 4 * 3),
        params=3 * 3 + 3,
        kinds={"h": "pointwise", "y": "pointwise"},
        stored={"learned": 3 * 3 + 3},
    )
    yield Case(
        "weights shared through Identity",
        "(float[1,3,4,4] x) => (float[] y) <float[3,3,1,1] w>"
        "{ v = Identity (w)  h = Conv (x, w)  y = Conv (h, v) }",
        macs=2 * (3 * 4 * 4 * 3),
        params=3 * 3,
        kinds={"h": "pointwise", "y": "pointwise"},
    )
    yield Case(
        "an embedding and its product, tied",
        "(int64[7] x) => (float[] y) <float[10,4] table> {"
        "e = Gather (table, x)  t = Transpose (table)  y = MatMul (e, t) }",
        macs=7 * 10 * 4,
        params=10 * 4,
    )
    yield Case(
        "dead weights",
        f"{data} <float[2,3,1,1] w, float[100] dead, float[7,7] gone> {{ y = Conv (x, w) }}",
        macs=macs,
        params=2 * 3,
        kinds={"y": "pointwise"},
        stored={"learned": 2 * 3, "unused": 100 + 7 * 7},
    )
    yield Case(
        "weights that are inputs",
        "(float[1,3,4,4] x, float[2,3,1,1] w) => (float[] y) { y = Conv (x, w) }",
        macs=macs,
        params=0,
        kinds={"y": "pointwise"},
    )
    yield Case(
        "constants that no layer learns",
        f"{data} <float[2,3,1,1] w, float half = {{0.5}}, int64[2] n = {{1, 32}}> {{"
        "h = Conv (x, w)  i = Mul (h, half)  y = Reshape (i, n) }",
        macs=macs,
        params=2 * 3,
        kinds={"h": "pointwise"},
        stored={"learned": 2 * 3, "constants": 1 + 2},
    )


def _foreign() -> Iterator[Case]:
    yield Case(
        "an unknown operator whose shapes are known",
        "(float[1,3,6,6] x) => (float[] y)"
        " <float[3,3,3,3] v, float[5,3,3,3] w, float[1,3,4,4] i>"
        "{ h = Conv (x, v)  i = com.acme.Sharpen (h)  y = Conv (i, w) }",
        macs=3 * 4 * 4 * 3 * 3 * 3 + 5 * 2 * 2 * 3 * 3 * 3,
        params=3 * 3 * 3 * 3 + 5 * 3 * 3 * 3,
        kinds={"h": "standard", "y": "standard"},
        unknown=1,
        cannot_run="nobody has a kernel",
    )
    yield Case(
        "an unknown operator whose shapes are not",
        "(float[1,3,6,6] x) => (float[] y) <float[3,3,3,3] v, float[5,3,3,3] w>"
        "{ h = Conv (x, v)  i = com.acme.Sharpen (h)  y = Conv (i, w) }",
        macs=3 * 4 * 4 * 3 * 3 * 3,
        params=3 * 3 * 3 * 3 + 5 * 3 * 3 * 3,
        kinds={"h": "standard", "y": "standard"},
        unknown=2,
        cannot_run="nobody has a kernel",
    )
    yield Case(
        "an unknown operator at the side",
        "(float[1,3,6,6] x) => (float[] y, float[] z) <float[3,3,3,3] v>"
        "{ z = com.acme.Sharpen (x)  y = Conv (x, v) }",
        macs=3 * 4 * 4 * 3 * 3 * 3,
        params=3 * 3 * 3 * 3,
        kinds={"y": "standard"},
        unknown=1,
        cannot_run="nobody has a kernel",
    )


def _open() -> Iterator[Case]:
    yield Case(
        "open batch and size, given",
        "(float[N,8,H,W] x) => (float[] y) <float[16,8,3,3] w>{ y = Conv <pads=[1,1,1,1]> (x, w) }",
        dims={"N": 2, "H": 5, "W": 6},
        macs=2 * 16 * 5 * 6 * 8 * 3 * 3,
        params=16 * 8 * 3 * 3,
        kinds={"y": "standard"},
    )
    yield Case(
        "open size that makes it global",
        "(float[N,6,H,W] x) => (float[] y) <float[6,1,4,4] w> { y = Conv <group=6> (x, w) }",
        dims={"H": 4, "W": 4},
        macs=6 * 4 * 4,
        params=6 * 4 * 4,
        kinds={"y": "gdc"},
    )
    yield Case(
        "open size that does not",
        "(float[N,6,H,W] x) => (float[] y) <float[6,1,4,4] w> { y = Conv <group=6> (x, w) }",
        dims={"H": 5, "W": 4},
        macs=6 * 2 * 1 * 4 * 4,
        params=6 * 4 * 4,
        kinds={"y": "depthwise"},
    )


OPEN: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "same size": (
        "(float[N,8,H,W] x) => (float[] y) <float[16,8,3,3] w>{ y = Conv <pads=[1,1,1,1]> (x, w) }",
        {"y": "1152·N·H·W"},  # 16·8·3·3
    ),
    "two layers": (
        "(float[N,3,H,W] x) => (float[] y) <float[4,3,1,1] v, float[4,1,3,3] w>"
        "{ h = Conv (x, v)  y = Conv <group=4, pads=[1,1,1,1]> (h, w) }",
        {"h": "12·N·H·W", "y": "36·N·H·W"},
    ),
    "strides": (
        "(float[N,3,H,W] x) => (float[] y) <float[4,3,3,3] w>"
        "{ y = Conv <pads=[1,1,1,1], strides=[2,2]> (x, w) }",
        {},
    ),
    "strides five times": (
        "(float[N,3,H,W] x) => (float[] y) <float[3,3,3,3] w> {"
        + " ".join(
            f"{to} = Conv <pads=[1,1,1,1], strides=[2,2]> ({at}, w)"
            for at, to in zip("xabcd", "abcdy", strict=True)
        )
        + "}",
        {},
    ),
    "no padding": (
        "(float[N,3,H,W] x) => (float[] y) <float[4,3,3,3] w> { y = Conv (x, w) }",
        {},
    ),
    "SAME with stride": (
        "(float[N,3,H,W] x) => (float[] y) <float[4,3,3,3] w>"
        '{ y = Conv <auto_pad="SAME_UPPER", strides=[2,3]> (x, w) }',
        {},
    ),
    "transposed": (
        "(float[N,3,H,W] x) => (float[] y) <float[3,4,2,2] w>"
        "{ y = ConvTranspose <strides=[2,2]> (x, w) }",
        {"y": "48·N·H·W"},  # 3·4·2·2 at each of the inputs' positions
    ),
    "one dimension and a product": (
        "(float[N,4,T] x) => (float[] y) <float[4,4,3] v, float[4,5] w> {"
        "h = Conv <pads=[1,1]> (x, v)  t = Transpose <perm=[0,2,1]> (h)  y = MatMul (t, w) }",
        {"h": "48·N·T", "y": "20·N·T"},
    ),
}
"""Models with open dimensions N, H, W or T, and formulas of some of their rows."""

CASES = (
    *_convolutions(),
    *_geometry(),
    *_transposed(),
    *_quantised(),
    *_contributed(),
    *_products(),
    *_recurrent(),
    *_attention(),
    *_free(),
    *_control_flow(),
    *_functions(),
    *_weights(),
    *_foreign(),
    *_open(),
)
"""All models whose costs are numbers."""
