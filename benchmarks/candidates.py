"""How long it takes to time all candidates of a network as large as ResNet-50, none known before.

    python benchmarks/candidates.py [--threads T]

The network is light_resnet50 of the onnx package at 224×224, with weights drawn at random: to a
clock they are as good as any. The bar comes last, held or missed:

    all of them take 60 seconds or less
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper

from gconvtool.graph import shapes
from gconvtool.menu import menu
from gconvtool.pipeline.ground import Request, ground
from gconvtool.pipeline.prices import timed
from gconvtool.pipeline.source import Feed, Network, silent
from gconvtool.plan import Selection

MODEL = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
MOST_SECONDS = 60.0
SAMPLES, SHAPE = 8, (3, 224, 224)


def resnet() -> onnx.ModelProto:
    """The architecture, with numbers for weights."""
    model, rng = onnx.load(MODEL), np.random.default_rng(0)
    sizes = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "ConstantOfShape"]:
        shape = tuple(sizes[node.input[0]])
        drawn = (
            np.abs(rng.standard_normal(shape)) if len(shape) == 1 else rng.normal(0, 0.02, shape)
        )
        model.graph.initializer.append(
            numpy_helper.from_array(drawn.astype(np.float32), node.output[0])
        )
        model.graph.node.remove(node)
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    network = Network(ir.from_proto(resnet()), MODEL.stem)
    feeds = {network.model.graph.inputs[0].name or "": np.zeros((1, *SHAPE), np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data.npz"
        np.savez(data, **{name: np.resize(x, (SAMPLES, *SHAPE)) for name, x in feeds.items()})
        request = Request(network, None, Selection(), Feed(data), SAMPLES, 0, threads, silent)
        found = ground(request, every=True)
    fixed = found.base.clone()
    shapes.infer(fixed)
    menus = {name: menu(site) for name, site in found.sites.items()}
    offers = {name: answer for name, answer in menus.items() if isinstance(answer, tuple)}
    start = time.perf_counter()
    priced = timed(request, found, fixed, offers, feeds, remember=False)
    seconds = time.perf_counter() - start
    count = sum(map(len, offers.values()))
    print(f"{count} candidates of {len(offers)} sites, {len(priced.prices)} with prices")
    verdict = "held" if seconds <= MOST_SECONDS else "MISSED"
    print(f"{verdict}: timed in {seconds:.0f} s (bar {MOST_SECONDS:.0f} s), {threads} threads")


if __name__ == "__main__":
    main()
