"""Whether what single convolutions save adds up to what the whole network saves.

    python benchmarks/kernels.py [--model PATH] [--threads T] [--time-budget SECONDS]

Converts a network (sample_models/fashion_resnet.onnx) without data, everywhere into one recipe, and
times it against the original (`gconvtool.bench`, batch 1). Beside that stands what is predicted
from its convolutions alone, each in its surroundings (`gconvtool.runtime.kernels`, no cache): the
original's median less the share that every rewritten site saves of the network beside which it is
timed. Prints a Markdown table, with the
predicted time of the converted network over the measured one, and the same for the saving; then how
long it takes to time all that is on every site's menu, and how far two such runs are apart.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Mapping
from math import hypot, log
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

import gconvtool
from gconvtool.facts import ConvSite, Input, Skip
from gconvtool.graph import exact, shapes
from gconvtool.graph.signature import signature
from gconvtool.graph.survey import survey
from gconvtool.menu import menu
from gconvtool.recipes import Bottleneck, Candidate, Grouped, Recipe, Separable, propose
from gconvtool.results import Comparison
from gconvtool.results.kernels import KernelTime
from gconvtool.runtime.cache import Cache, Circumstances
from gconvtool.runtime.contests import Case
from gconvtool.runtime.heats import Bench
from gconvtool.runtime.kernels import PROTOCOL, measure, sessions
from gconvtool.runtime.session import Session, version
from gconvtool.timing.machine import SystemClock, cpu_budget, identity

MODEL = Path(__file__).parent.parent / "sample_models" / "fashion_resnet.onnx"
RECIPES: tuple[Recipe, ...] = (Separable(2), Grouped(4), Bottleneck(4, 14))
Run: TypeAlias = tuple[KernelTime | Skip, ...]


def prepared(path: Path) -> tuple[ir.Model, Mapping[str, ConvSite]]:
    """The network as `convert` rewrites it, with its shapes, and its convolutions."""
    model = gconvtool.load(path)
    exact.privatise_initializers(model)
    exact.fold_batch_norms(model)
    shapes.fix(model, {}, {})
    return model, survey(model).sites


def cases(sites: Iterable[ConvSite], recipe: Recipe) -> list[Case]:
    made = (propose(site, recipe) for site in sites)
    return [Case(candidate) for candidate in made if isinstance(candidate, Candidate)]


def menus(sites: Iterable[ConvSite]) -> list[Case]:
    offers = (menu(site) for site in sites)
    return [Case(c) for offer in offers if not isinstance(offer, Skip) for c in offer]


def line(recipe: Recipe, sites: int, saved: float, error: float, e2e: Comparison) -> str:
    a, b = e2e.a.median_ms, e2e.a.median_ms / e2e.judgement.speedup.estimate
    return (
        f"| {recipe} | {sites} | {a:.3f} | {b:.3f} | {a * (1 - saved):.3f} ± {a * error:.3f} "
        f"| {a * (1 - saved) / b:.2f} | {a * saved / (a - b):.2f} |"
    )


def apart(first: Run, second: Run) -> str:
    """Medians and 95th percentiles over all cases that were timed twice."""
    pairs = [
        (a, b)
        for a, b in zip(first, second, strict=True)
        if isinstance(a, KernelTime) and isinstance(b, KernelTime)
    ]
    ratios = [abs(log(a.speedup / b.speedup)) for a, b in pairs]
    gaps = [
        abs(a.saved.ns - b.saved.ns) / hypot(a.saved.error_ns, b.saved.error_ns) for a, b in pairs
    ]
    return (
        "speed-ups differ by {:.1%}, 95 % of them by less than {:.1%}; savings by {:.1f} of their "
        "standard errors, 95 % by less than {:.1f}"
    ).format(*np.quantile(ratios, (0.5, 0.95)), *np.quantile(gaps, (0.5, 0.95)))


def _sizes(wanted: Input) -> list[int]:
    return [size if isinstance(size, int) else 1 for size in wanted.shape or ()]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--threads", type=int, default=cpu_budget())
    parser.add_argument("--time-budget", type=float, default=20.0)
    said = parser.parse_args()
    circumstances = Circumstances(identity(), version(), "cpu", said.threads, PROTOCOL)
    clock, cache = SystemClock(), Cache(circumstances, folder=None)
    bench = Bench(sessions("cpu", said.threads), clock, cache)
    model, sites = prepared(said.model)
    feeds = {i.name: np.zeros(_sizes(i), i.dtype) for i in signature(model)}
    print(f"{said.model.name}, {said.threads} threads, {identity()}\n")
    print(
        "| recipe | sites | original, ms | converted, ms | predicted | predicted/measured "
        "| of the saving |\n|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.onnx"
        for recipe in RECIPES:
            done = gconvtool.convert(said.model, path, recipe=recipe, force=True).converted
            wanted = cases([sites[site.name] for site in done], recipe)
            run = Session(str(said.model), threads=said.threads).runner(feeds)
            answers = measure(model, wanted, bench, said.time_budget, run)
            times = [answer for answer in answers.cases if isinstance(answer, KernelTime)]
            assert answers.whole_ns is not None
            saved = sum(answer.saved.ns for answer in times) / answers.whole_ns
            error = sum(answer.saved.error_ns**2 for answer in times) ** 0.5 / answers.whole_ns
            e2e = gconvtool.bench(
                said.model, path, threads=said.threads, time_budget_s=said.time_budget
            )
            print(line(recipe, len(times), saved, error, e2e), flush=True)
    every, runs = menus(sites.values()), list[Run]()
    for _ in range(2):
        start = time.perf_counter()
        runs.append(measure(model, every, bench).cases)
        seconds = time.perf_counter() - start
        settled = sum(isinstance(t, KernelTime) and t.settled for t in runs[-1])
        print(
            f"\n{len(every)} candidates at {len(sites)} sites: {seconds:.0f} s, {settled} settled"
        )
    print(apart(*runs))


if __name__ == "__main__":
    main()
