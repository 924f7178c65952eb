"""A module of ours in a process of its own: what it crashes, fills or prints stays there."""

from __future__ import annotations

import os
import subprocess
import sys


def run(
    module: str, *words: str, timeout_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE WORDS…`, with the modules that this process finds.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was stopped.
    """
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=timeout_s,
    )
