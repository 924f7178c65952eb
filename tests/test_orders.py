"""What is taken in holds of the orders that are found; only contradictions are refused."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from hypothesis import strategies as st
from often import often

from gconvtool.graph.orders import Orders

SMALL = (4, 4, 2, 2)
"""Few enough channels to try all orders of all classes."""
LARGE = (16, 16, 16, 8, 8, 4, 4, 2, 2)


@often(40, 150, st.data())
def test_only_what_no_orders_can_fulfil_is_refused(data: st.DataObject) -> None:
    orders = Orders(SMALL)
    worlds = list(product(*(list(permutations(range(size))) for size in SMALL)))
    for _ in range(data.draw(st.integers(1, 7))):
        kind = data.draw(st.sampled_from(["tie", "tie", "cut", "cut", "pin"]))
        if kind == "tie":
            a, b = data.draw(st.sampled_from([(0, 1), (1, 0), (2, 3), (3, 2), (0, 0)]))
            m = data.draw(st.permutations(range(SMALL[a])))
            taken = orders.tie(a, b, np.array(m))
            fit = [w for w in worlds if all(m[y] == x for x, y in zip(w[a], w[b], strict=True))]
        elif kind == "cut":
            a, b = data.draw(st.integers(0, 1)), data.draw(st.integers(2, 3))
            labels = data.draw(st.permutations([0, 0, 1, 1]))
            taken = orders.cut(a, 2, b, np.array(labels))
            fit = [w for w in worlds if all(labels[c] == w[b][i // 2] for i, c in enumerate(w[a]))]
        else:
            a = data.draw(st.integers(0, 3))
            taken = orders.pin(a)
            fit = [w for w in worlds if w[a] == tuple(range(SMALL[a]))]
        assert taken == bool(fit)
        worlds = fit or worlds
        found = tuple(tuple(orders.order(k).tolist()) for k in range(len(SMALL)))
        assert found in worlds


@often(40, 150, st.integers(0, 10**6), st.integers(1, 25))
def test_whatever_is_true_of_some_orders_is_taken_in(seed: int, count: int) -> None:
    """Runs of any size, and runs of runs."""
    rng = np.random.default_rng(seed)
    hidden = [rng.permutation(size) for size in LARGE]
    orders, said = Orders(LARGE), []
    for _ in range(count):
        a, b = np.sort(rng.integers(len(LARGE), size=2))
        run, labels = LARGE[a] // LARGE[b], np.empty(LARGE[a], np.intp)
        labels[hidden[a]] = np.repeat(hidden[b], run)
        assert orders.cut(a, run, b, labels)
        said.append((a, run, b, labels))
    for a, run, b, labels in said:
        assert np.array_equal(labels[orders.order(a)], np.repeat(orders.order(b), run))


def test_runs_that_cross_are_refused_and_what_was_said_before_holds() -> None:
    orders = Orders([12, 3, 2])
    labels = np.arange(12) % 3
    assert orders.cut(0, 4, 1, labels)
    assert not orders.cut(0, 6, 2, np.arange(12) // 6)
    assert labels[orders.order(0)].tolist() == np.repeat(orders.order(1), 4).tolist()


def test_a_mark_can_be_gone_back_to() -> None:
    orders = Orders([3, 3])
    mark = orders.mark()
    assert orders.pin(0)
    assert orders.tie(0, 1, np.array([2, 0, 1]))
    assert orders.order(1).tolist() == [1, 2, 0]
    orders.undo(mark)
    assert orders.tie(0, 1, np.arange(3))
    assert orders.order(1).tolist() == [0, 1, 2]
