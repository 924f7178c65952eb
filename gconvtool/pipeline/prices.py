"""What every candidate would cost, in what is to be made small.

latency   measured, in nanoseconds (`runtime.kernels`)
macs      counted
params    weights; so is their size
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import onnx_ir as ir

from gconvtool.facts import Skip
from gconvtool.limits import Objective
from gconvtool.pipeline.ground import Ground, Request
from gconvtool.pipeline.trials import Offers
from gconvtool.recipes import Candidate, Recipe
from gconvtool.results.kernels import KernelTime
from gconvtool.runtime.cache import Cache, Circumstances, default_folder
from gconvtool.runtime.kernels import PROTOCOL, Bench, Case, fastest, measure, sessions
from gconvtool.runtime.session import version
from gconvtool.timing.machine import SystemClock, cpu_budget, identity

BUDGET_S = 45.0
"""For times that are not remembered."""
CERTAIN = 2.0
"""Standard errors beyond which a saving is believed."""


@dataclass(frozen=True)
class Price:
    """What a site costs as it is, and what it would cost with each of its candidates, if known."""

    now: float
    then: Mapping[Recipe, float]


Prices = Mapping[str, Price]


def counted(offers: Offers, macs: Mapping[str, int | None], objective: Objective) -> Prices:
    """Prices that no clock is needed for; `macs` of the sites as they are, by name.

    Of parameters and of their size the same candidates are best: a site has one type of number.
    """
    price = _macs(macs) if objective == "macs" else _params
    return {name: price(candidates) for name, candidates in offers.items()}


def timed(
    request: Request, ground: Ground, fixed: ir.Model, offers: Offers, *, remember: bool
) -> tuple[Prices, tuple[str, ...]]:
    """Prices in nanoseconds, those of sites that share a weight together; and warnings.

    `fixed` is the network with the sizes that it is planned for.
    """
    threads = request.threads or cpu_budget()
    told = Circumstances(identity(), version(), "cpu", threads, PROTOCOL)
    cache = Cache(told, default_folder() if remember else None)
    bench = Bench(
        sessions("cpu", threads),
        SystemClock(),
        cache,
        request.seed,
        lambda what, done, total: request.progress(f"timing {what}", done, total),
    )
    cases = [Case(c, request.method.spelling) for c in chain.from_iterable(offers.values())]
    try:
        answers = measure(fixed, cases, bench, BUDGET_S)
    finally:
        cache.close()
    return _priced(ground, offers, cases, answers), tuple(cache.warnings)


def _priced(
    ground: Ground,
    offers: Offers,
    cases: Sequence[Case],
    answers: Sequence[KernelTime | Skip],
) -> Prices:
    best = fastest(cases, answers)
    found = {}
    for name, candidates in offers.items():
        known = {c.recipe: best[name, c.recipe][1] for c in candidates if (name, c.recipe) in best}
        if known:
            users = 1 + len(ground.followers.get(name, ()))
            now = users * max(time.dense.ns for time in known.values())
            sure = {recipe: time.saved for recipe, time in known.items() if _certain(time)}
            then = {recipe: now - users * saved.ns for recipe, saved in sure.items()}
            found[name] = Price(now, then)
    return found


def _certain(time: KernelTime) -> bool:
    """What it saves, or costs more, is not just noise."""
    return abs(time.saved.ns) > CERTAIN * time.saved.error_ns


def _macs(macs: Mapping[str, int | None]) -> Callable[[Sequence[Candidate]], Price]:
    def price(candidates: Sequence[Candidate]) -> Price:
        now = macs.get(candidates[0].site.name) or 0
        return Price(now, {c.recipe: float(Fraction(now) * c.share) for c in candidates})

    return price


def _params(candidates: Sequence[Candidate]) -> Price:
    return Price(candidates[0].weights_before, {c.recipe: c.weights_after for c in candidates})
