"""What the machine tells about itself, read from a made-up root folder."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gconvtool.results import Machine
from gconvtool.timing.machine import (
    Surroundings,
    SystemClock,
    advice,
    cpu_budget,
    crowding,
    differences,
    identity,
    machine,
    preflight,
    surroundings,
)


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.delattr(os, "getloadavg", raising=False)


def system(root: Path, files: dict[str, str]) -> Path:
    """A root folder that holds these files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("files", "budget"),
    [
        pytest.param({}, 6, id="no control groups: affinity"),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"},
            2,
            id="version 2 in a container",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
            6,
            id="no limit",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/jobs/one\n",
                "sys/fs/cgroup/jobs/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/jobs/one/cpu.max": "500000 100000\n",
            },
            3,
            id="the group around is tighter",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/jobs/one\n",
                "sys/fs/cgroup/jobs/cpu.max": "500000 100000\n",
                "sys/fs/cgroup/jobs/one/cpu.max": "300000 100000\n",
            },
            3,
            id="the group within is tighter",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:memory:/x\n4:cpuacct,cpu:/docker/id\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4,
            id="version 1, the path is the host's",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            6,
            id="version 1 without a limit",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "190000 100000\n"},
            1,
            id="rounded down",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"},
            1,
            id="at least one",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1600000 100000\n"},
            6,
            id="more than the affinity",
        ),
        pytest.param(
            {"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/cpu.max": "?\n"},
            6,
            id="unreadable",
        ),
    ],
)
def test_the_budget_is_the_tightest_limit(
    tmp_path: Path, files: dict[str, str], budget: int
) -> None:
    assert cpu_budget(system(tmp_path, files)) == budget


def test_without_affinity_all_cpus_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cpu_budget(tmp_path) == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu_budget(tmp_path) == 1


def test_load_and_pressure_are_read(tmp_path: Path) -> None:
    files = {
        "proc/loadavg": "4.81 2.93 1.58 6/91 3923\n",
        "proc/pressure/cpu": "some avg10=12.13 avg60=3.73 avg300=3.05 total=27\n"
        "full avg10=99.00 avg60=0.00 avg300=0.00 total=0\n",
    }
    now = surroundings(system(tmp_path, files))
    assert now == Surroundings(cpus=8, affinity=6, quota=None, load=4.81, pressure=12.13)


def test_a_system_without_these_files_says_nothing(tmp_path: Path) -> None:
    assert surroundings(tmp_path) == Surroundings(cpus=8, affinity=6)
    assert preflight(tmp_path) == ()


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (Surroundings(4, 4, load=4.0, pressure=10.0, quota=4.0), []),
        (Surroundings(8, 2, load=5.0), []),
        (Surroundings(4, 4, load=4.5), ["4.5 tasks want the 4 CPUs", "close other programs"]),
        (Surroundings(4, 4, pressure=23.4), ["in 23 % of the last 10 s", "close other programs"]),
        (Surroundings(8, 8, quota=2.5), ["2.5 of 8 CPUs", "use 2 threads"]),
        (Surroundings(8, 8, quota=0.5), ["0.5 of 8 CPUs", "use 1 thread,"]),
    ],
)
def test_what_would_disturb_is_warned_of_with_advice(now: Surroundings, words: list[str]) -> None:
    warnings = advice(now)
    assert len(warnings) == bool(words)
    assert all(word in warnings[0] for word in words)


def test_preflight_warns_of_what_it_reads(tmp_path: Path) -> None:
    root = system(tmp_path, {"proc/loadavg": "9.00 1.00 1.00 1/1 1\n"})
    assert preflight(root) == advice(Surroundings(cpus=8, affinity=6, load=9.0))


def test_more_threads_than_can_run_at_once_are_told(tmp_path: Path) -> None:
    root = system(tmp_path, {})
    assert cpu_budget(root) == 6
    assert list(crowding(6, root)) == []
    (said,) = crowding(7, root)
    assert said.startswith("7 threads take turns, since 6 can run at once")
    assert said.endswith("use 6")


