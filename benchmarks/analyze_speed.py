"""Whether `analyze` is linear in nodes, and how it compares with loading and inferring shapes.

    python benchmarks/analyze_speed.py

Chains of 1,000 to 10,000 nodes; 3,000 where each has expressions of its own. Prints, for each, the
time of `gconvtool.analyze` against `onnx_ir.load` plus ONNX's shape inference (bar: 2), and the
time per node against that of the shortest chain of its kind (linear: about 1). The kinds:

    fixed       residual blocks of convolution, activation and addition over a map of 32×32
    open        the same over N×8×H×W
    shrinking   convolutions without padding: H − 2, H − 4, …, a new expression at each
    down, up    strides and transposed strides in turn: roundings of roundings of H
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx_ir.passes.common import ShapeInferencePass

import gconvtool

SIZES = (1_000, 3_000, 10_000)
ROUNDS = 3
Block = Callable[[int, str, str], list[NodeProto]]
"""Three nodes: of a block's number, from the value of a name to that of another."""


def residual(n: int, x: str, y: str) -> list[NodeProto]:
    return [
        helper.make_node("Conv", [x, f"w{n}"], [f"c{n}"], pads=[1] * 4),
        helper.make_node("Relu", [f"c{n}"], [f"r{n}"]),
        helper.make_node("Add", [f"r{n}", x], [y]),
    ]


def shrinking(n: int, x: str, y: str) -> list[NodeProto]:
    return [
        helper.make_node("Conv", [x, f"w{n}"], [f"c{n}"]),
        helper.make_node("Relu", [f"c{n}"], [f"r{n}"]),
        helper.make_node("Sigmoid", [f"r{n}"], [y]),
    ]


def down_up(n: int, x: str, y: str) -> list[NodeProto]:
    return [
        helper.make_node("Conv", [x, f"w{n}"], [f"c{n}"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", [f"c{n}"], [f"r{n}"]),
        helper.make_node("ConvTranspose", [f"r{n}", f"w{n}"], [y], strides=[2, 2], pads=[1] * 4),
    ]


OPEN = ("N", 8, "H", "W")
KINDS: Mapping[str, tuple[Block, Sequence[int | str], Sequence[int]]] = {
    "fixed": (residual, ("N", 8, 32, 32), SIZES),
    "open": (residual, OPEN, SIZES),
    "shrinking": (shrinking, OPEN, SIZES[:2]),
    "down, up": (down_up, OPEN, SIZES[:2]),
}


def chain(nodes: int, block: Block, shape: Sequence[int | str], path: Path) -> None:
    """Blocks one after another, each with a 3×3 weight of its own."""
    rng = np.random.default_rng(0)
    blocks = nodes // 3
    graph = helper.make_graph(
        [node for n in range(blocks) for node in block(n, f"a{n}", f"a{n + 1}")],
        "chain",
        [helper.make_tensor_value_info("a0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"a{blocks}", TensorProto.FLOAT, [None] * len(shape))],
        [
            numpy_helper.from_array(rng.standard_normal((8, 8, 3, 3), np.float32), f"w{n}")
            for n in range(blocks)
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def load_and_infer(path: Path) -> None:
    ShapeInferencePass()(ir.load(path))


def seconds(act: Callable[[Path], object], path: Path) -> float:
    start = time.perf_counter()
    act(path)
    return time.perf_counter() - start


def measure(path: Path) -> tuple[float, float]:
    """Seconds of ours, and the ratio to the others', of rounds in turn."""
    pairs = [
        (seconds(gconvtool.analyze, path), seconds(load_and_infer, path)) for _ in range(ROUNDS)
    ]
    ours = statistics.median(pair[0] for pair in pairs)
    return ours, statistics.median(a / b for a, b in pairs)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chain.onnx"
        for kind, (block, shape, sizes) in KINDS.items():
            per_node: list[float] = []
            for size in sizes:
                chain(size, block, shape, path)
                ours, ratio = measure(path)
                per_node.append(ours / size)
                print(
                    f"{kind:<10}{size:>7,} nodes: {ratio:5.2f}x of load plus inference, "
                    f"{per_node[-1] / per_node[0]:5.2f}x of the shortest chain's time per node",
                    flush=True,
                )


if __name__ == "__main__":
    main()
