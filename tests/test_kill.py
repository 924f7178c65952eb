"""A conversion that is killed leaves no half of a model, and the input as it was."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from models import ort
from nets import RESIDUAL, images, network

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")

CHILD = """
import os, sys, time
from pathlib import Path

moment = sys.argv.pop(1)
calls = 0

def stopping(act, place):
    def run(*args, **options):
        global calls
        calls += 1
        if moment == f"before {place} {calls}":
            print("now", flush=True)
            time.sleep(60)
        result = act(*args, **options)
        if moment == f"after {place} {calls}":
            print("now", flush=True)
            time.sleep(60)
        return result
    return run

if "sync" in moment:
    os.fsync = stopping(os.fsync, "sync")
if "rename" in moment:
    Path.replace = stopping(Path.replace, "rename")

from gconvtool.cli.main import main
main()
"""
MOMENTS = [
    f"{when} {place} {count}"
    for place in ("sync", "rename")
    for when in ("before", "after")
    for count in (1, 2)
]
"""With a plan, two files are written: the plan's is whole before the model takes its place."""
QUICK = ("before sync 2", "after rename 1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    onnx.save(network(RESIDUAL), folder / "net.onnx")
    np.savez(folder / "data.npz", x=images(16))
    return folder


def start(folder: Path, moment: str, out: Path) -> subprocess.Popen[str]:
    words = (
        f"convert {folder}/net.onnx -o {out} --separable --data {folder}/data.npz --force "
        f"--threads 1 --save-plan {out}.json"
    )
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, moment, *words.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


def require_whole(folder: Path, out: Path, before: bytes | None) -> None:
    """What was there before, or a whole new model; or nothing, where nothing was."""
    assert out.exists() or before is None
    if out.exists() and out.read_bytes() != before:
        (scores,) = ort(onnx.load(out), x=images(2))
        assert scores.shape == (2, 5)
    assert (folder / "net.onnx").read_bytes() == network(RESIDUAL).SerializeToString()


@pytest.mark.parametrize(
    "moment",
    [pytest.param(moment, marks=() if moment in QUICK else pytest.mark.slow) for moment in MOMENTS],
)
@pytest.mark.parametrize(
    "before", [b"an older file", pytest.param(None, marks=pytest.mark.slow)], ids=["there", "new"]
)
def test_killed_while_it_writes(
    moment: str, before: bytes | None, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.onnx"
    if before is not None:
        out.write_bytes(before)
    child = start(folder, moment, out)
    assert child.stdout is not None
    assert child.stdout.readline() == "now\n"
    kill(child)
    require_whole(folder, out, before)
    written = before != (out.read_bytes() if out.exists() else None)
    assert written == (moment in ("after rename 1", "before rename 2", "after rename 2"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_killed_at_any_time(seed: int, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    out.write_bytes(b"an older file")
    child = start(folder, "never", out)
    time.sleep(random.Random(seed).uniform(0.2, 4.0))
    kill(child)
    require_whole(folder, out, b"an older file")
