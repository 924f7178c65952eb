"""Networks drawn at random, and what has to hold of each however it is rewritten.

The weights of their convolutions have a hidden structure, groups of shuffled channels or a sum of
products, so that writing them in that structure loses nothing; those that are `plain` have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import models
import numpy as np
import onnx
from hypothesis import Phase
from hypothesis import strategies as st
from onnx import numpy_helper

from gconvtool import Bottleneck, Grouped, Separable
from gconvtool.fit.rows import BUDGET
from gconvtool.recipes import Recipe
from gconvtool.spellings import SPELLINGS

Numbers = np.ndarray[Any, np.dtype[Any]]
RECIPES = (
    Grouped(2),
    Grouped(4),
    Separable(1),
    Separable(2),
    Separable(1, "pw-dw"),
    Bottleneck(2, 2),
    Bottleneck(1, 3),
)
OPSETS = (7, 8, 9, 10, 11, 12, 13, 15, 18, 21, 25)
SIZES = {1: (11,), 2: (7, 6), 3: (5, 4, 3)}
UNARY = ("Relu", "Sigmoid", "Identity", "LeakyRelu", "Neg", "Elu")
PHASES = (Phase.explicit, Phase.generate)
"""Shrinking a network takes minutes; a failure shows all of it."""


@dataclass(frozen=True)
class Map:
    """A value N × channels × sizes."""

    name: str
    channels: int
    sizes: tuple[int, ...]


class Drawing:
    """Draws a network step by step, each made of maps that are there, and weights for a recipe."""

    def __init__(self, draw: st.DrawFn, recipe: Recipe) -> None:
        self.draw, self.recipe = draw, recipe
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        self.opset = draw(st.sampled_from(OPSETS))
        self.spelling = draw(st.sampled_from(SPELLINGS))
        self.memory = draw(st.sampled_from([BUDGET, 2**18]))
        self.half = self.opset >= 11 and draw(st.integers(0, 9)) == 0
        self.batch = draw(st.sampled_from(["N", "N", "N", 1, 2]))
        self.body = ""
        self.weights: dict[str, Numbers] = {}
        self.places: dict[str, str] = {}
        self.partitions: dict[int, Numbers] = {}
        self.plain: list[str] = []
        axes = draw(st.sampled_from([1, 2, 2, 2, 3]))
        self.inputs = [Map(name, 8, SIZES[axes]) for name in draw(st.sampled_from(["x", "xz"]))]
        self.maps = [*self.inputs]
        self.convolve(self.inputs[0], 8, self.window(self.inputs[0], (3,) * axes, keep=True))
        for _ in range(draw(st.integers(1, 9))):
            draw(st.sampled_from([self.conv, self.conv, *self.steps()]))()
        inner = self.maps[len(self.inputs) : -1]
        taps = draw(st.lists(st.sampled_from(inner), max_size=2, unique=True)) if inner else []
        self.outputs = [self.maps[-1], *taps]

    def __repr__(self) -> str:
        """What a failure shows."""
        outputs = [value.name for value in self.outputs]
        return f"{self.recipe}, opset {self.opset}, batch {self.batch} => {outputs}\n{self.body}"

    def steps(self) -> list[Callable[[], None]]:
        return [
            *(self.pointwise, self.depthwise, self.transposed, self.shared, self.shuffle),
            *(self.unary, self.slope, self.norm, self.pool, self.constant, self.excite),
            *(self.add, self.add, self.block, self.sum, self.join, self.split, self.choose),
        ]

    # What steps are made of.

    def flip(self) -> bool:
        return self.draw(st.booleans())

    def fresh(self, letter: str) -> str:
        return f"{letter}{len(self.maps)}_{len(self.weights)}"

    def take(self) -> Map:
        """One of the newest maps."""
        return self.draw(st.sampled_from(self.maps[-4:]))

    def alike(self, x: Map) -> Map:
        """Any map of the same shape."""
        return self.draw(
            st.sampled_from(
                [m for m in self.maps if m.sizes == x.sizes and m.channels == x.channels]
            )
        )

    def note(self, text: str, channels: int, sizes: Sequence[int]) -> Map:
        made = Map(f"m{len(self.maps)}", channels, tuple(sizes))
        self.body += f"{made.name} = {text}\n"
        self.maps.append(made)
        return made

    def weight(self, numbers: Numbers) -> str:
        """A constant: an initializer, one that is an input too, or a node."""
        name = self.fresh("w")
        kind = np.float16 if self.half and numbers.dtype.kind == "f" else numbers.dtype
        self.weights[name] = numbers.astype(np.float32 if kind == np.float64 else kind)
        places = ["stored", "stored", "input", "node" if self.opset >= 9 else "stored"]
        self.places[name] = self.draw(st.sampled_from(places))
        return name

    def normal(self, *shape: int) -> Numbers:
        return self.rng.standard_normal(shape) / np.sqrt(prod(shape[1:]))

    def partition(self, channels: int, groups: int) -> Numbers:
        """One for all maps of so many channels: streams that are added up can agree on it."""
        order = self.partitions.setdefault(channels, self.rng.permutation(channels))
        return order.reshape(groups, -1)

    def structured(self, filters: int, channels: int, taps: int, own: bool) -> Numbers:
        """A dense kernel that the recipe can be without loss; `own` if it has groups already."""
        match self.recipe:
            case Grouped(groups) if channels % groups == filters % groups == 0:
                rows, columns = (
                    self.rng.permutation(n).reshape(groups, -1)
                    if own
                    else self.partition(n, groups)
                    for n in (filters, channels)
                )
                kernel = np.zeros((filters, channels, taps))
                for g, h in enumerate(self.rng.permutation(groups)):
                    at = np.ix_(rows[g], columns[h])
                    kernel[at] = self.normal(len(rows[g]), len(columns[h]), taps)
                return kernel
            case Separable(rank, "dw-pw"):
                return np.einsum(
                    "joc,jck->ock",
                    self.normal(rank, filters, channels) * np.sqrt(filters),
                    self.rng.standard_normal((rank, channels, taps)) / np.sqrt(taps),
                )
            case Separable(rank):
                return np.einsum(
                    "joc,jok->ock",
                    self.normal(rank, filters, channels) * np.sqrt(filters),
                    self.rng.standard_normal((rank, filters, taps)) / np.sqrt(taps),
                )
            case Bottleneck(groups, width) if channels % groups == 0:
                blocks = [
                    self.normal(filters, width) @ self.normal(width, channels // groups * taps)
                    for _ in range(groups)
                ]
                return np.concatenate([b.reshape(filters, -1, taps) for b in blocks], axis=1)
        return self.normal(filters, channels, taps)

    # Windows.

    def window(
        self, x: Map, kernel: tuple[int, ...], keep: bool = False
    ) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
        """Attributes, the kernel and the output's sizes."""
        axes = len(kernel)
        if keep:
            pads = [(k - 1) // 2 for k in kernel] + [k // 2 for k in kernel]
            return f"pads = {pads}", kernel, x.sizes

        def some(low: int, high: int) -> list[int]:
            return [self.draw(st.integers(low, high)) for _ in range(axes)]

        mode = self.draw(st.sampled_from(["pads", "pads", "VALID", "SAME_UPPER", "SAME_LOWER"]))
        # onnxruntime refuses dilations that it would have to find the padding for.
        strides, dilations = some(1, 3), [1] * axes if mode.startswith("SAME") else some(1, 2)
        reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
        text = f"strides = {strides}, dilations = {dilations}"
        if mode.startswith("SAME"):
            return (
                f'{text}, auto_pad = "{mode}"',
                kernel,
                tuple(map(ceil, np.array(x.sizes) / strides)),
            )
        pads = [0] * 2 * axes if mode == "VALID" else [*some(0, 2), *some(0, 2)]
        room = [x.sizes[i] + pads[i] + pads[axes + i] - reach[i] for i in range(axes)]
        if min(room) < 0:
            return self.window(x, kernel, keep=True)
        text += ', auto_pad = "VALID"' if mode == "VALID" else f", pads = {pads}"
        return text, kernel, tuple(r // s + 1 for r, s in zip(room, strides, strict=True))

    def convolve(
        self,
        x: Map,
        filters: int,
        window: tuple[str, tuple[int, ...], tuple[int, ...]],
        groups: int = 1,
    ) -> Map:
        text, kernel, sizes = window
        taps = prod(kernel)
        parts = [
            self.structured(filters // groups, x.channels // groups, taps, groups > 1)
            for _ in range(groups)
        ]
        weight = self.weight(np.concatenate(parts).reshape(filters, -1, *kernel))
        bias = f", {self.weight(0.1 * self.rng.standard_normal(filters))}" if self.flip() else ""
        return self.note(
            f"Conv <group = {groups}, {text}> ({x.name}, {weight}{bias})", filters, sizes
        )

    # Steps.

    def conv(self) -> None:
        x = self.take()
        kernel = tuple(self.draw(st.integers(1, 3)) for _ in x.sizes)
        groups = self.draw(st.sampled_from([1, 1, 1, 2]))
        filters = self.draw(st.sampled_from([4, 8, 8, 8, 12]))
        self.convolve(x, filters, self.window(x, kernel, self.flip()), groups)

    def pointwise(self) -> None:
        x = self.take()
        self.convolve(
            x, self.draw(st.sampled_from([4, 8, 12])), self.window(x, (1,) * len(x.sizes))
        )

    def depthwise(self) -> None:
        x, times = self.take(), self.draw(st.integers(1, 2))
        text, kernel, sizes = self.window(x, (3,) * len(x.sizes), self.flip())
        weight = self.weight(self.normal(x.channels * times, 1, *kernel))
        self.note(
            f"Conv <group = {x.channels}, {text}> ({x.name}, {weight})", x.channels * times, sizes
        )

    def transposed(self) -> None:
        x = self.take()
        if max(x.sizes) > 12:
            return
        weight = self.weight(self.normal(x.channels, 8, *[2] * len(x.sizes)))
        sizes = [2 * size for size in x.sizes]
        text = f"ConvTranspose <strides = {[2] * len(sizes)}> ({x.name}, {weight})"
        self.plain.append(self.note(text, 8, sizes).name)

    def shared(self) -> None:
        """Two convolutions with one weight; they may get one each, where one is folded into."""
        x = self.take()
        text, kernel, sizes = self.window(x, (3,) * len(x.sizes), keep=True)
        numbers = self.structured(x.channels, x.channels, prod(kernel), own=False)
        weight = self.weight(numbers.reshape(x.channels, x.channels, *kernel))
        first = self.note(f"Conv <{text}> ({x.name}, {weight})", x.channels, sizes)
        self.note(f"Conv <{text}> ({first.name}, {weight})", x.channels, sizes)

    def shuffle(self) -> None:
        x = self.take()
        order = self.weight(self.rng.permutation(x.channels))
        self.note(f"Gather <axis = 1> ({x.name}, {order})", x.channels, x.sizes)

    def unary(self) -> None:
        x = self.take()
        self.note(f"{self.draw(st.sampled_from(UNARY))} ({x.name})", x.channels, x.sizes)

    def slope(self) -> None:
        x = self.take()
        slopes = self.weight(self.rng.random((x.channels, *[1] * len(x.sizes))))
        self.note(f"PRelu ({x.name}, {slopes})", x.channels, x.sizes)

    def norm(self) -> None:
        x = self.take()
        made = [
            self.rng.random(x.channels) + 0.5,
            *0.3 * self.rng.standard_normal((2, x.channels)),
            self.rng.random(x.channels) + 0.5,
        ]
        self.note(
            f"BatchNormalization ({', '.join([x.name, *map(self.weight, made)])})",
            x.channels,
            x.sizes,
        )

    def pool(self) -> None:
        x = self.take()
        kernel, pads = [3] * len(x.sizes), [1] * 2 * len(x.sizes)
        self.note(
            f"MaxPool <kernel_shape = {kernel}, pads = {pads}> ({x.name})", x.channels, x.sizes
        )

    def constant(self) -> None:
        x, op = self.take(), self.draw(st.sampled_from(["Add", "Mul", "Sub", "Div"]))
        numbers = self.weight(self.rng.random((x.channels, *[1] * len(x.sizes))) + 0.5)
        values = [x.name, numbers] if op == "Div" or self.flip() else [numbers, x.name]
        self.note(f"{op} ({', '.join(values)})", x.channels, x.sizes)

    def excite(self) -> None:
        x = self.take()
        ones = (1,) * len(x.sizes)
        squeezed = self.note(f"GlobalAveragePool ({x.name})", x.channels, ones)
        gate = self.convolve(squeezed, x.channels, self.window(squeezed, ones, keep=True))
        op = self.draw(st.sampled_from(["Add", "Mul"]))
        self.note(f"{op} ({x.name}, {gate.name})", x.channels, x.sizes)

    def add(self) -> None:
        x = self.take()
        pair = [x, self.alike(x)]
        first, second = pair[::-1] if self.flip() else pair
        self.note(f"Add ({first.name}, {second.name})", x.channels, x.sizes)

    def block(self) -> None:
        """A residual block, its shortcut bare or a convolution, before or after the branch."""
        x = self.take()
        kernel, shortcut, early = (3,) * len(x.sizes), x, self.flip()
        if early and self.flip():
            shortcut = self.convolve(x, x.channels, self.window(x, (1,) * len(x.sizes), keep=True))
        inner = self.convolve(x, 8, self.window(x, kernel, keep=True))
        active = self.note(f"Relu ({inner.name})", 8, x.sizes)
        branch = self.convolve(active, x.channels, self.window(x, kernel, keep=True))
        if not early:
            shortcut = self.convolve(x, x.channels, self.window(x, (1,) * len(x.sizes), keep=True))
        self.note(f"Add ({branch.name}, {shortcut.name})", x.channels, x.sizes)

    def sum(self) -> None:
        x = self.take()
        names = [x.name, self.alike(x).name, self.alike(x).name]
        self.note(f"Sum ({', '.join(names)})", x.channels, x.sizes)

    def join(self) -> None:
        x = self.take()
        fitting = [m for m in self.maps if m.sizes == x.sizes and m.channels + x.channels <= 24]
        if fitting:
            other = self.draw(st.sampled_from(fitting))
            self.note(
                f"Concat <axis = 1> ({other.name}, {x.name})", x.channels + other.channels, x.sizes
            )

    def split(self) -> None:
        x, half = self.take(), self.fresh("h")
        if x.channels % 2:
            return
        names = [half, f"m{len(self.maps) + 1}"]
        count = ", num_outputs = 2" if self.opset >= 18 else ""
        self.body += f"{', '.join(names)} = Split <axis = 1{count}> ({x.name})\n"
        self.maps += [Map(name, x.channels // 2, x.sizes) for name in names]

    def choose(self) -> None:
        """Branches that read maps, and weights, from outside; one of them convolves."""
        x, name = self.take(), self.fresh("c")
        y, (text, kernel, _) = self.alike(x), self.window(x, (3,) * len(x.sizes), keep=True)
        numbers = self.structured(x.channels, x.channels, prod(kernel), own=False)
        weight = self.weight(numbers.reshape(x.channels, x.channels, *kernel))
        zero, kind = self.weight(np.zeros(())), self.described(x)
        self.body += f"{name}s = ReduceSum <keepdims = 0> ({self.inputs[0].name})\n"
        self.body += f"{name} = Greater ({name}s, {zero})\n"
        self.note(
            f"If ({name}) <then_branch = t{name} () => ({kind} {name}t) "
            f"{{ {name}t = Sub ({x.name}, {y.name}) }}, "
            f"else_branch = e{name} () => ({kind} {name}e) "
            f"{{ {name}e = Conv <{text}> ({x.name}, {weight}) }}>",
            x.channels,
            x.sizes,
        )

    # The whole.

    def described(self, value: Map) -> str:
        dims = ", ".join(map(str, (self.batch, value.channels, *value.sizes)))
        return f"{'float16' if self.half else 'float'}[{dims}]"

    def model(self) -> onnx.ModelProto:
        """The network, checked."""
        inputs, outputs = (
            ", ".join(f"{self.described(value)} {value.name}" for value in values)
            for values in (self.inputs, self.outputs)
        )
        made = models.proto(
            f"g ({inputs}) => ({outputs}) {{\n{self.body}}}",
            opset=self.opset,
            ir_version=3 if self.opset < 9 else 10,
        )
        graph = made.graph
        for name, numbers in self.weights.items():
            tensor, place = numpy_helper.from_array(numbers, name), self.places[name]
            if place == "node":
                graph.node.insert(0, onnx.helper.make_node("Constant", [], [name], value=tensor))
                continue
            graph.initializer.append(tensor)
            if place == "input" or self.opset < 9:
                info = onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
                graph.input.append(info)
        onnx.checker.check_model(made, full_check=True)
        return made

    def feeds(self, count: int, seed: int) -> dict[str, Numbers]:
        rng = np.random.default_rng(seed)
        kind = np.float16 if self.half else np.float32
        return {
            x.name: rng.standard_normal((count, x.channels, *x.sizes)).astype(kind)
            for x in self.inputs
        }


@st.composite
def networks(draw: st.DrawFn) -> Drawing:
    """A network, for a recipe that its convolutions can become."""
    return Drawing(draw, draw(st.sampled_from(RECIPES)))


def require_valid(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    """It is valid, has the same interface, lacks nothing and keeps nothing that is not read."""
    onnx.checker.check_model(after, full_check=True)
    held = {tensor.name for tensor in before.graph.initializer}
    assert list(after.graph.input) == [i for i in before.graph.input if i.name not in held]
    assert list(after.graph.output) == list(before.graph.output)
    assert after.opset_import == before.opset_import
    assert len(unread(after)) <= len(unread(before))


def unread(model: onnx.ModelProto) -> set[str]:
    """Values and constants that nothing reads."""
    graph = model.graph
    made = {tensor.name for tensor in graph.initializer}
    made |= {name for node in graph.node for name in node.output}
    return made - set(read(graph)) - {value.name for value in graph.output}


def read(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from read(attribute.g)


def by_onnxruntime(model: onnx.ModelProto, feeds: Mapping[str, Numbers]) -> list[Numbers]:
    return models.ort(model, **feeds)


def require_close(
    drawing: Drawing,
    before: onnx.ModelProto,
    after: onnx.ModelProto,
    most: float,
    run: Callable[..., list[Numbers]] = by_onnxruntime,
) -> None:
    """Both give the same, on numbers that neither has seen."""
    feeds = drawing.feeds(2, 2)
    if drawing.batch == 1:
        feeds = {name: numbers[:1] for name, numbers in feeds.items()}
    for a, b in zip(run(before, feeds), run(after, feeds), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        scale = np.linalg.norm(a.astype(np.float64))
        assert np.linalg.norm(a.astype(np.float64) - b) <= most * scale + 1e-6
