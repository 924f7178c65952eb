"""What all candidates of a network cost and lose (`weighing`), and choices among them.

A choice is the cheapest whose losses add up to a budget, or the gentlest whose costs do
(`knapsack`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf

import onnx_ir as ir

from gconvtool import knapsack
from gconvtool.errors import VerificationError
from gconvtool.facts import Skip
from gconvtool.graph.pack import pack
from gconvtool.knapsack import Choice, Option
from gconvtool.limits import Evidence
from gconvtool.pipeline import trials as trying
from gconvtool.pipeline.ground import Ground, Request
from gconvtool.pipeline.jury import Jury
from gconvtool.pipeline.prices import Prices
from gconvtool.pipeline.response import Responses, kind_of
from gconvtool.pipeline.rewrite import Rewritten, rewrite
from gconvtool.pipeline.trials import Trial
from gconvtool.plan import Entry
from gconvtool.planfile import PlanFile
from gconvtool.runtime.inputs import Arrays, Split
from gconvtool.runtime.session import Session

Picks = Mapping[str, Trial]
Trials = Mapping[str, tuple[Trial, ...]]
NOT_WORTH = "what it would save is not worth what would be lost"


@dataclass(frozen=True)
class Scales:
    """What is known of all candidates.

    `split` are the samples, drawn once; `kept` the sites without candidates that cost less, `feeds`
    what to time the whole with, `macs` what the whole has of them, `whole_ns` its time at the
    moment that prices are of, if they are times, `began_s` when the search began, and `weighed_s`
    how long it took to know all this.
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
    weighed_s: float
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
        """What a model loses; outputs that are not finite are as far off as can be."""
        name = self.request.network.name
        try:
            session = Session(pack(model, name), threads=self.request.threads, name=name)
            return self.jury.evidence(session)
        except VerificationError:
            return Evidence()

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
