"""What `convert` answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from gconvtool.results.costs import Totals
from gconvtool.results.drift import Drift
from gconvtool.results.planning import Planning

Fit: TypeAlias = Literal["asymmetric", "symmetric", "data-free"]
FITS: tuple[Fit, ...] = get_args(Fit)
"""What a site can be fitted to, in the order in which they are tried."""


@dataclass(frozen=True)
class SiteOutcome:
    """What became of one convolution.

    `recipe` is None where it stayed as it was, and `reason` says why. `error` is the share of the
    output's variance that the new weights miss on held-out data, `training_error` on the data
    that they were fitted to; without data, `error` is the share of the weights' energy lost. `fit`
    says what they were fitted to: asymmetric (what flows in the converted network), symmetric (in
    the original) or data-free.
    """

    name: str
    kind: str
    recipe: str | None
    reason: str | None = None
    error: float | None = None
    training_error: float | None = None
    macs_before: int | None = None
    macs_after: int | None = None
    fit: Fit | None = None


@dataclass(frozen=True)
class Conversion:
    """A converted network: where it lies, what it costs, how far it drifted.

    `refined` are the outputs' relative squared errors over held-out samples before and after a
    second pass, None where there was none.
    `planning` says how the recipes were found, where they were searched for.
    `certificates` are those of the exact rewrites, where such were asked for and found something.
    """

    model: str
    output: str | None
    before: Totals
    after: Totals
    sites: tuple[SiteOutcome, ...]
    drift: tuple[Drift, ...] = ()
    drift_source: str | None = None
    drift_unseen: bool = False
    folded: int = 0
    samples: int = 0
    warnings: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    refined: tuple[float, float] | None = None
    exact_asked: bool = False
    planning: Planning | None = None

    @property
    def converted(self) -> tuple[SiteOutcome, ...]:
        """The sites that were rewritten."""
        return tuple(site for site in self.sites if site.recipe is not None)


@dataclass(frozen=True)
class Certificate:
    """An exact rewrite: what, where, why nothing changes, and how far its kernel is from the old.

    difference = max|W' − W| / max|W|, with W' the kernel that the new weights make together, in
    float64; `bound` is what rounding to the stored type explains. What misses it is not written.
    """

    rewrite: str
    site: str
    because: str
    difference: float
    bound: float
