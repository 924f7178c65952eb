"""Two small models have one digest where a clock could not tell them apart."""

from __future__ import annotations

import numpy as np
import pytest
from models import model

from gconvtool.graph.digest import digest

GRAPH = """
g (float[1, 8, 6, 6] x) => (float[1, 8, 4, 4] y) {
  a = Conv (x, w)
  y = Relu (a)
}
"""


def told(graph: str = GRAPH, *, weight: tuple[int, ...] = (8, 8, 3, 3), **more: object) -> str:
    ones = np.ones(weight, np.float32)
    return digest(model(graph, w=ones, **more))


def test_names_and_weights_do_not_count() -> None:
    zeros = np.zeros((8, 8, 3, 3), np.float32)
    renamed = GRAPH.replace("a =", "other =").replace("(a)", "(other)").replace("g (", "h (")
    assert told() == told(renamed) == digest(model(GRAPH, w=zeros))


@pytest.mark.parametrize(
    "other",
    [
        GRAPH.replace("Relu", "Tanh"),
        GRAPH.replace("float[1, 8, 6, 6] x", "float[2, 8, 6, 6] x"),
        GRAPH.replace("Conv (", "Conv <pads = [1, 1, 1, 1]> ("),
        GRAPH.replace("Relu (a)", "Add (a, a)"),
    ],
)
def test_structure_counts(other: str) -> None:
    assert told(other) != told()


def test_shapes_of_weights_and_whole_numbers_count() -> None:
    assert told(weight=(8, 4, 3, 3)) != told()
    gather = GRAPH.replace("Relu (a)", "Gather <axis = 1> (a, order)")
    orders = [told(gather, order=np.array(order)) for order in ([0, 1], [1, 0], [0, 1])]
    assert orders[0] == orders[2] != orders[1]
