"""What is asked for, and the network as it is before anything is fitted.

The network is opened up (`opening`), batch normalisations are folded, and exact rewrites done that
are wanted; what is left to be rewritten, and what may not be, is then known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from gconvtool.errors import InputError
from gconvtool.facts import ConvSite, Skip, Survey, nested
from gconvtool.fit.rows import BUDGET
from gconvtool.graph import exact, heads, shapes, sharing
from gconvtool.graph.survey import survey
from gconvtool.pipeline import exactly, opening
from gconvtool.pipeline.exactly import Certificates, Exact
from gconvtool.pipeline.fits import Method
from gconvtool.pipeline.memo import Memo
from gconvtool.pipeline.source import BATCH, Feed, Network, Progress, fed_like
from gconvtool.plan import Selection
from gconvtool.planfile import PlanFile
from gconvtool.recipes import Gdc, Recipe
from gconvtool.runtime import inputs
from gconvtool.runtime.calibrate import Followers
from gconvtool.runtime.inputs import Split
from gconvtool.runtime.stream import Settings


@dataclass(frozen=True)
class Request:
    """What to convert, into what, and what to fit to, in about so much `memory` in bytes.

    Without a recipe only exact rewrites are made, and nothing is fitted. `provider` is what a
    search times on, and what the result is checked on. `memo` has what need not be done again for
    other recipes and the same samples; None keeps nothing.
    """

    network: Network
    recipe: Recipe | PlanFile | None
    selection: Selection
    feed: Feed
    samples: int
    seed: int
    threads: int | None
    progress: Progress
    method: Method = field(default_factory=Method)
    memory: int = BUDGET
    exact: Exact = field(default_factory=Exact)
    provider: str = "cpu"
    memo: Memo | None = None

    @property
    def settings(self) -> Settings:
        """How its network is walked through."""
        return Settings(self.threads, self.seed, self.memory, self.network.name)

    @property
    def asks_exact(self) -> bool:
        """Exact rewrites are wanted, and that nothing is found for them is an answer too."""
        return self.recipe is None or self.exact.any

    @property
    def heads(self) -> bool:
        """Fully connected layers are to become global convolutions."""
        plan = self.recipe if isinstance(self.recipe, PlanFile) else None
        wanted = [self.recipe] if plan is None else [entry.recipe for entry in plan.entries]
        return any(isinstance(recipe, Gdc) for recipe in wanted)

    @property
    def splits(self) -> bool:
        """Groups are written out in the end."""
        return self.method.spelling == "split"

    def split(self) -> Split | None:
        """Samples to fit to and to judge by; None without data."""
        if self.feed.data is None:
            return None
        data = self.feed.samples(self.network, 0, self.seed)
        return inputs.split(data, self.samples, self.seed, self.network.batch(BATCH))

    def counting(self, split: Split | None) -> Feed:
        """Where there are data, costs are counted at their sizes."""
        if split is None:
            return self.feed
        return fed_like(self.feed, split.fit, self.network.batch(1))


@dataclass(frozen=True)
class Ground:
    """The network with everything exact done to it, and what has to be said of that.

    `sites` may be rewritten but for those that are `refused`; `families` are those that share a
    weight. `selection` and `recipe` are what was asked for, by the names that sites have now.
    """

    base: ir.Model
    sites: Mapping[str, ConvSite]
    refused: Mapping[str, Skip]
    families: tuple[tuple[str, ...], ...]
    selection: Selection
    recipe: Recipe | PlanFile | None
    folded: int
    notes: tuple[str, ...]
    certificates: Certificates

    @property
    def followers(self) -> Followers:
        """Sites that share the weight of one before them, by the name of that one."""
        return {first: rest for first, *rest in self.families}


def ground(request: Request, every: bool = False) -> Ground:
    """Do what is exact, in a copy, and look around; for `every` recipe that there could be, or for
    that which was asked for.

    Raises:
        InputError: the selection names what is not there.
    """
    base = request.network.model.clone()
    opened = opening.open_up(base, every or request.heads or request.exact.gap_to_gdc)
    selection = opened.selection(request.selection)
    folded = exact.fold_batch_norms(base)
    shapes.infer(base)
    certificates, said = exactly.apply(base, request.exact, request.method.spelling)
    facts = survey(base)
    wanted = every or request.recipe is not None
    sites = _sites(facts, every or request.heads) if wanted else {}
    if idle := selection.idle(sites):
        raise InputError(
            f"{idle[0]} matches no convolution; analyze {request.network.name} lists their names"
        )
    return Ground(
        base,
        sites,
        {**facts.skipped, **heads.refusals(base, facts.heads)},
        sharing.families(base),
        selection,
        opened.recipe(request.recipe),
        folded,
        (*opened.notes, *said),
        certificates,
    )


def _sites(facts: Survey, with_heads: bool) -> Mapping[str, ConvSite]:
    """Convolutions, and fully connected layers where a global one is wanted, in order."""
    if not with_heads:
        return facts.sites
    every = {**facts.sites, **facts.heads}
    return {node.name: every[node.name] for node in nested(facts.nodes) if node.name in every}
