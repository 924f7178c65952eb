"""Channels that add nothing go, along the whole chain, and the function stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import strategies as st
from models import Numbers, model, ort
from often import often

from gconvtool.graph import shapes
from gconvtool.graph.channels import Channels
from gconvtool.graph.pruning import prune
from gconvtool.graph.save import serialise
from gconvtool.graph.steady import Observer


def network(graph: str, **settings: Any) -> ir.Model:
    made = model(graph, **settings)
    shapes.infer(made)
    return made


def text(body: str, more: str = "") -> str:
    return f"g (float[N, 4, 8, 8] x) => (float y{more}) {{ {body} }}"


def numbers(*shape: int, seed: int = 0, dead: tuple[int, ...] = (), axis: int = 0) -> Numbers:
    """Normal numbers, and zeros for the dead along an axis."""
    made = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    np.moveaxis(made, axis, 0)[list(dead)] = 0
    return made


def same_and_valid(before: ir.Model, after: ir.Model, seed: int = 9) -> None:
    onnx.checker.check_model(onnx.load_model_from_string(serialise(after.clone(), "m")), True)
    x = np.random.default_rng(seed).standard_normal((2, 4, 8, 8)).astype(np.float32)
    for y, z in zip(ort(before, x=x), ort(after, x=x), strict=True):
        assert y.shape == z.shape
        np.testing.assert_allclose(z, y, rtol=1e-4, atol=1e-4)


def pruned(made: ir.Model) -> tuple[ir.Model, dict[str, tuple[str, float]]]:
    copy = made.clone()
    shapes.infer(copy)
    certificates = prune(copy)
    assert all(c.difference <= c.bound for c in certificates)
    same_and_valid(made, copy)
    return copy, {c.site: (c.rewrite, c.bound) for c in certificates}


def widths(made: ir.Model) -> dict[str, int]:
    """Filters of each layer, by its output."""
    return {
        node.outputs[0].name or "": int(node.outputs[0].shape[1])
        for node in made.graph
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")
    }


CHAIN = text(
    "a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)"
    "n = BatchNormalization (a, gamma, beta, mean, variance)"
    "r = Relu (n)"
    "d = Conv <group = 6, pads = [1, 1, 1, 1]> (r, w2, b2)"
    "p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (d)"
    "c = Conv (p, w3)"
    "y = Relu (c)"
)


def chain(**swapped: Numbers) -> ir.Model:
    constants = {
        "w1": numbers(6, 4, 3, 3, seed=1),
        "b1": numbers(6, seed=2),
        "gamma": numbers(6, seed=3),
        "beta": numbers(6, seed=4),
        "mean": numbers(6, seed=5),
        "variance": np.abs(numbers(6, seed=6)),
        "w2": numbers(6, 1, 3, 3, seed=7),
        "b2": numbers(6, seed=8),
        "w3": numbers(3, 6, 3, 3, seed=9),
    }
    return network(CHAIN, **{**constants, **swapped})


def test_what_nothing_reads_goes_along_the_whole_chain() -> None:
    copy, certificates = pruned(chain(w3=numbers(3, 6, 3, 3, seed=9, dead=(1, 4), axis=1)))
    assert widths(copy) == {"a": 4, "d": 4, "c": 3}
    shrunk = sorted(tuple(v.const_value.shape) for v in copy.graph.initializers.values())
    assert shrunk == sorted([(4, 4, 3, 3), *[(4,)] * 6, (4, 1, 3, 3), (3, 4, 3, 3)])
    assert copy.graph[3].attributes["group"].as_int() == 4
    assert certificates == {"a": ("dead channels", 0.0), "d": ("dead channels", 0.0)}


def test_a_constant_goes_into_the_bias_of_what_reads_it() -> None:
    copy, certificates = pruned(chain(w2=numbers(6, 1, 3, 3, seed=7, dead=(0, 5))))
    assert widths(copy) == {"a": 4, "d": 4, "c": 3}
    # by hand: b' = b2[0]·Σ w3[:, 0] + b2[5]·Σ w3[:, 5]
    b2, w3 = numbers(6, seed=8).astype(float), numbers(3, 6, 3, 3, seed=9).astype(float)
    bias = copy.graph[5].inputs[2].const_value.numpy()
    np.testing.assert_allclose(bias, (w3.sum((2, 3)) * b2)[:, [0, 5]].sum(1), rtol=1e-6)
    assert certificates["c"] == ("constant channels", 2.0**-24)


def test_padding_stops_a_constant_but_not_a_zero() -> None:
    dead = numbers(6, 4, 3, 3, seed=1, dead=(0, 1))
    bias = numbers(6, seed=2)
    bias[0] = 0
    body = "a = Conv (x, w1, b1) r = Relu (a) c = Conv <pads = [1, 1, 1, 1]> (r, w3) y = Relu (c)"
    bias[1] = 1
    made = network(text(body), w1=dead, b1=bias, w3=numbers(3, 6, 3, 3, seed=9))
    copy, _ = pruned(made)
    assert widths(copy) == {"a": 5, "c": 3}
    bias[1] = -1  # of which the Relu makes a zero
    made = network(text(body), w1=dead, b1=bias, w3=numbers(3, 6, 3, 3, seed=9))
    copy, _ = pruned(made)
    assert widths(copy) == {"a": 4, "c": 3}


RESIDUAL = text(
    "a = Conv (x, w1) b = Conv (x, w2) s = Add (a, b) r = Relu (s)"
    "c = Conv (r, w3) z = Add (c, r) y = Conv (z, w4)"
)


def residual(first: tuple[int, ...], second: tuple[int, ...], third: tuple[int, ...]) -> ir.Model:
    return network(
        RESIDUAL,
        w1=numbers(6, 4, 1, 1, seed=1, dead=first),
        w2=numbers(6, 4, 1, 1, seed=2, dead=second),
        w3=numbers(6, 6, 1, 1, seed=3, dead=third),
        w4=numbers(2, 6, 1, 1, seed=4),
    )


def test_branches_that_are_added_must_agree() -> None:
    copy, _ = pruned(residual((0, 1, 2), (1, 2, 3), (2, 3, 4)))
    assert widths(copy) == {"a": 5, "b": 5, "c": 5, "y": 2}
    copy, certificates = pruned(residual((0, 1), (2, 3), (4,)))
    assert widths(copy) == {"a": 6, "b": 6, "c": 6, "y": 2}
    assert not certificates


def test_joined_maps_lose_channels_each_on_its_own() -> None:
    body = (
        "a = Conv (x, w1) b = Conv (x, w2) j = Concat <axis = 1> (a, b) r = Relu (j)"
        "y = Conv (r, w3)"
    )
    made = network(
        text(body),
        w1=numbers(5, 4, 3, 3, seed=1),
        w2=numbers(3, 4, 3, 3, seed=2),
        w3=numbers(2, 8, 1, 1, seed=3, dead=(0, 4, 5), axis=1),
    )
    copy, _ = pruned(made)
    assert widths(copy) == {"a": 3, "b": 2, "y": 2}


@pytest.mark.parametrize("reshape", ["Flatten (a)", "Reshape (a, sizes)", "Reshape (a, rest)"])
def test_flattened_channels_go_with_all_their_positions(reshape: str) -> None:
    w = numbers(2, 96, seed=3).reshape(2, 6, 16)
    w[:, [1, 3]] = 0
    w[:, 2, :15] = 0
    constants = {"sizes": np.array([-1, 96]), "rest": np.array([0, -1])}
    made = network(
        text(f"a = Conv <strides = [2, 2]> (x, w1) f = {reshape} y = Gemm <transB = 1> (f, w2)"),
        w1=numbers(6, 4, 2, 2, seed=1),
        w2=w.reshape(2, 96),
        **{name: v for name, v in constants.items() if f", {name})" in reshape},
    )
    copy, _ = pruned(made)
    assert widths(copy) == {"a": 4, "y": 2}


def test_what_is_left_unread_goes_too() -> None:
    made = network(
        text("a = Conv (x, w1) b = Conv (a, w2) c = Conv (b, w3) y = Relu (c)"),
        w1=numbers(6, 4, 1, 1, seed=1),
        # only filter 0 of b reads channels 0 and 1 of a, and nothing reads filter 0
        w2=np.concatenate(
            [numbers(1, 6, 1, 1, seed=2), numbers(4, 6, 1, 1, seed=3, dead=(0, 1), axis=1)]
        ),
        w3=numbers(3, 5, 1, 1, seed=4, dead=(0,), axis=1),
    )
    copy, _ = pruned(made)
    assert widths(copy) == {"a": 4, "b": 4, "c": 3}


def test_gates_lose_channels_with_the_maps_that_they_weigh() -> None:
    body = (
        "a = Conv (x, w1) p = GlobalAveragePool (a) q = Conv (p, w2) u = Relu (q) e = Conv (u, w3)"
        "g = Sigmoid (e) m = Mul (a, g) y = Conv (m, w4)"
    )
    constants = {
        "w1": numbers(6, 4, 3, 3, seed=1),
        "w2": numbers(2, 6, 1, 1, seed=2, dead=(0, 1), axis=1),
        "w3": numbers(6, 2, 1, 1, seed=3),
        "w4": numbers(3, 6, 3, 3, seed=4, dead=(1, 2), axis=1),
    }
    copy, _ = pruned(network(text(body), **constants))
    assert widths(copy) == {"a": 5, "q": 2, "e": 5, "y": 3}


KEPT = {
    "an output": ("a = Conv (x, w1) y = Conv (a, w2)", ", float a"),
    "an operator over channels": (
        "a = Conv (x, w1) s = Softmax <axis = 1> (a) y = Conv (s, w2)",
        "",
    ),
    "a sum over channels": (
        "a = Conv (x, w1) s = ReduceSum (a, one) c = Conv (a, w2) y = Add (s, c)",
        "",
    ),
    "a shape": (
        "a = Conv (x, w1) s = Shape (a) c = Conv (a, w2) k = Cast <to = 1> (s) "
        "m = ReduceSum <keepdims = 0> (k) y = Add (c, m)",
        "",
    ),
    "a convolution in groups": (
        "a = Conv (x, w1) g = Conv <group = 2> (a, w3) y = Conv (g, w2)",
        "",
    ),
    "another domain": ("a = Conv (x, w1) s = com.microsoft.Gelu (a) y = Conv (s, w2)", ""),
}


@pytest.mark.parametrize(("body", "more"), KEPT.values(), ids=KEPT.keys())
def test_channels_stay_where_something_else_sees_them(body: str, more: str) -> None:
    constants = {
        "w1": numbers(6, 4, 3, 3, seed=1, dead=(0, 2)),
        "w2": numbers(3, 6, 1, 1, seed=2, dead=(1, 2), axis=1),
        "w3": numbers(6, 3, 1, 1, seed=3),
        "one": np.array([1]),
    }
    constants = {name: v for name, v in constants.items() if name in body}
    made = network(text(body, more), domains=["com.microsoft"], **constants)
    before = ir.to_proto(made).graph.node
    assert [c for c in prune(made) if c.site == "a"] == []
    assert ir.to_proto(made).graph.node == before


def test_at_least_one_channel_is_left() -> None:
    made = network(
        text("a = Conv (x, w1, b) r = Sigmoid (a) y = Conv (r, w2)"),
        w1=np.zeros((6, 4, 3, 3), np.float32),
        b=numbers(6),
        w2=numbers(3, 6, 1, 1),
    )
    copy, _ = pruned(made)
    assert widths(copy) == {"a": 1, "y": 3}


def test_a_healthy_network_is_not_touched() -> None:
    made = chain()
    before = ir.to_proto(made)
    assert prune(made) == ()
    assert ir.to_proto(made).graph.initializer == before.graph.initializer


def test_before_opset_7_nothing_is_done() -> None:
    made = network(
        text("a = Conv (x, w1) y = Conv (a, w2)"),
        opset=6,
        ir_version=4,
        w1=numbers(6, 4, 1, 1),
        w2=numbers(3, 6, 1, 1, dead=(0,), axis=1),
    )
    assert prune(made) == ()


def test_steady_channels_are_those_that_do_not_move() -> None:
    body = (
        "a = Conv (x, w1, b1) s = Sigmoid (a) k = Mul (s, two) d = Conv <group = 3> (k, w2)"
        "p = GlobalAveragePool (d) f = Flatten (p) y = Gemm (f, w3, b3)"
    )
    made = network(
        text(body),
        w1=numbers(3, 4, 1, 1, seed=1, dead=(0, 2)),
        b1=np.array([0, 5, np.log(3)], np.float32),
        two=np.full((1, 3, 1, 1), 2, np.float32),
        w2=np.ones((3, 1, 2, 2), np.float32),
        w3=np.array([[1, 0], [0, 1], [10, 0]], np.float32),
        b3=np.array([0.5, 0], np.float32),
    )
    seen = Observer(made.graph, Channels(made.graph), made.opset_imports)
    values = {v.name: seen.of(v) for node in made.graph for v in node.outputs}
    # sigmoid(0) = 1/2 and sigmoid(log 3) = 3/4; doubled 1 and 3/2; four taps of one 4 and 6
    for name, held in {"a": (0, np.log(3)), "s": (0.5, 0.75), "k": (1, 1.5), "d": (4, 6)}.items():
        assert values[name].known.tolist() == [True, False, True]
        np.testing.assert_allclose(values[name].numbers[[0, 2]], held, rtol=1e-6, atol=1e-9)
    assert values["y"].known.tolist() == [True, False]
    assert values["y"].numbers[0] == pytest.approx(0.5 + 4 + 60)


# Random networks, with dead filters and unread channels strewn in.

STEPS = ("conv", "padded", "depthwise", "act", "norm", "pool", "add", "join", "scale", "groups")
ACTS = ("Relu", "Sigmoid", "HardSwish", "Exp", "Neg", "Abs", "Tanh", "Softplus", "Elu", "LeakyRelu")


class Drawn:
    """A network that grows step by step."""

    def __init__(self, data: st.DataObject) -> None:
        self.data, self.rng = data, np.random.default_rng(data.draw(st.integers(0, 999)))
        self.lines, self.constants = list[str](), dict[str, Numbers]()
        self.maps = [("x", 4)]

    def constant(self, numbers: Numbers) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = numbers.astype(np.float32)
        return name

    def weight(self, *shape: int) -> str:
        w = self.rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        w[self.rng.random(shape[0]) < 0.3] = 0
        if shape[1] > 1:
            w[:, self.rng.random(shape[1]) < 0.3] = 0
        return self.constant(w)

    def vector(self, size: int) -> str:
        return self.constant(self.rng.standard_normal(size) * (self.rng.random(size) < 0.6))

    def put(self, call: str, channels: int) -> None:
        self.lines.append(f"v{len(self.lines)} = {call}")
        self.maps.append((f"v{len(self.lines) - 1}", channels))

    def step(self, kind: str) -> None:
        x, channels = self.maps[-1 - int(self.rng.integers(0, min(2, len(self.maps))))]
        if kind in ("conv", "padded"):
            filters, k = int(self.rng.integers(2, 8)), 3 if kind == "padded" else 1
            pads = "<pads = [1, 1, 1, 1]>" if kind == "padded" else ""
            w, b = self.weight(filters, channels, k, k), self.vector(filters)
            self.put(f"Conv {pads} ({x}, {w}, {b})", filters)
        elif kind == "depthwise" and channels > 1:
            w, b = self.weight(channels, 1, 3, 3), self.vector(channels)
            self.put(f"Conv <group = {channels}, pads = [1, 1, 1, 1]> ({x}, {w}, {b})", channels)
        elif kind == "groups" and channels % 2 == 0:
            w = self.weight(4, channels // 2, 1, 1)
            self.put(f"Conv <group = 2> ({x}, {w})", 4)
        elif kind == "act":
            self.put(f"{self.rng.choice(ACTS)} ({x})", channels)
        elif kind == "norm":
            parts = [self.vector(channels) for _ in range(3)]
            variance = self.constant(self.rng.uniform(0.5, 2, channels))
            self.put(f"BatchNormalization ({x}, {', '.join(parts)}, {variance})", channels)
        elif kind == "pool":
            op = self.rng.choice(["MaxPool", "AveragePool"])
            pads = "kernel_shape = [3, 3], pads = [1, 1, 1, 1]"
            self.put(f"{op} <{pads}> ({x})", channels)
        elif kind == "scale":
            k = self.constant(self.rng.standard_normal((1, channels, 1, 1)).round())
            self.put(f"{self.rng.choice(['Mul', 'Add', 'Sub', 'Max'])} ({x}, {k})", channels)
        elif kind == "add":
            others = [name for name, size in self.maps if size == channels]
            op = self.rng.choice(["Add", "Mul", "Sub", "Max"])
            self.put(f"{op} ({x}, {self.rng.choice(others)})", channels)
        elif kind == "join":
            other, size = self.maps[int(self.rng.integers(0, len(self.maps)))]
            self.put(f"Concat <axis = 1> ({x}, {other})", channels + size)

    def finish(self) -> ir.Model:
        x, channels = self.maps[-1]
        if self.data.draw(st.booleans()):
            self.lines.append(f"p = GlobalAveragePool ({x}) f = Flatten (p)")
        else:
            self.lines.append(f"p = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> ({x})")
            self.lines.append("f = Flatten (p)")
            channels *= 4
        w, b = self.weight(3, channels), self.vector(3)
        self.lines.append(f"y = Gemm <transB = 1> (f, {w}, {b})")
        return network(text(" ".join(self.lines)), **self.constants)


@often(20, 60, st.lists(st.sampled_from(STEPS), min_size=3, max_size=12), st.data())
def test_random_networks_compute_what_they_computed(steps: list[str], data: st.DataObject) -> None:
    drawn = Drawn(data)
    for kind in ("conv", *steps, "conv"):
        drawn.step(kind)
    made = drawn.finish()
    copy, certificates = pruned(made)
    before, after = widths(made), widths(copy)
    lost = {name for name in before if after[name] < before[name]}
    assert lost <= set(certificates)
    again, nothing = pruned(copy)
    assert not nothing
    assert widths(again) == after
