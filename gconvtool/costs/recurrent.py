"""LSTM, GRU and RNN: at each step the input meets W and the hidden state meets R.

    MACs = sequence · batch · (|W| + |R|)        |W| = directions · gates · hidden · input

The shapes of the weights know how many gates and directions there are. A sequence counts as long as
its tensor is: what `sequence_lens` cuts off is padding. Peepholes and the products of gates are
elementwise: per step and hidden unit

    LSTM   4 sums of W·x and R·h, 5 activations, f·C + i·c, o·tanh(C)      13
           and with peepholes 3 products and 3 sums                        +6
    GRU    3 sums, 3 activations, r·h, (1 − z)·ĥ + z·h                     11
    RNN    1 sum, 1 activation                                              2
"""

from __future__ import annotations

from collections.abc import Mapping

from gconvtool.costs.node import axis, given, known, shape
from gconvtool.costs.term import Factor, Term, Terms
from gconvtool.facts import NodeFact, Shape

BIAS, PEEPHOLES = 3, 7
OPERATIONS: Mapping[str, int] = {"LSTM": 13, "GRU": 11, "RNN": 2, "DynamicQuantizeLSTM": 13}


def recurrent(node: NodeFact) -> Terms:
    """Whichever of batch and sequence comes first: both are there once."""
    steps = Factor("steps and batch", _steps(node))
    return (
        Term((steps, Factor("weights", shape(node, 1))), "input products"),
        Term((steps, Factor("recurrence weights", shape(node, 2))), "recurrent products"),
    )


def bias_adds(node: NodeFact) -> int | None:
    """Each step adds a bias for the input and one for the state."""
    return known(_steps(node), shape(node, BIAS)) if given(node, BIAS) else 0


def elementwise_ops(node: NodeFact) -> int | None:
    """By the table above; None where gates are clipped or coupled, which it does not cover."""
    if "clip" in node.attributes or node.attributes.get("input_forget"):
        return None
    recurrence = shape(node, 2)
    units = known(_steps(node), (axis(recurrence, 0), axis(recurrence, -1)))
    each = OPERATIONS[node.op] + (6 if given(node, PEEPHOLES) else 0)
    return None if units is None else units * each


def _steps(node: NodeFact) -> Shape:
    data = shape(node, 0)
    return None if data is None else data[:2]
