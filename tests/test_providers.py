"""Providers by their short names, and options of sessions by an allow-list."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest
import tomli

from gconvtool.errors import InputError, MissingError
from gconvtool.runtime import options, providers
from gconvtool.runtime.session import Session

ROOT = Path(__file__).parent.parent
ALL = (
    "TensorrtExecutionProvider CUDAExecutionProvider OpenVINOExecutionProvider "
    "DnnlExecutionProvider DmlExecutionProvider XnnpackExecutionProvider CPUExecutionProvider"
).split()


def runtime(*built_in: str) -> SimpleNamespace:
    """An onnxruntime that was built with these providers and the CPU's."""
    here = [*built_in, "CPUExecutionProvider"]
    return SimpleNamespace(
        __version__="1.99.0",
        get_available_providers=lambda: here,
        get_all_providers=lambda: ALL,
    )


@pytest.fixture(autouse=True)
def one_wheel(monkeypatch):
    monkeypatch.setattr(providers, "wheels", lambda: ("onnxruntime",))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("cpu", "cpu"),
        ("CPUExecutionProvider", "cpu"),
        ("openvino", "openvino"),
        ("OpenVINOExecutionProvider", "openvino"),
        ("directml", "dml"),
        ("dml", "dml"),
        ("onednn", "dnnl"),
        ("xnnpack", "xnnpack"),
    ],
)
def test_a_provider_goes_by_its_short_name_an_alias_or_its_full_name(asked, found):
    here = runtime(*ALL[2:6])
    assert providers.canonical(here, asked) == found


def test_a_provider_of_a_later_onnxruntime_has_a_short_name_too():
    here = runtime("BrandNewExecutionProvider")
    assert providers.canonical(here, "brandnew") == "brandnew"


@pytest.mark.parametrize("asked", ["tpu", "CPU", "", "ExecutionProvider", "Cuda"])
def test_what_is_no_provider_is_answered_with_those_that_are(asked):
    with pytest.raises(InputError, match=r"1\.99\.0 has cpu; .*cuda.*openvino") as caught:
        providers.canonical(runtime(), asked)
    assert repr(asked) in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "cure"),
    [
        ("cuda", 'pip uninstall -y onnxruntime, then pip install "gconvtool[cuda]"'),
        ("tensorrt", '"gconvtool[cuda]"'),
        ("directml", '"onnxruntime-directml"'),
        ("xnnpack", "https://onnxruntime.ai/docs/install"),
    ],
)
def test_a_provider_that_is_not_built_in_is_told_with_what_brings_it(asked, cure):
    with pytest.raises(MissingError) as caught:
        providers.canonical(runtime(), asked)
    assert cure in str(caught.value)


def test_tensorrt_leaves_nodes_to_cuda_and_that_to_the_cpu():
    here = runtime(*ALL[:2])
    assert providers.chain(here, "tensorrt", {"trt_fp16_enable": "1"}) == [
        ("TensorrtExecutionProvider", {"trt_fp16_enable": "1"}),
        ("CUDAExecutionProvider", {"use_tf32": "0"}),
        ("CPUExecutionProvider", {}),
    ]
    assert providers.chain(here, "tensorrt", {"device_id": "1"})[1:] == [
        ("CUDAExecutionProvider", {"use_tf32": "0", "device_id": "1"}),
        ("CPUExecutionProvider", {}),
    ]
    assert [name for name, _ in providers.chain(runtime(ALL[0]), "tensorrt", {})] == [
        "TensorrtExecutionProvider",
        "CPUExecutionProvider",
    ]


def test_the_cpu_stands_at_the_end_once():
    assert providers.chain(runtime(), "cpu", {}) == [("CPUExecutionProvider", {})]


def test_options_that_would_be_ignored_are_refused():
    with pytest.raises(InputError, match=r"--provider-option arena:.*--session-option"):
        providers.chain(runtime(), "cpu", {"arena": "1"})


def test_graphs_that_would_replay_other_inputs_are_refused():
    with pytest.raises(InputError, match=r"trt_cuda_graph_enable.*enable_cuda_graph"):
        providers.chain(runtime(*ALL[:2]), "tensorrt", {"trt_cuda_graph_enable": "1"})


