"""What losses at single sites do to the outputs, and how well that is known from few looks.

    python benchmarks/responses.py [--model PATH] [--data PATH]

Every candidate of every site (of sample_models/fashion_resnet.onnx, 256 samples) is put in place
alone, and the relative squared error E of the outputs is measured. That is compared with what is
predicted of it, by one look a site and E ~ l, and by `gconvtool.pipeline.response` from three looks
a kind of recipe.
Prints a Markdown table a candidate, then by which factors predictions are off.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from math import exp, log
from pathlib import Path

import numpy as np
import onnx_ir as ir

from gconvtool.goals import goal
from gconvtool.pipeline import trials, weighing
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.response import Look, Response, kind_of
from gconvtool.pipeline.scales import Scales
from gconvtool.pipeline.source import Feed, Network, silent
from gconvtool.pipeline.trials import Trial
from gconvtool.plan import Selection

SAMPLES = Path(__file__).parent.parent / "sample_models"


def weighed(model: Path, data: Path) -> Scales:
    network, feed = Network.open(model), Feed(str(data))
    request = Request(network, None, Selection(), feed, 256, 0, None, silent)
    with weighing.weighed(request, goal(max_drop="0.1", objective="macs"), remember=False) as found:
        return found


def measured(scales: Scales, name: str, trial: Trial) -> float:
    model: ir.Model = trials.rewritten(scales.ground, {name: trial})
    return max(drift.relative_error or 0.0 for drift in scales.judge(model).drifts) ** 2


def one_look(tried: Sequence[Trial], errors: Sequence[float]) -> Response:
    """That of the middle candidate."""
    middle = sorted(range(len(tried)), key=lambda i: tried[i].loss)[len(tried) // 2]
    return Response((Look(tried[middle].loss, errors[middle]),))


def off(what: str, factors: Sequence[float]) -> str:
    sizes = np.abs(np.log(factors))
    middle, most, worst = (exp(np.quantile(sizes, share)) for share in (0.5, 0.9, 1.0))
    return f"{what}: off by {middle:.2f} in the median, {most:.2f} at 90 %, {worst:.1f} at worst"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=SAMPLES / "fashion_resnet.onnx")
    parser.add_argument("--data", type=Path, default=SAMPLES / "fashion_calib.npz")
    said = parser.parse_args()
    scales = weighed(said.model, said.data)
    few, three = list[float](), list[float]()
    print("| site | recipe | loss | E | by one look | by three a kind |\n|---|---|---|---|---|---|")
    for name, tried in scales.trials.items():
        errors = [measured(scales, name, trial) for trial in tried]
        single, curves = one_look(tried, errors), scales.responses[name]
        for trial, error in zip(tried, errors, strict=True):
            curve = curves[kind_of(trial.candidate.recipe)]
            known = [seen.of(trial.loss) for seen in (single, curve)]
            few.append(known[0] / error)
            three.append(known[1] / error)
            cells = (name, trial.candidate.recipe, f"{trial.loss:.2%}", f"{error:.2e}")
            print("|", " | ".join(map(str, (*cells, *(f"{k:.2e}" for k in known)))), "|")
    slope = [
        log(seen.looks[-1].error / seen.looks[0].error)
        / log(seen.looks[-1].loss / seen.looks[0].loss)
        for curves in scales.responses.values()
        for seen in curves.values()
        if len(seen.looks) > 1
    ]
    print(f"\nE goes with the power {min(slope):.2f} to {max(slope):.2f} of l")
    print(off("one look", few), off("three looks a kind", three), sep="\n")


if __name__ == "__main__":
    main()
