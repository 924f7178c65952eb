"""Exact rewrites keep the function, to rounding; and are not done where they would not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import Numbers, model, ort
from onnx.reference import ReferenceEvaluator

from gconvtool.graph.exact import fold_batch_norms, privatise_initializers
from gconvtool.graph.parts import array, constant, opset
from gconvtool.graph.save import serialise

CONV_NORM = """
g (float[1, 4, 7, 7] x) => (float[1, M, P, Q] y) {
  c = Conv <ATTRIBUTES> (x, w, b)
  n = BatchNormalization <epsilon = 0.01> (c, gamma, beta, mean, variance)
  y = Neg (n)
}
"""


def text(attributes: str = "group = 1", bias: bool = True, dtype: str = "float") -> str:
    graph = CONV_NORM if bias else CONV_NORM.replace("(x, w, b)", "(x, w)")
    return graph.replace("ATTRIBUTES", attributes).replace("float[", f"{dtype}[")


def constants(*shape: int, dtype: Any = np.float32, seed: int = 0) -> dict[str, Numbers]:
    """Weights, bias, and statistics as training leaves them: variances are positive."""
    rng = np.random.default_rng(seed)
    filters = shape[0]
    numbers = {
        "w": rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:])),
        "b": rng.standard_normal(filters),
        "gamma": rng.uniform(-2, 2, filters),
        "beta": rng.standard_normal(filters),
        "mean": rng.standard_normal(filters),
        "variance": rng.uniform(0.05, 4, filters),
    }
    return {name: value.astype(dtype) for name, value in numbers.items()}


def inputs(dtype: Any = np.float32, seed: int = 1) -> Numbers:
    return np.random.default_rng(seed).standard_normal((1, 4, 7, 7)).astype(dtype)


def reference(network: ir.Model, **feeds: Numbers) -> Numbers:
    (result,) = ReferenceEvaluator(ir.to_proto(network)).run(None, feeds)
    return result


def operators(network: ir.Model) -> list[str]:
    return [node.op_type for node in network.graph]


def folded(network: ir.Model) -> ir.Model:
    """A copy with its one normalisation folded; it still passes the checker."""
    copy = network.clone()
    assert fold_batch_norms(copy) == 1
    assert operators(copy) == ["Conv", "Neg"]
    onnx.checker.check_model(onnx.load_model_from_string(serialise(copy.clone(), "m")))
    return copy


GEOMETRIES = [
    pytest.param("group = 1", (6, 4, 3, 3), id="dense"),
    pytest.param("group = 2, strides = [2, 1]", (6, 2, 3, 3), id="grouped"),
    pytest.param("group = 4, pads = [1, 0, 2, 1]", (8, 1, 3, 2), id="depthwise-multiplier"),
    pytest.param("group = 4, dilations = [2, 2]", (4, 1, 3, 3), id="depthwise"),
    pytest.param('group = 1, auto_pad = "SAME_UPPER"', (5, 4, 1, 1), id="pointwise"),
]


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(("attributes", "shape"), GEOMETRIES)
def test_folding_keeps_the_function(attributes: str, shape: tuple[int, ...], bias: bool) -> None:
    network = model(text(attributes, bias), **constants(*shape))
    before, after = ort(network, x=inputs())[0], ort(folded(network), x=inputs())[0]
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
    assert before.std() > 0.1


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(("attributes", "shape"), GEOMETRIES[:3])
def test_folding_keeps_doubles_to_their_own_precision(
    attributes: str, shape: tuple[int, ...], bias: bool
) -> None:
    network = model(text(attributes, bias, "double"), **constants(*shape, dtype=np.float64))
    result = folded(network)
    x = inputs(np.float64)
    np.testing.assert_allclose(reference(result, x=x), reference(network, x=x), atol=1e-13)
    assert result.graph[0].inputs[1].dtype == ir.DataType.DOUBLE


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_folding_keeps_half_precision_to_the_rounding_of_its_weights(bias: bool) -> None:
    numbers = constants(6, 2, 3, 3, dtype=np.float16)
    result = folded(model(text("group = 2", bias, "float16"), **numbers))
    assert all(v.dtype == ir.DataType.FLOAT16 for v in result.graph[0].inputs[1:])
    # the truth: the same numbers, all arithmetic in float64
    exact = {name: value.astype(np.float64) for name, value in numbers.items()}
    truth = reference(
        model(text("group = 2", bias, "double"), **exact), x=inputs(np.float16).astype(np.float64)
    )
    (after,) = ort(result, x=inputs(np.float16))
    assert after.dtype == np.float16
    # 18 products of numbers around 1, each rounded to 11 bits
    np.testing.assert_allclose(after, truth, atol=18 * 2.0**-11 * 2)


def test_folding_by_hand() -> None:
    # scale = 3/√(3.99 + 0.01) = 1.5, so W' = 2·1.5 = 3 and b' = (1 − 7)·1.5 + 5 = −4
    numbers = {"w": 2, "b": 1, "gamma": 3, "beta": 5, "mean": 7, "variance": 3.99}
    shaped = {
        name: np.full((1,) * (1 + 3 * (name == "w")), v, np.float32) for name, v in numbers.items()
    }
    network = model(text().replace("1, 4, 7, 7", "1, 1, 7, 7"), **shaped)
    conv = folded(network).graph[0]
    values = [array(value) for value in conv.inputs[1:]]
    np.testing.assert_allclose(values[0], [[[[3]]]], rtol=1e-6)
    np.testing.assert_allclose(values[1], [-4], rtol=1e-6)


def test_epsilon_is_a_hundred_thousandth_unless_it_is_given() -> None:
    numbers = constants(6, 4, 3, 3)
    numbers["variance"] = np.full(6, 1e-5, np.float32)  # as large as the default
    network = model(text().replace("<epsilon = 0.01>", ""), **numbers)
    weight = array(folded(network).graph[0].inputs[1])
    scale = (numbers["gamma"] / np.sqrt(2e-5)).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(weight, numbers["w"] * scale, rtol=1e-5)


def test_folding_works_in_one_and_in_three_dimensions() -> None:
    for axes in (1, 3):
        graph = text().replace("7, 7", ", ".join("7" * axes))
        graph = graph.replace("P, Q", ", ".join("PQR"[:axes]))
        network = model(graph, **constants(6, 4, *[3] * axes))
        x = np.random.default_rng(2).standard_normal((1, 4, *[7] * axes)).astype(np.float32)
        before, after = ort(network, x=x)[0], ort(folded(network), x=x)[0]
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)


def test_the_convolution_keeps_its_outputs_name_and_the_normalisations_is_gone() -> None:
    result = folded(model(text(), **constants(6, 4, 3, 3)))
    assert [node.outputs[0].name for node in result.graph] == ["c", "y"]
    assert result.graph[1].inputs[0] is result.graph[0].outputs[0]


def test_every_normalisation_of_a_network_is_folded() -> None:
    graph = """
    g (float[1, 4, 7, 7] x) => (float[1, 4, 7, 7] y) {
      a = Conv (x, w) na = BatchNormalization (a, gamma, beta, mean, variance)
      c = Conv (na, w) nc = BatchNormalization (c, gamma, beta, mean, variance)
      y = Add (na, nc)
    }
    """
    network = model(graph, **constants(4, 4, 1, 1))
    before = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == 2
    assert operators(network) == ["Conv", "Conv", "Add"]
    np.testing.assert_allclose(ort(network, x=inputs())[0], before, rtol=1e-5, atol=1e-5)


def test_a_shared_weight_is_folded_for_its_own_convolution_alone() -> None:
    graph = """
    g (float[1, 4, 7, 7] x) => (float[1, 4, 7, 7] y) {
      a = Conv (x, w) n = BatchNormalization (a, gamma, beta, mean, variance)
      c = Conv (x, w) y = Add (n, c)
    }
    """
    network = model(graph, **constants(4, 4, 1, 1))
    before = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == 1
    np.testing.assert_allclose(ort(network, x=inputs())[0], before, rtol=1e-5, atol=1e-5)


def norm(attributes: str = "", **swapped: str) -> str:
    names = ["c", "gamma", "beta", "mean", "variance"]
    return f"BatchNormalization {attributes} ({', '.join(swapped.get(n, n) for n in names)})"


TRAINING = norm("<training_mode = 1>")
FED = "float[1, 4, 7, 7] x, float[6] fed, float[6, 4, 3, 3] fed_weight, float[6, 1, 1] factor"
UNTOUCHED = {
    # what it shows: (the graph, its other outputs)
    "the convolution is read twice": (f"c = Conv (x, w) n = {norm()} y = Add (n, c)", ""),
    "the convolution is an output": (f"c = Conv (x, w) n = {norm()} y = Neg (n)", ", float c"),
    "the normalisation is an output": (f"c = Conv (x, w) y = {norm()}", ""),
    "the normalisation is read and an output": (
        f"c = Conv (x, w) n = {norm()} y = Neg (n)",
        ", float n",
    ),
    "training mode": (f"c = Conv (x, w) n = {TRAINING} y = Neg (n)", ""),
    "training mode with statistics": (f"c = Conv (x, w) n, m, s = {TRAINING} y = Neg (n)", ""),
    "fed mean": (f"c = Conv (x, w) n = {norm(mean='fed')} y = Neg (n)", ""),
    "fed variance": (f"c = Conv (x, w) n = {norm(variance='fed')} y = Neg (n)", ""),
    "fed scale": (f"c = Conv (x, w) n = {norm(gamma='fed')} y = Neg (n)", ""),
    "fed shift": (f"c = Conv (x, w) n = {norm(beta='fed')} y = Neg (n)", ""),
    "computed scale": (f"c = Conv (x, w) s = Abs (gamma) n = {norm(gamma='s')} y = Neg (n)", ""),
    "fed weight": (f"c = Conv (x, fed_weight) n = {norm()} y = Neg (n)", ""),
    "fed bias": (f"c = Conv (x, w, fed) n = {norm()} y = Neg (n)", ""),
    "something in between": (f"d = Conv (x, w) c = Relu (d) n = {norm()} y = Neg (n)", ""),
    "no convolution": (f"c = Relu (stored) n = {norm()} y = Neg (n)", ""),
    "nothing before": (f"n = {norm(c='stored')} y = Neg (n)", ""),
    "another domain's convolution": (f"c = my.Conv (x, w) n = {norm()} y = Neg (n)", ""),
    "another domain's normalisation": (f"c = Conv (x, w) n = my.{norm()} y = Neg (n)", ""),
    "a sum with a value": ("c = Conv (x, w) n = Add (c, c) y = Neg (n)", ""),
    "a number a position": ("c = Conv (x, w) n = Add (c, row) y = Neg (n)", ""),
    "a number a sample": ("c = Conv (x, w) n = Mul (c, samples) y = Neg (n)", ""),
    "an axis more": ("c = Conv (x, w) n = Mul (c, deep) y = Neg (n)", ""),
    "a quotient by the convolution": ("c = Conv (x, w) n = Div (k, c) y = Neg (n)", ""),
    "a fed factor": ("c = Conv (x, w) n = Mul (c, factor) y = Neg (n)", ""),
    "a division by zero": ("c = Conv (x, w) n = Div (c, zero) y = Neg (n)", ""),
    "a product that is an output": ("c = Conv (x, w) y = Mul (c, k)", ""),
}


@pytest.mark.parametrize(("body", "more"), UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_a_normalisation_is_left_alone_where_folding_would_change_something(
    body: str, more: str
) -> None:
    numbers = constants(6, 4, 3, 3)
    network = model(
        f"g ({FED}) => (float y{more}) {{ {body} }}",
        domains=["my"],
        **numbers,
        stored=np.zeros((1, 6, 5, 5), np.float32),
        row=np.ones(5, np.float32),
        samples=np.ones((2, 1, 1, 1), np.float32),
        deep=np.ones((1, 6, 1, 1, 1), np.float32),
        k=np.ones((6, 1, 1), np.float32),
        zero=np.zeros(1, np.float32),
    )
    before = ir.to_proto(network).SerializeToString(deterministic=True)
    assert fold_batch_norms(network) == 0
    assert ir.to_proto(network).SerializeToString(deterministic=True) == before


def test_a_value_that_a_branch_reads_is_used_twice() -> None:
    graph = f"""
    g (float[1, 4, 7, 7] x, bool k) => (float[1, 6, 5, 5] y) {{
      c = Conv (x, w) n = {norm()}
      y = If (k) <
        then_branch = t () => (float[1, 6, 5, 5] p) {{ p = Relu (c) }},
        else_branch = e () => (float[1, 6, 5, 5] q) {{ q = Neg (n) }}
      >
    }}
    """
    network = model(graph, **constants(6, 4, 3, 3))
    assert fold_batch_norms(network) == 0


def test_a_normalisation_that_only_a_branch_reads_is_folded_for_the_branch() -> None:
    graph = f"""
    g (float[1, 4, 7, 7] x, bool k) => (float[1, 6, 5, 5] y) {{
      c = Conv (x, w) n = {norm()}
      y = If (k) <
        then_branch = t () => (float[1, 6, 5, 5] p) {{ p = Neg (n) }},
        else_branch = e () => (float[1, 6, 5, 5] q) {{ q = Neg (n) }}
      >
    }}
    """
    network = model(graph, **constants(6, 4, 3, 3))
    feeds = {"x": inputs(), "k": np.array(False)}
    before = ort(network, **feeds)[0]
    assert fold_batch_norms(network) == 1
    np.testing.assert_allclose(ort(network, **feeds)[0], before, rtol=1e-5, atol=1e-5)


def test_nothing_unread_is_left_behind() -> None:
    result = folded(model(text(), **constants(6, 4, 3, 3)))
    assert all(value.uses() for value in result.graph.initializers.values())
    assert len(result.graph.initializers) == 2


def test_a_second_normalisation_is_folded_too() -> None:
    again = "m = BatchNormalization (n, beta, gamma, mean, variance) y = Neg (m)"
    network = model(text().replace("y = Neg (n)", again), **constants(6, 4, 3, 3))
    before = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == 2
    assert operators(network) == ["Conv", "Neg"]
    np.testing.assert_allclose(ort(network, x=inputs())[0], before, rtol=1e-5, atol=1e-5)


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    graph = text().replace("y = Neg (n)", "r = Neg (n) y = Mul (r, taken)")
    network = model(graph, **constants(6, 4, 3, 3))
    taken = constant(network.graph, "c.folded_bias", np.full((1, 6, 1, 1), 2, np.float32))
    network.graph[-1].replace_input_with(1, taken)
    before = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == 1
    np.testing.assert_allclose(ort(network, x=inputs())[0], before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("opset", "node", "statistics"),
    [
        (7, "n = BatchNormalization <spatial = 0> (c, s, s, s, s)", (1, 2, 2)),
        (6, "n = BatchNormalization (c, s, s, s, s)", (1,)),
        (9, "n, a1, a2, a3, a4 = BatchNormalization (c, s, s, s, s)", (1,)),
    ],
    ids=["a position", "no is_test", "five outputs"],
)
def test_old_normalisations_that_do_something_else_are_left_alone(
    opset: int, node: str, statistics: tuple[int, ...]
) -> None:
    network = model(
        f"g (float[1, 1, 2, 2] x) => (float y) {{ c = Conv (x, w) {node} y = Neg (n) }}",
        opset=opset,
        ir_version=4,
        w=np.ones((1, 1, 1, 1), np.float32),
        s=np.ones(statistics, np.float32),
    )
    assert fold_batch_norms(network) == 0


def test_a_fold_that_overflows_is_not_done() -> None:
    numbers = constants(6, 2, 3, 3, dtype=np.float16)
    numbers.update(
        w=np.full((6, 2, 3, 3), 700, np.float16),
        gamma=np.full(6, 10, np.float16),
        variance=np.zeros(6, np.float16),
    )
    network = model(text("group = 2", False, "float16"), **numbers)  # 700·10/√0.01 = 70,000
    fold_batch_norms(network)
    weight = array(network.graph[0].inputs[1])
    assert weight is not None
    assert np.isfinite(weight).all()


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ("group = 1", (4, 6, 3, 3)),
        ("group = 2, strides = [2, 2], output_padding = [1, 1]", (4, 3, 2, 2)),
        ("group = 4, pads = [1, 1, 1, 1], dilations = [2, 1]", (4, 2, 3, 3)),
    ],
)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_transposed_convolutions_take_what_follows_them(
    attributes: str, shape: tuple[int, ...], bias: bool
) -> None:
    graph = text(attributes, bias).replace("Conv ", "ConvTranspose ")
    filters = shape[1] * int(attributes[len("group = ")])
    network = model(graph, **{**constants(filters), "w": constants(*shape)["w"]})
    before = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == 1
    assert operators(network) == ["ConvTranspose", "Neg"]
    np.testing.assert_allclose(ort(network, x=inputs())[0], before, rtol=1e-5, atol=1e-5)


CHANNELWISE = {
    # what follows a convolution of six filters: how many nodes that are
    "n = Add (c, map)": 1,
    "n = Add (k, c)": 1,
    "n = Mul (c, map)": 1,
    "n = Mul (k, c)": 1,
    "n = Sub (c, k)": 1,
    "n = Sub (k, c)": 1,
    "n = Div (c, k)": 1,
    "n = Mul (c, one)": 1,
    "n = Add (c, single)": 1,
    "d = Mul (c, map) n = Add (d, k)": 2,
    "d = Sub (one, c) e = BatchNormalization (d, gamma, beta, mean, variance) n = Div (e, k)": 3,
}


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(("body", "count"), CHANNELWISE.items())
def test_arithmetic_by_channel_is_folded_and_so_are_chains_of_it(
    body: str, count: int, bias: bool
) -> None:
    numbers = constants(6, 4, 3, 3)
    network = model(
        f"g (float[1, 4, 7, 7] x) => (float[1, 6, P, Q] y) {{ "
        f"c = Conv ({'x, w, b' if bias else 'x, w'}) {body} y = Neg (n) }}",
        **numbers,
        map=numbers["gamma"].reshape(1, 6, 1, 1),
        k=numbers["variance"].reshape(6, 1, 1),
        one=np.array(0.7, np.float32),
        single=np.full((1, 1, 1, 1), 0.3, np.float32),
    )
    before = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == count
    assert operators(network) == ["Conv", "Neg"]
    np.testing.assert_allclose(ort(network, x=inputs())[0], before, rtol=1e-5, atol=1e-5)


def test_a_factor_gives_no_bias_to_a_convolution_without_one() -> None:
    graph = "g (float[1, 4, 7, 7] x) => (float y) { c = Conv (x, w) n = Mul (c, k) y = Neg (n) }"
    network = model(graph, k=np.array(2, np.float32), **constants(6, 4, 3, 3))
    assert fold_batch_norms(network) == 1
    assert len(network.graph[0].inputs) == 2


def before(convolutions: str, outputs: str = "") -> str:
    """A normalisation of x that convolutions read, after something that is none."""
    return f"""
    g (float[1, 4, 7, 7] x) => (float[1, M, P, Q] y{outputs}) {{
      r = Relu (x)
      n = BatchNormalization <epsilon = 0.01> (r, gamma, beta, mean, variance)
      {convolutions}
    }}
    """


def normalised_first(graph: str, *shape: int) -> ir.Model:
    """With a normalisation of four channels, and weights of this shape."""
    own = constants(*shape, seed=3)
    numbers = {**constants(4), "w": own["w"], "b": own["b"]}
    return model(
        graph, **{name: n for name, n in numbers.items() if re.search(rf"\b{name}\b", graph)}
    )


READERS = [
    pytest.param("Conv (n, w, b)", (6, 4, 3, 3), id="dense"),
    pytest.param("Conv (n, w)", (6, 4, 3, 3), id="no bias"),
    pytest.param("Conv <group = 2, strides = [2, 1]> (n, w, b)", (6, 2, 3, 2), id="grouped"),
    pytest.param("Conv <group = 4> (n, w, b)", (8, 1, 3, 3), id="multiplier"),
    pytest.param('Conv <auto_pad = "VALID"> (n, w, b)', (6, 4, 3, 3), id="valid"),
    pytest.param('Conv <auto_pad = "SAME_UPPER"> (n, w, b)', (6, 4, 1, 1), id="pointwise"),
]


@pytest.mark.parametrize(("reader", "shape"), READERS)
def test_a_normalisation_before_a_convolution_is_folded(
    reader: str, shape: tuple[int, ...]
) -> None:
    network = normalised_first(before(f"y = {reader}"), *shape)
    expected = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == 1
    assert operators(network) == ["Relu", "Conv"]
    onnx.checker.check_model(ir.to_proto(network))
    np.testing.assert_allclose(ort(network, x=inputs())[0], expected, rtol=1e-4, atol=1e-5)
    assert all(value.uses() for value in network.graph.initializers.values())


PADDED = [
    pytest.param("Conv <pads = [1, 1, 1, 1]> (n, w, b)", (6, 4, 3, 3), id="pads"),
    pytest.param("Conv <pads = [0, 0, 0, 1]> (n, w, b)", (6, 4, 1, 1), id="pads of 1×1"),
    pytest.param('Conv <auto_pad = "SAME_LOWER"> (n, w, b)', (6, 4, 3, 3), id="same"),
    pytest.param("ConvTranspose <group = 2> (n, w)", (4, 3, 3, 3), id="transposed"),
    pytest.param("ConvTranspose <strides = [2, 2]> (n, w)", (4, 6, 1, 1), id="transposed 1×1"),
]


@pytest.mark.parametrize(("reader", "shape"), PADDED)
def test_a_shift_does_not_pass_padding(reader: str, shape: tuple[int, ...]) -> None:
    assert fold_batch_norms(normalised_first(before(f"y = {reader}"), *shape)) == 0


@pytest.mark.parametrize(("reader", "shape"), PADDED)
def test_a_scale_passes_padding(reader: str, shape: tuple[int, ...]) -> None:
    network = normalised_first(before(f"y = {reader}").replace("0.01", "1.0"), *shape)
    # √(3 + 1) = 2, so that β = μ·γ/2 leaves no shift at all
    gamma = constants(4)["gamma"]
    numbers = {"beta": gamma / 2, "mean": np.ones(4), "variance": np.full(4, 3)}
    for name, vector in numbers.items():
        network.graph.initializers[name].const_value = ir.tensor(vector.astype(np.float32))
    expected = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == 1
    np.testing.assert_allclose(ort(network, x=inputs())[0], expected, rtol=1e-4, atol=1e-5)


def test_a_normalisation_goes_into_all_convolutions_that_read_it() -> None:
    both = "a = Conv (n, w, b) c = Conv <strides = [1, 1]> (n, w) y = Mul (a, c)"
    network = normalised_first(before(both), 6, 4, 3, 3)
    expected = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == 1
    assert operators(network) == ["Relu", "Conv", "Conv", "Mul"]
    np.testing.assert_allclose(ort(network, x=inputs())[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        ("a = Conv (n, w) c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (n, w) y = Neg (a)", ""),
        ("a = Conv (n, w) c = Neg (n) y = Neg (a)", ""),
        ("y = Conv (n, w)", ", float n"),
        ("s = Abs (w) y = Conv (n, s)", ""),
        ("y = my.Conv (n, w)", ""),
        ("y = Conv (x, n)", ""),
        ("y = Neg (n)", ""),
    ],
    ids="padded other output computed domain weight none".split(),
)
def test_a_normalisation_stays_if_one_of_its_readers_cannot_take_it(
    body: str, outputs: str
) -> None:
    numbers = {**constants(4), "w": constants(6, 4, 3, 3)["w"]}
    network = model(before(body, outputs), domains=["my"], **numbers)
    assert fold_batch_norms(network) == 0


def test_a_normalisation_between_two_convolutions_goes_into_the_first() -> None:
    graph = before("y = Conv (n, w)").replace("r = Relu (x)", "r = Conv (x, first)")
    first, second = constants(4, 4, 1, 1)["w"], constants(6, 4, 3, 3)["w"]
    network = model(graph, **{**constants(4), "w": second}, first=first)
    expected = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == 1
    np.testing.assert_array_equal(array(network.graph[1].inputs[1]), second)
    np.testing.assert_allclose(ort(network, x=inputs())[0], expected, rtol=1e-4, atol=1e-5)


def test_weights_that_become_too_small_for_their_type_are_not_folded() -> None:
    tiny = np.array(1e-7, np.float16)  # of a weight about 1, two bits are left
    graph = (
        "g (float16[1, 4, 7, 7] x) => (float16 y) { c = Conv (x, w) n = Mul (c, k) y = Neg (n) }"
    )
    network = model(graph, k=tiny, **constants(6, 4, 3, 3, dtype=np.float16))
    assert fold_batch_norms(network) == 0


def test_the_opset_may_be_named_in_full() -> None:
    network = model("g (float x) => (float y) { y = Neg (x) }", opset=12)
    assert opset(network) == 12
    network.opset_imports["ai.onnx"] = network.opset_imports.pop("")
    assert opset(network) == 12
    network.opset_imports.clear()
    assert opset(network) == 0


LISTED = """
g (float[1, 4, 7, 7] x, float[6, 4, 3, 3] w, float[6] b, float[6] gamma, float[6] beta,
   float[6] mean, float[6] variance) => (float[1, 6, 5, 5] y) {
  c = Conv (x, w, b)
  n = BatchNormalization (c, gamma, beta, mean, variance)
  y = Neg (n)
}
"""


@pytest.mark.parametrize("ir_version", [3, 8])
def test_initializers_are_taken_out_of_the_inputs(ir_version: int) -> None:
    network = model(LISTED, opset=9, ir_version=ir_version, **constants(6, 4, 3, 3))
    before = ort(network, x=inputs())[0]
    assert privatise_initializers(network) == 6
    assert [value.name for value in network.graph.inputs] == ["x"]
    assert network.ir_version == max(4, ir_version)
    onnx.checker.check_model(ir.to_proto(network))
    np.testing.assert_allclose(ort(network, x=inputs())[0], before, rtol=1e-5, atol=1e-5)


def test_true_inputs_stay() -> None:
    network = model(text(), **constants(6, 4, 3, 3))
    assert privatise_initializers(network) == 0
    assert [value.name for value in network.graph.inputs] == ["x"]


def test_a_weight_that_a_caller_may_override_is_folded_only_once_it_is_private() -> None:
    network = model(LISTED, opset=9, ir_version=3, **constants(6, 4, 3, 3))
    before = ort(network, x=inputs())[0]
    assert fold_batch_norms(network) == 0
    privatise_initializers(network)
    assert fold_batch_norms(network) == 1
    np.testing.assert_allclose(ort(network, x=inputs())[0], before, rtol=1e-5, atol=1e-5)


def test_new_weights_are_valid_in_a_model_of_ir_version_3() -> None:
    values = "value = float[1] {2.0}"
    network = model(
        f"""
        g (float[1, 1, 8, 8] x) => (float[1, 1, 8, 8] y) {{
          w = Constant <value = float[1, 1, 1, 1] {{2.0}}> () s = Constant <{values}> ()
          c = Conv (x, w) n = BatchNormalization (c, s, s, s, s) y = Neg (n)
        }}
        """,
        opset=9,
        ir_version=3,
    )
    privatise_initializers(network)
    assert fold_batch_norms(network) == 1
    onnx.checker.check_model(ir.to_proto(network))


def test_a_constant_has_its_numbers_and_anything_computed_has_none() -> None:
    network = model(
        "g (float[2] x, float[2] listed) => (float[2] y)"
        "{ k = Constant <value_floats = [1.0, 2.0]> () a = Add (x, k) y = Add (a, s) }",
        s=np.array([3, 4], np.float16),
        listed=np.zeros(2, np.float32),
    )
    constant_node, first, second = network.graph
    np.testing.assert_array_equal(array(constant_node.outputs[0]), [1, 2])
    stored = array(second.inputs[1])
    np.testing.assert_array_equal(stored, [3, 4])
    assert stored is not None
    assert stored.dtype == np.float16
    assert array(first.inputs[0]) is None  # fed
    assert array(second.inputs[0]) is None  # computed
    assert array(network.graph.inputs[1]) is None  # may be overridden
    assert array(None) is None
