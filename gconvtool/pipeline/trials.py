"""What every candidate of a site would lose there, and what a loss there does to the outputs.

A candidate is fitted to what flows in the original network, and loses the share l of its site's
output that it misses on held-out samples. What of that arrives is looked at for a few candidates a
site and kind of recipe: with one of them in place and all else as it was, the outputs have a
relative squared error E, and between them E(l) is a curve (`response`). Errors of several sites add
up as if they were independent,

    E ≈ Σ E(l)

which orders plans by what they lose; what a plan does lose is measured then (`jury`). A loss that
does not show at the outputs is taken to arrive as little as the least that does: nothing is free.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import inf, isfinite, log, sqrt

import numpy as np
import onnx_ir as ir
from threadpoolctl import threadpool_limits

from gconvtool.facts import ConvSite, Skip
from gconvtool.fit.structure import Factors
from gconvtool.graph import surgery
from gconvtool.pipeline.choice import UNVARIED, Fitted
from gconvtool.pipeline.fits import TOO_LARGE, fitter, put
from gconvtool.pipeline.ground import Ground, Request
from gconvtool.pipeline.memo import Memo
from gconvtool.pipeline.response import Kind, Look, Response, Responses, kind_of, response
from gconvtool.pipeline.source import BATCH
from gconvtool.recipes import Candidate, weights
from gconvtool.results import Drift
from gconvtool.runtime.calibrate import Sight, Walk
from gconvtool.runtime.inputs import Split
from gconvtool.spellings import Spelling

WORKERS = 2
UNKNOWNS, FEWEST = 1200, 4
"""Up to so many inputs of a filter all candidates are tried; beyond, fewer by the square, but some:
a fit takes time by the cube."""

SAFELY = 0.75
"""Of what a layer may miss: in the converted network it misses more than here, and one that then
misses too much stays dense, which the rest of a choice has not reckoned with."""
ROUNDING = 1e-6
"""A loss this small is that of float32."""
MISSES = "whatever it became, it would miss"

Offers = Mapping[str, tuple[Candidate, ...]]


@dataclass(frozen=True)
class Trial:
    """A candidate, its new weights, and the share of its site's output that they miss."""

    candidate: Candidate
    factors: Factors
    loss: float


def try_all(
    request: Request, ground: Ground, offers: Offers, split: Split
) -> Mapping[str, tuple[Trial, ...] | Skip]:
    """Fit every candidate at its site; a Skip where nothing can be told there.

    Raises:
        InputError: weights that are not finite.
    """
    sites = [candidates[0].site for candidates in offers.values()]
    walk = Walk(
        ground.base,
        ground.base,
        split.fit,
        split.held_out,
        request.network.batch(BATCH),
        [*sites, *_followers(ground, offers)],
        request.settings,
        followers=ground.followers,
    )
    found: dict[str, tuple[Trial, ...] | Skip] = {}
    for done, name in enumerate(walk.stops):
        request.progress(f"trying {name}", done, len(offers))
        visit = partial(walk.visit, offers[name][0].site)
        found[name] = _tried(request, ground, thinned(offers[name]), visit)
    return found


