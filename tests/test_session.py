"""The seam to onnxruntime: what is missing is said with its cause and cure, and never run around.

Most of these tests put a runtime of their own in the place of onnxruntime.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nets
import numpy as np
import pytest
from helpers_cli import Desk, refused
from models import proto

from gconvtool.errors import InputError, MissingError
from gconvtool.graph.pack import Packed
from gconvtool.runtime import binding, providers, session
from gconvtool.runtime.session import Session

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


class Options:
    """SessionOptions that remember."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class Binding:
    """An IOBinding that remembers, in order, what was done with it."""

    def __init__(self) -> None:
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.log: list[str] = []

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.inputs[name] = value

    def bind_output(self, name: str, device: str, number: int) -> None:
        self.outputs[name] = (device, number)

    def bind_ortvalue_output(self, name: str, value: Any) -> None:
        self.outputs[name] = value

    def get_outputs(self) -> list[str]:
        return [f"where {name} is" for name in self.outputs]

    def synchronize_inputs(self) -> None:
        self.log.append("wait for inputs")

    def synchronize_outputs(self) -> None:
        self.log.append("wait for outputs")


class RunOptions:
    """RunOptions that remember."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_run_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class Runtime(ModuleType):
    """A stand-in for onnxruntime: `built_in` it claims, `loads` it does."""

    __version__ = "1.99.0"

    def __init__(self, built_in: tuple[str, ...] = (CPU,), loads: tuple[str, ...] = (CPU,)) -> None:
        super().__init__("onnxruntime")
        self.built_in, self.loads = built_in, loads
        self.opened: list[tuple[Any, Options, dict[str, dict[str, str]]]] = []
        self.fallback = True
        self.preloads = self.runs = 0
        self.noise = b""
        self.failure: Exception | None = None
        self.binding = Binding()
        self.SessionOptions, self.RunOptions = Options, RunOptions
        self.apart: list[RunOptions | None] = []
        self.OrtValue = SimpleNamespace(
            ortvalue_from_numpy=lambda array, device, index: (array, device, index)
        )

    def get_available_providers(self) -> list[str]:
        return list(self.built_in)

    def get_all_providers(self) -> list[str]:
        return [CUDA, "TensorrtExecutionProvider", "OpenVINOExecutionProvider", CPU]

    def preload_dlls(self) -> None:
        os.write(1, self.noise)
        self.preloads += 1

    def InferenceSession(  # noqa: N802  theirs
        self,
        model: Any,
        options: Options,
        providers: list[tuple[str, dict[str, str]]],
        enable_fallback: bool = True,
    ) -> Any:
        os.write(1, self.noise)
        if self.failure is not None:
            raise self.failure
        self.opened.append((model, options, dict(providers)))
        self.fallback = enable_fallback
        return SimpleNamespace(
            get_providers=lambda: [name for name, _ in providers if name in self.loads],
            get_inputs=lambda: [SimpleNamespace(name="x", type="tensor(float)", shape=["N", 3])],
            get_outputs=lambda: [SimpleNamespace(name="y"), SimpleNamespace(name="z")],
            io_binding=lambda: self.binding,
            run=self._run,
            run_with_iobinding=self._run_bound,
        )

    def _run(
        self, names: None, feeds: dict[str, Any], options: RunOptions | None = None
    ) -> list[Any]:
        self.runs += 1
        self.apart.append(options)
        return [feeds["x"], -feeds["x"]]

    def _run_bound(self, binding: Binding, options: RunOptions | None = None) -> None:
        assert binding is self.binding
        binding.log.append("run" if options is None else f"run with {options.entries}")


@pytest.fixture
def put(monkeypatch):
    """A function that puts a runtime in place, with the wheels that seem to be installed."""

    def place(runtime: Runtime, wheels: tuple[str, ...] = ("onnxruntime",)) -> Runtime:
        monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
        monkeypatch.setattr(providers, "wheels", lambda: wheels)
        return runtime

    return place


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    return Desk(tmp_path, monkeypatch, capfd).furnish()


def missing(provider: str = "cuda") -> str:
    """What is said where a session cannot be opened for want of something."""
    with pytest.raises(MissingError) as caught:
        Session(b"model", provider)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_package_is_told_with_both_ways_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    said = missing("cpu")
    assert 'pip install "gconvtool[cpu]"' in said
    assert "gconvtool[cuda]" in said


def test_a_package_that_does_not_load_is_told_why(monkeypatch):
    class Broken:
        """Fails as an extension module does whose libraries are not there."""

        @staticmethod
        def find_spec(name: str, path: object, target: object = None) -> None:
            if name == "onnxruntime":
                raise ImportError("libcudart.so.12: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    assert "libcudart.so.12" in missing("cpu")


def test_analyze_needs_no_runtime_and_the_others_say_which(desk, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert desk("analyze", "net.onnx").code == 0
    assert desk("convert", "net.onnx", "--groups", 4, "--dry-run").code == 0
    before = desk.files()
    for words in (
        ["convert", "net.onnx", "-o", "out.onnx", "--groups", 4],
        ["bench", "net.onnx", "net.onnx", "--time-budget", 1],
    ):
        assert 'pip install "gconvtool[cpu]"' in refused(desk(*words), 4)
    assert desk.files() == before


def test_a_runtime_without_the_provider_is_told_to_be_replaced(put):
    runtime = put(Runtime())
    said = missing()
    assert "cuda" in said
    assert "pip uninstall -y onnxruntime" in said
    assert 'pip install "gconvtool[cuda]"' in said
    assert not runtime.opened


def test_wheels_that_overwrite_each_other_are_both_removed(put):
    runtime = put(Runtime(), ("onnxruntime", "onnxruntime-gpu"))
    said = missing()
    assert "pip uninstall -y onnxruntime onnxruntime-gpu" in said
    assert 'pip install "gconvtool[cuda]"' in said
    assert not runtime.opened


def test_two_wheels_that_work_are_no_error(put):
    put(Runtime((CUDA, CPU), (CUDA, CPU)), ("onnxruntime", "onnxruntime-gpu"))
    assert Session(b"model", "cuda").outputs == ("y", "z")


def test_a_provider_that_falls_back_in_silence_is_an_error(put):
    runtime = put(Runtime((CUDA, CPU), loads=(CPU,)), ("onnxruntime-gpu",))
    said = missing()
    assert "driver" in said
    assert "gconvtool doctor" in said
    assert 'pip install -U "gconvtool[cuda]"' in said
    assert (runtime.runs, runtime.fallback) == (0, False)


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        ("CUDA failure 100: no CUDA-capable device is detected", MissingError),
        ("libcudnn.so.9: cannot open shared object file: No such file", MissingError),
        ('Unknown provider option: "use_tf23".', InputError),
    ],
)
def test_what_the_machine_lacks_is_told_from_what_is_wrong(put, raised, error):
    put(Runtime((CUDA, CPU), (CUDA, CPU))).failure = RuntimeError(raised)
    with pytest.raises(error, match=raised[:20]):
        Session(b"model", "cuda")


@pytest.mark.parametrize("built_in", [(CPU,), (CUDA, CPU)])
def test_bench_on_a_missing_provider_is_exit_code_4(desk, put, built_in):
    put(Runtime(built_in))
    before = desk.files()
    answer = desk("bench", "net.onnx", "net.onnx", "--provider", "cuda", "--json")
    assert "cuda" in refused(answer, 4)
    assert answer.document["exit_code"] == 4
    assert answer.document["error"]["kind"] == "MissingError"
    assert desk.files() == before


@pytest.mark.parametrize("provider", ["tpu", "CPU", ""])
def test_a_provider_that_does_not_exist_is_a_wrong_input(put, provider):
    put(Runtime())
    with pytest.raises(InputError, match=r"cpu.*cuda"):
        Session(b"model", provider)


def test_libraries_are_loaded_for_cuda_only(put, capfd):
    runtime = put(Runtime((CUDA, CPU), (CUDA, CPU)))
    runtime.noise = b"loading\n"
    Session(b"model", "cpu")
    assert runtime.preloads == 0
    Session(b"model", "cuda")
    assert runtime.preloads == 1
    assert list(runtime.opened[-1][2]) == [CUDA, CPU]
    assert capfd.readouterr().out == ""


def test_an_older_runtime_has_no_libraries_to_load(put, monkeypatch):
    put(Runtime((CUDA, CPU), (CUDA, CPU)))
    monkeypatch.delattr(Runtime, "preload_dlls")
    Session(b"model", "cuda")


@pytest.mark.parametrize(("threads", "asked"), [(3, 3), (None, 0)])
def test_a_session_spins_never_and_uses_the_threads_it_was_given(put, threads, asked):
    runtime = put(Runtime())
    Session(b"model", threads=threads)
    ((model, options, chain),) = runtime.opened
    assert model == b"model"
    assert chain == {CPU: {}}
    assert options.entries["session.intra_op.allow_spinning"] == "0"
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (asked, 1)


@pytest.mark.parametrize("folder", [None, Path("weights")])
def test_a_serialised_model_says_where_its_weights_are(put, folder):
    runtime = put(Runtime())
    Session(Packed(b"model", folder))
    ((model, options, _),) = runtime.opened
    assert model == b"model"
    said = options.entries.get("session.model_external_initializers_file_folder_path")
    assert said == (folder and str(Path.cwd() / "weights"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_floating_feeds_are_cast_to_what_the_model_takes(put, dtype):
    put(Runtime())
    x = np.array([1, 0, 1], dtype)
    made = Session(b"model").run({"x": x})["y"]  # what it was fed
    np.testing.assert_array_equal(made, x)
    assert made.dtype == (np.float32 if x.dtype.kind == "f" else dtype)


def test_what_the_runtime_prints_does_not_mix_with_the_result(put, capfd):
    put(Runtime()).noise = b"noise from within\n"
    Session(b"model")
    print("the result")
    out, err = capfd.readouterr()
    assert out == "the result\n"
    assert err == "noise from within\n"


def test_stdout_comes_back_after_a_failure(put, capfd):
    put(Runtime()).failure = RuntimeError("no")
    with pytest.raises(InputError):
        Session(b"model")
    os.write(1, b"here\n")
    assert capfd.readouterr().out == "here\n"


def test_a_process_without_stdout_can_open_sessions(put, monkeypatch):
    put(Runtime())
    monkeypatch.setattr(sys, "stdout", None)
    assert Session(b"model").outputs == ("y", "z")


def test_a_model_that_the_runtime_refuses_is_named(put, tmp_path):
    put(Runtime()).failure = RuntimeError("[ONNXRuntimeError] : 1 : FAIL : bad thing\nmore of it")
    for model, name, called in (
        (b"model", "net.onnx", "net.onnx"),
        (tmp_path / "a.onnx", "", "a.onnx"),
    ):
        with pytest.raises(InputError) as caught:
            Session(model, name=name)
        said = str(caught.value)
        assert called in said
        assert "bad thing" in said
        assert "\n" not in said


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("[ONNXRuntimeError] : 1 : FAIL : bad thing", "bad thing"),
        ("[ONNXRuntimeError] : 10 : INVALID_GRAPH : This is\nmore", "This is more"),
        ("\n  plain words \n", "plain words"),
        ("", "ValueError"),
    ],
)
def test_a_message_of_the_runtime_loses_its_codes(raw, said):
    assert session.brief(ValueError(raw)) == said


def test_outputs_go_by_name(put):
    put(Runtime())
    x = np.arange(6.0).reshape(2, 3)
    outputs = Session(b"model").run({"x": x})
    np.testing.assert_array_equal(outputs["y"], x)
    np.testing.assert_array_equal(outputs["z"], -x)


def test_a_runner_on_the_cpu_runs_once_a_call(put):
    runtime = put(Runtime())
    runner = Session(b"model").runner({"x": np.ones(3)})
    assert runtime.runs == 0
    runner()
    runner()
    assert runtime.runs == 2


def test_a_runner_on_cuda_waits_for_the_device(put):
    runtime = put(Runtime((CUDA, CPU), (CUDA, CPU)))
    x = np.arange(6.0).reshape(2, 3).T
    runner = Session(b"model", "cuda", provider_options={"device_id": "1"}).runner({"x": x})
    array, device, index = runtime.binding.inputs["x"]
    np.testing.assert_array_equal(array, x)
    assert array.flags.c_contiguous
    assert (device, index) == ("cuda", 1)
    assert runtime.binding.outputs == {"y": ("cuda", 1), "z": ("cuda", 1)}
    runner()
    runner()
    assert runtime.binding.log == ["wait for inputs", *2 * ["run", "wait for outputs"]]
    assert runtime.runs == 0


def test_copies_to_the_device_are_a_part_of_what_runs_from_end_to_end(put):
    runtime = put(Runtime((CUDA, CPU), (CUDA, CPU)))
    runner = Session(b"model", "cuda").runner_end_to_end({"x": np.ones(3)})
    runner()
    assert (runtime.runs, runtime.binding.log) == (1, [])


@pytest.mark.parametrize("said", ["1", "True"])
def test_in_a_cuda_graph_outputs_never_move_and_other_runs_stay_out_of_it(put, said):
    runtime = put(Runtime((CUDA, CPU), (CUDA, CPU)))
    opened = Session(b"model", "cuda", provider_options={"enable_cuda_graph": said})
    runner = opened.runner({"x": np.ones(3)})
    assert runtime.binding.outputs == {"y": "where y is", "z": "where z is"}
    runner()
    assert runtime.binding.log == [
        "wait for inputs",
        "run with {'gpu_graph_id': '-1'}",
        "wait for outputs",
        "run",
        "wait for outputs",
    ]
    opened.run({"x": np.ones(3)})
    (options,) = runtime.apart
    assert options.entries == {"gpu_graph_id": "-1"}


def test_tf32_is_off_unless_it_is_asked_for(put):
    runtime = put(Runtime((CUDA, CPU), (CUDA, CPU)))
    Session(b"model", "cuda", provider_options={"prefer_nhwc": "1"})
    assert runtime.opened[-1][2] == {CUDA: {"use_tf32": "0", "prefer_nhwc": "1"}, CPU: {}}
    Session(b"model", "cuda", provider_options={"use_tf32": "1"})
    assert runtime.opened[-1][2] == {CUDA: {"use_tf32": "1"}, CPU: {}}


def test_options_of_a_session_reach_it(put):
    runtime = put(Runtime())
    asked = {"session.intra_op.allow_spinning": "1", "enable_mem_pattern": "0"}
    Session(b"model", session_options=asked)
    options = runtime.opened[-1][1]
    assert options.entries["session.intra_op.allow_spinning"] == "1"
    assert options.enable_mem_pattern is False


@pytest.mark.parametrize("options", [{}, {"enable_cuda_graph": "1"}])
def test_the_real_runtime_binds_as_it_is_asked_to(monkeypatch, options):
    """With the CPU's memory in the place of a device's: onnxruntime binds that likewise."""
    real = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(binding, "DEVICES", {"cpu": "cpu"})
    model = nets.network(nets.RESIDUAL).SerializeToString()
    bare = real.InferenceSession(model, providers=[CPU])
    bindings = []

    class Watched:
        run_with_iobinding = staticmethod(bare.run_with_iobinding)

        def io_binding(self) -> Any:
            bindings.append(bare.io_binding())
            return bindings[0]

    x = nets.images(3)
    run = binding.bound(real, Watched(), {"x": x}, ("scores",), "cpu", options)
    run()
    run()
    (made,) = bindings[0].copy_outputs_to_cpu()
    np.testing.assert_array_equal(made, bare.run(None, {"x": x})[0])


def test_who_runs_what_is_not_known_where_the_runtime_does_not_say(put):
    put(Runtime())
    assert Session(b"model").assigned() is None


def test_who_runs_what_goes_node_by_node(put):
    put(Runtime())
    opened = Session(b"model")
    parts = [(CPU, "a b"), (CUDA, "c")]
    opened._session.get_provider_graph_assignment_info = lambda: [
        SimpleNamespace(
            ep_name=name,
            get_nodes=lambda nodes=nodes: [
                SimpleNamespace(name=node, op_type="Conv", domain="") for node in nodes.split()
            ],
        )
        for name, nodes in parts
    ]
    assert [(node.provider, node.name) for node in opened.assigned()] == [
        (CPU, "a"),
        (CPU, "b"),
        (CUDA, "c"),
    ]


def test_the_real_runtime_opens_and_runs_a_model():
    pytest.importorskip("onnxruntime")
    model = nets.network(nets.RESIDUAL)
    opened = Session(model.SerializeToString(), threads=1)
    x = nets.images(3)
    (scores,) = nets.run(model, {"x": x})
    np.testing.assert_allclose(opened.run({"x": x})["scores"], scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "channels"), [("y", 8), ("x", 7)])
def test_feeds_that_do_not_fit_are_a_wrong_input(name, channels):
    pytest.importorskip("onnxruntime")
    opened = Session(nets.network(nets.RESIDUAL).SerializeToString(), threads=1)
    with pytest.raises(InputError) as caught:
        opened.run({name: np.zeros((1, channels, 9, 9), np.float32)})
    assert "\n" not in str(caught.value)


def test_sizes_that_a_model_leaves_open_and_does_not_take_are_named():
    pytest.importorskip("onnxruntime")
    text = "g (float[N, C] x) => (float[N, 2] y) { y = MatMul (x, w) }"
    opened = Session(proto(text, w=np.ones((3, 2), np.float32)).SerializeToString(), threads=1)
    assert opened.run({"x": np.ones((1, 3), np.float32)})["y"].tolist() == [[3, 3]]
    with pytest.raises(InputError, match=r"\(x is 1×4: --dim or --data give other sizes\)$"):
        opened.run({"x": np.ones((1, 4), np.float32)})


def test_what_is_no_model_is_a_wrong_input():
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match=r"^junk: onnxruntime cannot run it: "):
        Session(b"no protobuf at all", name="junk")


def test_a_session_leaves_the_arithmetic_of_this_process_alone():
    pytest.importorskip("onnxruntime")
    opened = Session(nets.network(nets.RESIDUAL).SerializeToString(), threads=1)
    opened.run({"x": nets.images(1)})
    smallest = np.array([np.finfo(np.float64).tiny])
    assert (smallest / 2 > 0).all()
