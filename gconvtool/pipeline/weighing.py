"""Weighs every candidate of every site: what it costs, what it loses there, and what that does.

menu       what each site could become
prices     what each of that costs, measured on this machine
trials     what each would lose there, and what a loss there does to the outputs (`response`)

Each step of it is in the `memo` before the next one is begun.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path

import numpy as np
import onnx_ir as ir

from gconvtool import limits, tally
from gconvtool.errors import InputError, VerificationError
from gconvtool.facts import Skip, Survey
from gconvtool.graph import shapes
from gconvtool.graph.signature import signature
from gconvtool.graph.survey import survey
from gconvtool.limits import CostLimit, Goal, Limit
from gconvtool.menu import menu
from gconvtool.pipeline import trials as trying
from gconvtool.pipeline.ground import Ground, Request, ground
from gconvtool.pipeline.imprint import imprint
from gconvtool.pipeline.jury import Glance, Jury
from gconvtool.pipeline.memo import Memo
from gconvtool.pipeline.prices import counted, timed
from gconvtool.pipeline.response import Responses
from gconvtool.pipeline.scales import Scales, Trials
from gconvtool.pipeline.source import BATCH, count
from gconvtool.pipeline.trials import Offers, Trial
from gconvtool.recipes import Candidate
from gconvtool.results import Totals
from gconvtool.runtime.cache import SEARCHES, default_folder
from gconvtool.runtime.inputs import Arrays, Split
from gconvtool.runtime.metric import Metric
from gconvtool.runtime.session import Session

LOOK_MACS, FEWEST_LOOKED_AT = 2 * 10**12, 4
"""What all looks at single sites may multiply, since time would not be the same twice; and samples
of each, at least."""
WEIGHED = "seconds"
"""How long it took to weigh everything, when all of it was new."""


@contextmanager
def weighed(request: Request, goal: Goal, *, remember: bool) -> Iterator[Scales]:
    """Time, try and judge every candidate of every site that may be rewritten.

    What is found stays known, but how fast the machine was only if the block is interrupted: what
    ends by itself was right at its moment.

    Raises:
        InputError: there are no data, or the goal cannot be judged on them.
        VerificationError: no site has a candidate that costs less.
    """
    began_s = time.monotonic()
    split = _split(request)
    memo = Memo(_folder(request, split) if remember else None)
    try:
        yield _weighed(request, goal, split, memo, remember, began_s)
    except Exception:  # not an interruption
        memo.forget(_prices(goal))
        raise
    memo.forget(_prices(goal))


def _weighed(
    request: Request, goal: Goal, split: Split, memo: Memo, remember: bool, began_s: float
) -> Scales:
    metric = None if goal.metric is None else Metric.of(goal.metric)
    request = replace(request, memo=memo)
    found = ground(request, every=True)
    fixed, feed = found.base.clone(), request.counting(split)
    shapes.fix(fixed, feed.dims, feed.input_shapes)
    facts = survey(fixed)
    offers, kept = _offers(found, facts)
    _require(request, offers, kept.values())
    jury = _jury(request, split, goal.limit, metric)
    before = _counted(count(request.network, feed).totals, goal.limit)
    feeds = _feeds(fixed, split)
    if goal.objective == "latency":
        time_all = partial(timed, request, found, fixed, offers, feeds, remember=remember)
        priced = memo.recall(_prices(goal), time_all)
    else:
        layers = tally.analysis(request.network.name, facts, {}).layers
        priced = counted(offers, layers, found.followers, goal.objective)
    paying, idle = priced.paying(offers)
    _require(request, paying, idle.values())
    trials, misfits = _tried(request, found, paying, split)
    _require(request, trials, misfits.values())
    responses = _responses(request, memo, found, split, trials, before.macs)
    return Scales(
        request=request,
        ground=found,
        split=split,
        jury=jury,
        trials=trials,
        responses=responses,
        prices={name: priced.prices[name] for name in trials},
        kept={**kept, **idle, **misfits},
        macs=before.macs,
        feeds=feeds,
        whole_ns=priced.whole_ns,
        began_s=began_s,
        weighed_s=memo.put(WEIGHED, max(time.monotonic() - began_s, memo.get(WEIGHED) or 0.0)),
        warnings=priced.warnings,
    )


def _prices(goal: Goal) -> object:
    """The key of what the machine takes now; all else that a memo has holds at any time."""
    return ("prices", str(goal.limit), goal.objective)


def _folder(request: Request, split: Split) -> Path:
    """Where steps of this search are kept, whatever its goal is."""
    return default_folder() / SEARCHES / imprint(request, split, None, request.memory)


def _split(request: Request) -> Split:
    split = request.split()
    if split is None:
        raise InputError(
            "a search needs data to judge by: give --data, or a recipe such as --groups 4"
        )
    return split


def _offers(found: Ground, facts: Survey) -> tuple[Offers, Mapping[str, Skip]]:
    """Candidates of every site that may be rewritten, once for those that share a weight; and why
    the others have none."""
    sized = {**facts.sites, **facts.heads}
    following = {name for names in found.followers.values() for name in names}
    offers: dict[str, tuple[Candidate, ...]] = {}
    kept: dict[str, Skip] = {}
    for name in (name for name in found.sites if name not in following):
        answer = _refusal(found, name) or menu(sized[name])
        if isinstance(answer, Skip):
            kept[name] = answer
        else:
            offers[name] = answer
    return offers, kept


def _refusal(found: Ground, name: str) -> Skip | None:
    """Why a site has to stay, or one that shares its weight."""
    for member in (name, *found.followers.get(name, ())):
        if objection := found.selection.objection(member):
            return Skip(objection)
        if member in found.refused:
            return found.refused[member]
    return None


def _jury(request: Request, split: Split, limit: Limit, metric: Metric | None) -> Jury:
    network, memory = request.network, request.memory // 2
    original = Session(network.packed(), threads=request.threads, name=network.name)
    jury = Jury(original, split, network.batch(BATCH), memory, metric)
    limits.require(limit, classes=jury.has_classes, target=jury.has_target, score=jury.score)
    return jury


def _tried(
    request: Request, found: Ground, paying: Offers, split: Split
) -> tuple[Trials, Mapping[str, Skip]]:
    answers = trying.try_all(request, found, paying, split)
    trials = {name: some for name, some in answers.items() if not isinstance(some, Skip)}
    return trials, {name: some for name, some in answers.items() if isinstance(some, Skip)}


def _responses(
    request: Request, memo: Memo, found: Ground, split: Split, trials: Trials, macs: int
) -> Mapping[str, Responses]:
    """By looks at held-out samples: as many as there are, or as there is time for."""
    network = request.network
    looks = sum(len(list(trying.looked_at(tried))) for tried in trials.values())
    batch = network.batch(BATCH)
    samples = max(FEWEST_LOOKED_AT, batch.samples * batch.fixed, LOOK_MACS // max(1, looks * macs))
    part = split.held_out.take(slice(samples))
    glance = Glance(
        found.base,
        [member for name in trials for member in (name, *found.followers.get(name, ()))],
        part,
        batch,
        request.settings,
    )

    def error(name: str, one: Trial) -> float:
        model = trying.rewritten(found, {name: one})
        try:
            return trying.worst(glance.evidence(name, model).drifts)
        except VerificationError:  # its outputs are not finite
            return inf

    def look(name: str, one: Trial) -> float:
        key = ("look", name, one.candidate.recipe, samples)
        return memo.recall(key, partial(error, name, one))

    by_position = {name: trials[name] for name in sorted(trials, key=glance.position)}
    return trying.responses(by_position, look, request.progress)


def _counted(totals: Totals, limit: Limit) -> Totals:
    """A network's costs, if a limit on them can be judged."""
    if isinstance(limit, CostLimit) and limit.objective == "macs" and not totals.exact:
        raise InputError(
            f"{limit}: some MACs of the network are not known (gconvtool analyze lists them); "
            "limit what is lost (--max-drop, --min-snr)"
        )
    return totals


def _feeds(fixed: ir.Model, split: Split) -> Arrays:
    """Samples for one run at the sizes that are planned for, again and again where they are few."""
    sizes = {i.name: [d for d in i.shape or () if isinstance(d, int)] for i in signature(fixed)}
    return {name: np.resize(split.held_out.feeds[name], shape) for name, shape in sizes.items()}


def _require(request: Request, left: Mapping[str, object], why: Iterable[Skip]) -> None:
    """See that there is something to choose from."""
    if left:
        return
    counts = Counter(skip.reason for skip in why).most_common(3)
    reasons = "; ".join(f"{reason} ({times}x)" for reason, times in counts)
    raise VerificationError(
        f"{request.network.name}: nothing is to be gained: {reasons or 'it has no convolutions'}"
    )
