"""What a dense convolution could become, and what that costs.

A dense convolution of C channels to N filters with K… kernels has N·C·ΠK MACs per output
position. Here

    grouped(g)              N·C/g·ΠK                 (Krizhevsky et al., 2012)
    separable(r)            r·(C·ΠK + C·N)           (Guo et al., Network Decoupling, 2018)
    separable(r, pw-dw)     r·(C·N·Πs + N·ΠK)        (the same, pointwise first)
    bottleneck(g, m)        m·(C·ΠK + g·N)           (Peng et al., filter group approximation, 2018)
    monarch(g)              H·(C + N)/g              (Dao et al., 2022)
    gdc(r)                  r·(C·ΠK + C·N)           (Chen et al., MobileFaceNets, 2018)

What comes first in separable(r, pw-dw) meets every input position, Πs of them an output position
with strides s. A transposed convolution spreads each input position over its window, so that there
it is the other way round: spatial weights meet the (smaller) input with what comes before them,
and only a pointwise part behind them meets the output. So there pw-dw is the cheaper order.

bottleneck(g, m) goes by m channels in each of g groups; with one group it is of low rank, which
thins out 1×1 convolutions too. monarch(g) is for those alone: two 1×1 convolutions of g groups, H
hidden channels between them, shuffled; H is the largest multiple of g² up to min(C, N). A
convolution that has G groups is G dense ones of C/G channels and N/G filters each, and a
recipe applies to each of those.

gdc is for what reads a whole feature map at once: a convolution without padding whose kernel
is the map, or a fully connected layer over the flattened map, which is the same thing. The others
leave fully connected layers alone.

A recipe that is not allowed at a site, or would not be cheaper there, is a `Skip` with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd, isqrt, prod
from typing import Literal, TypeAlias

from gconvtool.errors import InputError
from gconvtool.facts import ConvSite, Shape, Skip, describe_shape

DEFAULT_RANK = 2
"""Branches of a separable convolution where nothing else is said."""
STEM_CHANNELS = 4
"""Up to this many input channels a convolution is a stem: too little to share out."""
HEADS = frozenset({"Gemm", "MatMul"})
"""Operators of fully connected layers."""
FULLY_CONNECTED = "a fully connected layer: gdc is for those"
Order: TypeAlias = Literal["dw-pw", "pw-dw"]


@dataclass(frozen=True)
class Weights:
    """Weights of a site, without bias, by the positions that they meet."""

    at_output: int
    at_input: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.at_output + self.at_input

    def macs(self, site: ConvSite) -> int | None:
        """Over the site's whole batch; None where a size that matters is not known."""
        makes = 0
        for count, shape in (
            (self.at_output, site.output_shape),
            (self.at_input, site.input_shape),
        ):
            met = _positions(shape) if count else 0
            if met is None:
                return None
            makes += count * met
        return makes

    def cost(self, site: ConvSite) -> Fraction:
        """MACs an output position; strides say how much larger the input is, if sizes do not."""
        makes, takes = _area(site.output_shape), _area(site.input_shape)
        if makes and takes:
            return self.at_output + self.at_input * Fraction(takes, makes)
        larger = Fraction(prod(site.strides))
        return self.at_output + self.at_input * (1 / larger if site.transposed else larger)


class _Costed:
    """What follows from a recipe's weights."""

    branches = 1
    """Parts that are summed."""

    def split(self, site: ConvSite) -> Weights:
        """Weights without bias, by the positions that they meet."""
        raise NotImplementedError

    def weights(self, site: ConvSite) -> int:
        """Weights without bias."""
        return self.split(site).total

    def macs(self, site: ConvSite) -> int | None:
        """Of the rewritten site over its whole batch; None where a size is not known."""
        return self.split(site).macs(site)

    def between(self, site: ConvSite) -> Shape:
        """The map between the two parts of a branch; None where it is not known."""
        raise NotImplementedError


