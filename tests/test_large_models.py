"""Models of more than 2 GB go in and out, in much less memory than that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from nets import images
from onnx import TensorProto, helper, numpy_helper

WORDS, WIDTH = 2_300_000, 256
"""A table of 2.36 GB in float32."""
MOST_BYTES = 1_000_000_000
PROBE = """
import resource, sys
from gconvtool.cli.main import main
from contextlib import suppress
with suppress(SystemExit):
    main()
with open("/proc/self/status") as status:
    high = next(line for line in status if line.startswith("VmHWM:"))
print("PEAK", int(high.split()[1]) * 1024, file=sys.stderr)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from /proc"),
]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that looks words up in a table of more than 2 GB, mostly a hole in its file, and
    adds what it finds to what its convolutions make."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    with (folder / "table.bin").open("wb") as file:
        file.truncate(WORDS * WIDTH * 4)
        file.write(rng.standard_normal(8 * WIDTH).astype(np.float32).tobytes())
    table = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=(WORDS, WIDTH))
    table.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "table.bin"), ("offset", "0")):
        table.external_data.add(key=key, value=value)
    weights = [
        numpy_helper.from_array((rng.standard_normal(shape) / 12).astype(np.float32), name)
        for name, shape in (("v", (16, 8, 3, 3)), ("w", (256, 16, 3, 3)))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["ra"]),
        helper.make_node("Conv", ["ra", "w"], ["b"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["b"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gather", ["table", "word"], ["found"], axis=0),
        helper.make_node("Add", ["f", "found"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "large",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8, 9, 9]),
            helper.make_tensor_value_info("word", TensorProto.INT64, ["N"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", WIDTH])],
        [table, *weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "net.onnx")
    words = np.arange(40, dtype=np.int64) % 8
    np.savez(folder / "data.npz", x=images(40), word=words)
    yield folder
    for path in folder.iterdir():
        path.unlink()


def run(*words: str | Path) -> tuple[str, str, int]:
    """What a command prints, what it says besides, and the most memory that it held."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    *said, peak = done.stderr.strip().splitlines()
    assert peak.startswith("PEAK"), done.stderr
    return done.stdout, "\n".join(said), int(peak.split()[1])


@pytest.mark.parametrize("words", ["--groups 2 --data {}/data.npz", "--exact"])
def test_it_is_converted_in_less_than_a_gigabyte(large: Path, words: str) -> None:
    out = large / "out.onnx"
    _, said, peak = run(
        "convert", large / "net.onnx", "-o", out, "--force", *words.format(large).split()
    )
    assert out.is_file(), said
    assert peak < MOST_BYTES, said
    (beside,) = large.glob("out.*.data")
    assert beside.stat().st_size > 2**31
    assert beside.name in said
    model = onnx.load(out, load_external_data=False)
    assert out.stat().st_size < 1_000_000
    assert {t.name for t in model.graph.initializer} >= {"table"}
    with_data = ("--data", large / "data.npz", "--time-budget", "2", "--json")
    compared, _, _ = run("bench", large / "net.onnx", out, *with_data)
    missed = json.loads(compared)["drift"]["relative_error"]
    assert missed < (1e-6 if words == "--exact" else 0.5)
    beside.unlink()
    out.unlink()
