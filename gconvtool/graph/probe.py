"""What flows at a convolution inside a body of control flow, handed out to the main graph.

The body gets one output more, and so does the node that holds it, and so on up to the main graph:

    If            the other branch hands out a tensor without rows
    Loop, Scan    one more scan output: what all trips make, along a new first axis

An Identity makes what is handed out, since a body may not hand out what it only reads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from gconvtool.facts import Skip
from gconvtool.graph import control
from gconvtool.graph.bodies import find, fresh, holders, home
from gconvtool.graph.constants import ints_attribute, shape_of

STACKING = ("Loop", "Scan")
"""Operators whose bodies run several times; what they hand out then has an axis more."""


@dataclass(frozen=True)
class Probe:
    """A copy of a model whose main graph makes these values too.

    They are of this `rank` in the body, and have an axis more in front for every Loop or Scan.
    """

    model: ir.Model
    values: tuple[str, ...]
    rank: int


def probe(model: ir.Model, site: str, *, made: bool) -> Probe | Skip:
    """Hand out what a site inside a body reads, and what is `made` of it, if that is wanted."""
    copy = model.clone()
    node = find(copy, site)
    around, rank = holders(copy, node), len(shape_of(node.inputs[1]) or ())
    wanted = [*node.inputs[:1], *(node.outputs if made else ())]
    strange = next((h.op_type for h in around if h.op_type not in ("If", *STACKING)), None)
    if strange is not None:
        return Skip(f"what {strange} does with its body is not known")
    if any(value is None or value.dtype is None for value in wanted):
        return Skip("the type of what flows through it is not known")
    out = [_handed_out(copy, around, home(node), value, rank) for value in wanted if value]
    return Probe(copy, tuple(out), rank)


def _handed_out(
    model: ir.Model, around: tuple[ir.Node, ...], body: ir.Graph, value: ir.Value, rank: int
) -> str:
    """The name under which the main graph has a value, through all that is around it."""
    for holder in around:
        body.append(ir.node("Identity", [value]))
        _add_result(model, body, value, rank)
        for _, other in control.graphs(holder):
            if other is not body:
                nothing = np.zeros((0,) * rank, (value.dtype or ir.DataType.FLOAT).numpy())
                other.append(ir.node("Constant", [], {"value": ir.tensor(nothing)}))
                _add_result(model, other, value, rank)
        rank += holder.op_type in STACKING
        value, body = _new_output(model, holder, value, rank), home(holder)
    return value.name or ""


def _add_result(model: ir.Model, body: ir.Graph, like: ir.Value, rank: int) -> None:
    """Let a body hand out what its last node makes."""
    (made,) = body[-1].outputs
    _describe(model, made, like, rank)
    body.outputs.append(made)


def _new_output(model: ir.Model, holder: ir.Node, like: ir.Value, rank: int) -> ir.Value:
    for name in ("scan_output_axes", "scan_output_directions"):
        if name in holder.attributes:
            usual = (*ints_attribute(holder, name, ()), 0)
            holder.attributes[name] = ir.AttrInt64s(name, usual)
    holder.resize_outputs(len(holder.outputs) + 1)
    made = holder.outputs[-1]
    _describe(model, made, like, rank)
    return made


def _describe(model: ir.Model, value: ir.Value, like: ir.Value, rank: int) -> None:
    """A new name, the type of another value, and of its shape only so many axes."""
    value.name, value.type = fresh(model, f"{like.name}.seen"), like.type
    value.shape = ir.Shape([None] * rank)
