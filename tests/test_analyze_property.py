"""Random networks: the count agrees with loops that count, every shape with onnxruntime's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import strategies as st
from models import Numbers, ort, proto
from often import often

from gconvtool import analyze
from gconvtool.results import Analysis


@dataclass
class Network:
    """A chain in the making: its nodes as text, its weights, and the shape that it has reached."""

    shape: tuple[int, ...]
    nodes: list[str] = field(default_factory=list)
    weights: dict[str, Numbers] = field(default_factory=dict)
    at: str = "x"

    def add(self, call: str, shape: tuple[int, ...], **weights: tuple[int, ...]) -> None:
        """One more node; `call` holds `{at}` for what it reads and `{n}` for its number."""
        n = len(self.nodes)
        self.nodes.append(f"y{n} = {call.format(at=self.at, n=n)}")
        for name, size in weights.items():
            self.weights[f"{name}{n}"] = np.full(size, 0.01, np.float32)
        self.shape, self.at = shape, f"y{n}"

    def model(self, start: tuple[int, ...]) -> onnx.ModelProto:
        """All values of the chain are outputs, so that a run shows their shapes."""
        outputs = ", ".join(f"float[] y{n}" for n in range(len(self.nodes)))
        text = f"g (float{list(start)} x) => ({outputs}) {{ {' '.join(self.nodes)} }}"
        return proto(text, **self.weights)


def _ints(draw: st.DrawFn, low: int, high: int, count: int) -> list[int]:
    return [draw(st.integers(low, high)) for _ in range(count)]


def _window(draw: st.DrawFn, network: Network, most: int = 3) -> tuple[list[int], ...]:
    """Kernel, strides, dilations and pads that fit into the map."""
    sizes = network.shape[2:]
    axes = len(sizes)
    kernel = [draw(st.integers(1, min(most, size))) for size in sizes]
    strides, pads = _ints(draw, 1, 3, axes), _ints(draw, 0, 2, 2 * axes)
    dilations = [
        draw(st.integers(1, 2)) if 2 * (k - 1) + 1 <= size else 1
        for k, size in zip(kernel, sizes, strict=True)
    ]
    return kernel, strides, dilations, pads


def _sizes(network: Network, window: tuple[list[int], ...]) -> tuple[int, ...]:
    """How many windows there are along each axis, by laying them down one after another."""
    kernel, strides, dilations, pads = window
    axes = len(kernel)
    return tuple(
        len(range(0, size + pads[a] + pads[axes + a] - dilations[a] * (kernel[a] - 1), strides[a]))
        for a, size in enumerate(network.shape[2:])
    )


def _text(window: tuple[list[int], ...]) -> str:
    names = ("kernel_shape", "strides", "dilations", "pads")
    return ", ".join(f"{name} = {numbers}" for name, numbers in zip(names, window, strict=True))


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def _convolution(draw: st.DrawFn, network: Network) -> None:
    window = _window(draw, network)
    groups = draw(st.sampled_from(_divisors(network.shape[1])))
    filters, share = groups * draw(st.integers(1, 3)), network.shape[1] // groups
    shape = (network.shape[0], filters, *_sizes(network, window))
    call = f"Conv <group = {groups}, {_text(window)}> ({{at}}, w{{n}})"
    network.add(call, shape, w=(filters, share, *window[0]))


def _transposed(draw: st.DrawFn, network: Network) -> None:
    kernel, strides, dilations, _ = _window(draw, network)
    channels = network.shape[1]
    groups, share = draw(st.sampled_from(_divisors(channels))), draw(st.integers(1, 2))
    sizes = [
        (size - 1) * s + d * (k - 1) + 1
        for size, s, d, k in zip(network.shape[2:], strides, dilations, kernel, strict=True)
    ]
    window = (kernel, strides, dilations, [0] * 2 * len(kernel))
    call = f"ConvTranspose <group = {groups}, {_text(window)}> ({{at}}, w{{n}})"
    network.add(call, (network.shape[0], groups * share, *sizes), w=(channels, share, *kernel))


def _pooling(draw: st.DrawFn, network: Network) -> None:
    kernel, strides, *_ = _window(draw, network)
    ones, none = [1] * len(kernel), [0] * 2 * len(kernel)
    window = (kernel, strides, ones, none)
    shape = (*network.shape[:2], *_sizes(network, window))
    network.add(f"MaxPool <{_text(window)}> ({{at}})", shape)


def _block(draw: st.DrawFn, network: Network) -> None:
    """A convolution that keeps the shape, and an addition of what went in."""
    before, channels = network.at, network.shape[1]
    kernel = [2 * k + 1 for k in _ints(draw, 0, 1, len(network.shape) - 2)]
    pads = [k // 2 for k in kernel] * 2
    ones = [1] * len(kernel)
    call = f"Conv <{_text((kernel, ones, ones, pads))}> ({{at}}, w{{n}})"
    network.add(call, network.shape, w=(channels, channels, *kernel))
    network.add(f"Add ({{at}}, {before})", network.shape)


def _head(draw: st.DrawFn, network: Network) -> None:
    batch, length = network.shape[0], int(np.prod(network.shape[1:]))
    classes = draw(st.integers(1, 4))
    network.add("Flatten ({at})", (batch, length))
    network.add("Gemm <transB = 1> ({at}, w{n}, b{n})", (batch, classes),
                w=(classes, length), b=(classes,))  # fmt: skip


@st.composite
def networks(draw: st.DrawFn) -> tuple[tuple[int, ...], Network]:
    """Up to four steps in one, two or three dimensions; a fully connected layer may end them."""
    axes = draw(st.integers(1, 3))
    size = st.integers(3, 7 if axes < 3 else 4)
    start = (draw(st.integers(1, 2)), draw(st.integers(1, 6)), *(draw(size) for _ in range(axes)))
    network = Network(start)
    for _ in range(draw(st.integers(1, 4))):
        if np.prod(network.shape) > 3000:
            break
        step = draw(st.sampled_from((_convolution, _convolution, _transposed, _pooling, _block)))
        step(draw, network)
    if draw(st.booleans()):
        _head(draw, network)
    return start, network


def _counted(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Multiplications of a node, one window after another, by what a run made of it."""
    meets, weight = (shapes[name] for name in (node.output[0], node.input[1]))
    if node.op_type == "ConvTranspose":
        meets = shapes[node.input[0]]
    taps = sum(1 for _ in product(*map(range, weight[1:])))
    return sum(taps for _ in np.ndindex(*meets))


