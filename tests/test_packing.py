"""Parts go into equal bins whenever there is a way."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from gconvtool.fit.packing import pack

SIZES = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=6)


def fits(sizes, places, room, bins):
    held = [[0, 0] for _ in range(bins)]
    for (a, b), place in zip(sizes, places, strict=True):
        held[place][0] += a
        held[place][1] += b
    return all(a <= room[0] and b <= room[1] for a, b in held)


@given(SIZES, st.tuples(st.integers(3, 6), st.integers(3, 6)), st.integers(2, 3))
def test_a_way_is_found_if_trying_all_finds_one(sizes, room, bins):
    exists = any(fits(sizes, p, room, bins) for p in product(range(bins), repeat=len(sizes)))
    found = pack(sizes, room, bins)
    assert (found is not None) == exists
    assert found is None or fits(sizes, found, room, bins)


def test_the_greedy_way_is_taken_back_where_it_fails():
    sizes = [(4, 4), (3, 3), (3, 3), (2, 2), (2, 2), (2, 2)]
    places = pack(sizes, (8, 8), 2)
    assert places is not None
    assert fits(sizes, places, (8, 8), 2)


def test_many_alike_are_packed_at_once():
    places = pack([(1, 2)] * 512, (8, 16), 64, steps=512)
    assert places is not None
    assert sorted(places) == [i // 8 for i in range(512)]


def test_a_search_ends_after_its_steps():
    assert pack([(1, 1)] * 4, (2, 2), 2, steps=3) is None


def test_nothing_fits_anywhere():
    assert pack([], (1, 1), 3) == ()
