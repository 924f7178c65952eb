"""How long recipes take on this machine: measured, since nothing else tells.

For every site a small model is cut out of the network that has the same reorders and fusions
(`graph.excerpt`), once with the dense convolution and once with each recipe, in meaningless numbers
(`fit.placeholder`). What differs in nothing that a clock sees (`graph.digest`) is timed once, all
recipes of one excerpt in one race against the dense one (`timing.race`), and remembered (`cache`).
A machine is not as fast in one race as in the next. So the dense excerpts run one more race against
each other, and all times of a race are scaled to what its dense one took there.

The network's own time is then about its time now, less what each site saves. Three things are left
out: neighbours that are rewritten too and change their layout, orders of channels that cannot be
absorbed, and caches that hold more, or less, of the maps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot
from random import Random
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.errors import InputError
from gconvtool.facts import ConvSite, Input, Skip
from gconvtool.fit.placeholder import PATTERN, placeholder
from gconvtool.fit.structure import Factors
from gconvtool.graph import heads, surgery
from gconvtool.graph.digest import digest
from gconvtool.graph.excerpt import Excerpts
from gconvtool.graph.pack import pack
from gconvtool.graph.signature import signature
from gconvtool.recipes import HEADS, Candidate, Recipe
from gconvtool.results.kernels import Estimate, KernelTime
from gconvtool.runtime.cache import Cache, Pair
from gconvtool.runtime.session import Session
from gconvtool.spellings import Spelling, resolve
from gconvtool.timing.protocol import S_NS, Clock, Runner
from gconvtool.timing.race import race as compete

PROTOCOL = 2
"""Goes up when excerpts, placeholders or races change, so that older times are not believed."""
CERTAIN = 2.0
"""Standard errors."""
BUDGET_S = 60.0
TOGETHER_S = 8.0
"""For the race of all dense excerpts, which is not remembered."""

Open = Callable[[ir.Model], Runner]
"""Makes a session of a small model."""

Entrant: TypeAlias = tuple[Recipe, Spelling]


@dataclass(frozen=True)
class Case:
    """A recipe at a site, in one spelling."""

    candidate: Candidate
    spelling: Spelling = "auto"


@dataclass(frozen=True)
class Times:
    """How long cases take, in their order, and the network itself, all at one moment.

    A Skip where sizes are not known, or where onnxruntime does not run the convolution.
    """

    cases: tuple[KernelTime | Skip, ...]
    whole_ns: float | None = None


@dataclass(frozen=True)
class Bench:
    """What times are taken with; `told` hears what is being timed, how many are done, of how many.

    The cache's circumstances are those under which `open` makes sessions.
    """

    open: Open
    clock: Clock
    cache: Cache
    seed: int = 0
    told: Callable[[str, int, int], None] = lambda what, done, total: None


def measure(
    base: ir.Model,
    cases: Sequence[Case],
    bench: Bench,
    budget_s: float = BUDGET_S,
    whole: Runner | None = None,
) -> Times:
    """How long each case takes against the dense convolution.

    Args:
        base: the network that is to be rewritten, everything exact done to it already, shapes
            inferred at the batch that is planned for. It is not changed.
        cases: what to time; several spellings of a recipe are several cases.
        bench: sessions, clock and cache.
        budget_s: for what the cache does not know. Every case is timed in 12 rounds at least.
        whole: runs the network itself, which is then timed in the same race as the dense excerpts.
    """
    races = _Races(base)
    pairs = [races.enter(case) for case in cases]
    answers: dict[Pair, KernelTime | Skip] = {}
    for pair in pairs:
        if isinstance(pair, Pair) and (known := bench.cache.get(pair)):
            answers[pair] = known
    missing, end_ns = races.missing(answers), bench.clock.wall_ns() + budget_s * S_NS
    left = sum(len(pairs_of) for _, pairs_of in missing)
    for race, wanted in missing:
        bench.told(race.site.name, len(answers), len(answers) + left)
        share_s = (end_ns - bench.clock.wall_ns()) / S_NS * len(wanted) / left
        answers.update(_timed(race, wanted, bench, share_s))
        left -= len(wanted)
    now = _together(races, answers, bench, whole)
    return Times(
        tuple(
            pair if isinstance(pair, Skip) else now.scaled(pair, answers[pair]) for pair in pairs
        ),
        now.whole_ns,
    )


def fastest(
    cases: Sequence[Case], answers: Sequence[KernelTime | Skip]
) -> dict[tuple[str, Recipe], tuple[Case, KernelTime]]:
    """Of every recipe at every site (by its name) the spelling that saves most, if any was timed.

    An earlier one is kept unless another saves more for certain.
    """
    best: dict[tuple[str, Recipe], tuple[Case, KernelTime]] = {}
    for case, answer in zip(cases, answers, strict=True):
        key = case.candidate.site.name, case.candidate.recipe
        if isinstance(answer, KernelTime) and (
            key not in best or _certainly_more(answer.saved, best[key][1].saved)
        ):
            best[key] = case, answer
    return best


def _certainly_more(a: Estimate, b: Estimate) -> bool:
    return a.ns - b.ns > CERTAIN * hypot(a.error_ns, b.error_ns)


def sessions(provider: str, threads: int) -> Open:
    """Opens small models in onnxruntime, each with inputs of its own."""

    def open_(model: ir.Model) -> Runner:
        feeds = {wanted.name: _numbers(wanted) for wanted in signature(model)}
        return Session(pack(model, "a small model"), provider, threads).runner(feeds)

    return open_


def _numbers(wanted: Input) -> NDArray[Any]:
    sizes = [dim for dim in wanted.shape or () if isinstance(dim, int)]
    return np.resize(PATTERN, tuple(sizes)).astype(wanted.dtype)


class _Race:
    """An excerpt, and what is to be timed against it: recipes and spellings, by their pairs."""

    def __init__(self, site: ConvSite, excerpt: ir.Model, told: str) -> None:
        self.site, self.excerpt, self._digest = site, excerpt, told
        self.entrants: dict[Pair, Entrant] = {}
        self._pairs: dict[Entrant, Pair] = {}

    def enter(self, entrant: Entrant) -> Pair:
        """The pair of what is timed for this recipe and spelling; others may share it."""
        if entrant not in self._pairs:
            pair = Pair(self._digest, digest(self.rewritten(entrant)))
            self._pairs[entrant] = pair
            self.entrants.setdefault(pair, entrant)
        return self._pairs[entrant]

    def rewritten(self, entrant: Entrant) -> ir.Model:
        """The excerpt with a recipe in the place of the dense convolution."""
        model, (recipe, spelling) = self.excerpt.clone(), entrant
        replace = heads.replace if self.site.op in HEADS else _replace
        replace(model, self.site, placeholder(self.site, recipe), spelling)
        return model


class _Races:
    """Excerpts of a network, each with what is to be timed against it."""

    def __init__(self, base: ir.Model) -> None:
        self._excerpts, self._of_site = Excerpts(base), dict[str, _Race | Skip]()
        self._races: dict[str, _Race] = {}

    def enter(self, case: Case) -> Pair | Skip:
        """What has to be timed for a case."""
        site = case.candidate.site
        if site.name not in self._of_site:
            self._of_site[site.name] = self._race(site)
        race = self._of_site[site.name]
        if isinstance(race, Skip):
            return race
        return race.enter(
            (case.candidate.recipe, resolve(case.spelling, len(site.kernel), site.transposed))
        )

    def missing(self, known: Collection[Pair]) -> list[tuple[_Race, list[Pair]]]:
        """Races with pairs that are not known yet."""
        missing = ((r, [p for p in r.entrants if p not in known]) for r in self._races.values())
        return [(race, pairs) for race, pairs in missing if pairs]

    def _race(self, site: ConvSite) -> _Race | Skip:
        """A new one, or that of a site with such an excerpt."""
        excerpt = self._excerpts.of(site)
        if isinstance(excerpt, Skip):
            return excerpt
        told = digest(excerpt)
        return self._races.setdefault(told, _Race(site, excerpt, told))

    def excerpts(self) -> Mapping[str, ir.Model]:
        """Those with the dense convolutions, by their digests."""
        return {told: race.excerpt for told, race in self._races.items()}


def _replace(model: ir.Model, site: ConvSite, factors: Factors, spelling: Spelling) -> None:
    surgery.replace(model, site.name, factors, spelling)


def _timed(
    race: _Race, pairs: Sequence[Pair], bench: Bench, budget_s: float
) -> dict[Pair, KernelTime | Skip]:
    """Time what is missing of a race, and remember it."""
    dense = _opened(race.excerpt, bench)
    if isinstance(dense, Skip):
        return dict.fromkeys(pairs, dense)
    opened = {pair: _opened(race.rewritten(race.entrants[pair]), bench) for pair in pairs}
    ready = {pair: runner for pair, runner in opened.items() if not isinstance(runner, Skip)}
    rng, clock = Random(bench.seed), bench.clock
    times = compete(dense, [*ready.values()], clock=clock, rng=rng, budget_s=budget_s)
    for pair, time in zip(ready, times, strict=True):
        bench.cache.put(pair, time)
    refused = {pair: skip for pair, skip in opened.items() if isinstance(skip, Skip)}
    return {**refused, **dict(zip(ready, times, strict=True))}


@dataclass(frozen=True)
class _Moment:
    """What brings the times of every race to one moment, by the digests of dense excerpts."""

    scales: Mapping[str, float]
    whole_ns: float | None

    def scaled(self, pair: Pair, answer: KernelTime | Skip) -> KernelTime | Skip:
        """The same as it would be at that moment."""
        if isinstance(answer, Skip):
            return answer
        scale = self.scales.get(pair.dense, 1.0)
        time, dense, saved = (
            Estimate(part.ns * scale, part.error_ns * scale)
            for part in (answer.time, answer.dense, answer.saved)
        )
        return replace(answer, time=time, dense=dense, saved=saved)


def _together(
    races: _Races,
    answers: Mapping[Pair, KernelTime | Skip],
    bench: Bench,
    whole: Runner | None,
) -> _Moment:
    """One more race, of the network and of all dense excerpts."""
    known = {
        pair.dense: answer.dense.ns
        for pair, answer in answers.items()
        if isinstance(answer, KernelTime)
    }
    opened = {told: _opened(model, bench) for told, model in races.excerpts().items()}
    ready = {
        told: runner
        for told, runner in opened.items()
        if told in known and not isinstance(runner, Skip)
    }
    runners = [*ready.values(), *([] if whole is None else [whole])]
    if len(runners) < 2:
        return _Moment({}, None)
    rng, clock = Random(bench.seed), bench.clock
    times = compete(runners[0], runners[1:], clock=clock, rng=rng, budget_s=TOGETHER_S)
    together = [times[0].dense.ns, *(time.time.ns for time in times)]
    scales = {told: ns / known[told] for told, ns in zip(ready, together, strict=False)}
    return _Moment(scales, None if whole is None else together[-1])


def _opened(model: ir.Model, bench: Bench) -> Runner | Skip:
    try:
        return bench.open(model)
    except InputError as error:
        return Skip(str(error))
