"""The rewrites that change nothing, in an order in which each finds what those before it left.

    structure     dead channels → smaller windows → groups → low rank → true depthwise
    pooling       global average ↔ global depthwise convolution
    densify       zeros between groups written out
    split         groups written as convolutions of their own; last of all, behind the fits

Each proves itself by certificates, which say where it was done and why that is exact. Where groups
are to be written out, structure stops at smaller windows: the rest makes groups, of which most cost
more than before once they are dense. Plain averages in the place of global convolutions are the
one thing here that is not exact; what they lose is said instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import onnx_ir as ir
from threadpoolctl import threadpool_limits

from gconvtool.facts import Skip
from gconvtool.graph import lossless, permute, pooling, pruning, repeat, shapes, window
from gconvtool.results.conversion import Certificate
from gconvtool.spellings import Spelling

Averages: TypeAlias = Literal["exact", "lossy"]
"""How a global convolution becomes an average: with its weights, or as if they were all alike."""
Certificates: TypeAlias = tuple[Certificate, ...]
Rewrite: TypeAlias = Callable[[ir.Model], Certificates]


@dataclass(frozen=True)
class Exact:
    """Which of them are wanted."""

    structure: bool = False
    densify: bool = False
    gap_to_gdc: bool = False
    gdc_to_gap: Averages | None = None

    @property
    def any(self) -> bool:
        """At least one is."""
        return self != Exact()

    @property
    def lossy_only(self) -> bool:
        """None is that is exact."""
        return self == Exact(gdc_to_gap="lossy")


def apply(
    model: ir.Model, wanted: Exact, spelling: Spelling
) -> tuple[Certificates, tuple[str, ...]]:
    """Do what is wanted, in place, `split` excepted; shapes are inferred anew.

    Returns:
        The certificates, and what else has to be said: what could not be done, or is lost.
    """
    certificates: list[Certificate] = []
    notes = list(_unseen(model)) if wanted.structure else []
    if wanted.densify or spelling == "split":
        notes += _grouped_still(model)
    # Threads of the BLAS wait for each other by spinning, see `rewrite`.
    with threadpool_limits(1, "blas"):
        for rewrite in _structure(wanted, spelling):
            certificates += _done(model, rewrite)
        if wanted.gap_to_gdc:
            certificates += _done(model, pooling.gap_to_gdc)
            notes += _kept(pooling.kept_averages, model)
        if wanted.gdc_to_gap:
            notes += _kept(pooling.kept_convolutions, model)
        if wanted.gdc_to_gap == "exact":
            certificates += _done(model, pooling.gdc_to_gap)
        if wanted.gdc_to_gap == "lossy":
            notes += _averaged(model)
        if wanted.densify:
            certificates += _done(model, lossless.densify)
    return tuple(certificates), tuple(notes)


def split(model: ir.Model) -> Certificates:
    """Write all groups out as convolutions of their own, in place."""
    with threadpool_limits(1, "blas"):
        return _done(model, lossless.split)


def _structure(wanted: Exact, spelling: Spelling) -> Iterator[Rewrite]:
    if not wanted.structure:
        return
    yield pruning.prune
    yield window.shrink
    if not wanted.densify:
        yield _grouped
        # Before the fits, splitting would only hide what recipes are for.
        yield partial(lossless.separate, spelling="auto" if spelling == "split" else spelling)
        yield repeat.repeat_channels


def _grouped(model: ir.Model) -> Certificates:
    done = lossless.group(model)
    if done:
        permute.absorb(model)  # then convolutions have their own names again, for what follows
    return done


def _done(model: ir.Model, rewrite: Rewrite) -> Certificates:
    done = rewrite(model)
    if done:
        shapes.infer(model)
    return done


def _unseen(model: ir.Model) -> Iterator[str]:
    """Convolutions whose weights cannot be looked at, a line for each reason."""
    reasons = Counter(skip.reason for skip in lossless.refused(model).values())
    for reason, count in reasons.items():
        yield f"nothing is looked for in {count} of the convolutions: {reason}"


def _grouped_still(model: ir.Model) -> Iterator[str]:
    found = lossless.kept_groups(model).items()
    return (f"{site} keeps its groups: {skip.reason}" for site, skip in found)


def _kept(refusals: Callable[[ir.Model], Mapping[str, Skip]], model: ir.Model) -> Iterator[str]:
    return (f"{site} stays as it is: {skip.reason}" for site, skip in refusals(model).items())


def _averaged(model: ir.Model) -> Iterator[str]:
    for site, share in pooling.gdc_to_average(model).items():
        yield f"{site} is a plain average now: {share:.1%} of its kernel's energy is lost"
    shapes.infer(model)
