"""How a time budget is shared out among blocks.

Each of the first B blocks gets an equal part of what those before it left. Blocks of fast models
end before their part does: where more than B are wanted, what was left over goes to them, as long
as another one fits that takes as long as the others did on average. Slow models get 4 blocks,
which hardly say how much sessions differ, past the budget if need be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

LEAST_BLOCKS = 4


@dataclass(frozen=True)
class Budget:
    """The time for a measurement, for `blocks` blocks, and for up to `most` if it is not used up.

    `now_ns` tells the time.
    """

    now_ns: Callable[[], int]
    length_ns: float
    blocks: int
    most: int

    def shares(self) -> Iterator[Share]:
        """For each block its part, when it begins."""
        start_ns = self.now_ns()
        for index in range(self.most):
            now_ns = self.now_ns()
            left_ns = start_ns + self.length_ns - now_ns
            if not self._fits(index, now_ns - start_ns, left_ns):
                return
            yield Share(self, index, start_ns, now_ns, max(self._part(index, left_ns), 1.0))

    def _fits(self, index: int, spent_ns: int, left_ns: float) -> bool:
        if index >= self.blocks:
            return spent_ns <= left_ns * index
        return left_ns > 0 or index < LEAST_BLOCKS

    def _part(self, index: int, left_ns: float) -> float:
        if index >= self.blocks:
            return min(left_ns, self.length_ns / self.blocks)
        return left_ns / (self.blocks - index)


@dataclass(frozen=True)
class Share:
    """The time that one block may take: `length_ns` from `start_ns` on."""

    budget: Budget
    index: int
    all_start_ns: int
    start_ns: int
    length_ns: float

    @property
    def is_over(self) -> bool:
        """Whether the block should be over by now."""
        return self.budget.now_ns() >= self.start_ns + self.length_ns

    @property
    def done(self) -> float:
        """How much of the whole measurement is behind us, 0 to 1: by time or by blocks."""
        now_ns, budget = self.budget.now_ns(), self.budget
        blocks = self.index + min(1.0, (now_ns - self.start_ns) / self.length_ns)
        return max(
            min(1.0, (now_ns - self.all_start_ns) / max(budget.length_ns, 1.0)),
            blocks / budget.most,
        )
