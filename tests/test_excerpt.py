"""An excerpt holds a convolution, what is fused with it, and stand-ins that keep the layout."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from models import ort
from nets import network

from gconvtool.facts import Skip
from gconvtool.graph import shapes
from gconvtool.graph.excerpt import Excerpts
from gconvtool.graph.layout import blocked_maps
from gconvtool.graph.survey import survey

BLOCK = """
<ir_version: 8, opset_import: ["": 17]>
block (float[2, 3, 12, 12] x) => (float[2, 5] scores, float[2, 20, 12, 12] odd)
  <float[32, 3, 3, 3] w0, float[32, 32, 3, 3] w1, float[32, 32, 3, 3] w2, float[32, 4, 3, 3] w3,
   float[20, 32, 1, 1] w4, float[4608, 5] w5>
{
  stem = Conv <pads = [1, 1, 1, 1]> (x, w0)
  r0 = Relu (stem)
  first = Conv <pads = [1, 1, 1, 1]> (r0, w1)
  gate = Sigmoid (first)
  r1 = Mul (first, gate)
  second = Conv <pads = [1, 1, 1, 1]> (r1, w2)
  sum = Add (second, r0)
  r2 = Relu (sum)
  narrow = Conv <pads = [1, 1, 1, 1], group = 8> (r2, w3)
  again = Add (narrow, r2)
  odd = Conv (again, w4)
  flat = Flatten (again)
  scores = MatMul (flat, w5)
}
"""


@pytest.fixture
def model() -> ir.Model:
    made = ir.from_proto(network(BLOCK))
    shapes.infer(made)
    return made


def cut(model: ir.Model, name: str) -> ir.Model:
    facts = survey(model)
    made = Excerpts(model).of({**facts.sites, **facts.heads}[name])
    assert isinstance(made, ir.Model)
    return made


def operators(model: ir.Model) -> str:
    return " ".join(node.op_type for node in model.graph)


def names(values) -> list[str]:
    return [value.name for value in values]


def test_groups_of_few_channels_leave_the_blocks(model: ir.Model) -> None:
    blocked = {value.name for value in blocked_maps(model.graph)}
    # 8 groups of 4 channels have no blocked kernel; what only goes over a map follows it
    assert blocked == {"stem", "r0", "first", "gate", "r1", "second", "sum", "r2", "odd"}


@pytest.mark.parametrize(
    ("site", "inside"),
    [
        ("stem", "Conv Relu"),
        ("first", "Conv Sigmoid Mul"),  # both read what the excerpt makes
        ("second", "Conv Add Relu"),  # and not the next addition
        ("narrow", "Conv Add"),
        ("odd", "Conv"),
        ("scores", "Flatten MatMul"),
    ],
)
def test_what_can_be_fused_comes_along(model: ir.Model, site: str, inside: str) -> None:
    own = {node.outputs[0].name for node in model.graph}
    made = [
        node.op_type
        for node in cut(model, site).graph
        if node.outputs[0].name in own and not _replaces(node)
    ]
    assert sorted(made) == sorted(inside.split())


def _replaces(node: ir.Node) -> bool:
    """A Relu behind a stand-in has the name of the map that it stands for."""
    source = node.inputs[0]
    return source is not None and (source.name or "").endswith("/1x1")


def test_blocked_maps_come_from_one_channel_and_go_to_one_position(model: ir.Model) -> None:
    second = cut(model, "second")
    assert [tuple(value.shape) for value in second.graph.inputs] == [(2, 1, 12, 12)] * 2
    # `narrow` reads the end as it is, not in blocks
    assert names(second.graph.outputs) == ["r2"]
    first = cut(model, "first")
    (end,) = first.graph.outputs
    assert tuple(end.shape) == (2, 32, 1, 1)


def test_other_maps_are_inputs_and_outputs_as_they_are(model: ir.Model) -> None:
    odd = cut(model, "odd")
    assert (names(odd.graph.inputs), names(odd.graph.outputs)) == (["again"], ["odd"])
    assert [tuple(v.shape) for v in cut(model, "scores").graph.inputs] == [(2, 32, 12, 12)]


@pytest.mark.parametrize("site", ["stem", "first", "second", "narrow", "odd", "scores"])
def test_excerpts_run(model: ir.Model, site: str) -> None:
    excerpt = cut(model, site)
    feeds = {v.name: np.ones(tuple(v.shape), np.float32) for v in excerpt.graph.inputs}
    made = ort(excerpt, **feeds)
    assert [a.shape for a in made] == [tuple(v.shape) for v in excerpt.graph.outputs]


def test_the_network_is_left_alone(model: ir.Model) -> None:
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    cut(model, "second")
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_sizes_that_are_not_known_are_a_reason() -> None:
    open_ = ir.from_proto(network(BLOCK.replace("float[2, 3, 12, 12] x", "float[N, 3, 12, 12] x")))
    shapes.infer(open_)
    skip = Excerpts(open_).of(survey(open_).sites["stem"])
    assert skip == Skip("the size or type of x is not known")
