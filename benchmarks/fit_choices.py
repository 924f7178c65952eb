"""What the choices inside the fit are worth, on the sample network.

    python benchmarks/fit_choices.py

Markdown tables, of the mean error over all converted layers on held-out samples. First, in the
original network: the separable fit by sweeps, with and without solving for all pointwise weights
between them; every family at a quarter of the MACs; bottlenecks by how their inputs are grouped;
groupings by how many exchanges are tried. Then, in whole conversions: how much fits lean on the old
weights; the parts of the procedure left out one at a time; the second pass; and the patches taken
for each unknown, with the time against the first row's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_limits

import gconvtool
from gconvtool import Grouped, Separable
from gconvtool.facts import ConvSite
from gconvtool.fit import factor, fitting
from gconvtool.fit import moments as moments_room
from gconvtool.fit.blocks import BlockFit
from gconvtool.fit.fitting import SWAPS
from gconvtool.fit.grouping import find_grouping
from gconvtool.fit.moments import Index, Moments
from gconvtool.fit.structure import Factors
from gconvtool.graph import exact, shapes
from gconvtool.graph.signature import signature
from gconvtool.graph.survey import survey
from gconvtool.pipeline import choice, fits
from gconvtool.recipes import Bottleneck, Candidate, Recipe, propose, weights
from gconvtool.runtime import calibrate, gather, inputs

SAMPLES = Path(__file__).parent.parent / "sample_models"
MODEL, CALIB = SAMPLES / "fashion_resnet.onnx", str(SAMPLES / "fashion_calib.npz")
TEST = str(SAMPLES / "fashion_test.npz")

Seen = tuple[ConvSite, Moments, Moments]
Make = Callable[[ConvSite, Moments], Factors]


def moments() -> list[Seen]:
    """Every convertible site with its moments, in the original network."""
    model = gconvtool.load(MODEL)
    exact.fold_batch_norms(model)
    shapes.infer(model)
    split = inputs.split(inputs.load(CALIB, signature(model)), 256, 0)
    sites = survey(model).sites.values()
    chosen = [site for site in sites if isinstance(propose(site, Separable(2)), Candidate)]
    walk = calibrate.Walk(model, model, split.fit, split.held_out, inputs.Batch(32), chosen)
    sights = [walk.visit(site) for site in chosen]
    return [(sight.site, sight.symmetric(), sight.judged()) for sight in sights]


def error(seen: list[Seen], rank: int, sweeps: int, agree: bool) -> float:
    """Mean held-out error of the separable fit."""
    errors = []
    for site, data, held in seen:
        solver = BlockFit(data, np.arange(data.size).reshape(-1, prod(site.kernel)), rank)
        for _ in range(sweeps):
            solver.sweep()
            if agree:
                solver.agree()
        errors.append(held.error(solver.kernel()))
    return float(np.mean(errors))


def sweeps_table(seen: list[Seen]) -> None:
    print(
        "| sweeps | rank 1, turns only | with joint step | rank 2, turns only | with joint step |"
    )
    print("|---|---|---|---|---|")
    for sweeps in (0, 1, 2, 4, 8, 16):
        cells = [
            f"{100 * error(seen, rank, sweeps, agree):.2f} %"
            for rank in (1, 2)
            for agree in (False, True)
        ]
        print(f"| {sweeps} | {' | '.join(cells)} |", flush=True)


def width(site: ConvSite, groups: int) -> int:
    """Channels a group of a bottleneck with a quarter of the MACs."""
    return max(1, round(weights(site) / 4 / Bottleneck(groups, 1).weights(site)))


def mean_error(seen: list[Seen], make: Make) -> tuple[float, float]:
    """Mean held-out error over the layers, and the seconds that all fits took."""
    errors, start = [], time.perf_counter()
    for site, fit_to, held in seen:
        factors = make(site, fit_to)
        errors.append(held.error(factors.kernel(), factors.bias))
    return float(np.mean(errors)), time.perf_counter() - start


def fitted(recipe_at: Callable[[ConvSite], Recipe], swaps: int = SWAPS) -> Make:
    def make(site: ConvSite, seen: Moments) -> Factors:
        with mock.patch.object(fitting, "SWAPS", swaps):
            return fitting.fit(recipe_at(site), seen, prod(site.kernel), np.random.default_rng(0))

    return make


def narrowed(inputs_of: Callable[[ConvSite, Moments], Index]) -> Make:
    return lambda site, seen: factor.bottleneck(
        seen, inputs_of(site, seen), prod(site.kernel), width(site, 4)
    )


def always(recipe: Recipe, _: ConvSite) -> Recipe:
    return recipe


def families_table(seen: list[Seen]) -> None:
    print("\n| family | MACs | held-out error | time |")
    print("|---|---|---|---|")
    families: dict[str, Callable[[ConvSite], Recipe]] = {
        "separable(2)": lambda _: Separable(2),
        "grouped(4)": lambda _: Grouped(4),
        "separable(2, pw-dw)": lambda _: Separable(2, "pw-dw"),
        **{
            f"bottleneck({groups}, m)": lambda site, g=groups: Bottleneck(g, width(site, g))
            for groups in (1, 2, 4, 8, 16, 32)
        },
    }
    first = 0.0
    for name, recipe_at in families.items():
        before = sum(weights(site) for site, _, _ in seen)
        after = float(sum(recipe_at(site).split(site).cost(site) for site, _, _ in seen))
        wrong, seconds = mean_error(seen, fitted(recipe_at))
        first = first or seconds
        print(f"| {name} | {after / before:.2f} | {100 * wrong:.2f} % | {seconds / first:.1f}x |")


def inputs_table(seen: list[Seen]) -> None:
    """Bottlenecks of four groups, by how inputs are shared out."""

    def by_data(site: ConvSite, m: Moments) -> Index:
        taps, rng = prod(site.kernel), np.random.default_rng(0)
        return find_grouping(m, taps, 4, rng, swaps=SWAPS).inputs

    ways: dict[str, Callable[[ConvSite, Moments], Index]] = {
        "as they come": lambda site, _: np.arange(site.channels).reshape(4, -1),
        "at random": lambda site, _: (
            np.random.default_rng(0).permutation(site.channels).reshape(4, -1)
        ),
        "as for grouped(4)": by_data,
    }
    print("\n| inputs of bottleneck(4, m) | held-out error |")
    print("|---|---|")
    for name, inputs_of in ways.items():
        wrong, _ = mean_error(seen, narrowed(inputs_of))
        print(f"| {name} | {100 * wrong:.2f} % |")


def swaps_table(seen: list[Seen]) -> None:
    print("\n| exchanges tried | grouped(2) | time | grouped(4) | time | grouped(8) | time |")
    print("|---|---|---|---|---|---|---|")
    first: list[float] = []
    for swaps in (0, 30, 60, 100):
        found = [
            mean_error(seen, fitted(partial(always, Grouped(groups)), swaps))
            for groups in (2, 4, 8)
        ]
        first = first or [seconds for _, seconds in found]
        cells = [
            f"{100 * wrong:.2f} % | {seconds / base:.1f}x"
            for (wrong, seconds), base in zip(found, first, strict=True)
        ]
        print(f"| {swaps} | {' | '.join(cells)} |", flush=True)


def leaning_table() -> None:
    """How much fits lean on the old weights, with few samples and with many."""
    print("\n| leaning · n/D | separable(2), 32 samples | 256 samples | grouped(4), 32 | 256 |")
    print("|---|---|---|---|---|")
    for lean in (0.001, 0.01, 0.1, 1.0):
        with mock.patch.object(moments_room, "LEAN", lean):
            ratios = [
                snr(recipe, 0, samples)
                for recipe in (Separable(2), Grouped(4))
                for samples in (32, 256)
            ]
        print(f"| {lean} | {' | '.join(f'{ratio:.1f} dB' for ratio in ratios)} |", flush=True)


def parts_table() -> None:
    """Whole conversions: what each part of the procedure is worth, over three seeds."""
    left_out = {
        "all of it": mock.patch.object(choice, "CLOSE", choice.CLOSE),
        "shortcuts not mended": mock.patch.object(calibrate.Walk, "_partner", return_value=None),
        "streams not tied": mock.patch.object(fits.streams, "tied", return_value={}),
        "asymmetric fits alone": mock.patch.object(choice, "CLOSE", np.inf),
    }
    print("\n| procedure | separable(2) | time | grouped(4) | time |")
    print("|---|---|---|---|---|")
    first: list[float] = []
    for name, patch in left_out.items():
        cells, times = [], []
        for recipe in (Separable(2), Grouped(4)):
            start = time.perf_counter()
            with patch:
                ratios = [snr(recipe, seed) for seed in range(3)]
            times.append(time.perf_counter() - start)
            cells.append(f"{np.mean(ratios):.1f} dB")
        first = first or times
        texts = [f"{c} | {t / f:.1f}x" for c, t, f in zip(cells, times, first, strict=True)]
        print(f"| {name} | {' | '.join(texts)} |", flush=True)


def passes_table() -> None:
    """What refining all new weights together adds, over three seeds."""
    print("\n| recipe | first pass | second | time |")
    print("|---|---|---|---|")
    for recipe in (Grouped(4), Separable(2), Bottleneck(16, 8)):
        ratios, seconds = [], []
        for passes in (1, 2):
            start = time.process_time()
            ratios.append(np.mean([snr(recipe, seed, passes=passes) for seed in range(3)]))
            seconds.append(time.process_time() - start)
        first, second = ratios
        extra = seconds[1] / seconds[0] - 1
        print(f"| {recipe} | {first:.1f} dB | {second:.1f} dB | {extra:.1f}x |", flush=True)


def snr(recipe: Recipe, seed: int, samples: int = 256, passes: int = 1) -> float:
    """Output SNR on the test images."""
    result = gconvtool.convert(
        MODEL,
        recipe=recipe,
        data=CALIB,
        test_data=TEST,
        seed=seed,
        samples=samples,
        passes=passes,
    )
    return result.drift[0].snr_db or 0


def converted(recipe: gconvtool.Grouped | gconvtool.Separable) -> tuple[float, float]:
    """Mean held-out error of a whole conversion, and its seconds."""
    start = time.perf_counter()
    result = gconvtool.convert(MODEL, recipe=recipe, data=CALIB)
    seconds = time.perf_counter() - start
    return float(np.mean([site.error for site in result.converted if site.error])), seconds


def rows_table() -> None:
    print("\n| patches an unknown | separable(2) | time | grouped(4) | time |")
    print("|---|---|---|---|---|")
    first: list[float] = []
    for rows in (3, 6, 12, 24, 48, 96):
        gather.ROWS_PER_UNKNOWN = gather.MOST_PER_UNKNOWN = rows
        cells, times = zip(
            *(converted(recipe) for recipe in (Separable(2), Grouped(4))), strict=True
        )
        first = first or list(times)
        texts = [
            f"{100 * cell:.2f} % | {seconds / base:.2f}x"
            for cell, seconds, base in zip(cells, times, first, strict=True)
        ]
        print(f"| {rows} | {' | '.join(texts)} |", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1, "blas"):  # as a conversion does
        layers = moments()
        sweeps_table(layers)
        families_table(layers)
        inputs_table(layers)
        swaps_table(layers)
    leaning_table()
    parts_table()
    passes_table()
    rows_table()
