"""LSTM, GRU and RNN, against the definitions written as loops that count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers_costs import executed, fact
from models import Numbers, counted, plain

from gconvtool import costs
from gconvtool.facts import Skip

STEPS, BATCH, INPUT, HIDDEN = 5, 2, 3, 4
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


class Counter:
    """Does what a cell does, and counts products of matrices, sums of biases, and the rest."""

    def __init__(self) -> None:
        self.macs, self.biases, self.others = [0], 0, 0

    def product(self, w: Numbers, x: Numbers) -> Numbers:
        return plain(counted(w, self.macs) @ counted(x, self.macs))

    def other(self, value: Numbers) -> Numbers:
        """One operation for each of these values."""
        self.others += np.size(value)
        return value

    def gate(self, cell: dict[str, Numbers], gate: int, x: Numbers, h: Numbers) -> Numbers:
        rows = slice(gate * HIDDEN, (gate + 1) * HIDDEN)
        total = self.other(self.product(cell["w"][rows], x) + self.product(cell["r"][rows], h))
        for name in ("wb", "rb"):
            if name in cell:
                total = total + cell[name][rows]
                self.biases += HIDDEN
        return total

    def peep(self, cell: dict[str, Numbers], gate: int, total: Numbers, c: Numbers) -> Numbers:
        if "p" not in cell:
            return total
        part = self.other(cell["p"][gate * HIDDEN : (gate + 1) * HIDDEN] * c)
        return self.other(total + part)

    def sigmoid(self, x: Numbers) -> Numbers:
        return self.other(1 / (1 + np.exp(-x)))

    def tanh(self, x: Numbers) -> Numbers:
        return self.other(np.tanh(x))


def lstm(n: Counter, cell: dict[str, Numbers], x: Numbers, h: Numbers, c: Numbers) -> Any:
    i, o, f, g = (n.gate(cell, gate, x, h) for gate in range(4))
    i, f = n.sigmoid(n.peep(cell, 0, i, c)), n.sigmoid(n.peep(cell, 2, f, c))
    c = n.other(n.other(f * c) + n.other(i * n.tanh(g)))
    return n.other(n.sigmoid(n.peep(cell, 1, o, c)) * n.tanh(c)), c


def gru(n: Counter, cell: dict[str, Numbers], x: Numbers, h: Numbers, c: Numbers) -> Any:
    z, r = (n.sigmoid(n.gate(cell, gate, x, h)) for gate in range(2))
    candidate = n.tanh(n.gate(cell, 2, x, n.other(r * h)))
    return n.other(n.other(n.other(1 - z) * candidate) + n.other(z * h)), c


def rnn(n: Counter, cell: dict[str, Numbers], x: Numbers, h: Numbers, c: Numbers) -> Any:
    return n.tanh(n.gate(cell, 0, x, h)), c


CELLS = {"LSTM": lstm, "GRU": gru, "RNN": rnn}


def unrolled(
    op: str, directions: int, x: Numbers, cell: dict[str, Numbers]
) -> tuple[Counter, Numbers]:
    """Every direction runs over every sequence of the batch; also the last state of each."""
    counter, last = Counter(), np.empty((directions, BATCH, HIDDEN))
    for direction, sequence in np.ndindex(directions, BATCH):
        h = c = np.zeros(HIDDEN)
        for step in range(STEPS)[:: 1 - 2 * direction]:
            h, c = CELLS[op](counter, cell, x[step, sequence], h, c)
        last[direction, sequence] = h
    return counter, last


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_costs_what_its_cells_do(op: str, directions: int, bias: bool) -> None:
    rows = GATES[op] * HIDDEN
    r = np.random.default_rng(0)
    x = r.normal(size=(STEPS, BATCH, INPUT)).astype(np.float32)
    cell = {"w": r.normal(size=(rows, INPUT)), "r": r.normal(size=(rows, HIDDEN))}
    if bias:
        cell |= {"wb": r.normal(size=rows), "rb": r.normal(size=rows)}
    biases = np.concatenate([cell["wb"], cell["rb"]]) if bias else None
    weights = [
        None if one is None else np.stack([one] * directions).astype(np.float32)
        for one in (cell["w"], cell["r"], biases)
    ]
    direction = "bidirectional" if directions == 2 else "forward"
    node, (_, state) = executed(op, x, *weights, outputs=2, hidden_size=HIDDEN, direction=direction)
    expected, last = unrolled(op, directions, x, cell)
    np.testing.assert_allclose(state, last, atol=1e-5)  # it was that layer
    assert costs.macs(node) == expected.macs[0]
    assert costs.bias_adds(node) == expected.biases
    assert costs.elementwise_ops(node) == expected.others


def test_peepholes_are_elementwise() -> None:
    shapes = (STEPS, BATCH, INPUT), (1, 4 * HIDDEN, INPUT), (1, 4 * HIDDEN, HIDDEN)
    cell = {"w": np.ones(shapes[1][1:]), "r": np.ones(shapes[2][1:]), "p": np.ones(3 * HIDDEN)}
    node = fact("LSTM", *shapes, (), (), (), (), (1, 3 * HIDDEN), out=None)
    expected, _ = unrolled("LSTM", 1, np.ones(shapes[0]), cell)
    assert costs.macs(node) == expected.macs[0]
    assert costs.elementwise_ops(node) == expected.others


def test_batch_first_costs_the_same() -> None:
    weights = (1, 12, INPUT), (1, 12, HIDDEN)
    first = fact("GRU", (BATCH, STEPS, INPUT), *weights, out=None, attributes={"layout": 1})
    assert costs.macs(first) == costs.macs(fact("GRU", (STEPS, BATCH, INPUT), *weights, out=None))


def test_an_open_sequence_stays_open() -> None:
    node = fact("LSTM", ("T", "N", 3), (2, 16, 3), (2, 16, 4), out=None)
    assert costs.formula(node) == f"{2 * 16 * (3 + 4)}·T·N"
    assert costs.elementwise_ops(node) is None


def test_clipped_and_coupled_gates_have_no_elementwise_count() -> None:
    shapes = (STEPS, BATCH, INPUT), (1, 16, INPUT), (1, 16, HIDDEN)
    for attributes in ({"clip": 1.0}, {"input_forget": 1}):
        node = fact("LSTM", *shapes, out=None, attributes=attributes)
        assert costs.elementwise_ops(node) is None
        assert not isinstance(costs.macs(node), Skip)
