"""Convolutions that onnxruntime has fused with what follows them, taken apart again, exactly.

    FusedConv(x, W, b, z) = activation(Conv(x, W, b) + z)

Models that it has optimised and saved hold them. What the fused node made keeps its name, y, so
that what the convolution makes gets another one: `y/conv`, unless nothing follows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import onnx_ir as ir

from gconvtool.graph.bodies import fresh, home, named
from gconvtool.graph.parts import constant, document, opset
from gconvtool.graph.rules import MICROSOFT

ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    "Clip": ("min", "max"),
    "HardSigmoid": ("alpha", "beta"),
    "HardSwish": (),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
}
"""What convolutions are fused with, and what its `activation_params` are."""
FIRST_OPSET_WITH_LIMITS_AS_INPUTS = 11
FIRST_OPSET_WITH_HARD_SWISH = 14


@dataclass(frozen=True)
class _Part:
    """An operator: what it reads besides what comes along the chain, and how it is set."""

    op: str
    others: Sequence[ir.Value] = ()
    attributes: Sequence[ir.Attr] = ()


def take_apart(model: ir.Model) -> Mapping[str, str]:
    """Write fused convolutions as what they are made of, in place.

    Returns:
        The names of the convolutions by those of the nodes that they were part of. A node whose
        activation ONNX does not have stays as it is.
    """
    names: dict[str, str] = {}
    for name, node in list(named(model.graph)):
        if _is_fused(node) and _is_known(node, model):
            made = node.outputs[0].name or ""
            names[name] = name.removesuffix(made) + _replace(node, model)
    if names and not any(node.domain == MICROSOFT for node in _every_node(model)):
        model.opset_imports.pop(MICROSOFT, None)
    return names


def _is_fused(node: ir.Node) -> bool:
    wired = len(node.inputs) > 1 and len(node.outputs) == 1
    return node.op_type == "FusedConv" and node.domain == MICROSOFT and wired


def _is_known(node: ir.Node, model: ir.Model) -> bool:
    activation = _activation(node)
    if not activation:
        return True
    weight, wanted = node.inputs[1], ACTIVATIONS.get(activation)
    if wanted is None or weight is None or weight.dtype is None:
        return False
    there = activation != "HardSwish" or opset(model) >= FIRST_OPSET_WITH_HARD_SWISH
    return there and len(wanted) in (0, len(_parameters(node)))


def _replace(node: ir.Node, model: ir.Model) -> str:
    """Put its parts in its place, of which it becomes the last; what does the convolution make?"""
    made, (*before, last) = node.outputs[0], _parts(node, model)
    value, conv = node.inputs[0], made
    for part in before:
        step = ir.Node("", part.op, [value, *part.others], part.attributes)
        value = step.outputs[0]
        value.name = step.name = fresh(model, f"{made.name}/{part.op.lower()}")
        value.type, value.shape = made.type, made.shape
        document(step, node)
        home(node).insert_before(node, step)
        conv = value if part.op == "Conv" else conv
    _become(node, last, value)
    return conv.name or ""


def _become(node: ir.Node, part: _Part, value: ir.Value | None) -> None:
    node.op_type, node.domain = part.op, ""
    node.resize_inputs(1 + len(part.others))
    for index, read in enumerate((value, *part.others)):
        node.replace_input_with(index, read)
    node.attributes.clear()
    node.attributes.update({attribute.name: attribute for attribute in part.attributes})


def _parts(node: ir.Node, model: ir.Model) -> Iterator[_Part]:
    """In their order."""
    _, weight, bias, added = (*node.inputs, None, None)[:4]
    window = [a for name, a in node.attributes.items() if not name.startswith("activation")]
    yield _Part("Conv", [value for value in (weight, bias) if value is not None], window)
    if added is not None:
        yield _Part("Add", [added])
    if activation := _activation(node):
        yield _activated(activation, node, model)


def _activated(activation: str, node: ir.Node, model: ir.Model) -> _Part:
    given = dict(zip(ACTIVATIONS[activation], _parameters(node), strict=False))
    if activation != "Clip" or opset(model) < FIRST_OPSET_WITH_LIMITS_AS_INPUTS:
        return _Part(activation, (), [ir.AttrFloat32(name, x) for name, x in given.items()])
    weight, prefix = node.inputs[1], node.outputs[0].name
    assert weight is not None
    assert weight.dtype is not None
    dtype = weight.dtype.numpy()
    limits = [
        constant(home(node), fresh(model, f"{prefix}/{name}"), np.array(number, dtype))
        for name, number in given.items()
    ]
    return _Part(activation, limits)


def _activation(node: ir.Node) -> str | None:
    given = node.attributes.get("activation")
    return None if given is None else given.as_string()


def _parameters(node: ir.Node) -> Sequence[float]:
    given = node.attributes.get("activation_params")
    return () if given is None else given.as_floats()


def _every_node(model: ir.Model) -> Iterator[ir.Node]:
    return chain(model.graph.all_nodes(), *(f.all_nodes() for f in model.functions.values()))