@often(60, 400, networks())
def test_a_random_network_costs_what_loops_over_its_run_count(
    made: tuple[tuple[int, ...], Network],
) -> None:
    start, network = made
    model = network.model(start)
    outputs = ort(model, x=np.zeros(start, np.float32))
    shapes = {"x": start, **{name: array.shape for name, array in network.weights.items()}}
    shapes |= {f"y{n}": array.shape for n, array in enumerate(outputs)}
    assert shapes[network.at] == network.shape  # the network is the one that was meant
    result = analyze(ir.from_proto(model))
    weighted = {n.output[0]: n for n in model.graph.node if n.op_type in {
        "Conv", "ConvTranspose", "Gemm"}}  # fmt: skip
    _agree(result, {name: _counted(node, shapes) for name, node in weighted.items()}, shapes)
    assert result.totals.params == sum(array.size for array in network.weights.values())


def _agree(
    result: Analysis, macs: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    assert result.totals.exact
    assert {row.name: row.macs for row in result.layers if row.macs} == macs
    assert result.totals.macs == sum(macs.values())
    shown = {row.name: row.output_shape for row in result.layers}
    assert shown == {name: shapes[name] for name in shown}


@often(25, 100, networks())
def test_a_random_network_of_open_size_has_a_formula_of_that_cost(
    made: tuple[tuple[int, ...], Network],
) -> None:
    start, network = made
    if "Gemm" in " ".join(network.nodes):
        return  # its weights fix the size
    names = ["N", "C", *"HWD"[: len(start) - 2]]
    given_sizes = dict(zip(names, start, strict=True))
    del given_sizes["C"]
    model = network.model(start)
    for axis, dim in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
        if axis != 1:
            dim.dim_param = names[axis]
    whole = analyze(ir.from_proto(model), dims=given_sizes)
    assert whole.totals == analyze(ir.from_proto(network.model(start))).totals
