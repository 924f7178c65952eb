"""How a plan was found: what was wanted, what was predicted, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from gconvtool.results.timing import Interval, Verdict


@dataclass(frozen=True)
class Race:
    """The original against the conversion, timed as a whole, and how many times faster it is.

    `before_ms` is a median, and `after_ms` what the ratio makes of it: of rounds on a busy machine
    two medians need not be of one moment.
    """

    before_ms: float
    after_ms: float
    speedup: Interval
    verdict: Verdict


@dataclass(frozen=True)
class SiteTime:
    """A site in its surroundings: how long as it was, and with what it has become; measured."""

    name: str
    before_ms: float
    after_ms: float


@dataclass(frozen=True)
class Planning:
    """A search for the best recipes within a limit.

    `limit` and `objective` are as they were said. `used` is what was lost or is left, in the words
    of the limit, and `holds` whether that is within it. `candidates` were fitted at their sites.
    `scores` are those of a `metric` of the user's, before and after, where one was given.
    Where time is the objective, `times` are those of the converted sites, `predicted_ms` is the
    original's time less what they save, and `race` what the whole takes.
    """

    limit: str
    objective: str
    used: str
    holds: bool
    candidates: int
    metric: str | None = None
    scores: tuple[float, float] | None = None
    times: tuple[SiteTime, ...] = ()
    predicted_ms: float | None = None
    race: Race | None = None
