"""What the choices inside the fit are worth, on the sample network.

    python benchmarks/fit_choices.py

Two Markdown tables, of the mean error over all converted layers on held-out samples. First, the
separable fit by sweeps, with and without solving for all pointwise weights between them. Second,
the patches taken for each unknown, with the time of the whole conversion against the first row's.
"""

from __future__ import annotations

import time
from math import prod
from pathlib import Path

import numpy as np

import gconvtool
from gconvtool import Grouped, Separable
from gconvtool.facts import ConvSite
from gconvtool.fit import factor
from gconvtool.fit.moments import Moments
from gconvtool.graph import exact, shapes
from gconvtool.graph.signature import signature
from gconvtool.graph.survey import survey
from gconvtool.recipes import Candidate, propose
from gconvtool.runtime import calibrate, inputs

SAMPLES = Path(__file__).parent.parent / "sample_models"
MODEL, CALIB = SAMPLES / "fashion_resnet.onnx", str(SAMPLES / "fashion_calib.npz")

Seen = tuple[ConvSite, Moments, Moments]


def moments() -> list[Seen]:
    """Every convertible site with its moments, in the original network."""
    model = gconvtool.load(MODEL)
    exact.fold_batch_norms(model)
    shapes.infer(model)
    split = inputs.split(inputs.load(CALIB, signature(model)), 256, 0)
    walk = calibrate.Walk(model, model, split.fit, split.held_out, inputs.Batch(32))
    sites = survey(model).sites.values()
    chosen = [site for site in sites if isinstance(propose(site, Separable(2)), Candidate)]
    return [(site, *walk.visit(site)) for site in chosen]


def error(seen: list[Seen], rank: int, sweeps: int, agree: bool) -> float:
    """Mean held-out error of the separable fit."""
    errors = []
    for site, fit, held in seen:
        xx = fit.xx + fit.ridge() * np.eye(len(fit.xx))
        solver = factor._Channels(xx, fit.yx, prod(site.kernel), rank)
        for _ in range(sweeps):
            solver.sweep()
            if agree:
                solver.agree()
        errors.append(held.error(solver._kernel()))
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
    for rows in (3, 6, 12, 24, 48):
        calibrate.ROWS_PER_UNKNOWN = rows
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
    sweeps_table(moments())
    rows_table()
