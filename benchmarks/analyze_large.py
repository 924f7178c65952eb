"""What a model of 3 GB costs to analyse: seconds beyond imports, and memory.

    python benchmarks/analyze_large.py

The weights are a sparse file beside the model, which takes no room on the disk. Each figure is that
of a process of its own; bars: 1 s and 250 MB, with the data file and without it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from onnx import TensorProto, helper

LAYERS = 12
SIDE = 8192
"""256 MiB of float32 in a matrix of SIDE × SIDE: 3 GiB in all."""
BARS = {"seconds": 1.0, "megabytes": 250.0}

PROBE = """
import json, resource, sys, time
import gconvtool, gconvtool.pipeline.analyze
start = time.perf_counter()
result = gconvtool.analyze(sys.argv[1])
took = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.platform == "linux":  # where that starts with what the parent held before the fork
    lines = open("/proc/self/status").read().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
print(json.dumps({
    "seconds": took,
    "megabytes": peak / (2**20 if sys.platform == "darwin" else 2**10),
    "macs": result.totals.macs, "params": result.totals.params, "exact": result.totals.exact,
    "warnings": list(result.warnings),
}))
"""
"""Linux counts the most memory held in KiB, macOS in bytes."""


def build(folder: Path) -> Path:
    """A chain of matrix products whose weights are 3 GiB of holes; returns the model's path."""
    size = 4 * SIDE * SIDE
    with (folder / "weights.bin").open("wb") as file:
        file.truncate(LAYERS * size)
    graph = helper.make_graph(
        [helper.make_node("MatMul", [f"x{n}", f"w{n}"], [f"x{n + 1}"]) for n in range(LAYERS)],
        "large",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["N", SIDE])],
        [helper.make_tensor_value_info(f"x{LAYERS}", TensorProto.FLOAT, ["N", SIDE])],
        [_weight(f"w{n}", n * size, size) for n in range(LAYERS)],
    )
    path = folder / "large.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def _weight(name: str, offset: int, length: int) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[SIDE, SIDE])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def probe(path: Path) -> dict[str, object]:
    """Analyse in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(path)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = build(Path(folder))
        for state in ("with its data file", "without it"):
            figures = probe(path)
            print(
                f"3 GiB {state}: {figures['seconds']:.2f} s (bar {BARS['seconds']:g}), "
                f"{figures['megabytes']:.0f} MB (bar {BARS['megabytes']:g}); "
                f"{figures['macs']:,} MACs, {figures['params']:,} parameters"
            )
            (Path(folder) / "weights.bin").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
