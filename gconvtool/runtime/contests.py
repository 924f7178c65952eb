"""What is timed against what: an excerpt of the network for every site, and all recipes in it.

Excerpts that differ in nothing a clock sees (`graph.digest`) are one contest, and so are recipes
that look alike in it one entrant: layers that are alike are timed once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import onnx_ir as ir

from gconvtool.facts import ConvSite, Skip
from gconvtool.fit.placeholder import placeholder
from gconvtool.fit.structure import Factors
from gconvtool.graph import heads, surgery
from gconvtool.graph.digest import digest
from gconvtool.graph.excerpt import Excerpts
from gconvtool.recipes import HEADS, Candidate, Recipe
from gconvtool.runtime.cache import Pair
from gconvtool.spellings import Spelling, resolve

Entrant: TypeAlias = tuple[Recipe, Spelling]


@dataclass(frozen=True)
class Case:
    """A recipe at a site, in one spelling."""

    candidate: Candidate
    spelling: Spelling = "auto"


class Contest:
    """An excerpt, and what is to be timed against it: recipes and spellings, by their pairs."""

    def __init__(self, site: ConvSite, excerpt: ir.Model, told: str) -> None:
        self.site, self.excerpt, self._digest = site, excerpt, told
        self.entrants: dict[Pair, Entrant] = {}
        self._pairs: dict[Entrant, Pair] = {}

    @property
    def weight_bytes(self) -> int:
        """Of the dense excerpt."""
        stored = (v.const_value for v in self.excerpt.graph.initializers.values())
        return sum(tensor.nbytes for tensor in stored if tensor is not None)

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


class Contests:
    """Excerpts of a network, each with what is to be timed against it."""

    def __init__(self, base: ir.Model) -> None:
        self._excerpts, self._of_site = Excerpts(base), dict[str, Contest | Skip]()
        self._races: dict[str, Contest] = {}

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

    def missing(self, known: Collection[Pair]) -> list[tuple[Contest, list[Pair]]]:
        """Races with pairs that are not known yet."""
        missing = ((r, [p for p in r.entrants if p not in known]) for r in self._races.values())
        return [(race, pairs) for race, pairs in missing if pairs]

    def _race(self, site: ConvSite) -> Contest | Skip:
        """A new one, or that of a site with such an excerpt."""
        excerpt = self._excerpts.of(site)
        if isinstance(excerpt, Skip):
            return excerpt
        told = digest(excerpt)
        return self._races.setdefault(told, Contest(site, excerpt, told))

    def excerpts(self) -> Mapping[str, ir.Model]:
        """Those with the dense convolutions, by their digests."""
        return {told: race.excerpt for told, race in self._races.items()}


def _replace(model: ir.Model, site: ConvSite, factors: Factors, spelling: Spelling) -> None:
    surgery.replace(model, site.name, factors, spelling)
