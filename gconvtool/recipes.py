"""What a dense convolution could become, and what that costs.

A dense convolution of C channels to N filters with K… kernels has N·C·ΠK MACs per output
position. Here

    grouped(G)              N·C/G·ΠK                 (Krizhevsky et al., 2012)
    separable(r, dw-pw)     r·(C·ΠK + C·N)           (Guo et al., Network Decoupling, 2018)

A recipe that is not allowed at a site, or would not be cheaper there, is a `Skip` with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from gconvtool.errors import InputError
from gconvtool.facts import ConvSite, Skip

STEM_CHANNELS = 4
"""Up to this many input channels a convolution is a stem: too little to share out."""


@dataclass(frozen=True)
class Grouped:
    """One convolution of G groups, channels permuted so that the signal stays inside them."""

    groups: int

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise InputError(f"{self.groups} groups: a convolution has 1 group or more")

    def __str__(self) -> str:
        return f"grouped({self.groups})"

    def weights(self, site: ConvSite) -> int:
        """Weights without bias."""
        return site.filters * site.channels // self.groups * prod(site.kernel)

    def objection(self, site: ConvSite) -> str | None:
        """Why the recipe is not allowed at a dense convolution, if so."""
        undivided = [
            f"{count} {what}"
            for count, what in ((site.channels, "input channels"), (site.filters, "filters"))
            if count % self.groups
        ]
        return f"{self.groups} groups do not divide {' or '.join(undivided)}" if undivided else None


@dataclass(frozen=True)
class Separable:
    """The sum of r branches, each a depthwise K… and then a pointwise convolution."""

    rank: int

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"rank {self.rank}: a separable convolution has 1 branch or more")

    def __str__(self) -> str:
        return f"separable({self.rank})"

    def weights(self, site: ConvSite) -> int:
        """Weights without bias."""
        return self.rank * site.channels * (prod(site.kernel) + site.filters)

    def objection(self, site: ConvSite) -> str | None:
        """Why the recipe is not allowed at a dense convolution, if so."""
        taps = prod(site.kernel)
        if self.rank > taps:
            return f"rank {self.rank} is more than the {taps} taps of its kernel"
        return None


Recipe: TypeAlias = Grouped | Separable


@dataclass(frozen=True)
class Candidate:
    """A recipe at a site, with its weights before and after (bias not counted)."""

    site: ConvSite
    recipe: Recipe
    weights_before: int
    weights_after: int


def propose(site: ConvSite, recipe: Recipe) -> Candidate | Skip:
    """The recipe at this site, or why not."""
    reason = _unfit(site) or recipe.objection(site)
    if reason:
        return Skip(reason)
    before, after = site.channels * site.filters * prod(site.kernel), recipe.weights(site)
    if after >= before:
        return Skip(f"{recipe} would cost {after / before:.2f}x of what it costs now")
    return Candidate(site, recipe, before, after)


def _unfit(site: ConvSite) -> str | None:
    """Why no recipe applies."""
    if site.transposed:
        return "a transposed convolution"
    if site.groups > 1:
        return f"already grouped (G = {site.groups})"
    if all(k == 1 for k in site.kernel):
        return "1×1: it has no kernel to thin out"
    if site.channels <= STEM_CHANNELS:
        return f"too few input channels ({site.channels})"
    if site.pads is None:
        return "its padding depends on an input size that is not known"
    return None
