"""The machine that a measurement is made on: its clock, its CPUs, and what disturbs it now.

What a process may use is the smallest of three numbers: the CPUs that the machine has, those
that it is pinned to (affinity), and the CPU time that its control groups allow (quota: 150 ms in
every 100 ms are 1.5 CPUs). More threads than that take turns, and their times say so.

Facts are read from files under `root`, which only Linux has. Where there is no such file, another
way is taken, or the fact is unknown and nothing is said about it:

                        Linux                      macOS               Windows
    load                /proc/loadavg              os.getloadavg       unknown
    pressure, quota     /proc/pressure, cgroups    unknown             unknown
    affinity            sched_getaffinity          all CPUs            all CPUs
    preemptions         getrusage                  getrusage           unknown
    processor's name    /proc/cpuinfo              sysctl              the platform module
    CPU time's grain    1 ns                       1 µs                16 ms

A grain that is longer than a sample makes CPU times of 0, which are then not compared (`ratios`).
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

from gconvtool.results import Machine

if sys.platform != "win32":
    import resource

ROOT = Path("/")
HIGH_PRESSURE = 10.0


class SystemClock:
    """The real clock, as `protocol.Clock` wants it."""

    def wall_ns(self) -> int:
        """Monotonic time."""
        return time.perf_counter_ns()

    def cpu_ns(self) -> int:
        """User and system time of all threads."""
        return time.process_time_ns()

    def preemptions(self) -> int | None:
        """Involuntary context switches of all threads."""
        if sys.platform == "win32":
            return None
        return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


@dataclass(frozen=True)
class Surroundings:
    """What a process has of its machine. None: unknown, or for `quota` no limit.

    `load` is the mean number of runnable tasks in the last minute, `pressure` the percentage of
    the last ten seconds in which some task waited for a CPU.
    """

    cpus: int
    affinity: int
    quota: float | None = None
    load: float | None = None
    pressure: float | None = None

    @property
    def budget(self) -> int:
        """Threads that can run at once: rounded down, since a throttled thread stops for long."""
        return max(1, int(min(self.affinity, self.quota or self.affinity)))


def surroundings(root: Path = ROOT) -> Surroundings:
    """Read them, now."""
    return Surroundings(
        cpus=os.cpu_count() or 1,
        affinity=_affinity(),
        quota=_quota(root),
        load=_load(root),
        pressure=_first_number(root / "proc/pressure/cpu", r"^some avg10=([\d.]+)"),
    )


def cpu_budget(root: Path = ROOT) -> int:
    """How many threads this process can run at once, at least 1."""
    return surroundings(root).budget


def preflight(root: Path = ROOT) -> tuple[str, ...]:
    """What would disturb a measurement that starts now, with advice."""
    return advice(surroundings(root))


def advice(now: Surroundings) -> tuple[str, ...]:
    """The warnings that these surroundings deserve."""
    warnings = []
    if now.load is not None and now.load > now.cpus:
        warnings.append(
            f"{now.load:.1f} tasks want the {now.cpus} CPUs (load average): close other programs, "
            "or expect a wide interval"
        )
    if now.pressure is not None and now.pressure > HIGH_PRESSURE:
        warnings.append(
            f"tasks waited for a CPU in {now.pressure:.0f} % of the last 10 s: close other "
            "programs, or expect a wide interval"
        )
    if now.quota is not None and now.quota < now.affinity:
        warnings.append(
            f"the container may use {now.quota:g} of {now.affinity} CPUs and is paused beyond "
            f"that: use {now.budget} thread{'s' * (now.budget > 1)}, or raise its quota"
        )
    return tuple(warnings)


def crowding(threads: int, root: Path = ROOT) -> Iterator[str]:
    """What more threads than can run at once do to a measurement."""
    budget = cpu_budget(root)
    if threads > budget:
        yield (
            f"{threads} threads take turns, since {budget} can run at once (CPUs, affinity, "
            f"quota): times are those of the turns, too; use {budget}"
        )


def machine(onnxruntime_version: str, root: Path = ROOT) -> Machine:
    """What to write beside a measurement; `cpus` are those that this process may use."""
    name = _first(root / "proc/cpuinfo", r"^model name\s*:\s*(.+)$")
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        processor=name or _brand() or platform.processor() or platform.machine(),
        cpus=cpu_budget(root),
        python=platform.python_version(),
        onnxruntime=onnxruntime_version,
    )


def differences(then: Machine, now: Machine) -> tuple[str, ...]:
    """In which ways two measurements were not made in the same place, in words.

    Python is left out: it starts runs and has no part in them.
    """
    facts = {
        "system": (then.system, now.system),
        "processor": (then.processor, now.processor),
        "CPUs": (then.cpus, now.cpus),
        "onnxruntime": (then.onnxruntime, now.onnxruntime),
    }
    return tuple(f"{what} {a} then, {b} now" for what, (a, b) in facts.items() if a != b)


def identity(root: Path = ROOT) -> str:
    """What makes this machine as fast as it is: processor, its features, CPUs to use, GPUs.

    Virtual machines of one processor may be given different features, and kernels go by these.
    """
    here, able = machine("", root), features(root)
    told = sha256(" ".join(able).encode()).hexdigest()[:8]
    known = f", features {told}" if able else ""
    gpus = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    models = [_first(path, r"^Model:\s*(.+)$") or "GPU" for path in gpus]
    return ", ".join([f"{here.system}, {here.processor}, {here.cpus} CPUs{known}", *models])


def features(root: Path = ROOT) -> tuple[str, ...]:
    """What the processor can do, by the system's names for it; nothing where it does not say."""
    told = _first(root / "proc/cpuinfo", r"^(?:flags|Features)\s*:\s*(.+)$") or ""
    return tuple(sorted(told.split()))


