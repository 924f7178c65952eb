"""What the rules read of a node. What it does not have, or what is not known, is None."""

from __future__ import annotations

from math import prod

from gconvtool.facts import Dim, NodeFact, Shape


def qualified(node: NodeFact) -> str:
    """The operator with its domain, which the standard's own do without."""
    standard = node.domain in ("", "ai.onnx")
    return node.op if standard else f"{node.domain}.{node.op}"


def given(node: NodeFact, index: int) -> bool:
    """Whether an optional input is there. Without names, one of rank 0 is taken as absent."""
    if index >= len(node.inputs):
        return False
    return node.reads[index] != "" if index < len(node.reads) else node.inputs[index] != ()


def shape(node: NodeFact, index: int) -> Shape:
    """The shape of an input, None too where there is none. Only a node's first may be a scalar."""
    absent = index >= len(node.inputs) or (index > 0 and node.inputs[index] == ())
    return None if absent else node.inputs[index]


def output(node: NodeFact, index: int = 0) -> Shape:
    """The shape of an output, None too where there is none."""
    return node.outputs[index] if index < len(node.outputs) else None


def axis(dims: Shape, index: int) -> Dim:
    """One dimension of a shape, counted from the end where negative; None where it has none."""
    if dims is None or not -len(dims) <= index < len(dims):
        return None
    return dims[index]


def known(dims: Shape, *more: Shape) -> int | None:
    """How many numbers tensors of these shapes make when each meets each; None if not known."""
    total = 1
    for one in (dims, *more):
        numbers = [dim for dim in one or () if isinstance(dim, int) and dim >= 0]
        if one is None or len(numbers) < len(one):
            return None
        total *= prod(numbers)
    return total


def plus(a: Dim, b: Dim) -> Dim:
    """The sum of two lengths, kept symbolic where one is."""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    if a is None or b is None:
        return None
    if 0 in (a, b):
        return b if a == 0 else a
    return f"{a} + {b}"


def whole(node: NodeFact, name: str, default: int = 0) -> int:
    """An integer attribute."""
    value = node.attributes.get(name, default)
    return value if isinstance(value, int) else default


def word(node: NodeFact, name: str, default: str = "") -> str:
    """A textual attribute."""
    value = node.attributes.get(name, default)
    return value if isinstance(value, str) else default
