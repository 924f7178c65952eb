"""A provider tried out: one small convolution, in a process of its own.

A provider that is built in may still miss a library, print, or take the process down with it. What
it left says which library that was, in the words of the system's loader.

The CPU's kernels keep channels in blocks of B. That is seen, not derived: a grouped convolution
with B channels a group is the smallest that onnxruntime turns into one of that layout.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gconvtool.errors import GconvError
from gconvtool.runtime import apart
from gconvtool.runtime.providers import built_in, short
from gconvtool.runtime.session import Session, onnxruntime, version

PATIENCE_S = 120.0
"""Some providers compile even a small model for a while, when they are used for the first time."""
MISSING = re.compile(
    r"([^\s\"':]+): cannot open shared object file"
    r"|depends on \"([^\"]+)\" which is missing"
    r"|Library not loaded: (\S+)"
)
"""What the loaders of Linux, Windows and macOS say of a library that is not there."""
LOGGED = re.compile(r"\[([EW]):onnxruntime[^\]]*\] (?:.*\[ONNXRuntimeError\] : \d+ : \w+ : )?(.+)")
"""A line of onnxruntime's log: whether it is an error or a warning, and what it says."""
CHANNELS, SHAPE = 32, (1, 32, 8, 8)
BLOCKS = (8, 16)
BLOCKED_DOMAIN = "com.microsoft.nchwc"


@dataclass(frozen=True)
class Trial:
    """What came of it. Everything but `trouble` is unknown where onnxruntime itself does not load.

    `ran` is whether the provider ran the convolution itself, `missing` a library that it did not
    find, `cuda` the version that onnxruntime is built for, "" if none. `block` is that of the CPU's
    kernels, None if they have none.
    """

    trouble: str | None = None
    missing: str | None = None
    version: str | None = None
    built_in: tuple[str, ...] = ()
    cuda: str = ""
    ran: bool | None = None
    block: int | None = None


def try_out(provider: str) -> Trial:
    """Load a provider and run a convolution on it."""
    try:
        done = apart.run("gconvtool.runtime.trial", provider, timeout_s=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return Trial(f"it did not answer within {PATIENCE_S:.0f} s")
    if done.returncode:
        return Trial(_ended(done), _missing(done.stderr))
    answer = json.loads(done.stdout.splitlines()[-1])
    trial = Trial(**{**answer, "built_in": tuple(answer["built_in"])})
    if trial.trouble is None:
        return trial
    said = f"{trial.trouble}\n{done.stderr}"
    return replace(trial, trouble=_logged(done.stderr) or trial.trouble, missing=_missing(said))


def _missing(said: str) -> str | None:
    """The first library that a loader did not find."""
    found = MISSING.search(said)
    return found and next(group for group in found.groups() if group)


def _logged(said: str) -> str | None:
    """What onnxruntime logged before it went on without the provider: the error, or the warning."""
    told = dict(reversed(LOGGED.findall(said)))
    return told.get("E", told.get("W"))


def _ended(done: subprocess.CompletedProcess[str]) -> str:
    """How a process ended that gave no answer."""
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode < 0:
        return f"the process that tried it was ended by signal {-done.returncode}: {last}"
    return f"the process that tried it ended with code {done.returncode}: {last}"


def _try(provider: str) -> Trial:
    """What the other process does."""
    try:
        runtime = onnxruntime()
    except GconvError as error:
        return Trial(str(error))
    known = Trial(
        version=version(),
        built_in=tuple(built_in(runtime)),
        cuda=getattr(runtime, "cuda_version", ""),
    )
    try:
        session = Session(_model(1), provider, 1, "a small model")
        session.run({"x": np.ones(SHAPE, np.float32)})
    except GconvError as error:
        return replace(known, trouble=str(error))
    block = _block(runtime) if provider == "cpu" else None
    return replace(known, ran=_ran(session, provider), block=block)


def _ran(session: Session, provider: str) -> bool | None:
    """Whether all nodes ran on the provider."""
    nodes = session.assigned()
    return None if nodes is None else all(short(node.provider) == provider for node in nodes)


def _block(runtime: Any) -> int | None:
    return next((block for block in BLOCKS if _is_blocked(runtime, CHANNELS // block)), None)


def _is_blocked(runtime: Any, groups: int) -> bool:
    """Whether a convolution of so many groups becomes one in blocks."""
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory(prefix="gconvtool.") as folder:
        optimized = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(optimized)
        runtime.InferenceSession(_model(groups), options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(optimized).graph.node
    return any(node.domain == BLOCKED_DOMAIN for node in nodes)


def _model(groups: int) -> bytes:
    """One convolution, 3×3."""
    ones = np.ones((CHANNELS, CHANNELS // groups, 3, 3), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv", group=groups, pads=[1, 1, 1, 1])],
        "trial",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)],
        [numpy_helper.from_array(ones, "w")],
    )
    opset = helper.make_opsetid("", 13)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=7)
    return bytes(model.SerializeToString())


if __name__ == "__main__":
    print(json.dumps(asdict(_try(sys.argv[1]))))
