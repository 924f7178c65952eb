"""From wishes to a plan: which site gets which recipe, which stay, and why.

Pure and deterministic: the same sites and wishes give the same plan, in topological order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from gconvtool.facts import ConvSite, Skip
from gconvtool.recipes import Candidate, Recipe, propose


@dataclass(frozen=True)
class Plan:
    """What will be done: `steps` in topological order, and the sites that stay, with reasons."""

    steps: tuple[Candidate, ...]
    kept: Mapping[str, Skip]


@dataclass(frozen=True)
class Selection:
    """Globs on site names: only those (all, if empty), and not those."""

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()

    def objection(self, name: str) -> str | None:
        """Why a site is not selected, if so."""
        if self.only and not _matches(name, self.only):
            return "not among --only"
        return "left out by --skip" if _matches(name, self.skip) else None

    def idle(self, names: Iterable[str]) -> tuple[str, ...]:
        """The globs that match no site at all: most likely a typing error."""
        known = tuple(names)
        return tuple(
            glob
            for glob in (*self.only, *self.skip)
            if not any(_matches(name, (glob,)) for name in known)
        )


def choose(
    sites: Iterable[ConvSite], refused: Mapping[str, Skip], recipe: Recipe, selection: Selection
) -> Plan:
    """Give every selected site the recipe where that is legal and cheaper.

    `refused` holds the sites that the graph itself forbids to rewrite.
    """
    steps: list[Candidate] = []
    kept: dict[str, Skip] = {}
    for site in sites:
        answer = _decide(site, refused, recipe, selection)
        if isinstance(answer, Skip):
            kept[site.name] = answer
        else:
            steps.append(answer)
    return Plan(tuple(steps), kept)


def _decide(
    site: ConvSite, refused: Mapping[str, Skip], recipe: Recipe, selection: Selection
) -> Candidate | Skip:
    objection = selection.objection(site.name)
    if objection:
        return Skip(objection)
    return refused.get(site.name) or propose(site, recipe)


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    """A name also selects itself, though it may hold what globs give a meaning to."""
    return any(name == glob or fnmatchcase(name, glob) for glob in globs)
