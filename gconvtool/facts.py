"""Frozen facts about a graph, in plain Python: what the rooms above read instead of ONNX.

A dimension is a number, a name (`"N"`, symbolic) or None (not known at all). A shape is a tuple of
dimensions, or None where not even the rank is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

Dim: TypeAlias = int | str | None
Shape: TypeAlias = tuple[Dim, ...] | None
Attribute: TypeAlias = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


def total(figures: Iterable[int | None]) -> int | None:
    """A sum; None where a part of it is not known, since unknown is not zero."""
    known = 0
    for figure in figures:
        if figure is None:
            return None
        known += figure
    return known


def describe_shape(shape: Shape) -> str:
    """`1×64×(H - 2)×?` for people; `?` stands for what is not known."""
    return "?" if shape is None else "×".join(map(_describe_dim, shape)) or "scalar"


def _describe_dim(dim: Dim) -> str:
    """An expression has parentheses."""
    text = "?" if dim is None else str(dim)
    return f"({text})" if " " in text else text


@dataclass(frozen=True)
class Skip:
    """A refusal is a value, and it has a reason."""

    reason: str


@dataclass(frozen=True)
class Input:
    """What a model must be fed: `dtype` is numpy's name of the element type."""

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True)
class Parameter:
    """A constant tensor that enters a node, traced to where it is stored.

    `bits` is the size of one number there.
    """

    name: str
    shape: tuple[int, ...]
    floating: bool
    bits: int = 32

    @property
    def numbers(self) -> int:
        """How many it holds."""
        return prod(self.shape)

    @property
    def stored_bytes(self) -> int:
        """What it takes on the disk, packed."""
        return -(-self.numbers * self.bits // 8)


@dataclass(frozen=True)
class Tensor:
    """A value of a graph: `bits` is the size of one element, None where its type is not known."""

    name: str
    shape: Shape = None
    bits: int | None = None


@dataclass(frozen=True)
class Body:
    """A graph inside a node: a branch of If, or what Loop and Scan repeat.

    `trips` is how often a run of the node runs it; None where that depends on data, and then
    `reason` says on what. `results` are the names of the values that it hands back.
    """

    label: str
    nodes: tuple[NodeFact, ...]
    trips: int | None = 1
    reason: str | None = None
    results: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeFact:
    """One node as the cost rules see it.

    `name` is the name of the first output: unique in a graph, where node names may be empty. Inside
    a body it follows the names of what holds it: `y/then_branch/z`. `parameters[i]` is the
    constant behind input i, or None. `reads` and `writes` are the values of inputs and outputs, ""
    where an optional one is absent; `input_bits` and `output_bits` the sizes of their elements.
    """

    name: str
    op: str
    domain: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    attributes: Mapping[str, Attribute]
    parameters: tuple[Parameter | None, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    input_bits: tuple[int | None, ...] = ()
    output_bits: tuple[int | None, ...] = ()
    bodies: tuple[Body, ...] = ()


def nested(nodes: Iterable[NodeFact]) -> Iterator[NodeFact]:
    """Nodes in order, each followed by those in its bodies."""
    for node in nodes:
        yield node
        for body in node.bodies:
            yield from nested(body.nodes)


@dataclass(frozen=True)
class ConvSite:
    """One convolution: C = `channels`, N = `filters`, G = `groups`, K… = `kernel`.

    `name` is its output tensor's name. `pads` are begins, then ends, already resolved from
    auto_pad; None where the input size that auto_pad needs is not known. Shapes are N C H….
    """

    name: str
    op: str
    channels: int
    filters: int
    groups: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...] | None
    input_shape: Shape
    output_shape: Shape
    bias: bool

    @property
    def transposed(self) -> bool:
        """True for ConvTranspose."""
        return self.op == "ConvTranspose"


@dataclass(frozen=True)
class Survey:
    """A graph in topological order: its nodes, its convolutions, and what is stored with it.

    `sites` and `skipped` go by the names of nodes, those in bodies included. `heads` are fully
    connected layers over a whole feature map, as the convolutions that they are. `inputs` must be
    fed, `outputs` are the names of the results. `stored` are all initializers, used or not.
    """

    nodes: tuple[NodeFact, ...]
    sites: Mapping[str, ConvSite]
    skipped: Mapping[str, Skip] = field(default_factory=dict)
    heads: Mapping[str, ConvSite] = field(default_factory=dict)
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[str, ...] = ()
    stored: tuple[Parameter, ...] = ()
    unused: frozenset[str] = frozenset()
