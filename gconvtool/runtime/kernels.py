"""How long recipes take on this machine: measured, since nothing else tells.

For every site a small model is cut out of the network that has the same reorders and fusions
(`graph.excerpt`), once with the dense convolution and once with each recipe, in meaningless numbers
(`fit.placeholder`). What differs in nothing that a clock sees (`graph.digest`) is timed once, all
recipes of one excerpt in one race against the dense one (`timing.race`), and remembered (`cache`).
All races take turns, and beside them runs the network itself (`heats`), so that their times are of
one moment.

The network's own time is then about its time now, less what each site saves. Three things are left
out: neighbours that are rewritten too and change their layout, orders of channels that cannot be
absorbed, and caches that hold more, or less, of the maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.facts import Input, Skip
from gconvtool.fit.placeholder import PATTERN
from gconvtool.graph.pack import pack
from gconvtool.graph.signature import signature
from gconvtool.recipes import Recipe
from gconvtool.results.kernels import Estimate, KernelTime
from gconvtool.runtime.cache import Pair
from gconvtool.runtime.contests import Case, Contests
from gconvtool.runtime.heats import Bench, Open, timed
from gconvtool.runtime.session import Session
from gconvtool.timing.protocol import Runner

PROTOCOL = 3
"""Goes up when excerpts, placeholders or races change, so that older times are not believed."""
CERTAIN = 2.0
"""Standard errors."""
BUDGET_S = 60.0


@dataclass(frozen=True)
class Times:
    """How long cases take, in their order, and the network itself, all at one moment.

    A Skip where sizes are not known, or where onnxruntime does not run the convolution.
    """

    cases: tuple[KernelTime | Skip, ...]
    whole_ns: float | None = None


def measure(
    base: ir.Model,
    cases: Sequence[Case],
    bench: Bench,
    budget_s: float = BUDGET_S,
    whole: Runner | None = None,
) -> Times:
    """How long each case takes against the dense convolution.

    Args:
        base: the network that is to be rewritten, everything exact done to it already, shapes
            inferred at the batch that is planned for. It is not changed.
        cases: what to time; several spellings of a recipe are several cases.
        bench: sessions, clock and cache.
        budget_s: for what the cache does not know. Every case is timed in 12 rounds at least.
        whole: runs the network itself, which is then timed at the same time.
    """
    contests = Contests(base)
    pairs = [contests.enter(case) for case in cases]
    known = {
        pair: time
        for pair in pairs
        if isinstance(pair, Pair) and (time := bench.cache.get(pair)) is not None
    }
    answers, whole_ns = timed(contests, known, bench, budget_s, whole)
    return Times(tuple(p if isinstance(p, Skip) else answers[p] for p in pairs), whole_ns)


def fastest(
    cases: Sequence[Case], answers: Sequence[KernelTime | Skip]
) -> dict[tuple[str, Recipe], tuple[Case, KernelTime]]:
    """Of every recipe at every site (by its name) the spelling that saves most, if any was timed.

    An earlier one is kept unless another saves more for certain.
    """
    best: dict[tuple[str, Recipe], tuple[Case, KernelTime]] = {}
    for case, answer in zip(cases, answers, strict=True):
        key = case.candidate.site.name, case.candidate.recipe
        if isinstance(answer, KernelTime) and (
            key not in best or _certainly_more(answer.saved, best[key][1].saved)
        ):
            best[key] = case, answer
    return best


def _certainly_more(a: Estimate, b: Estimate) -> bool:
    return a.ns - b.ns > CERTAIN * hypot(a.error_ns, b.error_ns)


def sessions(provider: str, threads: int) -> Open:
    """Opens small models in onnxruntime, each with inputs of its own."""

    def open_(model: ir.Model) -> Runner:
        feeds = {wanted.name: _numbers(wanted) for wanted in signature(model)}
        return Session(pack(model, "a small model"), provider, threads).runner(feeds)

    return open_


def _numbers(wanted: Input) -> NDArray[Any]:
    sizes = [dim for dim in wanted.shape or () if isinstance(dim, int)]
    return np.resize(PATTERN, tuple(sizes)).astype(wanted.dtype)
