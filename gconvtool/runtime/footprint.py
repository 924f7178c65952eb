"""How much memory it takes to load a model and run it, measured in a process of its own.

    peak memory = the largest resident set after loading and two runs
                − the largest before, with the runtime at work and the inputs in memory

It is what a model adds to a program that uses onnxruntime: weights, what loading copies of them,
activations. The runtime is at work once it has run something (here, one Identity): its first
session takes about 10 MB whatever the model. Two runs, since onnxruntime plans its memory in the
first and allocates by that plan from the second on. Memory on a GPU is not counted.

Linux tells the peak of a process (VmHWM in /proc/self/status); what `getrusage` says there will not
do, since it begins with the peak of the process that started this one. On macOS it does; Windows
has neither.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
from onnx import parser

from gconvtool.facts import Skip
from gconvtool.graph.pack import Packed
from gconvtool.runtime import apart
from gconvtool.runtime.inputs import Arrays
from gconvtool.runtime.session import Session

JOB, MODEL, INPUTS, ANSWER = "job.json", "model.onnx", "inputs.npz", "answer.json"
STATUS = Path("/proc/self/status")
RUNS = 2
SMALLEST = """
<ir_version: 8, opset_import: ["": 13]>
smallest (float[1] x) => (float[1] y) { y = Identity (x) }
"""


class How(TypedDict):
    """How a session is opened, see `Session`."""

    provider: str
    threads: int
    provider_options: Mapping[str, str]
    session_options: Mapping[str, str]


@dataclass(frozen=True)
class _Job:
    """What the other process is to do; `inputs` are names, in the order of their arrays."""

    folder: str | None
    inputs: list[str]
    how: How


def peak_memory(model: Packed, feeds: Arrays, how: How) -> int | Skip:
    """Bytes that a model adds to a process that loads it and runs it on these inputs."""
    folder = None if model.folder is None else str(model.folder.resolve())
    try:
        with tempfile.TemporaryDirectory(prefix="gconvtool.") as name:
            return _measured(Path(name), _Job(folder, list(feeds), how), model.content, feeds)
    except OSError as error:
        return Skip(f"{tempfile.gettempdir()}: {error.strerror or error}")


def _measured(folder: Path, job: _Job, content: bytes, feeds: Arrays) -> int | Skip:
    (folder / JOB).write_text(json.dumps(asdict(job)), encoding="utf-8")
    (folder / MODEL).write_bytes(content)
    np.savez(folder / INPUTS, *feeds.values())
    done = apart.run("gconvtool.runtime.footprint", str(folder))
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return Skip(f"the process that ran it ended with code {done.returncode}: {last}")
    added = json.loads((folder / ANSWER).read_text(encoding="utf-8"))
    if added is None:
        return Skip("this system does not say how much memory a process has taken")
    return int(added)


def _run(folder: Path) -> None:
    """What the other process does."""
    job = _Job(**json.loads((folder / JOB).read_text(encoding="utf-8")))
    content = (folder / MODEL).read_bytes()
    model = Packed(content, None if job.folder is None else Path(job.folder))
    with np.load(folder / INPUTS) as arrays:
        feeds = dict(zip(job.inputs, arrays.values(), strict=True))
    smallest = Packed(parser.parse_model(SMALLEST).SerializeToString())
    _load_and_run(smallest, job.how, {"x": np.zeros(1, np.float32)})
    before = taken()
    _load_and_run(model, job.how, feeds)
    after = taken()
    added = None if before is None or after is None else after - before
    (folder / ANSWER).write_text(json.dumps(added), encoding="utf-8")


def _load_and_run(model: Packed, how: How, feeds: Arrays) -> None:
    session = Session(model, **how)
    for _ in range(RUNS):
        session.run(feeds)


def taken() -> int | None:
    """The largest resident set of this process so far."""
    if sys.platform == "darwin":
        import resource  # noqa: PLC0415  Windows has none

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        status = STATUS.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


if __name__ == "__main__":
    _run(Path(sys.argv[1]))
