"""Whether `analyze` is linear in nodes, and how it compares with loading and inferring shapes.

    python benchmarks/analyze_speed.py

Chains of convolution, activation and addition of 1,000 to 10,000 nodes. Prints, for each, the time
of `gconvtool.analyze` against `onnx_ir.load` plus its shape inference (bar: 2), and the time per
node against that of the shortest chain (linear: about 1).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes.common import ShapeInferencePass

import gconvtool

SIZES = (1_000, 3_000, 10_000)
ROUNDS = 5


def chain(nodes: int, path: Path) -> None:
    """Residual blocks of a 3x3 convolution, an activation and an addition."""
    rng = np.random.default_rng(0)
    made, weights, x = [], [], "x"
    for block in range(nodes // 3):
        weights.append(
            numpy_helper.from_array(rng.standard_normal((8, 8, 3, 3), np.float32), f"w{block}")
        )
        made += [
            helper.make_node("Conv", [x, f"w{block}"], [f"c{block}"], pads=[1] * 4),
            helper.make_node("Relu", [f"c{block}"], [f"r{block}"]),
            helper.make_node("Add", [f"r{block}", x], [f"a{block}"]),
        ]
        x = f"a{block}"
    shape = ["N", 8, 32, 32]
    graph = helper.make_graph(
        made,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def load_and_infer(path: Path) -> None:
    ShapeInferencePass()(ir.load(path))


def seconds(act: Callable[[Path], object], path: Path) -> float:
    start = time.perf_counter()
    act(path)
    return time.perf_counter() - start


def main() -> None:
    per_node: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.onnx"
        for size in SIZES:
            chain(size, path)
            pairs = [
                (seconds(gconvtool.analyze, path), seconds(load_and_infer, path))
                for _ in range(ROUNDS)
            ]
            ratio = statistics.median(ours / base for ours, base in pairs)
            per_node.append(statistics.median(ours for ours, _ in pairs) / size)
            print(
                f"{size:>6,} nodes: {ratio:.2f}x of load plus inference, "
                f"{per_node[-1] / per_node[0]:.2f}x of the shortest chain's time per node"
            )


if __name__ == "__main__":
    main()
