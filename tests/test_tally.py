"""Subtotals and totals of a small graph, every figure worked out in the comments."""

from __future__ import annotations

from typing import Any

import pytest
from models import site

from gconvtool.facts import NodeFact, Parameter, Skip, Survey
from gconvtool.results import Analysis, KindTotal
from gconvtool.tally import analysis

X, Y = (1, 4, 10, 10), (1, 8, 8, 8)
W = Parameter("w", (8, 4, 3, 3), True)
BIAS = Parameter("b", (8,), True)


def conv(name: str, *parameters: Parameter, out: Any = Y) -> NodeFact:
    """A 3×3 convolution of 4 channels to 8 filters: 8·8·8 outputs, each of 4·3·3 products."""
    shapes = X, *(p.shape for p in parameters)
    return NodeFact(name, "Conv", "", shapes, (out,), {}, (None, *parameters))


def other(op: str, name: str, *parameters: Parameter | None) -> NodeFact:
    return NodeFact(name, op, "", (Y,), (Y,), {}, (None, *parameters))


def tallied(*nodes: NodeFact, sites: tuple[str, ...] = ()) -> Analysis:
    known = {name: site(name=name, channels=4, filters=8, output_shape=Y) for name in sites}
    return analysis("net.onnx", Survey(nodes, known), {"N": 1})


NORM = [Parameter(name, (8,), True) for name in ("scale", "shift", "mean", "variance")]
NETWORK = (
    conv("a", W, BIAS),
    other("BatchNormalization", "n", *NORM),
    other("Relu", "r"),
    NodeFact("d", "LSTM", "", (Y,), (Y,), {}, (None, Parameter("lstm", (3, 5), True))),
    conv("c", Parameter("w2", (8, 4, 3, 3), True)),
    NodeFact("g", "MatMul", "", ((2, 5), (5, 3)), ((2, 3),), {}, (None, Parameter("m", (5, 3), 1))),
)


def test_layers_are_the_nodes_with_a_cost_in_the_graphs_order() -> None:
    result = tallied(*NETWORK, sites=("a", "c"))
    assert [(layer.name, layer.macs, layer.params) for layer in result.layers] == [
        ("a", 8 * 8 * 8 * 4 * 3 * 3, 8 * 4 * 3 * 3 + 8),
        ("n", 0, 8 + 8),
        ("r", 0, 0),  # it has elementwise operations
        ("d", None, 15),
        ("c", 18432, 288),
        ("g", 2 * 3 * 5, 15),
    ]


def test_kinds_hold_the_subtotals() -> None:
    assert tallied(*NETWORK, sites=("a", "c")).kinds == {
        "standard": KindTotal(2, 36864, 584),
        "normalization": KindTotal(1, 0, 16),
        "activation": KindTotal(1, 0, 0),
        "recurrent": KindTotal(1, None, 15),
        "linear": KindTotal(1, 30, 15),
    }


def test_totals_are_the_sums_of_layers_and_of_kinds() -> None:
    result = tallied(*NETWORK, sites=("a", "c"))
    assert (result.totals.macs, result.totals.params) == (36894, 630)
    assert sum(kind.macs or 0 for kind in result.kinds.values()) == 36894
    assert sum(kind.params for kind in result.kinds.values()) == 630
    assert sum(kind.count for kind in result.kinds.values()) == len(result.layers)


def test_one_unknown_node_makes_the_totals_a_bound_and_is_listed() -> None:
    result = tallied(*NETWORK)
    assert not result.totals.exact
    (unknown,) = result.unknown
    assert (unknown.node, unknown.op) == ("d", "LSTM")
    assert unknown.reason


def test_totals_are_exact_where_all_is_known() -> None:
    result = tallied(*(node for node in NETWORK if node.op != "LSTM"))
    assert result.totals.exact
    assert result.unknown == ()


def test_an_unknown_node_without_weights_is_a_layer_too() -> None:
    (layer,) = tallied(other("Loop", "y")).layers
    assert (layer.macs, layer.params, layer.kind) == (None, 0, "control")


def test_an_unknown_convolution_keeps_its_kind_and_its_parameters() -> None:
    result = tallied(conv("a", W, out=("N", 8, 8, 8)), sites=("a",))
    (layer,) = result.layers
    assert (layer.kind, layer.macs, layer.params) == ("standard", None, 288)
    assert not result.totals.exact


def test_a_shared_weight_counts_once_and_at_its_first_user() -> None:
    result = tallied(conv("a", W, BIAS), conv("b", W), conv("c", W, BIAS))
    assert [layer.params for layer in result.layers] == [296, 0, 0]
    assert [layer.macs for layer in result.layers] == [18432] * 3
    assert result.totals.params == 296


def test_a_weight_that_enters_one_node_twice_counts_once() -> None:
    square = Parameter("m", (5, 5), True)
    node = NodeFact("y", "MatMul", "", ((5, 5), (5, 5)), ((5, 5),), {}, (square, square))
    assert tallied(node).totals.params == 25


def test_a_layer_shows_its_convolution() -> None:
    result = tallied(conv("a", W), sites=("a",))
    (layer,) = result.layers
    assert (layer.channels, layer.filters, layer.groups) == (4, 8, 1)
    assert (layer.kernel, layer.strides) == ((3, 3), (1, 1))
    assert (layer.input_shape, layer.output_shape) == (X, Y)


def test_the_assumed_sizes_and_the_name_are_handed_on() -> None:
    result = tallied(conv("a", W))
    assert (result.model, dict(result.dims)) == ("net.onnx", {"N": 1})


@pytest.mark.parametrize("refused", ["a", "nowhere"])
def test_what_cannot_be_rewritten_is_counted_all_the_same(refused: str) -> None:
    survey = Survey((conv("a", W),), {}, {refused: Skip("shared")})
    assert analysis("m", survey, {}).totals.macs == 18432
