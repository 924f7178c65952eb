"""How often `bench` is right on a real machine, and what its harness costs.

    python benchmarks/verdicts_real.py [--runs 200] [--time-budget 10] [--busy 1] [--save FILE]
    python benchmarks/verdicts_real.py --slowdown [--runs 20] [--time-budget 60] [--save FILE]
    python benchmarks/verdicts_real.py --overhead

The first compares a model (sample_models/fashion_resnet.onnx) with itself, while `--busy` other
processes come and go: each is busy and idle in turns of 3 s on average, by a fixed seed. Every
comparison is a `gconvtool bench` in a process of its own. Prints how often each verdict came; any
"faster" or "slower" is false.

`--slowdown` compares the model with a copy that does the same and takes about 5 % longer: the first
convolution of its second stage makes 160 channels instead of 128, and the second one reads them,
with zeros for weights. Prints how much slower the copy is, from 32 blocks that nothing else should
disturb, and in how many runs that was found.

`--overhead` runs one session by `timing.protocol.sample` and by a bare loop of `session.run`, in
turns of one sample each, and prints how much longer a run of the first is, for the model and for
one that is far faster.

With `--save`, every comparison's document becomes a line of a file (JSON lines), and those that are
there already are not made again; verdicts are judged anew from the samples.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gconvtool.report.saved import comparison_of
from gconvtool.results import Comparison, Measurement
from gconvtool.runtime.session import Session
from gconvtool.timing import protocol, stats
from gconvtool.timing.machine import SystemClock, cpu_budget

MODEL = Path(__file__).parent.parent / "sample_models" / "fashion_resnet.onnx"
INPUT = {"image": np.random.default_rng(0).random((1, 1, 28, 28), dtype=np.float32)}
TURN_S = 3.0
"""How long a background process is busy, and idle, on average."""
FIRST, NORM, SECOND, MORE = "stage2.0.conv1", "stage2.0.bn1", "stage2.0.conv2", 32
"""Where the copy is wider: 5.3 % more of all MACs."""
TRUTH_S = 120.0
PAIRS = 3000


def widened(path: Path) -> onnx.ModelProto:
    """The same function with more hidden channels between two convolutions; the new ones are 0."""
    model = onnx.load(path)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}

    def widen(name: str, axis: int, fill: float) -> None:
        weights = numpy_helper.to_array(stored[name])
        shape = [MORE if i == axis else size for i, size in enumerate(weights.shape)]
        more = np.full(shape, fill, weights.dtype)
        stored[name].CopyFrom(numpy_helper.from_array(np.concatenate([weights, more], axis), name))

    widen(f"{FIRST}.weight", 0, 0.0)
    for part, fill in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
        widen(f"{NORM}.{part}", 0, fill)
    widen(f"{SECOND}.weight", 1, 0.0)
    del model.graph.value_info[:]
    return model


def come_and_go(seed: int) -> None:
    """Be busy and idle in turns, for ever."""
    turns = random.Random(seed)
    while True:
        end = time.monotonic() + turns.expovariate(1 / TURN_S)
        while time.monotonic() < end:
            pass
        time.sleep(turns.expovariate(1 / TURN_S))


@contextmanager
def background(processes: int) -> Iterator[None]:
    """Other work on the same machine."""
    busy = [
        multiprocessing.Process(target=come_and_go, args=(seed,), daemon=True)
        for seed in range(processes)
    ]
    for process in busy:
        process.start()
    try:
        yield
    finally:
        for process in busy:
            process.terminate()


def bench(a: Path, b: Path, seed: int, budget_s: float) -> Any:
    """The document of one comparison, made in a process of its own."""
    words = [
        "bench",
        str(a),
        str(b),
        "--time-budget",
        f"{budget_s:g}",
        "--seed",
        str(seed),
        "--json",
    ]
    made = subprocess.run(
        [sys.executable, "-m", "gconvtool", *words], stdout=subprocess.PIPE, check=True
    )
    return json.loads(made.stdout)


def comparisons(
    a: Path, b: Path, runs: int, budget_s: float, save: Path | None
) -> Iterator[Comparison]:
    """One comparison a seed, read from a file where it is there already."""
    setting = {"models": [a.name, b.name], "budget_s": budget_s}
    known = {} if save is None else kept(save, setting)
    for seed in range(runs):
        if seed not in known:
            document = bench(a, b, seed, budget_s)
            if save is not None:
                with save.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**setting, "seed": seed, "document": document}) + "\n")
        else:
            document = known[seed]
        yield comparison_of(document)


def kept(save: Path, setting: Mapping[str, Any]) -> Mapping[int, Any]:
    """The documents of a file by seed; a line that was cut off is made again, on a new line."""
    if not save.exists():
        return {}
    text = save.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        with save.open("a", encoding="utf-8") as file:
            file.write("\n")
    found = [line for line in map(whole, text.splitlines()) if line is not None]
    alike = (line for line in found if all(line[key] == setting[key] for key in setting))
    return {line["seed"]: line["document"] for line in alike}


def whole(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def report(found: list[Comparison], truth: float) -> None:
    """What the verdicts were, and how often the interval held the truth."""
    judged = [one.judgement for one in found]
    verdicts = Counter(one.verdict for one in judged)
    held = mean(one.speedup.low <= truth <= one.speedup.high for one in judged)
    blocks = mean(len(one.measurement.blocks) for one in found)
    clean = sum(one.clean_rounds for one in judged) / sum(one.rounds for one in judged)
    width = median(one.speedup.high / one.speedup.low for one in judged)
    print("| comparisons | faster | slower | same | inconclusive ", end="")
    print("| interval holds the truth | its half-width, median | blocks | undisturbed rounds |")
    print("|---" * 9 + "|")
    shares = [verdicts[v] / len(found) for v in ("faster", "slower", "same", "inconclusive")]
    cells = [f"{len(found)}", *(f"{share:.1%}" for share in (*shares, held, math.sqrt(width) - 1))]
    print("| " + " | ".join([*cells, f"{blocks:.1f}", f"{clean:.0%}"]) + " |")


def against_itself(runs: int, budget_s: float, busy: int, save: Path | None) -> None:
    with background(busy):
        found = list(told(comparisons(MODEL, MODEL, runs, budget_s, save), runs))
    report(found, 1.0)


def slowdown(runs: int, budget_s: float, save: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wide = Path(folder) / "wide.onnx"
        onnx.save(widened(MODEL), wide)
        truth = stats.judge(long_look(MODEL, wide)).speedup
        print(f"The copy takes {1 / truth.estimate - 1:.1%} longer ", end="")
        print(f"({1 / truth.high - 1:.1%} to {1 / truth.low - 1:.1%}).\n")
        report(list(told(comparisons(MODEL, wide, runs, budget_s, save), runs)), truth.estimate)


def long_look(a: Path, b: Path) -> Measurement:
    """A measurement that nothing stops early."""

    def opener(path: Path) -> Callable[[], Callable[[], object]]:
        return lambda: Session(path, threads=cpu_budget()).runner(INPUT)

    return protocol.measure(
        opener(a),
        opener(b),
        clock=SystemClock(),
        rng=random.Random(0),
        time_budget_s=TRUTH_S,
        blocks=protocol.MOST_BLOCKS,
    )


def told(found: Iterator[Comparison], runs: int) -> Iterator[Comparison]:
    """The same, said on the way."""
    for number, one in enumerate(found, 1):
        judged = one.judgement
        said = f"{number} of {runs}: {judged.verdict}, {judged.speedup.estimate:.4f}"
        print(said, file=sys.stderr, flush=True)
        yield one


def overhead() -> None:
    """A run in the harness over a run in a bare loop, of the same session at the same time."""
    print("| model | a run in a bare loop | the harness adds |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        tiny = Path(folder) / "tiny.onnx"
        onnx.save(one_convolution(), tiny)
        for path in (MODEL, tiny):
            session = Session(path, threads=cpu_budget())
            ratios, bare_s = paired(session)
            middle = median(ratios)
            spread = 1.4826 * median(abs(ratio - middle) for ratio in ratios)
            error = 1.2533 * spread / math.sqrt(len(ratios))  # of a median
            print(f"| {path.stem} | {1e3 * bare_s:.3f} ms ", end="")
            print(f"| {math.expm1(middle):.2%} ± {2 * error:.2%} |", flush=True)


def one_convolution() -> onnx.ModelProto:
    """A model that is done in some 10 µs: one small convolution."""
    weights = numpy_helper.from_array(np.ones((4, 1, 3, 3), np.float32), "weights")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 28, 28])
    made = helper.make_tensor_value_info("made", TensorProto.FLOAT, [1, 4, 26, 26])
    node = helper.make_node("Conv", ["image", "weights"], ["made"])
    graph = helper.make_graph([node], "tiny", [image], [made], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def paired(session: Session) -> tuple[list[float], float]:
    """log(harness / bare) of pairs of turns in random order, and a bare run's median in s."""
    rng, clock, runner = random.Random(0), SystemClock(), session.runner(INPUT)
    bare(session, 100)
    run_s = min(bare(session, 10) for _ in range(10))
    runs = math.ceil(protocol.SAMPLE_NS / protocol.S_NS / run_s)
    turns: dict[str, Callable[[], float]] = {
        "harness": lambda: protocol.sample(runner, runs, clock).wall_ms / 1e3,
        "bare": lambda: bare(session, runs),
    }
    pairs = [{name: turns[name]() for name in rng.sample(list(turns), 2)} for _ in range(PAIRS)]
    ratios = [math.log(pair["harness"] / pair["bare"]) for pair in pairs]
    return ratios, median(pair["bare"] for pair in pairs)


def bare(session: Session, runs: int) -> float:
    """Seconds a run of onnxruntime's own session, without anything around it."""
    run = session._session.run
    start = time.perf_counter()
    for _ in range(runs):
        run(None, INPUT)
    return (time.perf_counter() - start) / runs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--slowdown", action="store_true")
    what.add_argument("--overhead", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--time-budget", type=float)
    parser.add_argument("--busy", type=int, default=1)
    parser.add_argument("--save", type=Path)
    asked = parser.parse_args()
    if asked.overhead:
        overhead()
    elif asked.slowdown:
        slowdown(asked.runs or 20, asked.time_budget or 60.0, asked.save)
    else:
        against_itself(asked.runs or 200, asked.time_budget or 10.0, asked.busy, asked.save)


if __name__ == "__main__":
    main()
