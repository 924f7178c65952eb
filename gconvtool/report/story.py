"""What there is to tell of a measurement, before it is a page, a summary or a report.

    result → story → terminal page, Markdown, JUnit, annotations

so that no format can say what another one does not. Numbers are words by then; who wants to
calculate takes the document or the CSV, which are made of the result itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from gconvtool.report import words
from gconvtool.report.tables.table import Table
from gconvtool.results import Gate, Verification
from gconvtool.results.bench import Timed

Measured: TypeAlias = Timed | Verification
"""The results that stories are told of."""
Mood: TypeAlias = Literal["good", "bad", "open", "plain"]
"""How a verdict stands out: won, lost, not decided, or nothing to win."""

Undecided: TypeAlias = Literal["tell", "pass", "fail"]
"""What a gate that cannot be decided counts as: nothing that is known, held, or failed."""

Fact: TypeAlias = tuple[str, str]
"""A label and what it says; a fact without a label goes on with the one before."""


@dataclass(frozen=True)
class Part:
    """A title, a table under it and facts under that; each may be missing."""

    title: str = ""
    table: Table | None = None
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class Trial:
    """What was judged together: models at a setting, with their gates, and figures by name."""

    name: str
    gates: tuple[Gate, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Story:
    """A command's result: the models by their letters, parts in order, and the verdict.

    `warnings` are told apart from the rest, on stderr.
    """

    command: Literal["bench", "verify"]
    models: Mapping[str, str]
    parts: tuple[Part, ...]
    trials: tuple[Trial, ...]
    verdict: str
    mood: Mood = "plain"
    warnings: tuple[str, ...] = ()

    @property
    def gates(self) -> tuple[Fact, ...]:
        """Every gate of one trial; of several, those that did not hold, and how many did."""
        if len(self.trials) == 1:
            return tuple(("Gate", words.gate(gate)) for gate in self.trials[0].gates)
        every = [(trial.name, gate) for trial in self.trials for gate in trial.gates]
        broken = [(name, gate) for name, gate in every if gate.passed is not True]
        told = [("Gate", f"{name}: {words.gate(gate)}") for name, gate in broken]
        held = len(every) - len(broken)
        return (*told, *([("Gates", f"{held} of {len(every)} held")] if every else ()))
