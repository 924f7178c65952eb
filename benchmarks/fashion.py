"""What each recipe costs in accuracy and wins in time on the sample network.

    python benchmarks/fashion.py [--time-budget SECONDS | --no-timing]

Converts sample_models/fashion_resnet.onnx with 256 calibration images and no training, judges it on
2,000 labelled test images, and times it against the original on one and on two threads
(`gconvtool.bench`, batch 1, with the 95 % interval). A conversion draws the images that it holds
out, and some fits their starts, by a seed: each is made with three, points lost are given for each,
and the mean over the three is what is judged. The first rows are what the fit is measured against:
diagonal blocks copied, and weights fitted without data. Prints a Markdown table, and then whether
the bars on the mean points lost are held:

    separable(2) 0.8, separable(3) 0.4, grouped(4) 2.5, grouped(2) 0.5
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gconvtool
from gconvtool import Grouped, Separable
from gconvtool.fit.grouping import Grouping
from gconvtool.fit.structure import GroupedFactors
from gconvtool.graph import exact, shapes, surgery
from gconvtool.graph.save import serialise
from gconvtool.graph.survey import survey
from gconvtool.recipes import Bottleneck, Candidate, Monarch, Recipe, propose

SAMPLES = Path(__file__).parent.parent / "sample_models"
MODEL = SAMPLES / "fashion_resnet.onnx"
CALIB, TEST = str(SAMPLES / "fashion_calib.npz"), str(SAMPLES / "fashion_test.npz")
RECIPES: tuple[Recipe, ...] = (
    Grouped(2),
    Grouped(4),
    Separable(1),
    Separable(2),
    Separable(3),
    Separable(2, "pw-dw"),
    Bottleneck(1, 20),
    Bottleneck(4, 14),
    Bottleneck(16, 7),
    Monarch(2),
)
MOST_LOST: Mapping[Recipe, float] = {
    Separable(2): 0.8,
    Separable(3): 0.4,
    Grouped(4): 2.5,
    Grouped(2): 0.5,
}
"""Points of top-1, on the mean over the seeds."""
SEEDS = (0, 1, 2)
THREADS = (1, 2)


@dataclass(frozen=True)
class Row:
    """One line of the table, accuracies a seed each; what does not apply is None or empty."""

    name: str
    accuracies: tuple[float, ...]
    macs: int
    speedups: tuple[str, ...] = ("",) * len(THREADS)
    seconds: float | None = None

    @property
    def accuracy(self) -> float:
        """The mean over the seeds."""
        return statistics.mean(self.accuracies)

    def lost(self, before: Row) -> tuple[float, ...]:
        """Points of top-1, a seed each."""
        return tuple(100 * (before.accuracy - accuracy) for accuracy in self.accuracies)


def copied_blocks(source: Path, groups: int, path: Path) -> int:
    """The naive conversion: keep the diagonal blocks of every kernel, drop the rest.

    Returns how many convolutions it was done to.
    """
    model = gconvtool.load(source)
    exact.fold_batch_norms(model)
    shapes.infer(model)
    sites = [
        site
        for site in survey(model).sites.values()
        if site.groups == 1 and isinstance(propose(site, Grouped(groups)), Candidate)
    ]
    for site in sites:
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
    return len(sites)


def accuracy(path: Path) -> float:
    return float(gconvtool.verify(MODEL, path, data=TEST).drift[0].accuracy_after or 0)


def measured(recipe: Recipe, path: Path, budget: float) -> Row:
    """One conversion for each seed; the last is timed."""
    start, accuracies, macs = time.perf_counter(), [], 0
    for seed in SEEDS:
        result = gconvtool.convert(
            MODEL,
            path,
            recipe=recipe,
            data=CALIB,
            test_data=TEST,
            samples=256,
            seed=seed,
            force=True,
        )
        accuracies.append(float(result.drift[0].accuracy_after or 0))
        macs = result.after.macs
    seconds = (time.perf_counter() - start) / len(SEEDS)
    speedups = tuple(speedup(MODEL, path, threads, budget) if budget else "" for threads in THREADS)
    return Row(str(recipe), tuple(accuracies), macs, speedups, seconds)


def speedup(a: Path, b: Path, threads: int, budget: float, data: str | None = None) -> str:
    """How many times faster b is than a, with its interval."""
    compared = gconvtool.bench(a, b, threads=threads, time_budget_s=budget, data=data)
    speed = compared.judgement.speedup
    return f"{speed.estimate:.2f}x ({speed.low:.2f}–{speed.high:.2f})"


def line(row: Row, before: Row) -> str:
    lost = ", ".join(f"{points:+.2f}" for points in row.lost(before))
    return (
        f"| {row.name} | {100 * row.accuracy:.2f} % | {lost} | {before.macs / row.macs:.2f}x "
        f"| {' | '.join(row.speedups)} | {'' if row.seconds is None else f'{row.seconds:.0f} s'} |"
    )


def baselines(path: Path) -> Iterator[Row]:
    """What needs no data."""
    for groups in (2, 4):
        copied_blocks(MODEL, groups, path)
        macs = gconvtool.analyze(path).totals.macs
        yield Row(f"grouped({groups}), blocks copied", (accuracy(path),), macs)
    for recipe in (Grouped(4), Separable(2)):
        blind = gconvtool.convert(MODEL, path, recipe=recipe, force=True)
        yield Row(f"{recipe}, no data", (accuracy(path),), blind.after.macs)


def bars(rows: Sequence[Row], before: Row) -> Iterator[str]:
    """Whether the mean loss over the seeds is within its bar."""
    lost = {row.name: statistics.mean(row.lost(before)) for row in rows}
    for recipe, most in MOST_LOST.items():
        points = lost[str(recipe)]
        verdict = "held" if points <= most else "MISSED"
        yield f"{verdict}: {recipe} loses {points:.2f} points (bar {most:g})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--time-budget", type=float, default=15.0)
    parser.add_argument("--no-timing", action="store_true")
    said = parser.parse_args()
    budget = 0.0 if said.no_timing else said.time_budget
    original = Row("original", (accuracy(MODEL),), gconvtool.analyze(MODEL).totals.macs)
    print(
        f"| recipe | top-1 | points lost, seeds {', '.join(map(str, SEEDS))} | MACs fewer "
        "| faster, 1 thread | 2 threads | converted in |"
    )
    print("|---|---|---|---|---|---|---|")
    print(line(original, original))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.onnx"
        for row in baselines(path):
            print(line(row, original), flush=True)
        for recipe in RECIPES:
            rows.append(measured(recipe, path, budget))
            print(line(rows[-1], original), flush=True)
    print("", *bars(rows, original), sep="\n")


if __name__ == "__main__":
    main()
