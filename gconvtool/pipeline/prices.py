"""What every candidate would cost, in what is to be made small.

latency   measured, in nanoseconds (`runtime.kernels`)
macs      counted, as often as they are run
params    weights; so is their size
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain

import onnx_ir as ir

from gconvtool.facts import Skip, total
from gconvtool.limits import Objective
from gconvtool.nesting import needless
from gconvtool.pipeline.ground import Ground, Request
from gconvtool.pipeline.memo import keepable
from gconvtool.pipeline.trials import Offers
from gconvtool.recipes import Candidate, Recipe, Separable
from gconvtool.results import Layer
from gconvtool.results.kernels import KernelTime
from gconvtool.runtime.cache import Cache, Circumstances, default_folder
from gconvtool.runtime.calibrate import Followers
from gconvtool.runtime.contests import Case
from gconvtool.runtime.heats import Bench
from gconvtool.runtime.inputs import Arrays
from gconvtool.runtime.kernels import PROTOCOL, fastest, measure, sessions
from gconvtool.runtime.session import Session, version
from gconvtool.spellings import Spelling
from gconvtool.timing.machine import SystemClock, cpu_budget, identity

BUDGET_S = 45.0
"""For times that are not remembered."""
BRANCHED: tuple[Spelling, ...] = ("sum", "concat", "multiplier")
"""Ways to write what has branches."""
CERTAIN = 2.0
"""Standard errors beyond which a saving is believed."""
NO_GAIN = "nothing that it could become costs less"
UNCOUNTED = Skip("its MACs are not known, or how often it runs")


@keepable
@dataclass(frozen=True)
class Price:
    """What a site costs as it is, and what it would cost with each of its candidates, if known.

    `spelled` are those that are faster when they are written otherwise than all are.
    """

    now: float
    then: Mapping[Recipe, float]
    spelled: Mapping[Recipe, Spelling] = field(default_factory=dict)

    def pays(self, recipe: Recipe) -> bool:
        """Whether it costs less than the site does now, and than any recipe that holds it."""
        then = self.then.get(recipe)
        return then is not None and then < self.now and not needless(recipe, self.then)


Prices = Mapping[str, Price]


@keepable
@dataclass(frozen=True)
class Priced:
    """Prices by site, why others have none, and warnings.

    `whole_ns` is the time of the network as it is, at the moment that the prices are of.
    """

    prices: Prices
    kept: Mapping[str, Skip] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    whole_ns: float | None = None

    def paying(self, offers: Offers) -> tuple[Offers, Mapping[str, Skip]]:
        """The candidates that cost less than what is there and than any that holds them, and why
        other sites have none."""
        less = {
            name: tuple(c for c in offers[name] if price.pays(c.recipe))
            for name, price in self.prices.items()
        }
        none = {name: Skip(NO_GAIN) for name, candidates in less.items() if not candidates}
        return {name: some for name, some in less.items() if some}, {**self.kept, **none}


def counted(
    offers: Offers, layers: Iterable[Layer], followers: Followers, objective: Objective
) -> Priced:
    """Prices that no clock is needed for; `layers` are those of the network as it is.

    Of parameters and of their size the same candidates are best: a site has one type of number.
    """
    if objective != "macs":
        return Priced({name: _params(candidates) for name, candidates in offers.items()})
    macs = run_macs(layers)
    found: dict[str, Price | Skip] = {}
    for name, candidates in offers.items():
        now = total(macs.get(member) for member in (name, *followers.get(name, ())))
        found[name] = UNCOUNTED if now is None else _macs(now, candidates)
    prices = {name: price for name, price in found.items() if isinstance(price, Price)}
    return Priced(prices, {n: skip for n, skip in found.items() if isinstance(skip, Skip)})


def run_macs(layers: Iterable[Layer]) -> Mapping[str, int | None]:
    """MACs of layers in one run of the network: those in bodies as often as these are run."""
    times: dict[str, int | None] = {}
    found: dict[str, int | None] = {}
    for layer in layers:  # what holds others comes before them
        outer = 1 if layer.parent is None else times[layer.parent]
        times[layer.name] = _product(outer, layer.times)
        found[layer.name] = _product(times[layer.name], layer.macs)
    return found


def timed(
    request: Request,
    ground: Ground,
    fixed: ir.Model,
    offers: Offers,
    feeds: Arrays,
    *,
    remember: bool,
) -> Priced:
    """Prices in nanoseconds, those of sites that share a weight together.

    `fixed` is the network with the sizes that it is planned for, which `feeds` have.
    """
    threads = request.threads or cpu_budget()
    told = Circumstances(identity(), version(), request.provider, threads, PROTOCOL)
    cache = Cache(told, default_folder() if remember else None)
    bench = Bench(
        sessions(request.provider, threads),
        SystemClock(),
        cache,
        request.seed,
        lambda what, done, total: request.progress(f"timing {what}", done, total),
    )
    cases = [*_cases(chain.from_iterable(offers.values()), request.method.spelling)]
    network = request.network
    whole = Session(network.packed(), request.provider, threads, network.name)
    try:
        times = measure(fixed, cases, bench, BUDGET_S, whole.runner(feeds))
    finally:
        cache.close()
    prices = dict(_prices(ground.followers, offers, cases, times.cases))
    kept = _refused(prices, cases, times.cases)
    return Priced(prices, kept, tuple(cache.warnings), times.whole_ns)


def _cases(candidates: Iterable[Candidate], spelling: Spelling) -> Iterator[Case]:
    """Candidates as they are to be written, and where that is left open, in all other ways too."""
    for candidate in candidates:
        yield Case(candidate, spelling)
        if spelling == "auto" and isinstance(candidate.recipe, Separable):
            yield from (Case(candidate, other) for other in BRANCHED)


def _prices(
    followers: Followers,
    offers: Offers,
    cases: Sequence[Case],
    answers: Sequence[KernelTime | Skip],
) -> Iterator[tuple[str, Price]]:
    best = fastest(cases, answers)
    for name, candidates in offers.items():
        known = {c.recipe: best[name, c.recipe][1] for c in candidates if (name, c.recipe) in best}
        if known:
            users = 1 + len(followers.get(name, ()))
            now = users * max(time.dense.ns for time in known.values())
            sure = {recipe: time.saved for recipe, time in known.items() if _certain(time)}
            then = {recipe: now - users * saved.ns for recipe, saved in sure.items()}
            spelled = {r: best[name, r][0].spelling for r in then}
            yield name, Price(now, then, {r: s for r, s in spelled.items() if s in BRANCHED})


def _refused(
    prices: Prices, cases: Sequence[Case], answers: Sequence[KernelTime | Skip]
) -> Mapping[str, Skip]:
    """Why sites could not be timed, where none of their candidates could be."""
    names = [case.candidate.site.name for case in cases]
    pairs = zip(names, answers, strict=True)
    return {n: answer for n, answer in pairs if isinstance(answer, Skip) and n not in prices}


def _certain(time: KernelTime) -> bool:
    """What it saves, or costs more, is not just noise."""
    return abs(time.saved.ns) > CERTAIN * time.saved.error_ns


def _macs(now: int, candidates: Sequence[Candidate]) -> Price:
    return Price(now, {c.recipe: float(Fraction(now) * c.share) for c in candidates})


def _params(candidates: Sequence[Candidate]) -> Price:
    return Price(candidates[0].weights_before, {c.recipe: c.weights_after for c in candidates})


def _product(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a * b
