"""A diagnosis: each check from made-up facts, the trials with faked processes, one for real."""

from __future__ import annotations

import io
import json
import subprocess
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
from helpers_cli import Desk
from helpers_cli import python as run_python
from rich.console import Console

from gconvtool.facts import Skip
from gconvtool.pipeline import doctor
from gconvtool.pipeline.doctor import Ward, diagnose
from gconvtool.report import document, words
from gconvtool.report.terminal import doctor_page
from gconvtool.results import Check, Diagnosis
from gconvtool.runtime import apart, nvidia, providers
from gconvtool.runtime.trial import Trial, try_out
from gconvtool.timing.machine import Surroundings
from gconvtool.timing.noise import Noise

WELL = Trial(version="1.32.0", built_in=("azure", "cpu"), ran=True, block=16)
HERE = Surroundings(cpus=8, affinity=6, quota=None, load=0.4, pressure=0.0)
LINUX = (
    "2026-01-01 10:00:00.1 [E:onnxruntime:Default, provider_bridge_ort.cc:2195 "
    "TryGetProviderInfo_CUDA] /src/provider_bridge_ort.cc:1778 onnxruntime::Provider& "
    "onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library "
    "libonnxruntime_providers_cuda.so with error: libcudnn.so.9: cannot open shared object file: "
    "No such file or directory\n"
    "2026-01-01 10:00:00.2 [W:onnxruntime:Default, onnxruntime_pybind_state.cc:1055 "
    "CreateExecutionProviderInstance] Failed to create CUDAExecutionProvider.\n"
)
WINDOWS = (
    "[E:onnxruntime:Default, a.cc:1 f] a.cc:2 g [ONNXRuntimeError] : 1 : FAIL : Error loading "
    '"C:\\onnxruntime_providers_cuda.dll" which depends on "cublasLt64_12.dll" which is missing.\n'
)


class Ticking:
    """A clock that goes on by 10 ms whenever it is read."""

    now_ns = 0

    def wall_ns(self) -> int:
        self.now_ns += 10_000_000
        return self.now_ns

    def cpu_ns(self) -> int:
        return 0

    def preemptions(self) -> int:
        return 0


@pytest.fixture
def process(monkeypatch):
    """A function that makes the process of a trial end like this."""

    def end(answer: Trial | None, stderr: str = "", code: int = 0) -> None:
        out = "noise\n" + json.dumps(asdict(answer)) + "\n" if answer else ""
        done = subprocess.CompletedProcess([], code, out, stderr)
        monkeypatch.setattr(apart, "run", lambda *words, timeout_s: done)

    return end


@pytest.fixture
def bare(monkeypatch):
    """A machine without GPUs, and with one package of onnxruntime."""
    monkeypatch.setattr(nvidia, "gpus", lambda: None)
    monkeypatch.setattr(nvidia, "packages", lambda: ())
    monkeypatch.setattr(providers, "wheels", lambda: ("onnxruntime",))
    monkeypatch.setattr(doctor.machine, "surroundings", lambda root: HERE)


def ward(root, trials: dict[str, Trial]) -> Ward:
    """A machine in which these providers were tried."""
    return Ward(trials.__getitem__, Ticking(), root)


@pytest.mark.parametrize(
    ("version", "health", "advice"),
    [
        ("1.32.0", "ok", None),
        ("1.24.1", "ok", None),
        ("1.23.2", "warning", "pip install -U onnxruntime"),
        ("1.20.1", "failed", 'pip install -U "onnxruntime>=1.21"'),
        ("1.9.0", "failed", 'pip install -U "onnxruntime>=1.21"'),
        ("2.0.0+cu12", "ok", None),
    ],
)
def test_versions_are_held_against_what_is_needed(version, health, advice):
    check = doctor.onnxruntime_check(replace(WELL, version=version))
    assert (check.health, check.advice) == (health, advice)
    assert version in check.found


def test_a_missing_onnxruntime_is_told_once_with_its_cure():
    trouble = f"onnxruntime is not installed, or does not load (no): {providers.INSTALL}"
    check = doctor.onnxruntime_check(Trial(trouble))
    assert check == Check(
        "onnxruntime",
        "failed",
        "onnxruntime is not installed, or does not load (no)",
        providers.INSTALL,
    )


