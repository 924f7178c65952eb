"""Single convolutions rewritten without loss: found, certified, and the same by onnxruntime."""

from __future__ import annotations

import nets
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import model, ort

from gconvtool.graph import lossless, permute, shapes

SEEDS = st.integers(0, 2**32 - 1)
RNG = np.random.default_rng(0)


def convolution(w, *, groups=1, bias=None, x=None, attributes="", kind="float", opset=17):
    """`y = Conv(x, w)` over 7… positions, and its input."""
    axes, channels = w.ndim - 2, w.shape[1] * groups
    x = RNG.standard_normal((2, channels, *[7] * axes)) if x is None else x
    sizes = ", ".join(map(str, x.shape))
    given = {} if bias is None else {"b": bias.astype(w.dtype)}
    text = (
        f"g ({kind}[{sizes}] x) => ({kind}[{', '.join(f'd{i}' for i in range(x.ndim))}] y) {{\n"
        f"  y = Conv <group = {groups}{attributes}> (x, w{', b' if given else ''}) }}"
    )
    return model(text, w=w, opset=opset, **given), x.astype(w.dtype)


def same(made: ir.Model, x, before, tolerance=2e-5):
    """Valid, and with the outputs that were there before."""
    onnx.checker.check_model(ir.to_proto(made), full_check=True)
    (after,) = ort(made, x=x)
    np.testing.assert_allclose(after, before, atol=tolerance * np.abs(before).max())


def certified(certificates, names=("y",)):
    assert [certificate.site for certificate in certificates] == list(names)
    assert all(certificate.difference <= certificate.bound for certificate in certificates)


def shuffled_blocks(rng, groups, parts, filters, channels, kernel):
    """Weights of a convolution of `groups`, each with hidden parts in a random order."""
    weight = np.zeros((groups, parts * filters, parts * channels, *kernel), np.float32)
    for part in range(parts):
        rows, columns = slice(part * filters, None), slice(part * channels, None)
        size = (groups, filters, channels, *kernel)
        weight[:, rows, columns][:, :filters, :channels] = rng.uniform(1, 2, size)
    for own in weight:
        own[:] = own[rng.permutation(len(own))][:, rng.permutation(own.shape[1])]
    return weight.reshape(-1, *weight.shape[2:])


def operators(made: ir.Model) -> list[str]:
    return [node.op_type for node in made.graph]


@settings(max_examples=40)
@given(
    SEEDS,
    st.integers(1, 2),
    st.integers(2, 4),
    st.integers(1, 2),
    st.integers(1, 2),
    st.sampled_from([(3,), (1, 1), (3, 2), (2, 1, 2)]),
    st.booleans(),
)
def test_hidden_groups_are_written(seed, groups, parts, filters, channels, kernel, biased):
    rng = np.random.default_rng(seed)
    w = shuffled_blocks(rng, groups, parts, filters, channels, kernel)
    bias = rng.standard_normal(len(w)) if biased else None
    axes = len(kernel)
    window = f", strides = {[2] * axes}, dilations = {[2] * axes}, pads = {[1, 2] * axes}"
    made, x = convolution(w, groups=groups, bias=bias, attributes=window)
    (before,) = ort(made, x=x)
    certified(lossless.group(made))
    (conv,) = [node for node in made.graph if node.op_type == "Conv"]
    assert conv.attributes["group"].as_int() == groups * parts
    assert len(conv.inputs) == 2 + biased
    same(made, x, before)


def test_gathers_of_a_hidden_order_go_into_the_neighbours():
    rng = np.random.default_rng(1)
    w = shuffled_blocks(rng, 1, 4, 2, 2, (3, 3))
    p, q = rng.standard_normal((2, 8, 8, 1, 1)).astype(np.float32)
    made = model(
        "g (float[1, 8, 6, 6] x) => (float[a, b, c, d] z) "
        "{ a = Conv (x, p)\n r = Relu (a)\n y = Conv (r, w)\n z = Conv (y, q) }",
        w=w,
        p=p,
        q=q,
    )
    x = rng.standard_normal((1, 8, 6, 6)).astype(np.float32)
    (before,) = ort(made, x=x)
    certified(lossless.group(made))
    assert operators(made).count("Gather") == 2
    permute.absorb(made)
    assert operators(made) == ["Conv", "Relu", "Conv", "Conv"]
    same(made, x, before)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 2), st.integers(1, 2), st.sampled_from(["dw-pw", "pw-dw", "low"]))
