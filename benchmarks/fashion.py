"""What each recipe costs in accuracy and wins in time on the sample network.

    python benchmarks/fashion.py [--time-budget SECONDS]

Converts sample_models/fashion_resnet.onnx with 256 calibration images and no training, judges it on
2,000 labelled test images, and times it against the original on one and on two threads
(`gconvtool.bench`, batch 1, with the 95 % interval). The
first rows are what the fit is measured against: diagonal blocks copied, and weights fitted without
data. Prints a Markdown table. The bars: separable(2) loses at most 1.5 points and grouped(4) at
most 4, each fitted within a minute on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gconvtool
from gconvtool import Grouped, Separable
from gconvtool.fit.factor import GroupedFactors
from gconvtool.fit.grouping import Grouping
from gconvtool.graph import exact, shapes, surgery
from gconvtool.graph.save import serialise
from gconvtool.graph.survey import survey
from gconvtool.recipes import Recipe, propose

SAMPLES = Path(__file__).parent.parent / "sample_models"
MODEL = SAMPLES / "fashion_resnet.onnx"
CALIB, TEST = str(SAMPLES / "fashion_calib.npz"), str(SAMPLES / "fashion_test.npz")
RECIPES: tuple[Recipe, ...] = (
    Grouped(2),
    Grouped(4),
    Separable(1),
    Separable(2),
    Separable(3),
)


THREADS = (1, 2)


@dataclass(frozen=True)
class Row:
    """One line of the table; what does not apply is None."""

    name: str
    accuracy: float
    macs: int
    speedups: tuple[str, ...] = ("",) * len(THREADS)
    seconds: float | None = None


def copied_blocks(groups: int, path: Path) -> None:
    """The naive conversion: keep the diagonal blocks of every kernel, drop the rest."""
    model = gconvtool.load(MODEL)
    exact.fold_batch_norms(model)
    shapes.infer(model)
    for site in survey(model).sites.values():
        if not hasattr(propose(site, Grouped(groups)), "recipe"):
            continue
        weight, bias = surgery.weight_and_bias(model, site.name)
        taps = int(np.prod(site.kernel))
        inputs = np.arange(site.channels).reshape(groups, -1)
        outputs = np.arange(site.filters).reshape(groups, -1)
        dense = weight.reshape(site.filters, site.channels, taps)
        blocks = [dense[np.ix_(o, i)] for o, i in zip(outputs, inputs, strict=True)]
        kept = np.concatenate(blocks).reshape(site.filters, -1)
        surgery.replace(
            model, site.name, GroupedFactors(kept, bias, Grouping(inputs, outputs), taps)
        )
    path.write_bytes(serialise(model, path.name))


def accuracy(path: Path) -> float:
    return float(gconvtool.verify(MODEL, path, data=TEST).drift[0].accuracy_after or 0)


def measured(recipe: Recipe, path: Path, budget: float) -> Row:
    start = time.perf_counter()
    result = gconvtool.convert(MODEL, path, recipe=recipe, data=CALIB, samples=256, force=True)
    seconds = time.perf_counter() - start
    speedups = tuple(speedup(path, threads, budget) for threads in THREADS)
    return Row(str(recipe), accuracy(path), result.after.macs, speedups, seconds)


def speedup(path: Path, threads: int, budget: float) -> str:
    compared = gconvtool.bench(MODEL, path, threads=threads, time_budget_s=budget)
    speed = compared.judgement.speedup
    return f"{speed.estimate:.2f}x ({speed.low:.2f}–{speed.high:.2f})"


def line(row: Row, before: Row) -> str:
    lost = 100 * (before.accuracy - row.accuracy)
    return (
        f"| {row.name} | {100 * row.accuracy:.2f} % | {lost:+.2f} | {before.macs / row.macs:.2f}x "
        f"| {' | '.join(row.speedups)} | {'' if row.seconds is None else f'{row.seconds:.0f} s'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--time-budget", type=float, default=15.0)
    budget = parser.parse_args().time_budget
    original = Row("original", accuracy(MODEL), gconvtool.analyze(MODEL).totals.macs)
    print(
        "| recipe | top-1 | points lost | MACs fewer | faster, 1 thread | 2 threads | fitted in |"
    )
    print("|---|---|---|---|---|---|---|")
    print(line(original, original))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.onnx"
        for groups in (2, 4):
            copied_blocks(groups, path)
            macs = gconvtool.analyze(path).totals.macs
            print(line(Row(f"grouped({groups}), blocks copied", accuracy(path), macs), original))
        for recipe in (Grouped(4), Separable(2)):
            blind = gconvtool.convert(MODEL, path, recipe=recipe, force=True)
            row = Row(f"{recipe}, no data", accuracy(path), blind.after.macs)
            print(line(row, original))
        for recipe in RECIPES:
            print(line(measured(recipe, path, budget), original), flush=True)


if __name__ == "__main__":
    main()
