"""Limits on what `bench` finds, and whether they hold: yes, no, or cannot tell.

With the 95 % interval [low, high] of the speedup s = A's time / B's time, and a limit L:

    min_speedup     s ≥ L     holds where low ≥ L,      fails where high < L
    max_slowdown    1/s ≤ L   holds where 1/low ≤ L,    fails where 1/high > L
    max_regression  s_now/s_then ≥ 1 - L, see `regression`

and with that of the 95th percentile of single runs (`timing.tails`),

    max_p95         p95 ≤ L   holds where high ≤ L,     fails where low > L

and nothing can be told in between: an estimate never decides. The other figures have no interval.
They decide as they are, and where one is not known (no labels, no scores of classes), nothing can
be told either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields

from gconvtool.errors import InputError
from gconvtool.results import BaselineCheck, Comparison, Drift, Gate, Interval, Timing

MARGIN = 0.02
"""What a speedup may lose before it counts: as much as a verdict leaves to luck."""


@dataclass(frozen=True)
class Gates:
    """Limits on a comparison; those that are None were not set.

    `min_speedup` and `max_slowdown` are factors; `max_accuracy_drop` is in points of top-1,
    `min_agreement` the least share of samples whose largest class stays the same,
    `max_relative_error` that of the worst output; `max_p95` (ms) and `max_size` (bytes) are B's,
    or those of the only model.
    """

    min_speedup: float | None = None
    max_accuracy_drop: float | None = None
    max_slowdown: float | None = None
    max_p95: float | None = None
    max_relative_error: float | None = None
    min_agreement: float | None = None
    max_size: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """Those that were set, by name."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: limit for name, limit in every.items() if limit is not None}

    @property
    def speedups(self) -> tuple[float, ...]:
        """Limits on speed, as speedups: more rounds tell on which side of them the truth lies."""
        slowest = None if not self.max_slowdown else 1 / self.max_slowdown
        return tuple(limit for limit in (self.min_speedup, slowest) if limit is not None)

    @classmethod
    def of(cls, gates: Iterable[Gate]) -> Gates:
        """The limits of gates that were decided before; an implied one is no limit of a user's."""
        known = {field.name for field in fields(cls)}
        return cls(**{gate.name: gate.limit for gate in gates if gate.name in known})

    def updated(self, other: Gates) -> Gates:
        """These, with what the other ones set in their place."""
        return Gates(**{**self.limits, **other.limits})


ALONE = frozenset(("max_p95", "max_size"))
"""What can be said of one model by itself."""


def decide(gates: Gates, result: Comparison) -> tuple[Gate, ...]:
    """Every limit that was set, and the implied one of a baseline."""
    return (
        *_speeds(gates, result.judgement.speedup),
        *losses(gates, result.drift),
        *_alone(gates, result.b),
        *(() if result.baseline is None else (regression(result.baseline),)),
    )


def decide_alone(gates: Gates, timing: Timing) -> tuple[Gate, ...]:
    """The limits on one model by itself; see `require_alone` for the others."""
    return tuple(_alone(gates, timing))


def require_alone(gates: Gates) -> None:
    """Refuse limits that one model by itself says nothing about.

    Raises:
        InputError: there is one.
    """
    for name in gates.limits:
        if name not in ALONE:
            raise InputError(f"{option(name)} compares two models: name a second one")


def regression(check: BaselineCheck, margin: float = MARGIN) -> Gate:
    """Whether B won less over A than it did before, by more than the margin (a share).

    With the ratio r of both speedups, now over then, and its interval, which holds the luck of
    both measurements: fails where r's upper bound is below 1 - margin; cannot tell where the
    estimate is below it and the bound is not; holds otherwise, since an interval that is merely
    wide is no sign of a loss. Where nothing changed and r is off by chance with a standard
    deviation of 0.5, 1 and 2 %, this fails in fewer than 1 of 10⁸, 1 of 10⁴ and 2 of 10³ runs, and
    cannot tell in fewer than 1 of 10⁴, in 2.2 % and in 15 %. A loss of twice the margin is found in
    98, 54 and 18 % of runs and passes in fewer than 1 of 10⁴, in 2.0 % and in 15 %.
    """
    ratio, least = check.ratio, 1 - margin
    passed = False if ratio.high < least else True if ratio.estimate >= least else None
    return Gate("max_regression", margin, 1 - ratio.estimate, passed)


def near(gates: Gates, floor: float) -> Iterator[str]:
    """A warning for each limit on speed that is closer to "equally fast" than the noise floor."""
    for name in ("min_speedup", "max_slowdown"):
        limit = gates.limits.get(name)
        if limit is not None and abs(limit - 1) < floor:
            yield (
                f"{option(name)} {limit:g} is nearer to 1 than the ±{floor:.1%} that this machine "
                "can tell apart now: models that are equally fast leave it undecided; use a "
                "quieter machine, a longer --time-budget or another limit"
            )


def option(name: str) -> str:
    """How a limit is set on the command line."""
    return f"--{name.replace('_', '-')}"


def _speeds(gates: Gates, speedup: Interval) -> Iterator[Gate]:
    if (limit := gates.min_speedup) is not None:
        passed = True if speedup.low >= limit else False if speedup.high < limit else None
        yield Gate("min_speedup", limit, speedup.estimate, passed)
    if (limit := gates.max_slowdown) is not None:
        least, most = 1 / speedup.high, 1 / speedup.low
        passed = True if most <= limit else False if least > limit else None
        yield Gate("max_slowdown", limit, 1 / speedup.estimate, passed)


def losses(gates: Gates, outputs: Sequence[Drift]) -> Iterator[Gate]:
    """Those that limit how far B's outputs are from A's."""
    if (limit := gates.max_accuracy_drop) is not None:
        yield at_most("max_accuracy_drop", limit, _accuracy_drop(outputs[0]))
    if (limit := gates.max_relative_error) is not None:
        yield _worst_error(limit, [drift.relative_error for drift in outputs])
    if (limit := gates.min_agreement) is not None:
        shares = [drift.top1_agreement for drift in outputs]
        share = min((share for share in shares if share is not None), default=None)
        yield Gate("min_agreement", limit, share, None if share is None else share >= limit)


def _accuracy_drop(drift: Drift) -> float | None:
    """In points of top-1; rounded, since shares of samples are no exact binary fractions."""
    before, after = drift.accuracy_before, drift.accuracy_after
    return None if before is None or after is None else round(100 * (before - after), 9)


def _worst_error(limit: float, errors: Sequence[float | None]) -> Gate:
    """The largest one decides; an output without one is A's zeros against something: infinite."""
    known = [error for error in errors if error is not None]
    if len(known) < len(errors):
        return Gate("max_relative_error", limit, None, False)
    return at_most("max_relative_error", limit, max(known, default=None))


def _alone(gates: Gates, timing: Timing) -> Iterator[Gate]:
    if (limit := gates.max_p95) is not None:
        low, high = timing.p95_low_ms, timing.p95_high_ms
        held = True if high is not None and high <= limit else None
        failed = low is not None and low > limit
        yield Gate("max_p95", limit, timing.p95_ms, False if failed else held)
    if (limit := gates.max_size) is not None:
        yield at_most("max_size", limit, timing.size_bytes)


def at_most(name: str, limit: float, value: float | None) -> Gate:
    """A figure without an interval against its limit."""
    return Gate(name, limit, value, None if value is None else value <= limit)