def test_packages_that_overwrite_each_other_are_named():
    check = doctor.packages_check(("onnxruntime", "onnxruntime-gpu"))
    assert check.health == "warning"
    assert "onnxruntime and onnxruntime-gpu" in check.found
    assert check.advice.startswith("pip uninstall -y onnxruntime onnxruntime-gpu")
    assert doctor.packages_check(("onnxruntime",)).health == "ok"
    assert doctor.packages_check(()).health == "ok"


@pytest.mark.parametrize(
    ("name", "seen", "health", "found"),
    [
        ("cuda", WELL, "ok", "loads and runs a convolution"),
        ("cuda", replace(WELL, ran=None), "ok", "loads"),
        ("cuda", replace(WELL, ran=False), "warning", "loads, but leaves a plain convolution"),
        ("cuda", Trial("why", missing="libcudnn.so.9"), "warning", "libcudnn.so.9 is missing"),
        ("qnn", Trial("no device"), "warning", "does not load: no device"),
        ("cpu", Trial("why"), "failed", "does not load: why"),
    ],
)
def test_a_provider_is_as_well_as_its_trial(name, seen, health, found):
    check = doctor.provider_check(name, seen)
    assert (check.name, check.health) == (f"provider {name}", health)
    assert found in check.found
    assert (check.advice is None) == (health == "ok")


@pytest.mark.parametrize(
    ("built_in", "packages", "gpus", "expected"),
    [
        (("cpu",), (), None, []),
        (("cpu",), ("nvidia-cudnn-cu12 9.1",), ("a GPU, 550, 8 MiB",), [("GPU", "warning")]),
        (("cpu", "cuda"), (), None, [("CUDA", "unknown"), ("GPU", "warning")]),
        (("cpu", "cuda"), ("p 1",), ("a GPU",), [("CUDA", "ok"), ("GPU", "ok")]),
        (("cpu", "cuda"), ("p 1",), Skip("no driver"), [("CUDA", "ok"), ("GPU", "warning")]),
    ],
)
def test_libraries_and_gpus_are_told_where_they_matter(built_in, packages, gpus, expected):
    seen = replace(WELL, built_in=built_in, cuda="12.8")
    checks = list(doctor.nvidia_checks(seen, packages, gpus))
    assert [(check.name, check.health) for check in checks] == expected
    assert all(check.advice for check in checks if check.health == "warning")


@pytest.mark.parametrize(
    ("now", "health", "found"),
    [
        (HERE, "ok", "6 at once: 8 CPUs, 6 of them for this process"),
        (replace(HERE, quota=8.0), "ok", "a quota of 8"),
        (replace(HERE, quota=2.5), "warning", "2.5 of 6 CPUs"),
        (replace(HERE, load=99.0, pressure=99.0), "ok", "6 at once"),
    ],
)
def test_threads_are_held_against_affinity_and_quota(now, health, found):
    check = doctor.threads_check(now)
    assert check.health == health
    assert found in check.found


@pytest.mark.parametrize(
    ("features", "seen", "health", "found"),
    [
        (("avx2", "avx512f", "sse"), WELL, "ok", "avx2 avx512f: channels in blocks of 16 (NCHWc)"),
        (("avx2",), replace(WELL, block=8), "ok", "avx2: channels in blocks of 8 (NCHWc)"),
        (("asimd",), replace(WELL, block=None), "ok", "asimd: no blocked layout (NCHWc)"),
        ((), WELL, "ok", "the system does not say what the processor can do: channels in blocks"),
        (("avx2",), Trial("why"), "unknown", "avx2"),
    ],
)
def test_kernels_go_by_the_processor(features, seen, health, found):
    check = doctor.kernels_check(features, seen)
    assert check.health == health
    assert check.found.startswith(found)