def test_wheels_are_packages_that_bring_the_module(monkeypatch):
    monkeypatch.undo()

    def package(name: str, *files: str) -> SimpleNamespace:
        paths = [PurePosixPath(file) for file in files]
        return SimpleNamespace(metadata={"Name": name}, files=paths)

    module = "onnxruntime/__init__.py"
    installed = [
        package("onnxruntime_gpu", module),
        package("onnxruntime", "x.py", module),
        package("onnxruntime-extensions", "onnxruntime_extensions/__init__.py"),
        package("ort-nightly", module),
        package("other", module),
        SimpleNamespace(metadata={"Name": None}, files=None),
        SimpleNamespace(metadata={"Name": "onnxruntime-openvino"}, files=None),
    ]
    monkeypatch.setattr(providers, "metadata", SimpleNamespace(distributions=lambda: installed))
    assert providers.wheels() == (
        "onnxruntime",
        "onnxruntime-gpu",
        "onnxruntime-openvino",
        "ort-nightly",
    )


def test_the_oldest_onnxruntime_is_that_of_the_package():
    extras = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = ".".join(map(str, providers.OLDEST))
    assert extras["optional-dependencies"]["cpu"] == [f"onnxruntime>={oldest}"]


def test_every_option_is_documented():
    text = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in options.names())


class Options:
    """SessionOptions that remember."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.free: dict[str, int] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        self.free[name] = size


def applied(**settings: str) -> Options:
    made = Options()
    enumerations = SimpleNamespace(
        GraphOptimizationLevel=SimpleNamespace(ORT_DISABLE_ALL=0, ORT_ENABLE_BASIC=1),
        ExecutionMode=SimpleNamespace(ORT_SEQUENTIAL=0, ORT_PARALLEL=1),
    )
    options.apply(enumerations, made, settings)
    return made


def test_options_are_set_as_onnxruntime_takes_them():
    made = applied(
        **{
            "graph_optimization_level": "disabled",
            "execution_mode": "parallel",
            "enable_mem_pattern": "0",
            "inter_op_num_threads": "3",
            "session.set_denormal_as_zero": "1",
            "session.dynamic_block_base": "4",
            "free_dimension_override.N": "8",
            "free_dimension_override.a.b": "9",
        }
    )
    assert (made.graph_optimization_level, made.execution_mode) == (0, 1)
    assert (made.enable_mem_pattern, made.inter_op_num_threads) == (False, 3)
    assert made.entries == {"session.set_denormal_as_zero": "1", "session.dynamic_block_base": "4"}
    assert made.free == {"N": 8, "a.b": 9}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("session.nonsense", "1", r"no such option; there are graph_optimization_level, .*NAME"),
        ("intra_op_num_threads", "4", "no such option"),
        ("free_dimension_override.", "4", "no such option"),
        ("graph_optimization_level", "layout", "one of disabled, basic$"),
        ("graph_optimization_level", "ORT_ENABLE_ALL", "one of"),
        ("execution_mode", "", "one of sequential, parallel"),
        ("enable_mem_pattern", "yes", "one of 0, 1"),
        ("session.intra_op.allow_spinning", "true", "one of 0, 1"),
        ("session.dynamic_block_base", "0", "a whole number above 0"),
        ("free_dimension_override.N", "-1", "a whole number above 0"),
        ("optimization.disable_specified_optimizers", "", "names of optimisers"),
        ("optimization.disable_specified_optimizers", "A,B", "with semicolons between"),
    ],
)
def test_what_onnxruntime_would_ignore_is_refused(name, value, said):
    with pytest.raises(InputError, match=said) as caught:
        applied(**{name: value})
    assert str(caught.value).startswith(f"--session-option {name}={value}: ")
    assert "\n" not in str(caught.value)


def test_the_real_runtime_takes_every_option():
    real = pytest.importorskip("onnxruntime")
    made = real.SessionOptions()
    values = dict.fromkeys((*options.ATTRIBUTES, *options.ENTRIES), "1")
    chosen = {"graph_optimization_level": "basic", "execution_mode": "parallel"}
    options.apply(real, made, {**values, **chosen, "enable_cpu_mem_arena": "0"})
    assert made.graph_optimization_level == real.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert made.execution_mode == real.ExecutionMode.ORT_PARALLEL
    assert (made.enable_cpu_mem_arena, made.enable_mem_reuse) == (False, True)
    assert all(made.get_session_config_entry(name) == "1" for name in options.ENTRIES)


def test_an_option_changes_what_the_real_runtime_does(samples):
    pytest.importorskip("onnxruntime")
    model = samples / "fashion_resnet.onnx"
    level = {"graph_optimization_level": "disabled"}
    plain, raw = Session(model, threads=1), Session(model, threads=1, session_options=level)
    norms = [node for node in raw.assigned() if node.op == "BatchNormalization"]
    assert norms  # basic optimisations fold them in
    assert not [node for node in plain.assigned() if node.op == "BatchNormalization"]