@dataclass(frozen=True)
class Grouped(_Costed):
    """One convolution of G groups, channels permuted so that the signal stays inside them."""

    groups: int

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise InputError(f"{self.groups} groups: a convolution has 1 group or more")

    def __str__(self) -> str:
        return f"grouped({self.groups})"

    def split(self, site: ConvSite) -> Weights:
        """Weights without bias, by the positions that they meet."""
        channels, _ = _group(site)
        return _met(site, site.filters * channels // self.groups * prod(site.kernel))

    def objection(self, site: ConvSite) -> str | None:
        """Why the recipe is not allowed at a dense convolution, if so."""
        if site.op in HEADS:
            return FULLY_CONNECTED
        return _no_kernel(site) or _undivided(self.groups, site)


@dataclass(frozen=True)
class Separable(_Costed):
    """The sum of r branches, each a depthwise K… and then a pointwise convolution, or in turn."""

    rank: int
    order: Order = "dw-pw"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"rank {self.rank}: a separable convolution has 1 branch or more")

    def __str__(self) -> str:
        return (
            f"separable({self.rank})" if self.order == "dw-pw" else f"separable({self.rank}, pw-dw)"
        )

    @property
    def branches(self) -> int:  # type: ignore[override] # read only, as all of a frozen recipe is
        """Parts that are summed."""
        return self.rank

    def split(self, site: ConvSite) -> Weights:
        """Weights without bias, by the positions that they meet."""
        channels, _ = _group(site)
        pointwise, taps = self.rank * channels * site.filters, self.rank * prod(site.kernel)
        if self.order == "dw-pw":
            return _met(site, taps * site.channels, behind=pointwise)
        return _met(site, taps * site.filters, before=pointwise)

    def between(self, site: ConvSite) -> Shape:
        """The map between the two parts of a branch; None where it is not known."""
        if self.order == "dw-pw":
            return _of_channels(site.output_shape, site.channels)
        return _of_channels(site.input_shape, site.filters)

    def objection(self, site: ConvSite) -> str | None:
        """Why the recipe is not allowed at a dense convolution, if so."""
        if site.op in HEADS:
            return FULLY_CONNECTED
        return _no_kernel(site) or _too_many(self.rank, site)


