"""What a second pass moves, what it is moved by, and the way of gradients from one to the other.

The weights of rewritten convolutions move: those that only the converted network has. They are
moved by the outputs of the network and of its rewritten convolutions, or by the sums that those
enter. Gradients go back node by node (`graph.adjoint`), where an operator lets them pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.facts import ConvSite
from gconvtool.fit.convolving import to_weight
from gconvtool.graph import shapes
from gconvtool.graph.adjoint import Call, back, passes, window_of
from gconvtool.graph.pack import Packed, pack
from gconvtool.graph.parts import array
from gconvtool.graph.sites import conv_site
from gconvtool.runtime.inputs import Data
from gconvtool.runtime.session import Session

Array: TypeAlias = NDArray[Any]
Gradients: TypeAlias = dict[str, Array]
Values: TypeAlias = Mapping[str, Array]
"""Numbers by the name of their value."""
POSITIONS = 16_000
"""Positions of the widest map in a batch: gradients over more of them are hardly better."""
MOST_SAMPLES = 32


@dataclass(frozen=True)
class Movable:
    """A convolution whose weights are refined; a bias has no name where there is none."""

    node: ir.Node
    site: ConvSite
    weight: str
    bias: str | None


class Plan:
    """What moves, what it is moved by, and the values that gradients need on their way."""

    def __init__(self, base: ir.Model, work: ir.Model, sites: Collection[str]) -> None:
        self.model = work.clone()
        shapes.infer(self.model)
        self.movable = {m.node: m for m in _movable(self.model, base)}
        self.active = _active(self.model, self.movable)
        self.outputs = [name_of(v) for v in base.graph.outputs]
        self.targets = _targets(base, sites, {name_of(v) for v in self.active})
        self.nodes = [n for n in self.model.graph if any(v in self.active for v in n.outputs)]
        self.weights = {
            name: np.asarray(array(self.model.graph.initializers[name]))
            for name in weights_of(self.movable.values())
        }
        read = {v for n in self.nodes for v in (*n.inputs, *n.outputs) if v is not None}
        self.constants = {name_of(v): found for v in read if (found := array(v)) is not None}
        fed = {name_of(v) for v in self.model.graph.inputs}
        made = {name_of(v) for v in read} - self.constants.keys() - fed
        self.values = sorted(made | {*self.targets, *self.outputs})

    def student(self) -> Packed:
        """The network with its weights as inputs, and all values that are needed as outputs."""
        return with_outputs(self.model, self.values, self.weights)

    def batch(self, student: Session, data: Data) -> int:
        """Samples whose widest rewritten map has about POSITIONS of them."""
        made = student.run({**data.take(slice(1)).feeds, **self.weights})
        maps = (made[name_of(node.outputs[0])].shape[2:] for node in self.movable)
        return max(1, min(MOST_SAMPLES, len(data), POSITIONS // max(map(prod, maps))))


def _movable(work: ir.Model, base: ir.Model) -> Iterator[Movable]:
    """The convolutions whose weights the original does not have."""
    for node in work.graph:
        site = conv_site(node) if node.op_type == "Conv" and node.domain == "" else None
        if site is None or site.pads is None:
            continue
        weight, bias = (*(_own(v, work, base) for v in node.inputs[1:]), None)[:2]
        if weight is not None:
            yield Movable(node, site, weight, bias)


def _own(value: ir.Value | None, work: ir.Model, base: ir.Model) -> str | None:
    """The name of an initializer of float32 numbers that only `work` has, and once."""
    name = None if value is None or len(value.uses()) > 1 else value.name
    if value is None or name not in work.graph.initializers or name in base.graph.initializers:
        return None
    return name if value.dtype is ir.DataType.FLOAT else None


def _active(work: ir.Model, movable: Collection[ir.Node]) -> set[ir.Value]:
    """Values that weights have an influence on through nodes that gradients pass."""
    active: set[ir.Value] = set()
    for node in work.graph:
        moved = any(v in active and passes(node, i) for i, v in enumerate(node.inputs))
        if node in movable or moved:
            active.add(node.outputs[0])
    return active


def _targets(base: ir.Model, sites: Collection[str], active: Collection[str]) -> list[str]:
    """Outputs of the network and of its sites, or the sums that those enter."""
    found = [name_of(v) for v in base.graph.outputs]
    for node in base.graph:
        value = node.outputs[0] if node.outputs else None
        if value is None or value.name not in sites:
            continue
        readers = [use.node for use in value.uses()]
        joined = len(readers) == 1 and readers[0].op_type == "Add"
        found.append(name_of(readers[0].outputs[0] if joined else value))
    return [name for name in dict.fromkeys(found) if name in active]


def backward(
    nodes: Sequence[ir.Node],
    movable: Mapping[ir.Node, Movable],
    active: Collection[ir.Value],
    values: Values,
    upstream: Gradients,
) -> Gradients:
    """∂L/∂ every weight and bias that moves.

    Args:
        nodes: those whose outputs are active, in topological order.
        movable: the ones among them with weights that move.
        active: values that gradients are wanted of on the way.
        values: all that these nodes read and make, by name.
        upstream: ∂L/∂ the targets, by name.
    """
    found: Gradients = {name: np.zeros_like(values[name]) for name in weights_of(movable.values())}
    pending = defaultdict[str, list[Array]](list)
    for name, g in upstream.items():
        pending[name].append(g)
    for node in reversed(nodes):
        parts = pending.pop(name_of(node.outputs[0]), None)
        if parts is None:  # nothing that is judged depends on it
            continue
        g = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
        if node in movable:
            found.update(_of_weights(movable[node], g, values))
        inputs = tuple(None if v is None else values[name_of(v)] for v in node.inputs)
        call = Call(node, inputs, values[name_of(node.outputs[0])])
        for index, value in enumerate(node.inputs):
            if value in active and passes(node, index):
                pending[name_of(value)].append(back(call, g, index))
    return found


def _of_weights(m: Movable, g: Array, values: Values) -> Gradients:
    x = values[name_of(m.node.inputs[0])]
    found = {m.weight: to_weight(g, x, window_of(m.site), m.site.groups)}
    if m.bias is not None:
        found[m.bias] = g.sum((0, *range(2, g.ndim)))
    return found


def weights_of(movable: Iterable[Movable]) -> Iterator[str]:
    """Names of weights and biases, in one order everywhere."""
    for m in movable:
        yield from (m.weight,) if m.bias is None else (m.weight, m.bias)


def with_outputs(
    model: ir.Model, names: Sequence[str], fed: Mapping[str, Array] | None = None
) -> Packed:
    """The model to run with other outputs, and with some initializers as inputs."""
    copy = model.clone()
    values = ir.convenience.create_value_mapping(copy.graph)
    for name, numbers in (fed or {}).items():
        value = copy.graph.initializers.pop(name)
        value.const_value, value.shape = None, ir.Shape(numbers.shape)
        value.type = ir.TensorType(ir.DataType.from_numpy(numbers.dtype))
        copy.graph.inputs.append(value)
    wanted = dict.fromkeys([*names, *(name_of(v) for v in copy.graph.outputs)])
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(values[name] for name in wanted)
    return pack(copy, copy.graph.name or "the network")


def name_of(value: ir.Value | None) -> str:
    """Its name; empty for what has none."""
    return "" if value is None else value.name or ""