def test_the_machine_is_described(tmp_path: Path) -> None:
    cpuinfo = (
        "processor\t: 0\nmodel name\t: Some CPU @ 2.1 GHz\nprocessor\t: 1\nmodel name\t: Else\n"
    )
    found = machine("1.20.0", system(tmp_path, {"proc/cpuinfo": cpuinfo}))
    assert (found.processor, found.cpus, found.onnxruntime) == ("Some CPU @ 2.1 GHz", 6, "1.20.0")
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.system.split()[0] == platform.system()


def test_features_and_gpus_make_another_machine(tmp_path: Path) -> None:
    cpu = "model name\t: Some CPU\n"
    gpu = {"proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t Some GPU\n"}
    told = [
        identity(system(tmp_path / name, {"proc/cpuinfo": text, **more}))
        for name, text, more in [
            ("plain", cpu, {}),
            ("wide", f"{cpu}flags\t: avx2 avx512f\n", {}),
            ("order", f"{cpu}flags\t: avx512f avx2\n", {}),
            ("narrow", f"{cpu}flags\t: avx2\n", {}),
            ("gpu", cpu, gpu),
        ]
    ]
    assert told[1] == told[2]
    assert len(set(told)) == 4
    assert told[4] == f"{told[0]}, Some GPU"


def test_a_processor_without_a_name_is_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert machine("1", tmp_path).processor == "aarch64"


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A macOS without /proc and affinity; what sysctl says can be set."""
    says = {"machdep.cpu.brand_string": "Apple M1\n"}

    def run(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        if command[-1] not in says:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, 0, stdout=says[command[-1]])

    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "getloadavg", lambda: (9.5, 3.0, 2.0), raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    monkeypatch.setattr(subprocess, "run", run)
    return says


def test_macos_tells_its_load_and_its_processor(tmp_path: Path, mac: dict[str, str]) -> None:
    assert surroundings(tmp_path) == Surroundings(cpus=8, affinity=8, load=9.5)
    assert "9.5 tasks want the 8 CPUs" in preflight(tmp_path)[0]
    found = machine("1.20.0", tmp_path)
    assert (found.system, found.processor, found.cpus) == ("Darwin arm64", "Apple M1", 8)


@pytest.mark.parametrize("brand", [None, "\n"])
def test_a_silent_sysctl_leaves_the_architecture(
    tmp_path: Path, mac: dict[str, str], brand: str | None
) -> None:
    mac.clear()
    if brand is not None:
        mac["machdep.cpu.brand_string"] = brand
    assert machine("1", tmp_path).processor == "arm"


def test_a_load_that_cannot_be_had_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", fails, raising=False)
    assert surroundings(tmp_path).load is None


def test_windows_knows_its_cpus_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    monkeypatch.setattr(platform, "processor", lambda: "Intel64 Family 6, GenuineIntel")
    assert surroundings(tmp_path) == Surroundings(cpus=8, affinity=8)
    assert preflight(tmp_path) == ()
    found = machine("1.20.0", tmp_path)
    assert (found.system, found.processor) == ("Windows AMD64", "Intel64 Family 6, GenuineIntel")


HERE = Machine("Linux x86_64", "Some CPU", 4, "3.12.1", "1.20.0")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (HERE, ()),
        (replace(HERE, python="3.13.0"), ()),
        (replace(HERE, cpus=2), ("CPUs 4 then, 2 now",)),
        (
            Machine("Darwin arm64", "Apple M1", 4, "3.12.1", "1.21.0"),
            (
                "system Linux x86_64 then, Darwin arm64 now",
                "processor Some CPU then, Apple M1 now",
                "onnxruntime 1.20.0 then, 1.21.0 now",
            ),
        ),
    ],
)
def test_machines_differ_in_what_makes_times_differ(now: Machine, words: tuple[str, ...]) -> None:
    assert differences(HERE, now) == words


def test_the_system_clock_only_moves_forward() -> None:
    clock = SystemClock()
    first = clock.wall_ns(), clock.cpu_ns(), clock.preemptions()
    second = clock.wall_ns(), clock.cpu_ns(), clock.preemptions()
    assert all(x is None or (y is not None and x <= y) for x, y in zip(first, second, strict=True))


def test_windows_counts_no_preemptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert SystemClock().preemptions() is None
