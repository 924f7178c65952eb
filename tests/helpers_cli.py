"""A desk to try the command line at: a folder with tiny networks and data, and what calls leave.

A call runs in this process, as `gconvtool WORDS…` would in the desk's folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nets
import numpy as np
import onnx
import pytest

from gconvtool.cli.main import run
from gconvtool.results import (
    Block,
    Comparison,
    Drift,
    Gate,
    Interval,
    Judgement,
    Machine,
    Measurement,
    Placed,
    Round,
    Sample,
    Timing,
    Totals,
    Verdict,
)

CLASSIFIER = """
<ir_version: 8, opset_import: ["": 17]>
tiny (float[N, 3, 8, 8] image) => (float[N, 4] scores)
  <float[8, 3, 3, 3] w0, float[8] b0, float[16, 8, 3, 3] w1, float[16] b1, float[16, 16, 3, 3] w2,
   float[4, 16] w3, float[4] b3>
{
  stem = Conv <pads = [1, 1, 1, 1]> (image, w0, b0)
  r0 = Relu (stem)
  first = Conv <pads = [1, 1, 1, 1]> (r0, w1, b1)
  r1 = Relu (first)
  second = Conv <pads = [1, 1, 1, 1]> (r1, w2)
  r2 = Relu (second)
  pooled = GlobalAveragePool (r2)
  flat = Flatten (pooled)
  scores = Gemm <transB = 1> (flat, w3, b3)
}
"""
CLASSIFIER_MACS = 64 * (8 * 3 * 9 + 16 * 8 * 9 + 16 * 16 * 9) + 4 * 16
CLASSIFIER_PARAMS = 8 * 27 + 8 + 16 * 72 + 16 + 16 * 144 + 4 * 16 + 4

TERMINAL = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TERM"}
"""What a terminal or a pipeline may have set, and what tests set themselves."""


@dataclass(frozen=True)
class Answer:
    """What a call printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one document that stdout is, as strict JSON."""
        assert "\x1b" not in self.out
        return json.loads(self.out, parse_constant=_no_constant)

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


class Desk:
    """A working folder and the command line in it."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.capfd = folder, capfd
        monkeypatch.chdir(folder)
        for name in TERMINAL:
            monkeypatch.delenv(name, raising=False)

    def furnish(self) -> Desk:
        """Put a classifier and data in: net.onnx, fit.npz (40 samples), test.npz (30, labels)."""
        onnx.save(nets.network(CLASSIFIER), self.folder / "net.onnx")
        np.savez(self.folder / "fit.npz", image=nets.images(40, shape=(3, 8, 8)))
        test = nets.images(30, seed=1, shape=(3, 8, 8))
        np.savez(self.folder / "test.npz", image=test, labels=np.arange(30) % 4)
        return self

    def __call__(self, *words: object) -> Answer:
        """Type `gconvtool WORDS…`."""
        self.capfd.readouterr()
        code = run([str(word) for word in words])
        return Answer(code, *self.capfd.readouterr())

    def files(self) -> dict[str, str | None]:
        """Everything in the folder, hidden files too, with its contents' hash (None: a folder)."""
        return {
            str(path.relative_to(self.folder)): (
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
            )
            for path in sorted(self.folder.rglob("*"))
        }


def refused(answer: Answer, code: int = 2) -> str:
    """The message of a call that was refused as the contract wants it: one line, no traceback."""
    assert answer.code == code, answer.err
    assert len(answer.lines) == 1, answer.err
    assert answer.err.startswith("error: ")
    assert "Traceback" not in answer.err
    return answer.err.removeprefix("error: ").rstrip("\n")


def environment(**variables: str) -> dict[str, str]:
    """The variables of a process of its own: few threads, and no terminal's settings."""
    kept = {name: value for name, value in os.environ.items() if name not in TERMINAL}
    root = str(Path(__file__).parent.parent)
    paths = os.pathsep.join(filter(None, (root, kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", **variables}


def python(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *words],
        env=environment(**variables),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def comparison(
    speedup: tuple[float, float, float] = (1.83, 1.78, 1.88),
    verdict: Verdict = "faster",
    drift: Drift | None = None,
    gates: Sequence[Gate] = (),
    totals: tuple[Totals, Totals] = (Totals(4000, 400), Totals(1000, 100)),
    times_ms: tuple[float, float] = (1.83, 1.0),
    threads: int = 2,
    provider: str = "cpu",
) -> Comparison:
    """A comparison as `bench` answers it, without timing anything."""
    a_ms, b_ms = times_ms
    rounds = (Round("AB", Sample(a_ms, a_ms, False), Sample(b_ms, b_ms, False)),)
    return Comparison(
        a=Timing("a.onnx", a_ms, a_ms, None, 10 * a_ms, 2 * a_ms),
        b=Timing("b.onnx", b_ms, None, None, 10 * b_ms, 2 * b_ms),
        judgement=Judgement(Interval(*speedup), verdict, "wall", 100, 98),
        drift=(drift or Drift("scores", 2000, 0.02, 34.0, 0.9998),),
        drift_source="test.npz",
        provider=provider,
        threads=threads,
        batch=1,
        placement={
            "a": {"CPUExecutionProvider": Placed(5)},
            "b": {"CPUExecutionProvider": Placed(7)},
        },
        machine=Machine("Linux", "a processor", 2, "3.11.7", "1.20.0"),
        macs=totals,
        gates=tuple(gates),
        measurement=Measurement((Block((1.0, 1.0), (1.0, 1.0), rounds),), (1, 1)),
    )


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
