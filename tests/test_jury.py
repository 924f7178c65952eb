"""Few samples judge as what they are worth: those that were fitted to err as held-out ones do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gconvtool.errors import InputError, VerificationError
from gconvtool.pipeline.jury import Jury
from gconvtool.results import Drift
from gconvtool.runtime.inputs import Batch, Data, Split
from gconvtool.runtime.metric import Metric

Array = np.ndarray[Any, Any]
FOUR = Batch(4)


class Fake:
    """A session that errs by one share on held-out samples (x > 0) and by another on others."""

    def __init__(
        self, held_out: float = 0.0, fitted: float = 0.0, made: Callable[[Array], Any] = np.array
    ) -> None:
        self.sizes, self.made = (fitted, held_out), made

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        x = feeds["x"]
        y = x * (1 + np.where(x > 0, self.sizes[1], self.sizes[0]))
        return {"y": self.made(y.astype(x.dtype))}


def jury(
    held_out: Data,
    fit: Data,
    batch: Batch = FOUR,
    made: Callable[[Array], Any] = np.array,
    metric: Metric | None = None,
) -> Jury:
    original: Any = Fake(made=made)
    return Jury(original, Split(fit, held_out, fit.take(slice(0))), batch, 2**20, metric)


def drift(judges: Jury, **converted: Any) -> Drift:
    session: Any = Fake(**converted)
    (one,) = judges.evidence(session).drifts
    return one


def data(values: list[list[float]], labels: list[int] | None = None, dtype: Any = "f4") -> Data:
    told = None if labels is None else np.array(labels)
    return Data("numbers", {"x": np.array(values, dtype)}, told)


HELD_OUT, FIT = data([[1.0, 2.0], [3.0, 1.0]]), data([[-1.0, -5.0], [-2.0, -1.0], [-3.0, -3.0]])


def test_errors_on_fitted_samples_count_as_on_held_out_ones() -> None:
    found = drift(jury(HELD_OUT, FIT), held_out=0.3, fitted=0.1)
    assert found.samples == 5
    assert found.relative_error == pytest.approx(0.3)


def test_errors_that_are_larger_on_fitted_samples_stay() -> None:
    found = drift(jury(data([[1.0, 2.0]]), data([[-1.0, -2.0]])), held_out=0.1, fitted=0.4)
    assert found.relative_error == pytest.approx(np.sqrt((0.1**2 + 0.4**2) / 2))


def test_labels_of_both_parts_count() -> None:
    held_out, fit = data([[2.0, 1.0]], [0]), data([[-1.0, -2.0], [-2.0, -1.0]], [0, 0])
    found = drift(jury(held_out, fit))
    assert found.accuracy_before == found.accuracy_after == pytest.approx(2 / 3)
    assert jury(held_out, fit).has_classes
    assert not jury(held_out, fit).has_target


def test_a_batch_that_has_to_be_full_leaves_the_rest_out() -> None:
    held_out, fit = data([[1.0, 2.0]] * 3), data([[-1.0, -2.0]] * 5)
    assert drift(jury(held_out, fit, Batch(2, fixed=True))).samples == 2 + 4


def test_a_target_is_what_pixels_should_be() -> None:
    parts = [Data("pixels", part.feeds, target=part.feeds["x"] + 1) for part in (HELD_OUT, FIT)]
    judges = jury(*parts)
    assert judges.has_target
    found = drift(judges, held_out=0.3, fitted=0.3)
    every = np.concatenate([part.feeds["x"] for part in parts])
    missed = [np.mean((every * scale - every - 1) ** 2) for scale in (1, 1.3)]
    before, after = (10 * np.log10(np.ptp(every) ** 2 / one) for one in missed)
    assert found.psnr_before == pytest.approx(before)
    assert found.psnr_after == pytest.approx(after)


def test_half_precision_does_not_overflow_where_errors_are_made_larger() -> None:
    large = [data([[6e4]], dtype="f2"), data([[-6e4]], dtype="f2")]
    found = drift(jury(*large), held_out=-0.8, fitted=0.05)
    assert found.relative_error == pytest.approx(0.8, rel=1e-2)


@pytest.mark.parametrize("made", [lambda y: y > 1.5, lambda y: np.abs(y * 10).astype(np.uint8)])
def test_whole_numbers_are_taken_as_they_are(made: Callable[[Array], Array]) -> None:
    found = drift(jury(HELD_OUT, FIT, made=made), held_out=0.6, fitted=0.2, made=made)
    every = np.concatenate([part.feeds["x"] for part in (HELD_OUT, FIT)])
    a, b = (
        np.asarray(made((every * (1 + e)).astype("f4")), float)
        for e in (0, np.where(every > 0, 0.6, 0.2))
    )
    assert found.relative_error == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a))


def test_numbers_that_are_not_finite_are_told() -> None:
    with pytest.raises(VerificationError, match="not finite"):
        drift(jury(HELD_OUT, FIT), held_out=np.inf)


def test_a_metric_sees_all_samples_and_labels_at_once() -> None:
    seen: list[tuple[Array, Any]] = []

    def first(outputs: Any, labels: Any) -> float:
        seen.append((outputs["y"], labels))
        return float(np.sum(outputs["y"][:, 0]))

    held_out, fit = data([[1.0, 2.0]], [1]), data([[-1.0, -2.0]] * 5, [0] * 5)
    judges = jury(held_out, fit, metric=Metric.of(first))
    session: Any = Fake(held_out=0.5, fitted=0.25)
    assert judges.evidence(session).scores == pytest.approx((-4, 1.5 - 5 * 1.5))
    (before, labels), (after, _) = seen
    assert before.shape == after.shape == (6, 2)
    assert labels.tolist() == [1] + [0] * 5


def test_without_a_metric_there_are_no_scores() -> None:
    session: Any = Fake()
    assert jury(HELD_OUT, FIT).score is None
    assert jury(HELD_OUT, FIT).evidence(session).scores is None


def test_a_metric_that_fails_is_told_before_any_work() -> None:
    with pytest.raises(InputError, match="worst: KeyError: 'z'"):
        jury(HELD_OUT, FIT, metric=Metric("worst", lambda outputs, labels: outputs["z"]))
