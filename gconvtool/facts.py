"""Frozen facts about a graph, in plain Python: what the rooms above read instead of ONNX.

A dimension is a number, a name (`"N"`, symbolic) or None (not known at all). A shape is a tuple of
dimensions, or None where not even the rank is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Dim: TypeAlias = int | str | None
Shape: TypeAlias = tuple[Dim, ...] | None
Attribute: TypeAlias = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


def describe_shape(shape: Shape) -> str:
    """`1×64×H×?` for people; `?` stands for what is not known."""
    if shape is None:
        return "?"
    return "×".join("?" if dim is None else str(dim) for dim in shape) or "scalar"


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
    """A constant tensor that enters a node, traced to where it is stored."""

    name: str
    shape: tuple[int, ...]
    floating: bool


@dataclass(frozen=True)
class NodeFact:
    """One node as the cost rules see it.

    `name` is the name of the first output: unique in a graph, where node names may be empty.
    `parameters[i]` is the constant behind input i, or None.
    """

    name: str
    op: str
    domain: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    attributes: Mapping[str, Attribute]
    parameters: tuple[Parameter | None, ...] = ()


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
    """A graph in topological order: its nodes, its convolutions, and the dims that were assumed."""

    nodes: tuple[NodeFact, ...]
    sites: Mapping[str, ConvSite]
    skipped: Mapping[str, Skip] = field(default_factory=dict)
