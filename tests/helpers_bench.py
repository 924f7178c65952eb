"""Results of `bench` and `verify`, a kind each, as the reports get them; nothing is timed."""

from __future__ import annotations

from dataclasses import replace

from helpers_cli import comparison

from gconvtool.results import (
    BaselineCheck,
    Calibration,
    Cell,
    Comparison,
    Drift,
    Gate,
    Grid,
    Interval,
    Ranking,
    Recording,
    Sample,
    Solo,
    SoloBlock,
    Verification,
)

GATES = (
    Gate("min_speedup", 1.5, 1.83, True),
    Gate("max_accuracy_drop", 1.0, 1.3, False),
    Gate("max_p95", 12.5, None, None),
)
COMPARISON = replace(
    comparison(gates=GATES),
    baseline=BaselineCheck("old.json", Interval(1.9, 1.85, 1.95), Interval(0.963, 0.93, 0.99)),
    warnings=("a noisy neighbour",),
)


def rival(path: str, speedup: tuple[float, float, float], verdict: str) -> Comparison:
    """Another model against the first."""
    one = comparison(speedup, verdict)  # type: ignore[arg-type]
    return replace(one, b=replace(one.b, path=path), warnings=("a noisy neighbour",))


RANKING = Ranking(
    (
        rival("small.onnx", (2.5, 2.4, 2.6), "faster"),
        rival("tiny.onnx", (2.45, 2.3, 2.55), "faster"),
        rival("half.onnx", (1.4, 1.3, 1.5), "faster"),
        rival("big.onnx", (0.5, 0.4, 0.6), "slower"),
    )
)
SOLO = Solo(
    COMPARISON.a, Interval(1.83, 1.8, 1.87), Interval(546.4, 534.8, 555.6), "cpu", 2, 1,
    {"CPUExecutionProvider": COMPARISON.placement["a"]["CPUExecutionProvider"]},
    COMPARISON.machine, COMPARISON.macs[0], (Gate("max_size", 5e6, 3141592, True),),
    Recording((SoloBlock(18.0, 3.6, (Sample(1.83, 1.8, False),) * 3),) * 2, 1),
)  # fmt: skip
CALIBRATION = Calibration(comparison((1.001, 0.99, 1.012), "same"), 0.011, 0.031)
GRID = Grid(
    tuple(
        Cell(batch, threads, "", replace(one, batch=batch, threads=threads))
        for batch, threads, one in (
            (1, 1, comparison((0.9, 0.88, 0.92), "slower")),
            (1, 2, comparison((1.0, 0.9, 1.1), "inconclusive", gates=GATES[2:])),
            (8, 1, comparison((1.5, 1.4, 1.6), "faster", gates=GATES[:2])),
            (8, 2, comparison((1.7, 1.6, 1.8), "faster", gates=GATES[:1])),
        )
    ),
    ("B is faster from batch 8 on (1 thread)", "B is faster from batch 8 on (2 threads)"),
)
SCORES = Drift(
    "scores", 2000, 0.0213, 33.43, 0.99977, 0.97, 0.924, 0.911, None, None, 0.5, 0.01, 0.008, 0.02,
    0.3, 0.999,
)  # fmt: skip
BOXES = Drift("boxes", 2000, 0.0, None, 1.0, max_abs=0.0, mean_abs=0.0, p50_abs=0.0, p90_abs=0.0,
              p99_abs=0.0)  # fmt: skip
VERIFICATION = Verification(
    "a.onnx", "b.onnx", (SCORES, BOXES), "test.npz",
    (Gate("max_abs", 0.1, 0.5, False), Gate("min_snr", 30, 33.43, True)),
)  # fmt: skip
EVERY = {
    "comparison": COMPARISON,
    "solo": SOLO,
    "calibration": CALIBRATION,
    "ranking": RANKING,
    "grid": GRID,
    "verification": VERIFICATION,
}
