"""What stands between this machine and a measurement that can be trusted.

Checks go from what everything needs to what only blurs: onnxruntime and its packages, providers and
the libraries under them, threads and kernels, and what disturbs the machine now. Whatever loads
native code is tried in processes of its own, so that this one lives to tell of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gconvtool.facts import Skip
from gconvtool.pipeline.source import Progress, silent
from gconvtool.results import Check, Diagnosis
from gconvtool.results.diagnosis import Health
from gconvtool.runtime import nvidia, providers
from gconvtool.runtime.trial import Trial, try_out
from gconvtool.timing import machine
from gconvtool.timing.machine import Surroundings, SystemClock
from gconvtool.timing.noise import Noise, noise
from gconvtool.timing.protocol import Clock

ATTESTING = (1, 24)
"""The first onnxruntime that says which provider runs which node."""
ELSEWHERE = ("azure",)
"""Providers that hand models to a service: there is nothing to try here."""
NOTABLE = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "amx_tile", "asimd", "sve", "i8mm")
"""What onnxruntime's kernels are chosen by, as Linux names it; asimd is NEON."""
NOISE_S = 0.5
UNSTEADY, OFTEN = 0.10, 0.05
"""The spread of times, and the share of preempted runs, that a comparison feels."""
QUIET = "close other programs, or expect a wide interval"


@dataclass(frozen=True)
class Ward:
    """Where a diagnosis gets its facts."""

    try_out: Callable[[str], Trial] = try_out
    clock: Clock = field(default_factory=SystemClock)
    root: Path = machine.ROOT


def diagnose(ward: Ward = Ward(), progress: Progress = silent) -> Diagnosis:
    """Look at everything, in the order in which trouble should be sought.

    Args:
        ward: this machine, unless a test has another one.
        progress: called before each part with its name.
    """
    now = machine.surroundings(ward.root)  # before we are the load ourselves
    progress("onnxruntime", 0, 3)
    cpu = ward.try_out("cpu")
    checks = [onnxruntime_check(cpu), packages_check(providers.wheels())]
    progress("providers", 1, 3)
    others = [name for name in cpu.built_in if name not in ("cpu", *ELSEWHERE)]
    trials = {"cpu": cpu, **{name: ward.try_out(name) for name in others}}
    if cpu.version is not None:
        checks += [provider_check(name, trial) for name, trial in trials.items()]
    checks += nvidia_checks(cpu, nvidia.packages(), nvidia.gpus())
    checks += [threads_check(now), kernels_check(machine.features(ward.root), cpu)]
    progress("noise", 2, 3)
    checks += [*load_checks(now), noise_check(noise(_work(), ward.clock, NOISE_S))]
    return Diagnosis(tuple(checks))


def onnxruntime_check(trial: Trial) -> Check:
    """Whether it is there, and new enough."""
    if trial.version is None:
        found = (trial.trouble or "").removesuffix(f": {providers.INSTALL}")
        return Check("onnxruntime", "failed", found, providers.INSTALL)
    numbers = tuple(map(int, re.findall(r"\d+", trial.version)[:2]))
    oldest, attesting = (".".join(map(str, v)) for v in (providers.OLDEST, ATTESTING))
    if numbers < providers.OLDEST:
        found = f"{trial.version}, older than {oldest}"
        return Check("onnxruntime", "failed", found, f'pip install -U "onnxruntime>={oldest}"')
    if numbers < ATTESTING:
        found = f"{trial.version} does not say which provider runs a node, as {attesting} does"
        return Check("onnxruntime", "warning", found, "pip install -U onnxruntime")
    return Check("onnxruntime", "ok", trial.version)


def packages_check(wheels: tuple[str, ...]) -> Check:
    """Whether packages overwrite each other's onnxruntime."""
    if len(wheels) > 1:
        found = f"{' and '.join(wheels)} overwrite each other"
        return Check("packages", "warning", found, providers.conflict(wheels))
    return Check("packages", "ok", wheels[0] if wheels else "no package: built from source")


