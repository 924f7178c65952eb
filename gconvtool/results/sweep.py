"""What `sweep` answers: conversions from the gentlest to the fastest, each measured as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from gconvtool.results.conversion import SiteOutcome
from gconvtool.results.costs import Totals
from gconvtool.results.drift import Drift
from gconvtool.results.planning import Race

LossMeasure: TypeAlias = Literal["psnr", "points", "error"]
"""What losses are counted in, see `gconvtool.limits`; the first that is known says most."""


@dataclass(frozen=True)
class SweepPoint:
    """A conversion that was made, judged and, where time is the objective, timed.

    `sites` are those that were rewritten. `gain` is how many times less there is of the objective
    than before: the measured speed-up, or a ratio of counts. `lost` is in the sweep's measure.
    `predicted_ms` is what the whole should take by what its sites save. `model` and `plan` are
    files, where they were written.
    """

    number: int
    sites: tuple[SiteOutcome, ...]
    after: Totals
    drift: tuple[Drift, ...]
    gain: float
    lost: float
    predicted_ms: float | None = None
    race: Race | None = None
    model: str | None = None
    plan: str | None = None
    warnings: tuple[str, ...] = ()

    def dominates(self, other: SweepPoint) -> bool:
        """It is no worse in gain and in loss, and better in one of them."""
        as_good = self.gain >= other.gain and self.lost <= other.lost
        return as_good and (self.gain, self.lost) != (other.gain, other.lost)


@dataclass(frozen=True)
class Sweep:
    """What can be had for what: points by rising loss, as it was predicted.

    `objective` is what there is to be less of, `measure` what losses are counted in. `candidates`
    were fitted at their sites to choose from.
    """

    model: str
    objective: str
    measure: LossMeasure
    before: Totals
    points: tuple[SweepPoint, ...]
    candidates: int
    drift_source: str
    warnings: tuple[str, ...] = ()

    @property
    def front(self) -> tuple[SweepPoint, ...]:
        """The points that nothing dominates: no other point, nor the original, which loses nothing
        and gains nothing."""
        return tuple(
            point
            for point in self.points
            if point.gain > 1 and not any(other.dominates(point) for other in self.points)
        )