def _load(root: Path) -> float | None:
    """The load average of the last minute."""
    told = _first_number(root / "proc/loadavg", r"^([\d.]+)")
    if told is not None or not hasattr(os, "getloadavg"):  # Windows
        return told
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _brand() -> str | None:
    """The processor's name on macOS, where `platform` knows its architecture only."""
    if platform.system() != "Darwin":
        return None
    try:
        asked = ("sysctl", "-n", "machdep.cpu.brand_string")
        told = subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return told.strip() or None


def _affinity() -> int:
    """The CPUs that this process is pinned to, or all where it cannot be pinned."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(root: Path) -> float | None:
    """The tightest CPU limit of this process's control groups and of those around them."""
    limits = [limit for folder in _groups(root) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the control groups: lines are `id:controllers:path`, version 2 names none.

    In a container the path may be the host's and lead nowhere; its own limit is at the top.
    """
    lines = re.findall(r"^\d+:([^:]*):(.*)$", _text(root / "proc/self/cgroup"), re.MULTILINE)
    for controllers, path in lines:
        if not controllers or "cpu" in controllers.split(","):
            top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
            yield from accumulate(path.strip("/").split("/"), Path.joinpath, initial=top)


def _limit(folder: Path) -> float | None:
    """Quota over period, as version 2 or version 1 writes them; no limit is `max` or -1."""
    two = re.fullmatch(r"(\d+) (\d+)\s*", _text(folder / "cpu.max"))
    one = _first_number(folder / "cpu.cfs_quota_us", r"^(\d+)")
    period = _first_number(folder / "cpu.cfs_period_us", r"^(\d+)")
    if two:
        return int(two[1]) / int(two[2])
    return one / period if one and period else None


def _first_number(path: Path, pattern: str) -> float | None:
    """What `pattern` captures in a file, as a number."""
    found = _first(path, pattern)
    return None if found is None else float(found)


def _first(path: Path, pattern: str) -> str | None:
    """What `pattern` captures first in a file, line by line."""
    found = re.search(pattern, _text(path), re.MULTILINE)
    return found and found[1].strip()


def _text(path: Path) -> str:
    """A file's text, or nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