@dataclass(frozen=True)
class Bottleneck(_Costed):
    """A K… convolution of g groups to m = `width` channels each, then a pointwise one."""

    groups: int
    width: int

    def __post_init__(self) -> None:
        if self.groups < 1 or self.width < 1:
            raise InputError(f"{self}: a bottleneck has 1 group or more, and width 1 or more")

    def __str__(self) -> str:
        return f"bottleneck({self.groups}, {self.width})"

    def split(self, site: ConvSite) -> Weights:
        """Weights without bias, by the positions that they meet."""
        channels, filters = _group(site)
        hidden = site.groups * self.groups * self.width
        spatial = channels // self.groups * prod(site.kernel)
        return _met(site, hidden * spatial, behind=hidden * filters)

    def between(self, site: ConvSite) -> Shape:
        """The map between the two parts; None where it is not known."""
        return _of_channels(site.output_shape, site.groups * self.groups * self.width)

    def objection(self, site: ConvSite) -> str | None:
        """Why the recipe is not allowed at a dense convolution, if so."""
        if site.op in HEADS:
            return FULLY_CONNECTED
        channels, filters = _group(site)
        if channels % self.groups:
            return f"{self.groups} groups do not divide {channels} input channels"
        most = min(filters, channels // self.groups * prod(site.kernel))
        return f"width {self.width} is more than full rank ({most})" if self.width > most else None


@dataclass(frozen=True)
class Monarch(_Costed):
    """Two 1×1 convolutions of g groups, with their channels shuffled between them."""

    groups: int

    def __post_init__(self) -> None:
        if self.groups < 2:
            raise InputError(f"{self}: a Monarch convolution has 2 groups or more")

    def __str__(self) -> str:
        return f"monarch({self.groups})"

    def rank(self, site: ConvSite) -> int:
        """Hidden channels that join a group of inputs to one of outputs."""
        return min(_group(site)) // self.groups**2

    def split(self, site: ConvSite) -> Weights:
        """Weights without bias, by the positions that they meet."""
        channels, filters = (self._hidden(site) * side // self.groups for side in _group(site))
        return _met(site, channels, behind=filters)

    def between(self, site: ConvSite) -> Shape:
        """The map between the two parts; None where it is not known."""
        return _of_channels(site.output_shape, self._hidden(site))

    def objection(self, site: ConvSite) -> str | None:
        """Why the recipe is not allowed at a dense convolution, if so."""
        if site.op in HEADS:
            return FULLY_CONNECTED
        if prod(site.kernel) > 1:
            return f"its kernel is {describe_shape(site.kernel)}: monarch is for 1×1"
        if self.rank(site) == 0:
            return f"{self.groups}² groups joined are more than {min(_group(site))} channels"
        return _undivided(self.groups, site)

    def _hidden(self, site: ConvSite) -> int:
        return site.groups * self.rank(site) * self.groups**2


@dataclass(frozen=True)
class Gdc(_Costed):
    """The sum of r branches, each a global depthwise and then a pointwise convolution."""

    rank: int = 1

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"rank {self.rank}: a global convolution has 1 branch or more")

    def __str__(self) -> str:
        return f"gdc({self.rank})"

    @property
    def branches(self) -> int:  # type: ignore[override] # read only, as all of a frozen recipe is
        """Parts that are summed."""
        return self.rank

    def split(self, site: ConvSite) -> Weights:
        """Weights without bias, by the positions that they meet."""
        return Separable(self.rank).split(site)

    def between(self, site: ConvSite) -> Shape:
        """The map between the two parts of a branch; None where it is not known."""
        return Separable(self.rank).between(site)

    def objection(self, site: ConvSite) -> str | None:
        """Why the recipe is not allowed at a dense convolution, if so."""
        if flaw := _no_kernel(site) or _no_map(site):
            return flaw
        if site.groups > 1:
            return f"already grouped (G = {site.groups})"
        if site.input_shape is None or not all(
            isinstance(dim, int) for dim in site.input_shape[2:]
        ):
            return "the size of its feature map is not known: export the network with fixed sizes"
        if site.input_shape[2:] != site.kernel:
            kernel, sizes = describe_shape(site.kernel), describe_shape(site.input_shape[2:])
            return f"its kernel {kernel} is not the whole feature map {sizes}"
        if any(site.pads or ()):
            return "it pads its feature map"
        return _too_many(self.rank, site)


Recipe: TypeAlias = Grouped | Separable | Bottleneck | Monarch | Gdc


@dataclass(frozen=True)
class Candidate:
    """A recipe at a site, with its weights before and after (bias not counted)."""

    site: ConvSite
    recipe: Recipe
    weights_before: int
    weights_after: int

    @property
    def share(self) -> Fraction:
        """MACs after, as a share of those before."""
        return share(self.site, self.recipe)


def propose(site: ConvSite, recipe: Recipe) -> Candidate | Skip:
    """The recipe at this site, or why not."""
    reason = objection(site, recipe)
    if reason:
        return Skip(reason)
    candidate = Candidate(site, recipe, weights(site), recipe.weights(site))
    if candidate.share >= 1:
        times = float(candidate.share)
        return Skip(f"{recipe} would cost {times:.2f}x of what it costs now")
    return candidate


def objection(site: ConvSite, recipe: Recipe) -> str | None:
    """Why the recipe is not allowed at this site, whatever it would cost there."""
    return _unfit(site) or recipe.objection(site)


def weights(site: ConvSite) -> int:
    """Weights of the site as it is, without bias."""
    return site.channels // site.groups * site.filters * prod(site.kernel)


def share(site: ConvSite, recipe: Recipe) -> Fraction:
    """MACs of a site with weights under a recipe, as a share of those that it has now."""
    return recipe.split(site).cost(site) / _met(site, weights(site)).cost(site)


def legal_groups(site: ConvSite) -> tuple[int, ...]:
    """The counts above 1 that `Grouped` allows: they divide channels and filters, of a site that
    has groups already those of one group. Ascending."""
    most = gcd(*_group(site))
    low = [divisor for divisor in range(1, isqrt(most) + 1) if most % divisor == 0]
    return tuple(sorted({*low, *(most // divisor for divisor in low)} - {1}))


def _met(site: ConvSite, spatial: int, *, before: int = 0, behind: int = 0) -> Weights:
    """Spatial weights, and pointwise ones before or behind them, by the positions that they meet.

    Behind a transposed convolution the input is spread already.
    """
    if site.transposed:
        return Weights(behind, at_input=before + spatial)
    return Weights(spatial + behind, at_input=before)


def _group(site: ConvSite) -> tuple[int, int]:
    """Channels and filters of one of the site's groups: a dense convolution of its own."""
    return site.channels // site.groups, site.filters // site.groups


def _positions(shape: Shape) -> int | None:
    """Positions of a map over its whole batch."""
    if shape is None or not isinstance(shape[0], int):
        return None
    area = _area(shape)
    return None if area is None else shape[0] * area


def _area(shape: Shape) -> int | None:
    """Positions of a map."""
    sizes = [size for size in (shape or ())[2:] if isinstance(size, int)]
    return prod(sizes) if shape is not None and len(sizes) == len(shape) - 2 else None


def _of_channels(shape: Shape, channels: int) -> Shape:
    return None if shape is None else (shape[0], channels, *shape[2:])


def _undivided(groups: int, site: ConvSite) -> str | None:
    sizes = zip(_group(site), ("input channels", "filters"), strict=True)
    left = [f"{count} {what}" for count, what in sizes if count % groups]
    where = " of a group" if site.groups > 1 else ""
    return f"{groups} groups do not divide {' or '.join(left)}{where}" if left else None


def _too_many(rank: int, site: ConvSite) -> str | None:
    taps = prod(site.kernel)
    return f"rank {rank} is more than the {taps} taps of its kernel" if rank > taps else None


def _no_kernel(site: ConvSite) -> str | None:
    return "1×1: it has no kernel to thin out" if prod(site.kernel) == 1 else None


def _no_map(site: ConvSite) -> str | None:
    return "a transposed convolution: it reads no map as a whole" if site.transposed else None


def _unfit(site: ConvSite) -> str | None:
    """Why no recipe applies."""
    if weights(site) == 0:
        return "its weight is empty"
    if 1 < site.groups == site.channels:
        return f"already grouped (G = {site.groups}), with one channel a group"
    if site.channels <= STEM_CHANNELS:
        return f"too few input channels ({site.channels})"
    if site.pads is None and site.transposed:
        return "its output_shape does not say what it pads: its input is larger, or of unknown size"
    if site.pads is None:
        return "its padding depends on an input size that is not known"
    return None
