"""One point of a sweep: a conversion that is made for real, judged, timed and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np

from gconvtool import notation
from gconvtool.errors import InputError, VerificationError
from gconvtool.facts import Skip
from gconvtool.limits import Evidence, LossLimit, Objective
from gconvtool.pipeline.agenda import Agenda, Intent
from gconvtool.pipeline.convert import together, write
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.jury import Jury
from gconvtool.pipeline.racing import race
from gconvtool.pipeline.rewrite import Rewritten, rewrite
from gconvtool.pipeline.source import BATCH, Network, drift
from gconvtool.plan import Entry
from gconvtool.planfile import PlanFile
from gconvtool.results import Conversion, Drift, LossMeasure, Race, SweepPoint
from gconvtool.runtime.inputs import Data, Split
from gconvtool.runtime.session import Session

Judge = Callable[[Session], tuple[Drift, ...]]


@dataclass(frozen=True)
class Names:
    """The files of a point; None where it is not written."""

    model: Path | None = None
    plan: Path | None = None


@dataclass(frozen=True)
class Maker:
    """What all points have in common: what they are fitted to, and judged by."""

    request: Request
    objective: Objective
    agenda: Agenda
    split: Split
    test: Data | None

    def made(self, number: int, names: Names) -> SweepPoint | Skip:
        """Convert, judge, time and write; a Skip where nothing can be converted, or judged."""
        request, intent = self._telling(number), self.agenda.intents[number - 1]
        try:
            rewritten = rewrite(replace(request, recipe=_plan(intent)), self.split)
            drifts = self._judge(self._session(Network(rewritten.model, request.network.name)))
        except (InputError, VerificationError) as error:
            return Skip(str(error))
        _, lost = loss(drifts)
        if lost is None:
            return Skip("how far its outputs moved cannot be told")
        raced = self._raced(request, rewritten)
        weights = write(request, rewritten, names.model, names.plan)
        made = rewritten.conversion
        return SweepPoint(
            number,
            made.converted,
            made.after,
            drifts,
            _gain(self.objective, made, raced),
            lost,
            None if raced is None else _predicted_ms(raced, intent, made),
            raced,
            warnings=(*made.warnings, *together(weights, names.model)),
        )

    def _telling(self, number: int) -> Request:
        """The request, saying at which point it is."""
        tell, where = self.request.progress, f"point {number} of {len(self.agenda.intents)}"

        def progress(what: str, done: int, total: int) -> None:
            tell(f"{where}, {what}", done, total)

        return replace(self.request, progress=progress)

    @cached_property
    def _judge(self) -> Judge:
        """By the test data, or else by those that there are to fit to."""
        network, test = self.request.network, self.test
        original, batch = self._session(network), network.batch(BATCH)
        if test is not None:
            return lambda converted: drift(original, converted, test, batch)
        jury = Jury(original, self.split, batch, self.request.memory // 2)
        return lambda converted: jury.evidence(converted).drifts

    def _session(self, network: Network) -> Session:
        request = self.request
        return Session(network.packed(), request.provider, request.threads, network.name)

    def _raced(self, request: Request, rewritten: Rewritten) -> Race | None:
        """Against the original, where time is the objective."""
        if self.objective != "latency":
            return None
        seen = self.split.held_out.feeds
        feeds = {name: np.resize(seen[name], shape) for name, shape in self.agenda.shapes.items()}
        return race(request, feeds, rewritten)


def loss(drifts: tuple[Drift, ...]) -> tuple[LossMeasure, float | None]:
    """What was lost, in the measure that says most of those that are known."""
    for measure in get_args(LossMeasure):
        lost = LossLimit(measure, 1).lost(Evidence(drifts))
        if lost is not None:
            return measure, lost
    return "error", None


def _plan(intent: Intent) -> PlanFile:
    return PlanFile(
        tuple(
            Entry(name, notation.parse(recipe), spelling=intent.spellings.get(name))
            for name, recipe in intent.recipes.items()
        )
    )


def _gain(objective: Objective, made: Conversion, raced: Race | None) -> float:
    """How many times less there is of what was to be made small."""
    if raced is not None:
        return raced.speedup.estimate
    totals = (made.before, made.after)
    before, after = (t.macs if objective == "macs" else t.params for t in totals)
    return before / after


def _predicted_ms(raced: Race, intent: Intent, made: Conversion) -> float:
    """The original's time less the share that those sites save that were converted in the end."""
    saved = sum(intent.saves.get(site.name, 0.0) for site in made.converted)
    return raced.before_ms * (1 - saved)
