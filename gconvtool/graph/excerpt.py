"""The part of a network that decides how long one convolution takes, as a small model of its own.

What is fused with a convolution comes along: the elementwise operators behind it, up to the first
addition of another map and what activates that. What stands further off decides one thing only, in
which layout maps come and go (`layout`), and is replaced by the cheapest node that does the same:

    a blocked map that is read       Relu(1×1 convolution of a map of one channel)
    a blocked map that is written    a depthwise 1×1 convolution that looks at one position
    any other                        an input, or an output

So the same reorders take place as in the whole network, and little time goes into anything else. In
both stand-ins the weights are arbitrary. The Relu keeps the addition from being fused with the
stand-in rather than with the convolution in question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from gconvtool.facts import ConvSite, Skip
from gconvtool.graph.constants import shape_of, stored
from gconvtool.graph.layout import blocked_maps, reads_blocks
from gconvtool.graph.parts import constant
from gconvtool.graph.sites import FLATTENING, PASSING
from gconvtool.recipes import HEADS

ELEMENTWISE = frozenset(
    "Abs Add BatchNormalization Clip Div Elu Erf Exp Gelu HardSigmoid HardSwish Identity LeakyRelu "
    "Log Max Min Mish Mul Neg Pow PRelu Relu Selu Sigmoid Softplus Softsign Sqrt Sub Sum "
    "Tanh".split()
)
"""Operators that may be fused with what is before them."""
MOST_BEHIND = 12
"""Elementwise operators that come along; a decomposed GELU has five."""


class Excerpts:
    """Cuts excerpts from one network, whose shapes are inferred."""

    def __init__(self, model: ir.Model) -> None:
        self._model, self._blocked = model, blocked_maps(model.graph)
        self._makers = {v.name: node for node in model.graph for v in node.outputs[:1]}

    def of(self, site: ConvSite) -> ir.Model | Skip:
        """The excerpt around a site, in which all names are those of the network."""
        node = self._makers.get(site.name)
        if node is None:
            return Skip("it is inside a body of control flow")
        nodes = self._around(node, head=site.op in HEADS)
        read, written = _read(nodes), _written(nodes)
        unknown = next((value for value in read if not _known(value)), None)
        if unknown is not None:
            return Skip(f"the size or type of {unknown.name} is not known")
        graph = ir.convenience.extract(self._model.graph, read, written)
        for source, value in zip(tuple(graph.inputs), read, strict=True):
            if value in self._blocked:
                _begin_blocked(graph, source)
        for index, value in enumerate(written):
            if self._ends_blocked(value, nodes):
                _end_blocked(graph, index)
        functions = list(self._model.functions.values())
        return ir.Model(graph, ir_version=self._model.ir_version, functions=functions)

    def _around(self, node: ir.Node, *, head: bool) -> list[ir.Node]:
        """The site, what flattens its map if it is a head, and what may be fused with it."""
        before = _flattening(node) if head else []
        found, made, joined = [*before, node], {node.outputs[0]}, False
        for other in self._model.graph:
            if len(found) > MOST_BEHIND or not _elementwise(other, made):
                continue
            joins = any(value not in made for value in _maps(other))
            if joins and (joined or not _only_reader(other, made)):
                continue
            joined = joined or joins
            found.append(other)
            made.add(other.outputs[0])
        return found

    def _ends_blocked(self, value: ir.Value, nodes: Sequence[ir.Node]) -> bool:
        """Whether all that reads a map, outside the excerpt, takes blocks."""
        readers = _readers_outside(value, nodes)
        blocked = all(reads_blocks(node, self._blocked) for node in readers)
        return bool(readers) and blocked and not value.is_graph_output()


def _flattening(head: ir.Node) -> list[ir.Node]:
    """What stands between a feature map and the fully connected layer that reads it."""
    found = list[ir.Node]()
    value = head.inputs[0]
    while value is not None and (maker := value.producer()) is not None:
        if maker.op_type not in (*FLATTENING, *PASSING):
            break
        found.append(maker)
        value = maker.inputs[0]
    return found


def _elementwise(node: ir.Node, made: set[ir.Value]) -> bool:
    """Whether the node works element by element on something that the excerpt makes."""
    return (
        node.op_type in ELEMENTWISE
        and not node.domain
        and any(value in made for value in node.inputs if value is not None)
    )


def _only_reader(node: ir.Node, made: set[ir.Value]) -> bool:
    """Whether nobody else reads what the node takes of the excerpt: else it is not fused."""
    return all(len(value.uses()) == 1 for value in _maps(node) if value in made)


def _maps(node: ir.Node) -> list[ir.Value]:
    """What a node reads that is not constant."""
    return [value for value in node.inputs if value is not None and stored(value) is None]


def _read(nodes: Iterable[ir.Node]) -> list[ir.Value]:
    """What comes from outside, each once."""
    made = {value for node in nodes for value in node.outputs}
    return list(dict.fromkeys(v for node in nodes for v in _maps(node) if v not in made))


def _written(nodes: Sequence[ir.Node]) -> list[ir.Value]:
    """What is read outside, or nowhere."""
    return [
        node.outputs[0]
        for node in nodes
        if node.outputs[0].is_graph_output()
        or not node.outputs[0].consumers()
        or _readers_outside(node.outputs[0], nodes)
    ]


def _readers_outside(value: ir.Value, nodes: Sequence[ir.Node]) -> list[ir.Node]:
    return [reader for reader in value.consumers() if reader not in nodes]


def _known(value: ir.Value) -> bool:
    shape = shape_of(value)
    return shape is not None and len(_sizes(value)) == len(shape) and value.dtype is not None


def _sizes(value: ir.Value) -> list[int]:
    """The dimensions that are numbers."""
    return [dim for dim in shape_of(value) or () if isinstance(dim, int)]


def _begin_blocked(graph: ir.Graph, value: ir.Value) -> None:
    """Make a map, now an input, in blocks."""
    batch, channels, *sizes = _sizes(value)
    source = ir.Value(
        name=f"{value.name}/from", type=value.type, shape=ir.Shape([batch, 1, *sizes])
    )
    convolution = _pointwise(graph, source, channels, {})
    relu = ir.node("Relu", convolution.outputs)
    graph.inputs[list(graph.inputs).index(value)] = source
    value.replace_all_uses_with(relu.outputs[0])
    relu.outputs[0].name, relu.outputs[0].type = value.name, value.type
    relu.outputs[0].shape = value.shape
    graph.insert_before(graph[0], [convolution, relu])


def _end_blocked(graph: ir.Graph, index: int) -> None:
    """Read a map, now an output, in blocks: one position of it."""
    value = graph.outputs[index]
    batch, channels, *sizes = _sizes(value)
    convolution = _pointwise(graph, value, channels, {"group": channels, "strides": sizes})
    graph.append(convolution)
    made = convolution.outputs[0]
    made.type, made.shape = value.type, ir.Shape([batch, channels, *[1] * len(sizes)])
    graph.outputs[index] = made


def _pointwise(
    graph: ir.Graph, source: ir.Value, filters: int, attributes: Mapping[str, int | list[int]]
) -> ir.Node:
    """A 2-D 1×1 convolution that reads one channel a filter."""
    ones = np.ones((filters, 1, 1, 1), np.float32)
    weight = constant(graph, f"{source.name}/weight", ones)
    name = f"{source.name}/1x1"
    node = ir.node("Conv", [source, weight], {"kernel_shape": [1, 1], **attributes}, name=name)
    node.outputs[0].name = name
    return node