def test_hidden_low_rank_is_written(seed, groups, rank, way):
    rng = np.random.default_rng(seed)
    n, c = 12, 10
    mix = rng.standard_normal((rank, groups, n, c))
    if way == "dw-pw":
        w = np.einsum("rgnc,rgck->gnck", mix, rng.standard_normal((rank, groups, c, 9)))
    elif way == "pw-dw":
        w = np.einsum("rgnc,rgnk->gnck", mix, rng.standard_normal((rank, groups, n, 9)))
    else:
        w = np.einsum("rgn,rgck->gnck", mix[..., 0], rng.standard_normal((rank, groups, c, 9)))
    w = w.reshape(groups * n, c, 3, 3).astype(np.float32)
    made, x = convolution(
        w, groups=groups, bias=rng.standard_normal(len(w)), attributes=", pads = [1, 1, 1, 1]"
    )
    (before,) = ort(made, x=x)
    (certificate,) = done = lossless.separate(made)
    certified(done)
    expected = {"dw-pw": f"separable({rank})", "pw-dw": f"separable({rank}, pw-dw)"}
    low = f"bottleneck(1, {rank})"
    assert certificate.rewrite in (expected.get(way, low), low)
    same(made, x, before, 1e-4)


@pytest.mark.parametrize(
    ("size", "stride", "changes"),
    [(1, 1, False), (8, 1, True), (8, 2, False)],  # 1 + 4 for 4; 64 + 32, 4·64 + 32 for 256
)
def test_only_what_is_cheaper_is_written(size, stride, changes):
    mix, own = RNG.standard_normal((size, size)), RNG.standard_normal((size, 4))
    w = np.einsum("nc,nk->nck", mix, own).reshape(size, size, 2, 2).astype(np.float32)
    made, _ = convolution(
        w, attributes=f", strides = [{stride}, {stride}]", x=np.zeros((1, size, 64, 64))
    )
    assert bool(lossless.separate(made)) == changes


@pytest.mark.parametrize("rewrite", [lossless.group, lossless.separate])
def test_structure_with_noise_on_it_stays(rewrite):
    w = shuffled_blocks(RNG, 1, 2, 4, 4, (3, 3)) + RNG.normal(0, 1e-5, (8, 8, 3, 3))
    made, x = convolution(w.astype(np.float32))
    (before,) = ort(made, x=x)
    assert rewrite(made) == ()
    np.testing.assert_array_equal(ort(made, x=x)[0], before)


@pytest.mark.parametrize(("dtype", "kind"), [(np.float16, "float16"), (np.float64, "double")])
def test_the_type_of_numbers_stays(dtype, kind):
    w = shuffled_blocks(RNG, 1, 2, 2, 2, (3, 3)).astype(dtype)
    made, x = convolution(w, kind=kind)
    (before,) = nets.run(made, {"x": x})  # onnxruntime has no convolution of doubles
    certified(lossless.group(made))
    (after,) = nets.run(made, {"x": x})
    assert after.dtype == dtype
    np.testing.assert_allclose(after, before, rtol=8 * np.finfo(dtype).eps)


def test_bfloat16_is_looked_at_in_its_own_precision():
    bfloat16 = ir.DataType.BFLOAT16.numpy()
    w = np.einsum("n,ck->nck", RNG.standard_normal(16), RNG.standard_normal((16, 9)))
    made = model("g (bfloat16[1, 16, 5, 5] x) => (bfloat16[a, b, c, d] y) { y = Conv (x, w) }")
    value = ir.val("w", const_value=ir.tensor(w.reshape(16, 16, 3, 3).astype(bfloat16), name="w"))
    made.graph.node(0).replace_input_with(1, value)
    made.graph.register_initializer(value)
    certified(lossless.separate(made))
    assert {v.const_value.dtype for v in made.graph.initializers.values()} == {value.dtype}


