"""Every spelling of every kind of factors computes what one convolution with its kernel does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from models import Numbers, ort
from nets import run
from often import often
from onnx import helper, numpy_helper

from gconvtool.fit.grouping import Grouping
from gconvtool.fit.structure import (
    BottleneckFactors,
    Factors,
    GroupedFactors,
    MonarchFactors,
    PointwiseFirstFactors,
    SeparableFactors,
)
from gconvtool.graph import surgery
from gconvtool.spellings import SPELLINGS, Spelling, resolve


@dataclass(frozen=True)
class Layer:
    """A convolution of G groups, each of `blocks` × 2 channels and `blocks` × 3 filters."""

    groups: int = 1
    blocks: int = 2
    kernel: tuple[int, ...] = (3, 3)
    dtype: Any = np.float32
    opset: int = 17
    window: tuple[tuple[str, Any], ...] = ()
    op: str = "Conv"

    @property
    def channels(self) -> int:
        return self.groups * self.blocks * 2

    @property
    def filters(self) -> int:
        return self.groups * self.blocks * 3

    @property
    def taps(self) -> int:
        return prod(self.kernel)

    @property
    def x(self) -> Numbers:
        shape = (2, self.channels, *(2 * k + 3 for k in self.kernel))
        return np.random.default_rng(5).standard_normal(shape).astype(self.dtype)

    def model(self, kernel: Numbers, bias: Numbers) -> onnx.ModelProto:
        """x → Conv `c` → Relu `y`."""
        weight = kernel.reshape(self.filters, self.channels // self.groups, *self.kernel)
        if self.op == "ConvTranspose":  # inputs first, in each group
            weight = np.concatenate([part.swapaxes(0, 1) for part in np.split(weight, self.groups)])
        constants = [
            numpy_helper.from_array(numbers.astype(self.dtype), name)
            for name, numbers in (("w", weight), ("b", bias))
        ]
        settings = {"group": self.groups, "kernel_shape": self.kernel, **dict(self.window)}
        nodes = [
            helper.make_node(self.op, ["x", "w", "b"], ["c"], **settings),
            helper.make_node("Relu", ["c"], ["y"]),
        ]
        element = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        x, y = (
            helper.make_tensor_value_info(name, element, shape)
            for name, shape in (("x", self.x.shape), ("y", ["n", "f", *"pqr"[: len(self.kernel)]]))
        )
        graph = helper.make_graph(nodes, "g", [x], [y], constants)
        imports = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)


def shuffled(rng: np.random.Generator, count: int, layer: Layer) -> Numbers:
    """Channels in blocks, mixed inside each of G groups."""
    share = count // layer.groups
    mixed = [g * share + rng.permutation(share) for g in range(layer.groups)]
    return np.concatenate(mixed).reshape(layer.groups * layer.blocks, -1)


Maker = Callable[[Layer, np.random.Generator, int], Factors]


def dw_pw(layer: Layer, rng: np.random.Generator, rank: int) -> Factors:
    taps = rng.standard_normal((rank, layer.channels, layer.taps))
    mix = rng.standard_normal((rank, layer.filters, layer.channels // layer.groups))
    return SeparableFactors(taps, mix, rng.standard_normal(layer.filters), layer.groups)


def pw_dw(layer: Layer, rng: np.random.Generator, rank: int) -> Factors:
    mix = rng.standard_normal((rank, layer.filters, layer.channels // layer.groups))
    taps = rng.standard_normal((rank, layer.filters, layer.taps))
    return PointwiseFirstFactors(mix, taps, rng.standard_normal(layer.filters), layer.groups)


def grouped(layer: Layer, rng: np.random.Generator, _: int) -> Factors:
    inputs = shuffled(rng, layer.channels, layer)
    grouping = Grouping(inputs, shuffled(rng, layer.filters, layer))
    weight = rng.standard_normal((layer.filters, inputs.shape[1] * layer.taps))
    bias = rng.standard_normal(layer.filters)
    return GroupedFactors(weight, bias, grouping, layer.taps, layer.groups)


def bottleneck(layer: Layer, rng: np.random.Generator, width: int) -> Factors:
    return narrowed(layer, rng, width, shuffled(rng, layer.channels, layer))


def narrowest(layer: Layer, rng: np.random.Generator, width: int) -> Factors:
    """A bottleneck of one channel a group."""
    return narrowed(layer, rng, width, shuffled(rng, layer.channels, layer).reshape(-1, 1))


def narrowed(layer: Layer, rng: np.random.Generator, width: int, inputs: Numbers) -> Factors:
    spatial = rng.standard_normal((len(inputs) * width, inputs.shape[1] * layer.taps))
    mix = rng.standard_normal((layer.filters, len(inputs) // layer.groups * width))
    bias = rng.standard_normal(layer.filters)
    return BottleneckFactors(inputs, spatial, mix, bias, layer.taps, layer.groups)


def monarch(layer: Layer, rng: np.random.Generator, rank: int) -> Factors:
    inputs = shuffled(rng, layer.channels, layer)
    grouping = Grouping(inputs, shuffled(rng, layer.filters, layer))
    hidden = layer.groups * layer.blocks**2 * rank
    first = rng.standard_normal((hidden, inputs.shape[1]))
    second = rng.standard_normal((layer.filters, hidden // len(inputs)))
    bias = rng.standard_normal(layer.filters)
    return MonarchFactors(first, second, bias, grouping, layer.groups)


MAKERS: dict[str, Maker] = {
    "dw-pw": dw_pw,
    "pw-dw": pw_dw,
    "grouped": grouped,
    "bottleneck": bottleneck,
    "narrowest": narrowest,
    "monarch": monarch,
}


def made(kind: str, layer: Layer, rank: int, seed: int = 0) -> Factors:
    """Factors whose outputs are about 1, whatever they sum."""
    factors = MAKERS[kind](layer, np.random.default_rng(seed), rank)
    size = np.linalg.norm(factors.kernel(), axis=1).max()
    last = {"grouped": "weight", "pw-dw": "depthwise", "monarch": "second"}.get(kind, "pointwise")
    numbers = {**vars(factors), last: getattr(factors, last) / size}
    return type(factors)(**numbers)


def rewritten(factors: Factors, layer: Layer, spelling: Spelling) -> ir.Model:
    """Zeros with new weights in their place; checked, with all shapes inferred."""
    zeros = np.zeros((layer.filters, layer.channels // layer.groups * layer.taps))
    model = ir.from_proto(layer.model(zeros, np.ones(layer.filters)))
    surgery.replace(model, "c", factors, spelling)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    shapes = {value.name: value.type.tensor_type for value in inferred.graph.value_info}
    written = [name for node in proto.graph.node[:-1] for name in node.output]
    assert all(shapes[name].HasField("shape") for name in written)
    return model


def dense(factors: Factors, layer: Layer) -> onnx.ModelProto:
    return layer.model(factors.kernel(), factors.bias)


def groups_of(model: ir.Model) -> list[int]:
    convolutions = [node for node in model.graph if node.op_type in ("Conv", "ConvTranspose")]
    return [node.attributes["group"].as_int() for node in convolutions]


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def windows(axes: int) -> st.SearchStrategy[dict[str, Any]]:
    """Strides, dilations and pads, each of them given or not; or strides and auto_pad."""
    sizes = st.lists(st.integers(1, 2), min_size=axes, max_size=axes)
    pads = st.lists(st.integers(0, 2), min_size=2 * axes, max_size=2 * axes)
    given_pads = st.fixed_dictionaries(
        {}, optional={"strides": sizes, "dilations": sizes, "pads": pads}
    )
    modes = st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
    return given_pads | st.fixed_dictionaries({"auto_pad": modes}, optional={"strides": sizes})


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    axes = draw(st.integers(1, 3))
    kernel = draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    window = draw(windows(axes))
    opset = draw(st.sampled_from([7, 11, 13, 18, 22]))
    sizes = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return Layer(*sizes, tuple(kernel), np.float32, opset, tuple(window.items()))


@st.composite
def transposed(draw: st.DrawFn) -> Layer:
    """A transposed one, whose output padding is less than its stride, as it has to be."""
    layer = draw(layers())
    axes, window = len(layer.kernel), dict(layer.window)
    strides = window.get("strides", [1] * axes)
    if draw(st.booleans()):
        window["output_padding"] = [draw(st.integers(0, stride - 1)) for stride in strides]
    if window.get("auto_pad", "NOTSET") == "NOTSET" and draw(st.booleans()):
        window = {**window, "output_shape": [2 * k + 3 for k in layer.kernel]}
        window.pop("pads", None)
    return replace(layer, window=tuple(window.items()), op="ConvTranspose")


@often(
    40,
    150,
    layers() | transposed(),
    st.sampled_from(list(MAKERS)),
    st.integers(1, 3),
    st.integers(0, 99),
)
def test_all_spellings_compute_what_the_kernel_does(layer, kind, rank, seed):
    if kind == "monarch":
        layer = replace(layer, kernel=(1,) * len(layer.kernel), window=())
    factors = made(kind, layer, rank, seed)
    (expected,) = ort(dense(factors, layer), x=layer.x)
    for spelling in SPELLINGS:
        model = rewritten(factors, layer, spelling)
        np.testing.assert_allclose(ort(model, x=layer.x)[0], expected, atol=1e-5)
        if spelling == "split":
            assert set(groups_of(model)) == {1}


@given(layers(), st.sampled_from(["dw-pw", "pw-dw", "bottleneck"]), st.sampled_from(SPELLINGS))
@settings(max_examples=20)
@example(Layer(2, 2), "pw-dw", "concat")
def test_doubles_agree_to_their_own_precision(layer, kind, spelling):
    layer = Layer(layer.groups, 1, layer.kernel[:2], np.float64)
    factors = made(kind, layer, 2)
    (expected,) = run(dense(factors, layer), {"x": layer.x})
    (result,) = run(rewritten(factors, layer, spelling), {"x": layer.x})
    np.testing.assert_allclose(result, expected, atol=1e-12)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", MAKERS)
def test_half_precision_stays_half_precision(kind, spelling):
    kernel = (1, 1) if kind == "monarch" else (3, 3)
    layer = Layer(2, 2, kernel, np.float16)
    factors = made(kind, layer, 2)
    model = rewritten(factors, layer, spelling)
    types = {value.dtype for value in model.graph.initializers.values()}
    assert types - {ir.DataType.INT64} == {ir.DataType.FLOAT16}
    truth = ort(dense(factors, Layer(2, 2, kernel)), x=layer.x.astype(np.float32))[0]
    (result,) = ort(model, x=layer.x)
    assert result.dtype == np.float16
    np.testing.assert_allclose(result, truth, atol=0.02)  # outputs are about 1, of 11 bits


def strided_monarch(spelling: Spelling) -> tuple[ir.Model, Numbers, Numbers]:
    layer = Layer(2, 2, (1, 1), window=(("strides", [2, 1]), ("pads", [1, 0, 0, 2])))
    factors = made("monarch", layer, 2)
    return rewritten(factors, layer, spelling), layer.x, ort(dense(factors, layer), x=layer.x)[0]


@pytest.mark.parametrize("spelling", ["auto", "split"])
def test_a_strided_monarch_convolution_skips_before_it_mixes(spelling):
    model, x, expected = strided_monarch(spelling)
    np.testing.assert_allclose(ort(model, x=x)[0], expected, atol=1e-5)
    first = next(node for node in model.graph if node.op_type == "Conv")
    assert list(first.attributes["strides"].as_ints()) == [2, 1]


@pytest.mark.parametrize(
    ("kind", "spelling", "groups", "written"),
    [
        # C = 4 and N = 6 in one group
        ("dw-pw", "sum", [4, 1, 4, 1], "Conv Conv Conv Conv Add Relu"),
        ("pw-dw", "sum", [1, 6, 1, 6], "Conv Conv Conv Conv Add Relu"),
        ("dw-pw", "concat", [4, 4, 1], "Conv Conv Concat Conv Relu"),
        ("pw-dw", "concat", [1, 12], "Conv Conv Split Add Relu"),
        ("dw-pw", "multiplier", [4, 1], "Conv Conv Relu"),
        ("pw-dw", "multiplier", [1, 6], "Conv Conv Relu"),
        ("dw-pw", "split", [1] * 5, "Split Conv Conv Conv Conv Concat Conv Relu"),
        ("pw-dw", "split", [1] * 7, "Conv Split Conv Conv Conv Conv Conv Conv Concat Relu"),
        ("narrowest", "sum", [4, 1, 4, 1], "Conv Conv Conv Conv Add Relu"),
    ],
)
def test_a_spelling_is_what_it_says(kind, spelling, groups, written):
    model = rewritten(made(kind, Layer(), 2), Layer(), spelling)
    assert groups_of(model) == groups
    assert operators(model) == written.split()


@pytest.mark.parametrize("spelling", ["sum", "concat", "multiplier"])
@pytest.mark.parametrize("kind", ["dw-pw", "pw-dw"])
def test_groups_are_kept_by_the_pointwise_part(kind, spelling):
    layer = Layer(groups=3)
    mixes = set(groups_of(rewritten(made(kind, layer, 2), layer, spelling))) - {12, 18, 36}
    assert mixes == {3}


@pytest.mark.parametrize("kind", MAKERS)
def test_of_one_branch_there_is_nothing_to_join(kind):
    layer = Layer(kernel=(1, 1) if kind == "monarch" else (3, 3))
    factors = made(kind, layer, 1)
    forms = [operators(rewritten(factors, layer, name)) for name in SPELLINGS if name != "split"]
    assert all(form == forms[0] for form in forms)
    assert not {"Add", "Concat", "Split"} & set(forms[0])


@pytest.mark.parametrize("spelling", ["sum", "concat", "multiplier"])
@pytest.mark.parametrize("kind", ["dw-pw", "pw-dw"])
def test_what_comes_before_padding_has_no_bias(kind, spelling):
    model = rewritten(made(kind, Layer(), 2), Layer(window=(("pads", [1] * 4),)), spelling)
    convolutions = [node for node in model.graph if node.op_type == "Conv"]
    with_bias = [len(node.inputs) > 2 for node in convolutions]
    assert with_bias == [False] * (len(convolutions) - 1) + [True]


def window_of(node: ir.Node) -> set[str]:
    return {"strides", "pads", "dilations", "auto_pad"} & set(node.attributes)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", ["dw-pw", "pw-dw", "bottleneck"])
def test_the_window_and_the_kernel_are_those_of_the_spatial_part(kind, spelling):
    layer = Layer(kernel=(3, 2), window=(("strides", [2, 2]), ("dilations", [1, 2])))
    for node in rewritten(made(kind, layer, 2), layer, spelling).graph:
        if node.op_type == "Conv":
            kernel = node.attributes["kernel_shape"].as_ints()
            assert kernel == node.inputs[1].shape.numpy()[2:]
            assert window_of(node) == ({"strides", "dilations"} if kernel == (3, 2) else set())


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("grouped", "Gather ConvTranspose Gather Relu"),
        ("dw-pw", "ConvTranspose Conv ConvTranspose Conv Add Relu"),
        ("pw-dw", "Conv ConvTranspose Conv ConvTranspose Add Relu"),
        ("bottleneck", "Gather ConvTranspose Conv Relu"),
    ],
)
def test_only_the_spatial_part_is_transposed(kind, written):
    layer = Layer(window=(("strides", [2, 2]), ("output_padding", [1, 0])), op="ConvTranspose")
    model = rewritten(made(kind, layer, 2), layer, "sum")
    assert operators(model) == written.split()
    for node in model.graph:
        windowed = {"strides", "output_padding"} & set(node.attributes)
        assert bool(windowed) == (node.op_type == "ConvTranspose")


def sizes_of(model: ir.Model) -> list[Sequence[int]]:
    splits = [node for node in model.graph if node.op_type == "Split"]
    return [
        node.attributes["split"].as_ints()
        if "split" in node.attributes
        else list(ir.convenience.get_const_tensor(node.inputs[1]).numpy())
        for node in splits
    ]


@pytest.mark.parametrize("opset", [7, 11, 12, 13, 18, 22])
def test_sizes_of_a_split_are_where_the_opset_wants_them(opset):
    layer = Layer(opset=opset)
    model = rewritten(made("grouped", layer, 1), layer, "split")
    split = next(node for node in model.graph if node.op_type == "Split")
    assert ("split" in split.attributes) == (opset < 13)
    assert [list(sizes) for sizes in sizes_of(model)] == [[2, 2]]


def test_auto_is_the_sum_in_two_dimensions_and_the_multiplier_elsewhere():
    assert [resolve("auto", axes) for axes in (1, 2, 3)] == ["multiplier", "sum", "multiplier"]
    assert resolve("auto", 2, transposed=True) == "multiplier"
    up = Layer(op="ConvTranspose")
    written = operators(rewritten(made("pw-dw", up, 2), up, "auto"))
    assert written == ["Conv", "ConvTranspose", "Relu"]
    assert [resolve(name, 1) for name in SPELLINGS[1:]] == list(SPELLINGS[1:])
    line = Layer(kernel=(3,))
    assert operators(rewritten(made("dw-pw", line, 2), line, "auto")) == ["Conv", "Conv", "Relu"]
