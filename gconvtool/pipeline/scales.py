"""What all candidates of a network cost and lose, and choices among them.

menu       what each site could become
prices     what each of that costs, measured on this machine
trials     what each would lose there, and what a loss there does to the outputs
knapsack   the choice whose losses add up to a budget, or whose costs do
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

import onnx_ir as ir

from gconvtool import knapsack, limits
from gconvtool.errors import InputError, VerificationError
from gconvtool.facts import Skip
from gconvtool.graph import shapes
from gconvtool.graph.pack import pack
from gconvtool.graph.survey import survey
from gconvtool.knapsack import Option
from gconvtool.limits import Goal
from gconvtool.menu import menu
from gconvtool.pipeline import trials as trying
from gconvtool.pipeline.ground import Ground, Request, ground
from gconvtool.pipeline.jury import Jury
from gconvtool.pipeline.prices import Prices, counted, timed
from gconvtool.pipeline.rewrite import Rewritten, rewrite
from gconvtool.pipeline.source import BATCH, count
from gconvtool.pipeline.trials import Offers, Trial
from gconvtool.plan import Entry
from gconvtool.planfile import PlanFile
from gconvtool.recipes import Candidate
from gconvtool.results import Drift
from gconvtool.runtime.inputs import Arrays
from gconvtool.runtime.session import Session

Picks = Mapping[str, Trial]
NO_GAIN = "nothing that it could become costs less"
NOT_WORTH = "what it would save is not worth what would be lost"


@dataclass(frozen=True)
class Scales:
    """What is known of all candidates.

    `kept` are the sites without any, `feeds` a batch to time the whole with, `macs` what the whole
    has of them.
    """

    request: Request
    ground: Ground
    jury: Jury
    trials: Mapping[str, tuple[Trial, ...]]
    prices: Prices
    kept: Mapping[str, Skip]
    macs: int
    feeds: Arrays
    passed_on: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def within(self, budget: float) -> Picks:
        """The cheapest choice whose squared errors add up to no more than that."""
        choice = knapsack.cheapest(self._options(), budget)
        assert not isinstance(choice, Skip), "all that stays as it is loses nothing"
        return self._picks(choice)

    def costing(self, most: float) -> Picks:
        """The choice that loses least of those that cost no more, or else the cheapest."""
        choice = knapsack.gentlest(self._options(), most)
        return self.within(inf) if isinstance(choice, Skip) else self._picks(choice)

    def _options(self) -> list[list[Option]]:
        """To stay as it is, and the candidates, for every site in order."""
        return [
            [Option(price.now, 0.0), *(self._option(name, t) for t in self.trials[name])]
            for name, price in self.prices.items()
        ]

    def _option(self, name: str, trial: Trial) -> Option:
        price = self.prices[name].then.get(trial.candidate.recipe)
        return Option(price, self.passed_on[name] * trial.loss)

    def _picks(self, choice: knapsack.Choice) -> Picks:
        taken = zip(self.prices, choice.picks, strict=True)
        return {name: self.trials[name][pick - 1] for name, pick in taken if pick}

    def put_together(self, picks: Picks) -> tuple[Drift, ...]:
        """What a choice drifts, made of the trials as they are."""
        return self.judge(trying.rewritten(self.ground, picks, self.request.method.spelling))

    def judge(self, model: ir.Model) -> tuple[Drift, ...]:
        """How far a model drifts."""
        name = self.request.network.name
        return self.jury.drifts(Session(pack(model, name), threads=self.request.threads, name=name))

    def made(self, picks: Picks) -> Rewritten:
        """The real conversion of a choice."""
        entries = []
        for name, trial in picks.items():
            for member in (name, *self.ground.followers.get(name, ())):
                entries.append(Entry(member, trial.candidate.recipe))
        return rewrite(replace(self.request, recipe=PlanFile(tuple(entries))))

    def saved(self, picks: Picks) -> dict[str, float]:
        """What each site of a choice saves, in what is to be made small."""
        return {
            name: self.prices[name].now - self.prices[name].then[trial.candidate.recipe]
            for name, trial in picks.items()
        }

    def reasons(self, picks: Picks) -> dict[str, str]:
        """Why sites stay that are not among those."""
        said = {name: skip.reason for name, skip in self.kept.items()}
        for name in self.prices.keys() - picks.keys():
            price = self.prices[name]
            least = min(price.then.values(), default=price.now)
            said[name] = NO_GAIN if least >= price.now else NOT_WORTH
        return said


def weigh(request: Request, goal: Goal, *, remember: bool) -> Scales:
    """Time, try and judge every candidate of every site that may be rewritten.

    Raises:
        InputError: there are no data, or the goal cannot be judged on them.
        VerificationError: no site has a candidate.
    """
    network, split = request.network, request.split()
    if split is None:
        raise InputError(
            "a search needs data to judge by: give --data, or a recipe such as --groups 4"
        )
    found = ground(request, every=True)
    fixed = found.base.clone()
    feed = request.counting(split)
    shapes.fix(fixed, feed.dims, feed.input_shapes)
    offers, kept = _offers(request, found, fixed)
    if not offers:
        raise VerificationError(
            f"{request.network.name}: nothing is to be gained: {_commonest(kept)}"
        )
    network = request.network
    original = Session(network.packed(), threads=request.threads, name=network.name)
    jury = Jury(original, split, network.batch(BATCH), request.memory // 2)
    limits.require(goal.limit, classes=jury.has_classes, target=jury.has_target)
    before = count(network, feed)
    warnings: tuple[str, ...] = ()
    if goal.objective == "latency":
        prices, warnings = timed(request, found, fixed, offers, remember=remember)
    else:
        macs = {layer.name: layer.macs for layer in before.layers}
        prices = counted(offers, macs, goal.objective)
    tried = trying.try_all(request, found, {name: offers[name] for name in prices}, split)
    known = {name: t for name, t in tried.items() if not isinstance(t, Skip)}
    kept |= {name: t for name, t in tried.items() if isinstance(t, Skip)}
    scales = Scales(
        request,
        found,
        jury,
        known,
        {name: prices[name] for name in known},
        kept,
        before.totals.macs,
        next(split.held_out.batches(network.batch(1))),
        warnings=warnings,
    )
    passed_on = trying.passed_on(found, known, scales.judge, request.progress)
    return replace(scales, passed_on=passed_on)


def _offers(request: Request, found: Ground, fixed: ir.Model) -> tuple[Offers, dict[str, Skip]]:
    """Candidates of every site that may be rewritten, once for those that share a weight; and why
    the others have none."""
    facts = survey(fixed)
    sized = {**facts.sites, **facts.heads}
    following = {name for names in found.followers.values() for name in names}
    offers: dict[str, tuple[Candidate, ...]] = {}
    kept: dict[str, Skip] = {}
    for name in found.sites:
        if name in following:
            continue
        family = (name, *found.followers.get(name, ()))
        objections = (found.selection.objection(member) for member in family)
        objection = next((o for o in objections if o), None)
        answer = found.refused.get(name) or (Skip(objection) if objection else menu(sized[name]))
        if isinstance(answer, Skip):
            kept[name] = answer
        else:
            offers[name] = answer
    return offers, kept


def _commonest(kept: Mapping[str, Skip]) -> str:
    counts = Counter(skip.reason for skip in kept.values()).most_common(3)
    return "; ".join(f"{reason} ({count}x)" for reason, count in counts) or "no convolutions"
