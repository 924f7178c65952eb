"""What all candidates of a network cost and lose, and choices among them.

menu       what each site could become
prices     what each of that costs, measured on this machine
trials     what each would lose there, and what a loss there does to the outputs (`response`)
knapsack   the choice whose losses add up to a budget, or whose costs do
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
import onnx_ir as ir

from gconvtool import knapsack, limits, tally
from gconvtool.errors import InputError, VerificationError
from gconvtool.facts import Skip, Survey
from gconvtool.graph import shapes
from gconvtool.graph.pack import pack
from gconvtool.graph.signature import signature
from gconvtool.graph.survey import survey
from gconvtool.knapsack import Choice, Option
from gconvtool.limits import CostLimit, Evidence, Goal, Limit
from gconvtool.menu import menu
from gconvtool.pipeline import trials as trying
from gconvtool.pipeline.ground import Ground, Request, ground
from gconvtool.pipeline.jury import Glance, Jury
from gconvtool.pipeline.prices import Prices, counted, timed
from gconvtool.pipeline.response import Responses, kind_of
from gconvtool.pipeline.rewrite import Rewritten, rewrite
from gconvtool.pipeline.source import BATCH, count
from gconvtool.pipeline.trials import Offers, Trial
from gconvtool.plan import Entry
from gconvtool.planfile import PlanFile
from gconvtool.recipes import Candidate
from gconvtool.results import Drift, Totals
from gconvtool.runtime.inputs import Arrays, Split
from gconvtool.runtime.metric import Metric
from gconvtool.runtime.session import Session

Picks = Mapping[str, Trial]
Trials = Mapping[str, tuple[Trial, ...]]
LOOK_MACS, FEWEST_LOOKED_AT = 2 * 10**12, 4
"""What all looks at single sites may multiply, since time would not be the same twice; and samples
of each, at least."""
NOT_WORTH = "what it would save is not worth what would be lost"


@dataclass(frozen=True)
class Scales:
    """What is known of all candidates.

    `split` are the samples, drawn once; `kept` the sites without candidates that cost less, `feeds`
    what to time the whole with, `macs` what the whole has of them, `whole_ns` its time at the
    moment that prices are of, if they are times, `began_s` when the search began.
    """

    request: Request
    ground: Ground
    split: Split
    jury: Jury
    trials: Trials
    responses: Mapping[str, Responses]
    prices: Prices
    kept: Mapping[str, Skip]
    macs: int
    feeds: Arrays
    whole_ns: float | None
    began_s: float
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """For how long the search has been going on."""
        return time.monotonic() - self.began_s

    def within(self, budget: float) -> Picks:
        """The cheapest choice whose squared errors add up to no more than that."""
        choice = knapsack.cheapest(self._options(), budget)
        assert not isinstance(choice, Skip), "all that stays as it is loses nothing"
        return self._picks(choice)

    def costing(self, most: float) -> Picks:
        """The choice that loses least of those that cost no more, or else the cheapest."""
        choice = knapsack.gentlest(self._options(), most)
        return self.within(inf) if isinstance(choice, Skip) else self._picks(choice)

    def front(self) -> Iterator[tuple[Choice, Picks]]:
        """All choices that a price of loss can make, from the least loss to the least cost."""
        choices = knapsack.front(self._options())
        assert not isinstance(choices, Skip), "all can stay as it is"
        yield from ((choice, self._picks(choice)) for choice in choices)

    def uniform(self) -> Iterator[Picks]:
        """Of every recipe, the choice that takes it at all sites that can have it."""
        recipes = dict.fromkeys(t.candidate.recipe for tried in self.trials.values() for t in tried)
        for recipe in recipes:
            yield {
                name: trial
                for name, tried in self.trials.items()
                for trial in tried
                if trial.candidate.recipe == recipe
            }

    def loss(self, picks: Picks) -> float:
        """The squared error that a choice is thought to leave at the outputs."""
        return sum(self._arriving(name, trial) for name, trial in picks.items())

    def _options(self) -> list[list[Option]]:
        """To stay as it is, and the candidates, for every site in order."""
        return [
            [Option(price.now, 0.0), *(self._option(name, t) for t in self.trials[name])]
            for name, price in self.prices.items()
        ]

    def _option(self, name: str, trial: Trial) -> Option:
        price = self.prices[name].then.get(trial.candidate.recipe)
        return Option(price, self._arriving(name, trial))

    def _arriving(self, name: str, trial: Trial) -> float:
        """The squared error that a candidate leaves at the outputs, all else as it is."""
        return self.responses[name][kind_of(trial.candidate.recipe)].of(trial.loss)

    def _picks(self, choice: Choice) -> Picks:
        taken = zip(self.prices, choice.picks, strict=True)
        return {name: self.trials[name][pick - 1] for name, pick in taken if pick}

    def put_together(self, picks: Picks) -> Evidence:
        """What a choice loses, made of the trials as they are."""
        return self.judge(trying.rewritten(self.ground, picks, self.request.method.spelling))

    def judge(self, model: ir.Model) -> Evidence:
        """What a model loses."""
        return _judged(self.request, self.jury.evidence, model)

    def made(self, picks: Picks) -> Rewritten:
        """The real conversion of a choice; what an earlier one has begun alike is not done anew."""
        return rewrite(replace(self.request, recipe=PlanFile(self.entries(picks))), self.split)

    def entries(self, picks: Picks) -> tuple[Entry, ...]:
        """A choice as the lines of a plan."""
        return tuple(
            Entry(
                member,
                trial.candidate.recipe,
                spelling=self.prices[name].spelled.get(trial.candidate.recipe),
            )
            for name, trial in picks.items()
            for member in (name, *self.ground.followers.get(name, ()))
        )

    def saved(self, picks: Picks) -> dict[str, float]:
        """What each site of a choice saves, in what is to be made small."""
        return {
            name: self.prices[name].now - self.prices[name].then[trial.candidate.recipe]
            for name, trial in picks.items()
        }

    def reasons(self, picks: Picks) -> dict[str, str]:
        """Why sites stay that are not among those."""
        said = {name: skip.reason for name, skip in self.kept.items()}
        return said | dict.fromkeys(self.prices.keys() - picks.keys(), NOT_WORTH)


def weigh(request: Request, goal: Goal, *, remember: bool) -> Scales:
    """Time, try and judge every candidate of every site that may be rewritten.

    Raises:
        InputError: there are no data, or the goal cannot be judged on them.
        VerificationError: no site has a candidate that costs less.
    """
    began_s = time.monotonic()
    request = replace(request, known={})
    metric = None if goal.metric is None else Metric.of(goal.metric)
    split = _split(request)
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
        priced = timed(request, found, fixed, offers, feeds, remember=remember)
    else:
        layers = tally.analysis(request.network.name, facts, {}).layers
        priced = counted(offers, layers, found.followers, goal.objective)
    paying, idle = priced.paying(offers)
    _require(request, paying, idle.values())
    trials, misfits = _tried(request, found, paying, split)
    _require(request, trials, misfits.values())
    return Scales(
        request=request,
        ground=found,
        split=split,
        jury=jury,
        trials=trials,
        responses=_responses(request, found, split, trials, before.macs),
        prices={name: priced.prices[name] for name in trials},
        kept={**kept, **idle, **misfits},
        macs=before.macs,
        feeds=feeds,
        whole_ns=priced.whole_ns,
        began_s=began_s,
        warnings=priced.warnings,
    )


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
    request: Request, found: Ground, split: Split, trials: Trials, macs: int
) -> Mapping[str, Responses]:
    """By looks at held-out samples: as many as there are, or as there is time for."""
    network = request.network
    looks = sum(len(list(trying.looked_at(tried))) for tried in trials.values())
    batch = network.batch(BATCH)
    samples = max(FEWEST_LOOKED_AT, batch.samples * batch.fixed, LOOK_MACS // max(1, looks * macs))
    original = Session(network.packed(), threads=request.threads, name=network.name)
    glance = Glance(original, split.held_out.take(slice(samples)), batch)

    def judge(model: ir.Model) -> Sequence[Drift]:
        return _judged(request, glance.evidence, model).drifts

    return trying.responses(found, trials, judge, request.progress)


def _judged(request: Request, told: Callable[[Session], Evidence], model: ir.Model) -> Evidence:
    """What a model loses; outputs that are not finite are as far off as can be."""
    name = request.network.name
    try:
        return told(Session(pack(model, name), threads=request.threads, name=name))
    except VerificationError:
        return Evidence()


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
