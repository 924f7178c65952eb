"""Bodies of control flow as facts: their names, what they read, and what is stored in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from models import model, proto
from onnx import helper, numpy_helper

from gconvtool.facts import NodeFact, Survey, nested
from gconvtool.graph.shapes import fix
from gconvtool.graph.survey import sketch, survey
from gconvtool.pipeline.analyze import analyze

W = np.ones((4, 4), np.float32)
SAME_NAMES = """
g (bool c, float[2, 4] x) => (float[2, 4] y) {
  h = MatMul (x, w)
  y = If (c) <
    then_branch = t () => (float[2, 4] z) { a = MatMul (h, w) z = Relu (a) },
    else_branch = e () => (float[2, 4] z) { a = Sigmoid (h) z = MatMul (a, v) }
  >
}
"""


def surveyed(graph: str, **settings: Any) -> Survey:
    network = model(graph, **settings)
    fix(network, {}, {})
    return survey(network)


def by_name(facts: Survey) -> dict[str, NodeFact]:
    return {node.name: node for node in nested(facts.nodes)}


def test_names_are_unique_however_often_bodies_repeat_them() -> None:
    facts = surveyed(SAME_NAMES, w=W, v=W)
    names = [node.name for node in nested(facts.nodes)]
    assert names == [
        "h",
        "y",
        "y/then_branch/a",
        "y/then_branch/z",
        "y/else_branch/a",
        "y/else_branch/z",
    ]


def test_a_body_reads_what_is_outside_by_its_name_there() -> None:
    nodes = by_name(surveyed(SAME_NAMES, w=W, v=W))
    assert nodes["y/then_branch/a"].reads == ("h", "w")
    assert nodes["y/then_branch/z"].reads == ("y/then_branch/a",)
    assert nodes["y/else_branch/z"].reads == ("y/else_branch/a", "v")
    assert [body.results for body in nodes["y"].bodies] == [
        ("y/then_branch/z",),
        ("y/else_branch/z",),
    ]


def test_a_weight_from_outside_is_the_same_parameter_inside() -> None:
    nodes = by_name(surveyed(SAME_NAMES, w=W, v=W))
    assert nodes["h"].parameters[1] == nodes["y/then_branch/a"].parameters[1]
    assert nodes["h"].parameters[1] != nodes["y/else_branch/z"].parameters[1]
    assert analyze(model(SAME_NAMES, w=W, v=W)).totals.params == 2 * W.size


def test_a_sketch_has_the_names_and_shapes_of_the_survey() -> None:
    network = model(SAME_NAMES, w=W, v=W)
    fix(network, {}, {})
    brief = [(n.name, n.op, n.inputs, n.outputs) for n in nested(sketch(network).nodes)]
    full = [(n.name, n.op, n.inputs, n.outputs) for n in nested(survey(network).nodes)]
    assert brief == full


def stored_inside(name: str) -> onnx.ModelProto:
    """Each branch has an initializer of its own under this name."""
    network = proto(SAME_NAMES, w=W, v=W)
    for attribute in network.graph.node[1].attribute:
        value = 1 if attribute.name == "then_branch" else 2
        attribute.g.initializer.append(
            numpy_helper.from_array(np.full((4, 4), value, np.float32), name)
        )
        attribute.g.node[-1].CopyFrom(
            helper.make_node("MatMul", ["a", name], [attribute.g.output[0].name])
        )
    return network


def test_branches_may_store_different_weights_under_one_name() -> None:
    result = analyze(ir.from_proto(stored_inside("u")))
    # h and both branches: w outside, and one u in each branch
    assert result.totals.params == 3 * W.size
    assert result.parameters["learned"].tensors == 3
    assert result.totals.macs == (1 + 2) * 2 * 4 * 4


def test_constants_of_one_name_in_two_branches_are_two() -> None:
    graph = """
    g (bool c, float[4] x) => (float[4] y) {
      y = If (c) <
        then_branch = t () => (float[4] z) { k = Constant <value_floats = [1.0, 2.0, 3.0, 4.0]> ()
          z = Add (x, k) },
        else_branch = e () => (float[4] z) { k = Constant <value_floats = [5.0, 6.0, 7.0, 8.0]> ()
          z = Mul (x, k) }
      >
    }
    """
    result = analyze(model(graph))
    assert (result.totals.params, result.parameters["learned"].tensors) == (8, 2)


def test_many_constants_in_a_row_are_as_many_parameters() -> None:
    nodes = [
        f"c{i} = Constant <value_floats = [{i}.0, 0.5]> () h{i + 1} = Add (h{i}, c{i})"
        for i in range(50)
    ]
    result = analyze(model(f"g (float[2] h0) => (float[2] h50) {{ {' '.join(nodes)} }}"))
    assert (result.totals.params, result.parameters["learned"].tensors) == (100, 50)


LOOP = """
g (float[2, 4] x) => (float[2, 4] y, float[3, 2, 4] all) {
  y, all = Loop (limit, , x) <body = b (int64 i, bool c, float[2, 4] a)
    => (bool d, float[2, 4] z, float[2, 4] each) {
    d = Identity (c) k = Constant <value = float[4] {1, 2, 3, 4}> ()
    z = Add (a, k) each = Mul (a, k)
  }>
}
"""


def test_a_loops_body_has_its_inputs_shapes_and_its_constants() -> None:
    facts = surveyed(LOOP, limit=np.array(3))
    nodes = by_name(facts)
    assert nodes["y"].writes == ("y", "all")
    assert nodes["y"].outputs == ((2, 4), (3, 2, 4))
    (body,) = nodes["y"].bodies
    assert (body.label, body.trips) == ("body", 3)
    assert body.results == ("y/body/d", "y/body/z", "y/body/each")
    add = nodes["y/body/z"]
    assert (add.inputs, add.outputs) == (((2, 4), (4,)), ((2, 4),))
    assert add.reads == ("y/body/a", "y/body/k")
    assert add.parameters[1] == nodes["y/body/each"].parameters[1]


def test_what_is_not_read_anywhere_is_unused_and_what_a_body_reads_is_not() -> None:
    facts = surveyed(SAME_NAMES, w=W, v=W, nobody=W)
    assert {parameter.name for parameter in facts.stored} == {"w", "v", "nobody"}
    assert facts.unused == {"nobody"}


def test_inputs_are_what_must_be_fed_with_their_sizes() -> None:
    facts = surveyed(SAME_NAMES, w=W, v=W)
    assert [(i.name, i.shape, i.bits) for i in facts.inputs] == [("c", (), 8), ("x", (2, 4), 32)]
    assert facts.outputs == ("y",)