def test_what_disturbs_is_told_apart():
    health = [check.health for check in doctor.load_checks(replace(HERE, load=9.0))]
    assert health == ["warning", "ok"]
    health = [check.health for check in doctor.load_checks(replace(HERE, pressure=50.0, quota=1.0))]
    assert health == ["ok", "warning"]
    unknown = list(doctor.load_checks(Surroundings(2, 2)))
    assert [(check.name, check.health) for check in unknown] == [
        ("load", "unknown"),
        ("pressure", "unknown"),
    ]


@pytest.mark.parametrize(
    ("seen", "health"),
    [
        (Noise(0.02, 0.0, 500), "ok"),
        (Noise(0.02, None, 500), "ok"),
        (Noise(0.20, 0.0, 500), "warning"),
        (Noise(0.02, 0.20, 500), "warning"),
    ],
)
def test_noise_is_a_warning_where_a_comparison_feels_it(seen, health):
    check = doctor.noise_check(seen)
    assert check.health == health
    assert ("preempted" in check.found) == (seen.preempted is not None)


def test_checks_go_from_what_is_needed_to_what_blurs(tmp_path, bare):
    built_in = ("openvino", "azure", "cpu")
    trials = {"cpu": replace(WELL, built_in=built_in), "openvino": Trial("no")}
    told = []
    result = diagnose(ward(tmp_path, trials), lambda what, *_: told.append(what))
    assert [check.name for check in result.checks] == [
        "onnxruntime",
        "packages",
        "provider cpu",
        "provider openvino",
        "threads",
        "kernels",
        "load",
        "pressure",
        "noise",
    ]
    assert told == ["onnxruntime", "providers", "noise"]
    assert (result.count("failed"), result.count("warning")) == (0, 1)


def test_without_onnxruntime_the_rest_is_told_all_the_same(tmp_path, bare):
    result = diagnose(ward(tmp_path, {"cpu": Trial("it is not there")}))
    assert result.checks[0].health == "failed"
    assert [check.name for check in result.checks[1:]] == [
        "packages",
        "threads",
        "kernels",
        "load",
        "pressure",
        "noise",
    ]


def test_a_trial_tells_what_the_other_process_found(process):
    process(WELL)
    assert try_out("cpu") == WELL


@pytest.mark.parametrize(
    ("stderr", "missing", "trouble"),
    [
        (LINUX, "libcudnn.so.9", "Failed to load library libonnxruntime_providers_cuda.so with"),
        (WINDOWS, "cublasLt64_12.dll", "Error loading"),
        ("dyld: Library not loaded: @rpath/libx.dylib\n", "@rpath/libx.dylib", "general words"),
        ("[W:onnxruntime:Default, a.cc:1 f] no device\n", None, "no device"),
        ("", None, "general words"),
    ],
)
def test_the_missing_library_is_found_in_what_was_logged(process, stderr, missing, trouble):
    process(Trial("general words"), stderr)
    found = try_out("cuda")
    assert found.missing == missing
    assert found.trouble.startswith(trouble)


def test_a_crash_stays_in_its_process(process):
    process(None, "loading\nSegmentation fault\n", -11)
    assert "signal 11: Segmentation fault" in try_out("cuda").trouble
    process(None, "", 3)
    assert "code 3: it said nothing" in try_out("cuda").trouble


def test_a_provider_that_hangs_is_given_up(monkeypatch):
    def hang(*words: str, timeout_s: float) -> None:
        raise subprocess.TimeoutExpired("python", timeout_s)

    monkeypatch.setattr(apart, "run", hang)
    assert "did not answer within" in try_out("cuda").trouble


def test_the_cpu_is_tried_for_real():
    runtime = pytest.importorskip("onnxruntime", minversion="1.24")
    found = try_out("cpu")
    assert (found.trouble, found.version, found.ran) == (None, runtime.__version__, True)
    assert "cpu" in found.built_in
    assert found.block in (None, 8, 16)


def test_a_provider_that_is_not_built_in_does_not_load():
    runtime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("built with CUDA")
    assert "built without it" in try_out("cuda").trouble


def test_a_process_without_onnxruntime_says_so():
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from gconvtool.runtime.trial import _try\n"
        "print(_try('cpu').trouble)"
    )
    said = run_python("-c", code)
    assert said.returncode == 0, said.stderr
    assert providers.INSTALL in said.stdout


