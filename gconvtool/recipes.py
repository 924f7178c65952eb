"""What a dense convolution could become, and what that costs.

A dense convolution of C channels to N filters with K… kernels has N·C·ΠK MACs per output
position. Here

    grouped(G)              N·C/G·ΠK                 (Krizhevsky et al., 2012)
    separable(r, dw-pw)     r·(C·ΠK + C·N)           (Guo et al., Network Decoupling, 2018)
    gdc(r)                  r·(C·ΠK + C·N)           (Chen et al., MobileFaceNets, 2018)

The last is for what reads a whole feature map at once: a convolution without padding whose kernel
is the map, or a fully connected layer over the flattened map, which is the same thing. The others
leave fully connected layers alone.

A recipe that is not allowed at a site, or would not be cheaper there, is a `Skip` with its reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import gcd, isqrt, prod
from typing import TypeAlias

from gconvtool.errors import InputError
from gconvtool.facts import ConvSite, Skip, describe_shape

DEFAULT_RANK = 2
"""Branches of a separable convolution where nothing else is said."""
STEM_CHANNELS = 4
"""Up to this many input channels a convolution is a stem: too little to share out."""
HEADS = frozenset({"Gemm", "MatMul"})
"""Operators of fully connected layers."""
FULLY_CONNECTED = "a fully connected layer: gdc is for those"


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
        if site.op in HEADS:
            return FULLY_CONNECTED
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
        return FULLY_CONNECTED if site.op in HEADS else _too_many(self.rank, site)


@dataclass(frozen=True)
class Gdc:
    """The sum of r branches, each a global depthwise and then a pointwise convolution."""

    rank: int = 1

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"rank {self.rank}: a global convolution has 1 branch or more")

    def __str__(self) -> str:
        return f"gdc({self.rank})"

    def weights(self, site: ConvSite) -> int:
        """Weights without bias."""
        return Separable(self.rank).weights(site)

    def objection(self, site: ConvSite) -> str | None:
        """Why the recipe is not allowed at a dense convolution, if so."""
        if site.input_shape is None or not all(
            isinstance(dim, int) for dim in site.input_shape[2:]
        ):
            return "the size of its feature map is not known"
        if site.input_shape[2:] != site.kernel:
            kernel, sizes = describe_shape(site.kernel), describe_shape(site.input_shape[2:])
            return f"its kernel {kernel} is not the whole feature map {sizes}"
        if any(site.pads or ()):
            return "it pads its feature map"
        return _too_many(self.rank, site)


Recipe: TypeAlias = Grouped | Separable | Gdc


@dataclass(frozen=True)
class Candidate:
    """A recipe at a site, with its weights before and after (bias not counted)."""

    site: ConvSite
    recipe: Recipe
    weights_before: int
    weights_after: int


def propose(site: ConvSite, recipe: Recipe) -> Candidate | Skip:
    """The recipe at this site, or why not."""
    reason = objection(site, recipe)
    if reason:
        return Skip(reason)
    before, after = weights(site), recipe.weights(site)
    if after >= before:
        return Skip(f"{recipe} would cost {after / before:.2f}x of what it costs now")
    return Candidate(site, recipe, before, after)


def objection(site: ConvSite, recipe: Recipe) -> str | None:
    """Why the recipe is not allowed at this site, whatever it would cost there."""
    return _unfit(site) or recipe.objection(site)


def weights(site: ConvSite) -> int:
    """Weights of the site as it is, without bias."""
    return site.channels // site.groups * site.filters * prod(site.kernel)


def legal_groups(site: ConvSite) -> tuple[int, ...]:
    """The group counts above 1 that divide channels and filters, ascending."""
    most = gcd(site.channels, site.filters)
    low = [divisor for divisor in range(1, isqrt(most) + 1) if most % divisor == 0]
    return tuple(sorted({*low, *(most // divisor for divisor in low)} - {1}))


def parse(text: str) -> Recipe:
    """A recipe from `groups=4`, `separable`, `separable:rank=3`, `gdc` or `gdc:rank=2`.

    Raises:
        InputError: it is none of these.
    """
    match = re.fullmatch(
        r"groups=(?P<groups>\d{1,9})|(?P<name>separable|gdc)(:rank=(?P<rank>\d{1,9}))?", text
    )
    if match is None:
        raise InputError(
            f"{text}: no such recipe; write groups=4, separable:rank=2 or gdc:rank=1 with your "
            "numbers (:rank=… may be left out)"
        )
    if match["groups"]:
        return Grouped(int(match["groups"]))
    if match["name"] == "gdc":
        return Gdc(int(match["rank"] or 1))
    return Separable(int(match["rank"] or DEFAULT_RANK))


def _too_many(rank: int, site: ConvSite) -> str | None:
    taps = prod(site.kernel)
    return f"rank {rank} is more than the {taps} taps of its kernel" if rank > taps else None


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
