"""Few samples judge as what they are worth: those that were fitted to err as held-out ones do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gconvtool.pipeline.jury import Jury
from gconvtool.runtime.inputs import Batch, Data, Split

FOUR = Batch(4)


class Fake:
    """A session that errs by one share on held-out samples (x > 0) and by another on others."""

    def __init__(self, held_out: float = 0.0, fitted: float = 0.0) -> None:
        self.sizes = fitted, held_out
        self.outputs = ("y",)

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        x = feeds["x"]
        return {"y": x * (1 + np.where(x > 0, self.sizes[1], self.sizes[0]))}


def jury(held_out: Data, fit: Data, batch: Batch = FOUR) -> Jury:
    made: Any = Fake()
    return Jury(made, Split(fit, held_out, fit.take(slice(0))), batch, 2**20)


def data(values: list[list[float]], labels: list[int] | None = None) -> Data:
    told = None if labels is None else np.array(labels)
    return Data("numbers", {"x": np.array(values, np.float32)}, told)


def test_errors_on_fitted_samples_count_as_on_held_out_ones() -> None:
    held_out = data([[1.0, 2.0], [3.0, 1.0]])
    fit = data([[-1.0, -5.0], [-2.0, -1.0], [-3.0, -3.0]])
    seen: Any = Fake(held_out=0.3, fitted=0.1)
    (drift,) = jury(held_out, fit).drifts(seen)
    assert drift.samples == 5
    assert drift.relative_error == pytest.approx(0.3)


def test_errors_that_are_larger_on_fitted_samples_stay() -> None:
    seen: Any = Fake(held_out=0.1, fitted=0.4)
    (drift,) = jury(data([[1.0, 2.0]]), data([[-1.0, -2.0]])).drifts(seen)
    assert drift.relative_error == pytest.approx(np.sqrt((0.1**2 + 0.4**2) / 2))


def test_labels_of_both_parts_count() -> None:
    held_out, fit = data([[2.0, 1.0]], [0]), data([[-1.0, -2.0], [-2.0, -1.0]], [0, 0])
    same: Any = Fake()
    (drift,) = jury(held_out, fit).drifts(same)
    assert drift.accuracy_before == drift.accuracy_after == pytest.approx(2 / 3)
    assert jury(held_out, fit).has_classes
    assert not jury(held_out, fit).has_target


def test_a_batch_that_has_to_be_full_leaves_the_rest_out() -> None:
    held_out, fit = data([[1.0, 2.0]] * 3), data([[-1.0, -2.0]] * 5)
    same: Any = Fake()
    (drift,) = jury(held_out, fit, Batch(2, fixed=True)).drifts(same)
    assert drift.samples == 2 + 4