SHARED = "g (float[1, 8, 6, 6] x) => (float[a, b, c, d] y, float[a, b, e, f] z) "


def test_a_shared_weight_stays_shared():
    made = model(
        f"{SHARED} {{ y = Conv (x, w)\n z = Conv <pads = [1, 1, 1, 1]> (x, w) }}",
        w=shuffled_blocks(RNG, 1, 2, 4, 4, (3, 3)),
    )
    x = RNG.standard_normal((1, 8, 6, 6)).astype(np.float32)
    before = ort(made, x=x)
    certified(lossless.group(made), ("y", "z"))
    four_dimensional = [
        v for v in made.graph.initializers.values() if len(v.const_value.shape) == 4
    ]
    assert len(four_dimensional) == 1
    for one, other in zip(ort(made, x=x), before, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_shared_weight_stays_as_it_is_where_one_reader_cannot_change():
    made = model(
        f"{SHARED} {{ y = Conv (x, w)\n z = Conv <pads = [1, 1, 1, 1]> (x, w, x) }}",
        w=shuffled_blocks(RNG, 1, 2, 4, 4, (3, 3)),
    )
    assert lossless.group(made) == ()
    assert {name: skip.reason for name, skip in lossless.refused(made).items()} == {
        "y": "it shares its weight with one that cannot be rewritten",
        "z": "its bias is not constant",
    }


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("rewrite", [lossless.group, lossless.separate, lossless.densify])
def test_numbers_that_are_not_finite_are_refused(rewrite, number):
    w = np.zeros((4, 2, 1, 1), np.float32)
    w[0, 0] = number
    made, _ = convolution(w, groups=2)
    assert rewrite(made) == ()
    assert lossless.refused(made)["y"].reason == "its weight has numbers that are not finite"


def test_a_kernel_of_zeros_is_left_to_others():
    made, _ = convolution(np.zeros((4, 4, 3, 3), np.float32))
    assert lossless.group(made) == lossless.separate(made) == ()
    assert lossless.refused(made)["y"].reason == "its weight is zero"


GROUPED = [((6, 2, 3, 3), 2), ((8, 1, 3, 3), 4), ((4, 1, 3), 4), ((4, 2, 2, 2, 2), 2)]


@pytest.mark.parametrize(("shape", "groups"), GROUPED)
@pytest.mark.parametrize("biased", [False, True])
def test_groups_are_written_as_zeros(shape, groups, biased):
    w = RNG.standard_normal(shape).astype(np.float32)
    bias = RNG.standard_normal(len(w)) if biased else None
    made, x = convolution(w, groups=groups, bias=bias)
    (before,) = ort(made, x=x)
    certified(lossless.densify(made))
    assert operators(made) == ["Conv"]
    assert made.graph.node(0).attributes["group"].as_int() == 1
    same(made, x, before)


@pytest.mark.parametrize(("shape", "groups"), GROUPED)
@pytest.mark.parametrize("opset", [11, 17])
def test_groups_are_written_as_dense_convolutions(shape, groups, opset):
    made, x = convolution(RNG.standard_normal(shape).astype(np.float32), groups=groups, opset=opset)
    (before,) = ort(made, x=x)
    certified(lossless.split(made))
    convs = [node for node in made.graph if node.op_type == "Conv"]
    assert [node.attributes["group"].as_int() for node in convs] == [1] * groups
    same(made, x, before)


def spread(w, *, groups=1, bias=None, attributes=""):
    """`y = ConvTranspose(x, w)`, the same but that it spreads what it reads."""
    text = f"group = {groups}, strides = {[2] * (w.ndim - 2)}{attributes}"
    given = {} if bias is None else {"b": bias.astype(w.dtype)}
    sizes = ", ".join(map(str, (2, len(w), *[7] * (w.ndim - 2))))
    dims = ", ".join(f"d{i}" for i in range(w.ndim))
    made = model(
        f"g (float[{sizes}] x) => (float[{dims}] y) "
        f"{{ y = ConvTranspose <{text}> (x, w{', b' if given else ''}) }}",
        w=w,
        **given,
    )
    return made, RNG.standard_normal((2, len(w), *[7] * (w.ndim - 2))).astype(np.float32)


SPREAD = [((6, 2, 3, 3), 2), ((8, 1, 3, 3), 4), ((4, 3, 3), 4), ((4, 2, 2, 2, 2), 2)]


@pytest.mark.parametrize(("shape", "groups"), SPREAD)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(
    ("write", "back"), [(lossless.densify, lossless.group), (lossless.split, None)]
)
def test_groups_of_transposed_convolutions_are_written_out_too(shape, groups, biased, write, back):
    w = RNG.standard_normal(shape).astype(np.float32)
    bias = RNG.standard_normal(shape[1] * groups) if biased else None
    made, x = spread(w, groups=groups, bias=bias, attributes=', auto_pad = "SAME_UPPER"')
    (before,) = ort(made, x=x)
    certified(write(made))
    made_of = [node for node in made.graph if node.op_type == "ConvTranspose"]
    assert {node.attributes["group"].as_int() for node in made_of} == {1}
    same(made, x, before)
    if back is not None:
        shapes.infer(made)
        certified(back(made))
        assert made.graph.node(0).attributes["group"].as_int() == groups
        same(made, x, before)


def test_hidden_structure_of_transposed_convolutions_is_found():
    rng = np.random.default_rng(5)
    blocks = shuffled_blocks(rng, 1, 2, 3, 4, (3, 2)).swapaxes(0, 1)
    taps, mix = rng.standard_normal((8, 9)), rng.standard_normal((12, 8))
    low = np.einsum("ck,nc->cnk", taps, mix).reshape(8, 12, 3, 3).astype(np.float32)
    for w, rewrite, becomes in (
        (np.ascontiguousarray(blocks), lossless.group, ["ConvTranspose"]),
        (low, lossless.separate, ["ConvTranspose", "Conv"]),
    ):
        made, x = spread(w, attributes=f", output_padding = {[1] * 2}")
        (before,) = ort(made, x=x)
        certified(rewrite(made))
        assert [name for name in operators(made) if name != "Gather"] == becomes
        same(made, x, before)


def test_one_weight_read_in_both_directions_is_written_out_for_each():
    w = RNG.standard_normal((4, 2, 3, 3)).astype(np.float32)
    made = model(
        "g (float[1, 4, 7, 7] x) => (float[1, 4, 9, 9] z) { "
        "h = Conv <group = 2, pads = [1, 1, 1, 1]> (x, w) z = ConvTranspose <group = 2> (h, w) }",
        w=w,
    )
    x = RNG.standard_normal((1, 4, 7, 7)).astype(np.float32)
    (before,) = ort(made, x=x)
    certified(lossless.densify(made), ("h", "z"))
    same(made, x, before)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("v = Neg (w) y = Conv <group = 2> (x, v)", "its weight is made by Neg, not stored"),
        ("y = QLinearConv <group = 2> (x, s, z, w, s, z, s, z)", "quantised"),
        ("y = Conv <group = 2> (x, n)", "not finite"),
    ],
)
def test_what_keeps_its_groups_says_why(body, reason):
    quantised = "QLinear" in body
    w = np.ones((4, 2, 1, 1), np.int8 if quantised else np.float32)
    given = {"n": np.full((4, 2, 1, 1), np.nan, np.float32)} if "(x, n)" in body else {"w": w}
    if quantised:
        given |= {"s": np.array(1, np.float32), "z": np.array(0, np.int8)}
    kind = "int8" if quantised else "float"
    made = model(f"g ({kind}[1, 4, 3, 3] x) => ({kind}[1, 4, 3, 3] y) {{ {body} }}", **given)
    assert lossless.densify(made) == ()
    ((name, skip),) = lossless.kept_groups(made).items()
    assert name == "y"
    assert reason in skip.reason


def test_dense_convolutions_are_found_to_be_grouped_again():
    w = RNG.standard_normal((8, 2, 3, 3)).astype(np.float32)
    made, x = convolution(w, groups=4)
    (before,) = ort(made, x=x)
    lossless.densify(made)
    shapes.infer(made)
    certified(lossless.group(made))
    assert operators(made) == ["Conv"]
    np.testing.assert_array_equal(ort(made, x=x)[0], before)