def thinned(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Fewer of them where fits take long, evenly from those that cost most to those that cost
    least."""
    site = candidates[0].site
    unknowns = weights(site) / site.filters
    room = len(candidates) * min(1.0, (UNKNOWNS / unknowns) ** 2)
    places = np.linspace(0, len(candidates) - 1, max(FEWEST, round(room)))
    return [candidates[i] for i in sorted({round(place) for place in places})]


def responses(
    trials: Mapping[str, tuple[Trial, ...]],
    look: Callable[[str, Trial], float],
    told: Callable[[str, int, int], None],
) -> Mapping[str, Responses]:
    """What losses do to the outputs, by site and kind of recipe.

    `look` says what relative squared error one candidate leaves there, see `worst`.
    """
    found: dict[str, dict[Kind, Response | None]] = {}
    for done, (name, tried) in enumerate(trials.items()):
        told(f"judging {name}", done, len(trials))
        looks = defaultdict[Kind, list[Look]](list)
        for one in looked_at(tried):
            seen = Look(max(one.loss, ROUNDING), look(name, one))
            looks[kind_of(one.candidate.recipe)].append(seen)
        found[name] = {kind: response(some) for kind, some in looks.items()}
    known = [seen for of_site in found.values() for seen in of_site.values() if seen]
    least = Response((Look(1.0, min((seen.of(1.0) for seen in known), default=1.0)),))
    return {n: {k: seen or least for k, seen in of_site.items()} for n, of_site in found.items()}


def looked_at(tried: Iterable[Trial]) -> Iterator[Trial]:
    """The candidates of a site that are put in place alone."""
    yield from chain.from_iterable(map(telling, _by_kind(tried)))


def _by_kind(tried: Iterable[Trial]) -> Iterable[list[Trial]]:
    kinds = defaultdict[Kind, list[Trial]](list)
    for trial in tried:
        kinds[kind_of(trial.candidate.recipe)].append(trial)
    return kinds.values()


def worst(drifts: Sequence[Drift]) -> float:
    """The squared relative error of the worst output; infinite where outputs are not finite."""
    return max((drift.relative_error or 0.0 for drift in drifts), default=inf) ** 2


def telling(tried: Sequence[Trial]) -> list[Trial]:
    """The least loss, the most and the one halfway, by ratio; but of what is lost to rounding
    nothing arrives that could be told from rounding."""
    by_loss = sorted(tried, key=lambda trial: trial.loss)
    large = [trial for trial in by_loss if trial.loss > ROUNDING] or by_loss[-1:]
    halfway = sqrt(large[0].loss * large[-1].loss)
    middle = min(large, key=lambda trial: abs(log(trial.loss / halfway)) if halfway else 0.0)
    return list({trial.loss: trial for trial in (large[0], middle, large[-1])}.values())


def rewritten(ground: Ground, picks: Mapping[str, Trial], spelling: Spelling = "auto") -> ir.Model:
    """A copy with these candidates in their places, and in those of sites that share a weight."""
    work = ground.base.clone()
    for name, trial in picks.items():
        family = [trial.candidate.site, *(ground.sites[f] for f in ground.followers.get(name, ()))]
        put(work, family, trial.factors, spelling)
    return work


def _followers(ground: Ground, offers: Offers) -> Iterator[ConvSite]:
    for name in offers:
        yield from (ground.sites[other] for other in ground.followers.get(name, ()))


def _tried(
    request: Request, ground: Ground, candidates: Sequence[Candidate], visit: Callable[[], Sight]
) -> tuple[Trial, ...] | Skip:
    memo, key = request.memo or Memo(), ("trials", candidates[0].site.name)
    if isinstance(known := memo.get(key) or {}, Skip):
        return known
    if missing := [c for c in candidates if c.recipe not in known]:
        sight = visit()
        if flaw := sight.flaw():
            return memo.put(key, flaw)
        fits = _fitted(request, ground, missing, sight)
        new = {c.recipe: fitted for c, fitted in zip(missing, fits, strict=True)}
        known = memo.put(key, {**known, **new})
    made = [(c, known[c.recipe]) for c in candidates]
    kept = tuple(Trial(c, f.factors, f.error) for c, f in made if isinstance(f, Fitted))
    return kept or max((f for _, f in made if isinstance(f, Skip)), key=_how_far)


def _fitted(
    request: Request, ground: Ground, candidates: Sequence[Candidate], sight: Sight
) -> list[Fitted | Skip]:
    """Fits of some candidates, or why they cannot be taken."""
    seen, judged = sight.symmetric(), sight.judged()
    most = SAFELY * request.method.most(data=True)

    def fitted(candidate: Candidate) -> Fitted | Skip:
        made = fitter(candidate, ground.base, request.seed).fitted("symmetric", seen, judged)
        if not isfinite(made.error):
            return Skip(UNVARIED)
        if made.error > most:
            return Skip(f"{MISSES} more than {most:.0%} of its output")
        fits = surgery.storable(ground.base, candidate.site.name, made.factors)
        return made if fits else Skip(TOO_LARGE)

    # A thread a fit: those of the BLAS wait for each other by spinning, see `rewrite`.
    workers = min(request.threads or WORKERS, WORKERS)
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
        return list(pool.map(fitted, candidates))


def _how_far(skip: Skip) -> int:
    """How near a candidate came to being taken."""
    return 0 if skip.reason == UNVARIED else 2 if skip.reason == TOO_LARGE else 1
