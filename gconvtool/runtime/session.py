"""One onnxruntime session, opened the same way everywhere: the single seam to the runtime.

Spinning is off, since two sessions that spin slow each other down two- to threefold on a shared
machine. Asking for a provider that does not load is an error: onnxruntime itself would warn and
run on the CPU.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gconvtool.errors import InputError, MissingError
from gconvtool.graph.pack import Packed

Tensors = Mapping[str, NDArray[Any]]

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
FLOATS: Mapping[str, type[np.floating[Any]]] = {
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}
FATAL_ONLY = 4
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
"""Where the files are that a serialised model names; since onnxruntime 1.21."""
PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


class Session:
    """A loaded model, and the ways to run it."""

    def __init__(
        self,
        model: Packed | bytes | Path,
        provider: str = "cpu",
        threads: int | None = None,
        name: str = "",
    ) -> None:
        """Open a session.

        Args:
            model: a file, or a serialised model, with the folder of its weights if it has one.
            provider: a key of PROVIDERS.
            threads: intra-op threads; onnxruntime's choice if None.
            name: what to call the model in messages.

        Raises:
            MissingError: onnxruntime or the provider is not there.
            InputError: onnxruntime does not accept the model.
        """
        runtime = onnxruntime()
        if provider not in PROVIDERS:
            raise InputError(f"provider {provider!r}: known are {', '.join(PROVIDERS)}")
        if provider != "cpu":
            _require(runtime, provider)
        content, folder = (
            (model.content, model.folder) if isinstance(model, Packed) else (model, None)
        )
        source = str(content) if isinstance(content, Path) else content
        self._name = name or (source if isinstance(source, str) else "the model")
        with stdout_kept():
            try:
                self._session = runtime.InferenceSession(
                    source, _options(runtime, threads, folder), providers=_chain(provider)
                )
            except Exception as error:  # onnxruntime has a family of its own, without a base
                raise InputError(
                    f"{self._name}: onnxruntime cannot run it: {brief(error)}"
                ) from error
        loaded = self._session.get_providers()
        if PROVIDERS[provider] not in loaded:
            raise MissingError(_unloadable(runtime, provider))
        self.outputs = tuple(o.name for o in self._session.get_outputs())
        self._floats = {i.name: FLOATS.get(i.type) for i in self._session.get_inputs()}

    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """All outputs by name; floating-point feeds of another width are cast to the model's."""
        try:
            made = self._session.run(None, self._cast(feeds))
            return dict(zip(self.outputs, made, strict=True))
        except Exception as error:
            raise InputError(f"{self._name}: onnxruntime failed: {brief(error)}") from error

    def runner(self, feeds: Tensors) -> Callable[[], object]:
        """A function that runs the model once on these inputs and returns when it is done.

        On CUDA, inputs and outputs are bound to the device, so that no copies are timed.
        """
        if PROVIDERS["cuda"] not in self._session.get_providers():
            run, inputs = self._session.run, self._cast(feeds)
            return lambda: run(None, inputs)
        runtime, binding = onnxruntime(), self._session.io_binding()
        for name, array in self._cast(feeds).items():
            value = runtime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), "cuda", 0)
            binding.bind_ortvalue_input(name, value)
        for name in self.outputs:
            binding.bind_output(name, "cuda")

        def run_on_device() -> None:
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        return run_on_device

    def _cast(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        return {name: _as(self._floats.get(name), array) for name, array in feeds.items()}

    def placement(self) -> dict[str, int]:
        """How many nodes of the optimised graph each provider runs; empty if it does not say."""
        counts: dict[str, int] = {}
        ask = getattr(self._session, "get_provider_graph_assignment_info", None)
        for part in ask() if ask else ():
            counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
        return counts


def _as(wanted: type[np.floating[Any]] | None, array: NDArray[Any]) -> NDArray[Any]:
    floating = wanted is not None and array.dtype.kind == "f"
    return array.astype(wanted, copy=False) if floating else array


def onnxruntime() -> ModuleType:
    """The runtime, or how to get it."""
    try:
        import onnxruntime as runtime  # noqa: PLC0415  an extra, and slow to import
    except ImportError as error:
        raise MissingError(
            f"onnxruntime is not installed, or does not load ({' '.join(str(error).split())}): "
            'pip install "gconvtool[cpu]" (or "gconvtool[cuda]" for NVIDIA GPUs)'
        ) from error
    return cast("ModuleType", runtime)


def version() -> str:
    """The runtime's version."""
    return str(onnxruntime().__version__)


def brief(error: BaseException) -> str:
    """onnxruntime's message in one line, without its own prefixes."""
    return PREFIX.sub("", " ".join(str(error).split())) or type(error).__name__


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Send what native code prints to stderr: stdout belongs to the result."""
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        saved = os.dup(1)
    except OSError:  # no stdout at all
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def _options(runtime: ModuleType, threads: int | None, folder: Path | None) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if folder is not None:
        options.add_session_config_entry(WEIGHTS_FOLDER, str(folder.resolve()))
    return options


def _chain(provider: str) -> list[str]:
    return [PROVIDERS[name] for name in dict.fromkeys((provider, "cpu"))]


def _require(runtime: ModuleType, provider: str) -> None:
    """Fail before onnxruntime falls back in silence."""
    built_in = PROVIDERS[provider] in runtime.get_available_providers()
    wheels = _installed_wheels()
    if not built_in and len(wheels) > 1:
        raise MissingError(
            f"{provider}: the packages {' and '.join(wheels)} overwrite each other here: "
            f'pip uninstall -y {" ".join(wheels)}, then pip install "gconvtool[{provider}]"'
        )
    if not built_in:
        raise MissingError(
            f"{provider}: the installed onnxruntime is built without it: "
            f'pip uninstall -y onnxruntime, then pip install "gconvtool[{provider}]"'
        )
    if hasattr(runtime, "preload_dlls"):
        with stdout_kept():
            runtime.preload_dlls()


def _installed_wheels() -> list[str]:
    names = ("onnxruntime", "onnxruntime-gpu")
    return [name for name in names if any(metadata.distributions(name=name))]


def _unloadable(runtime: ModuleType, provider: str) -> str:
    return (
        f"{provider}: onnxruntime {runtime.__version__} is built with it but cannot load it: a "
        "driver or a CUDA or cuDNN library is missing or too old; nvidia-smi shows the driver, "
        f'pip install -U "gconvtool[{provider}]" brings the libraries'
    )
