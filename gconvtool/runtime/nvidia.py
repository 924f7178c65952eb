"""What NVIDIA's packages and its driver say of themselves; nothing where there are none."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import metadata

from gconvtool.facts import Skip

PACKAGES = re.compile(r"^nvidia-(cudnn|cublas|cuda-runtime|cufft)(-cu\d+)?$")
"""Those whose libraries convolutions on a GPU load."""
QUERY = ("--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
PATIENCE_S = 30.0


def packages() -> tuple[str, ...]:
    """Libraries of CUDA that are installed as Python packages: `nvidia-cudnn-cu12 9.10.2`."""
    named = ((str(dist.metadata["Name"] or ""), dist.version) for dist in metadata.distributions())
    return tuple(sorted({f"{name} {number}" for name, number in named if PACKAGES.match(name)}))


def gpus() -> tuple[str, ...] | Skip | None:
    """GPUs with their driver and memory; a reason where the driver does not answer; None without.

    Each is a line of `nvidia-smi`: `NVIDIA H100 80GB HBM3, 550.54.15, 81559 MiB`.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *QUERY], capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Skip(f"nvidia-smi does not answer: {error}")
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    if done.returncode or not said:
        return Skip(f"nvidia-smi: {said[0] if said else 'no GPUs'}")
    return tuple(said)