def test_nvidia_smi_is_asked_for_its_gpus(monkeypatch):
    def answers(code: int, out: str, err: str = "") -> None:
        done = SimpleNamespace(returncode=code, stdout=out, stderr=err)
        monkeypatch.setattr(subprocess, "run", lambda *words, **how: done)

    monkeypatch.setattr(nvidia.shutil, "which", lambda name: None)
    assert nvidia.gpus() is None
    monkeypatch.setattr(nvidia.shutil, "which", lambda name: f"/bin/{name}")
    answers(0, "NVIDIA H100, 550.54, 81559 MiB\nNVIDIA H100, 550.54, 81559 MiB\n")
    assert nvidia.gpus() == ("NVIDIA H100, 550.54, 81559 MiB",) * 2
    answers(9, "", "NVIDIA-SMI has failed\nmore\n")
    assert nvidia.gpus() == Skip("nvidia-smi: NVIDIA-SMI has failed")
    answers(0, "")
    assert nvidia.gpus() == Skip("nvidia-smi: no GPUs")


def test_packages_of_nvidia_are_found_by_name(monkeypatch):
    installed = [
        SimpleNamespace(metadata={"Name": name}, version=number)
        for name, number in [
            ("nvidia-cudnn-cu12", "9.10.2"),
            ("nvidia-cuda-runtime", "13.0"),
            ("nvidia-ml-py", "12"),
            ("numpy", "2"),
            (None, "1"),
        ]
    ]
    monkeypatch.setattr(nvidia, "metadata", SimpleNamespace(distributions=lambda: installed))
    assert nvidia.packages() == ("nvidia-cuda-runtime 13.0", "nvidia-cudnn-cu12 9.10.2")


SICK = Diagnosis(
    (
        Check("onnxruntime", "ok", "1.32.0"),
        Check("provider cpu", "failed", "does not load: [why]", "pip install \x1b it"),
        Check("noise", "warning", "times spread by 20 %", "close other programs"),
        Check("load", "unknown", "the system does not say"),
    )
)


def page(result: Diagnosis, width: int) -> str:
    text = io.StringIO()
    Console(width=width, file=text, highlight=False).print(doctor_page(result))
    return text.getvalue()


@pytest.mark.parametrize("width", [44, 80, 120])
def test_a_page_has_a_row_a_check_with_advice_below(width):
    text = " ".join(page(SICK, width).split())
    for part in ("FAILED does not load: [why]", "→ pip install \\x1b it", "→ close other programs"):
        assert part in text
    assert text.endswith("1 check FAILED: timing needs what is missing")


@pytest.mark.parametrize(
    ("healths", "said"),
    [
        (["ok", "unknown"], "All is well"),
        (["ok", "warning", "warning"], "It works; 2 warnings"),
        (["failed", "warning", "failed"], "2 checks FAILED"),
    ],
)
def test_a_diagnosis_comes_to_one_line(healths, said):
    result = Diagnosis(tuple(Check("x", health, "y") for health in healths))
    assert words.diagnosis(result).startswith(said)


def test_a_document_has_all_checks():
    made = document.diagnosis(SICK)
    assert made["schema"] == "gconvtool.doctor/1"
    assert made["checks"] == [
        {"name": c.name, "health": c.health, "found": c.found, "advice": c.advice}
        for c in SICK.checks
    ]


@pytest.mark.parametrize(("result", "code"), [(SICK, 4), (Diagnosis(SICK.checks[2:]), 0)])
def test_the_command_exits_4_where_a_check_failed(tmp_path, monkeypatch, capfd, result, code):
    monkeypatch.setattr(doctor, "diagnose", lambda progress: result)
    desk = Desk(tmp_path, monkeypatch, capfd)
    shown, answered = desk("doctor"), desk("doctor", "--json")
    assert (shown.code, answered.code) == (code, code)
    assert answered.document["checks"][-1]["name"] == "load"
    assert (shown.err, answered.err) == ("", "")
    assert result.checks[-1].found in shown.out
