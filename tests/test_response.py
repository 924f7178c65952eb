"""A curve through what was seen of a site."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.pipeline.response import Look, Response, response

SQUARES = Response((Look(0.01, 1e-4), Look(0.1, 1e-2), Look(1.0, 1.0)))


@pytest.mark.parametrize("loss", [0.01, 0.02, 0.05, 0.1, 0.3, 1.0])
def test_powers_are_followed(loss: float) -> None:
    assert SQUARES.of(loss) == pytest.approx(loss**2)


@pytest.mark.parametrize(("loss", "error"), [(0.0, 0.0), (0.001, 1e-5), (2.0, 2.0)])
def test_outside_it_goes_as_the_loss(loss: float, error: float) -> None:
    assert SQUARES.of(loss) == pytest.approx(error)


def test_looks_that_are_not_finite_begin_where_the_last_finite_one_ends() -> None:
    broken = response([Look(0.5, inf), Look(0.1, 0.2)])
    assert broken is not None
    assert broken.of(0.1) == 0.2
    assert broken.of(0.11) == broken.of(0.5) == broken.of(0.7) == inf


def test_looks_that_show_nothing_tell_nothing() -> None:
    assert response([Look(0.1, 0.0)]) is None
    one = response([Look(0.1, 0.0), Look(0.2, 0.3)])
    assert one is not None
    assert one.looks == (Look(0.2, 0.3),)


@given(
    st.lists(
        st.tuples(st.floats(1e-6, 1), st.floats(1e-9, 10)),
        min_size=2,
        max_size=4,
        unique_by=lambda look: round(look[0], 6),
    ),
    st.floats(0, 1),
)
def test_between_two_looks_it_is_between_their_errors(
    looks: list[tuple[float, float]], share: float
) -> None:
    seen = response([Look(*look) for look in looks])
    assert seen is not None
    (low, a), (high, b) = seen.looks[:2]
    made = seen.of(low + share * (high - low))
    assert min(a, b) * (1 - 1e-9) <= made <= max(a, b) * (1 + 1e-9)