def provider_check(name: str, trial: Trial) -> Check:
    """Whether a provider that is built in loads, and runs a convolution."""
    title = f"provider {name}"
    if trial.trouble is not None:
        why = f"{trial.missing} is missing" if trial.missing else trial.trouble
        package = providers.PACKAGES.get(name)
        brings = f'pip install -U "{package}" brings what it needs' if package else None
        cure = brings or "see https://onnxruntime.ai/docs/execution-providers"
        health: Health = "failed" if name == "cpu" else "warning"
        return Check(title, health, f"does not load: {why}", cure)
    if trial.ran is False:
        found = "loads, but leaves a plain convolution to another provider"
        return Check(title, "warning", found, "look at `placement` in the document of bench")
    return Check(title, "ok", "loads" if trial.ran is None else "loads and runs a convolution")


def nvidia_checks(
    trial: Trial, packages: tuple[str, ...], gpus: tuple[str, ...] | Skip | None
) -> Iterator[Check]:
    """CUDA's libraries and GPUs, where onnxruntime could use them or there are some."""
    wanted = "cuda" in trial.built_in
    if wanted:
        built = f"onnxruntime is built for CUDA {trial.cuda}; " if trial.cuda else ""
        here = ", ".join(packages) or "no packages of NVIDIA: libraries are the system's"
        yield Check("CUDA", "ok" if packages else "unknown", built + here)
    if isinstance(gpus, Skip):
        yield Check("GPU", "warning", gpus.reason, "install or restart NVIDIA's driver")
    elif gpus is not None:
        unused = None if wanted else 'pip install "gconvtool[cuda]" to use it'
        yield Check("GPU", "ok" if wanted else "warning", "; ".join(gpus), unused)
    elif wanted:
        yield Check("GPU", "warning", "there is no nvidia-smi", "install NVIDIA's driver")


def threads_check(now: Surroundings) -> Check:
    """How many threads can run at once, and what limits them."""
    can = f"{now.budget} at once: {now.cpus} CPUs, {now.affinity} of them for this process"
    limit = "" if now.quota is None else f", a quota of {now.quota:g}"
    alone = replace(now, load=None, pressure=None)
    return _disturbed("threads", alone, can + limit)


def kernels_check(features: tuple[str, ...], trial: Trial) -> Check:
    """What the processor can do, and the blocks of channels that kernels take because of it."""
    able = [name for name in NOTABLE if name in features]
    found = " ".join(able) or "the system does not say what the processor can do"
    if trial.version is None or trial.trouble is not None:
        return Check("kernels", "unknown", found)
    if trial.block is None:
        found += ": no blocked layout (NCHWc)"
    else:
        found += f": channels in blocks of {trial.block} (NCHWc)"
    return Check("kernels", "ok", found)


def load_checks(now: Surroundings) -> Iterator[Check]:
    """What else wants the CPUs."""
    if now.load is None:
        yield Check("load", "unknown", "the system does not say")
    else:
        alone = replace(now, pressure=None, quota=None)
        yield _disturbed("load", alone, f"{now.load:.1f} tasks want the {now.cpus} CPUs")
    if now.pressure is None:
        yield Check("pressure", "unknown", "the system does not say")
    else:
        alone = replace(now, load=None, quota=None)
        found = f"tasks waited for a CPU in {now.pressure:.0f} % of the last 10 s"
        yield _disturbed("pressure", alone, found)


def noise_check(seen: Noise) -> Check:
    """How far the times of the same work are apart."""
    found = f"times of the same work spread by {100 * seen.spread:.1f} % (the middle 80 %)"
    if seen.preempted is not None:
        found += f", {100 * seen.preempted:.1f} % of {seen.runs} runs preempted"
    if seen.spread > UNSTEADY or (seen.preempted or 0) > OFTEN:
        return Check("noise", "warning", found, QUIET)
    return Check("noise", "ok", found)


def _disturbed(name: str, now: Surroundings, found: str) -> Check:
    """What a preflight says of these surroundings, which hold one fact; else what was found."""
    for warning in machine.advice(now):
        told, _, cure = warning.partition(": ")
        return Check(name, "warning", told, cure)
    return Check(name, "ok", found)


def _work() -> Callable[[], object]:
    """About a millisecond on one CPU, always the same."""
    angles = np.linspace(0, 1, 100_000)
    return lambda: np.sin(angles)
