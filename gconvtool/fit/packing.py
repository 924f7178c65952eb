"""Parts of a kernel, put into equal bins.

Part i has a_i channels and b_i filters; each of G bins holds at most A of the one and B of the
other:

    Σ_{i in bin} (a_i, b_i) ≤ (A, B)

Depth first, the largest part first, into the bin that it fills most; bins with the same room left
are one choice, and what has failed once is not tried again. So it is exact, unless it takes more
steps than it is given; parts of few sizes take few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

Size: TypeAlias = tuple[int, int]
Rooms: TypeAlias = tuple[tuple[Size, int], ...]
"""Rooms that bins have left, ascending, and how many have each."""
STEPS = 5_000


def pack(
    sizes: Sequence[Size], room: Size, bins: int, steps: int = STEPS
) -> tuple[int, ...] | None:
    """The bin of each part; None where they do not fit, or no way was found in so many steps."""
    if any(a > room[0] or b > room[1] for a, b in sizes):
        return None
    order = sorted(range(len(sizes)), key=lambda i: _fill(sizes[i], room), reverse=True)
    chosen = _search([sizes[i] for i in order], ((room, bins),), steps)
    if chosen is None:
        return None
    free, places = defaultdict(list, {room: list(range(bins))[::-1]}), dict[int, int]()
    for i, left in zip(order, chosen, strict=True):
        places[i] = free[left].pop()
        free[_less(left, sizes[i])].append(places[i])
    return tuple(places[i] for i in range(len(sizes)))


def _search(sizes: Sequence[Size], rooms: Rooms, steps: int) -> list[Size] | None:
    """Which room each part takes a part of."""
    chosen, failed = list[Size](), set[tuple[int, Rooms]]()
    open_ = [(rooms, _choices(rooms, sizes[0]))] if sizes else []
    while open_ and steps:
        rooms, choices = open_[-1]
        left = next(choices, None)
        if left is None:
            failed.add((len(open_) - 1, rooms))
            open_.pop()
            del chosen[len(open_) - 1 :]
            continue
        steps -= 1
        depth, after = len(open_), _placed(rooms, left, sizes[len(open_) - 1])
        if depth == len(sizes):
            return [*chosen, left]
        if (depth, after) not in failed:
            chosen.append(left)
            open_.append((after, _choices(after, sizes[depth])))
    return None if sizes else []


def _choices(rooms: Rooms, size: Size) -> Iterator[Size]:
    """Rooms that are large enough, the smallest first."""
    return (left for left, _ in rooms if left[0] >= size[0] and left[1] >= size[1])


def _placed(rooms: Rooms, left: Size, size: Size) -> Rooms:
    counts = defaultdict(int, rooms)
    counts[left] -= 1
    counts[_less(left, size)] += 1
    return tuple(sorted((room, count) for room, count in counts.items() if count))


def _less(left: Size, size: Size) -> Size:
    return left[0] - size[0], left[1] - size[1]


def _fill(size: Size, room: Size) -> tuple[float, float]:
    a, b = size[0] / room[0], size[1] / room[1]
    return max(a, b), a + b
