"""One onnxruntime session, opened the same way everywhere: the single seam to the runtime.

Spinning is off, since two sessions that spin slow each other down two- to threefold on a shared
machine. Asking for a provider that does not load is an error, and so is one that fails in a run:
onnxruntime itself would warn and run on the CPU.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gconvtool.errors import InputError, MissingError
from gconvtool.facts import describe_shape
from gconvtool.graph.pack import Packed
from gconvtool.runtime import binding, options, providers

Tensors = Mapping[str, NDArray[Any]]

FLOATS: Mapping[str, type[np.floating[Any]]] = {
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}
FATAL_ONLY = 4
WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
"""Where the files are that a serialised model names; since onnxruntime 1.21."""
WEIGHTS_APART = "session.optimized_model_external_initializers_file_name"
OPTIMISED = "optimised.onnx"
"""Where a profile has the graph that is really run."""
PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


@dataclass(frozen=True)
class Assigned:
    """A node, after basic optimisations, and the full name of the provider that runs it."""

    provider: str
    name: str
    op: str


class Session:
    """A loaded model, and the ways to run it; `provider` is the short name of who runs it."""

    def __init__(
        self,
        model: Packed | bytes | Path,
        provider: str = "cpu",
        threads: int | None = None,
        name: str = "",
        provider_options: Mapping[str, str] | None = None,
        session_options: Mapping[str, str] | None = None,
        profile: Path | None = None,
    ) -> None:
        """Open a session.

        Args:
            model: a file, or a serialised model, with the folder of its weights if it has one.
            provider: by its short name, see `providers`.
            threads: intra-op threads; onnxruntime's choice if None.
            name: what to call the model in messages.
            provider_options: the provider's own options, as onnxruntime names them.
            session_options: options of the session by name, see `options`.
            profile: a folder for a trace of all kernels, and the graph that they belong to.

        Raises:
            MissingError: onnxruntime or the provider is not there.
            InputError: onnxruntime does not accept the model, or there is no such option.
        """
        runtime = onnxruntime()
        self.provider = providers.canonical(runtime, provider)
        chain = providers.chain(runtime, self.provider, provider_options or {})
        self._provider_options = chain[0][1]
        content, folder = (
            (model.content, model.folder) if isinstance(model, Packed) else (model, None)
        )
        source = str(content) if isinstance(content, Path) else content
        self._name = name or (source if isinstance(source, str) else "the model")
        settings = _options(runtime, threads, folder)
        options.apply(runtime, settings, session_options or {})
        if profile is not None:
            _trace(settings, profile)
        self._session = self._opened(runtime, source, settings, chain)
        self.outputs = tuple(o.name for o in self._session.get_outputs())
        self._floats = {i.name: FLOATS.get(i.type) for i in self._session.get_inputs()}
        self._open = [i.name for i in self._session.get_inputs() if _is_open(i.shape)]

    def _opened(
        self, runtime: ModuleType, source: str | bytes, settings: Any, chain: providers.Chain
    ) -> Any:
        """onnxruntime's session, with the provider that was asked for in it."""
        try:
            with stdout_kept():
                if self.provider in providers.NVIDIA and hasattr(runtime, "preload_dlls"):
                    runtime.preload_dlls()
                session = runtime.InferenceSession(
                    source, settings, providers=chain, enable_fallback=False
                )
        except Exception as error:  # onnxruntime has a family of its own, without a base
            said = brief(error)
            if providers.lacks_something(self.provider, said):
                raise MissingError(providers.unloadable(self.provider, said)) from error
            raise InputError(f"{self._name}: onnxruntime cannot run it: {said}") from error
        if chain[0][0] not in session.get_providers():
            raise MissingError(providers.unloadable(self.provider))
        return session

    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """All outputs by name; floating-point feeds of another width are cast to the model's."""
        try:
            made = self._run()(self._cast(feeds))
            return dict(zip(self.outputs, made, strict=True))
        except Exception as error:
            said = f"{self._name}: onnxruntime failed: {brief(error)}"
            raise InputError(said + self._sizes(feeds)) from error

    def _sizes(self, feeds: Tensors) -> str:
        """What was fed where a model leaves sizes open: it may take no more than one, as many do
        that were exported with open sizes before a fully connected layer."""
        given = {name: feeds[name].shape for name in self._open if name in feeds}
        fed = ", ".join(f"{name} is {describe_shape(shape)}" for name, shape in given.items())
        return f" ({fed}: --dim or --data give other sizes)" if fed else ""

    def runner(self, feeds: Tensors) -> Callable[[], object]:
        """A function that runs the model once on these inputs and returns when it is done.

        On a device of its own, inputs and outputs stay there, so that no copies are timed.
        """
        if self.provider not in binding.DEVICES:
            return self.runner_end_to_end(feeds)
        return binding.bound(
            onnxruntime(),
            self._session,
            self._cast(feeds),
            self.outputs,
            self.provider,
            self._provider_options,
        )

    def runner_end_to_end(self, feeds: Tensors) -> Callable[[], object]:
        """As `runner`, from arrays and to arrays: copies to a device and back are a part of it."""
        run, inputs = self._run(), self._cast(feeds)
        return lambda: run(inputs)

    def _run(self) -> Callable[[Tensors], list[NDArray[Any]]]:
        """What makes all outputs of arrays, which lie elsewhere in every run."""
        run = self._session.run
        if not binding.captures(self._provider_options):
            return lambda inputs: run(None, inputs)
        apart = binding.uncaptured(onnxruntime())
        return lambda inputs: run(None, inputs, apart)

    def _cast(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        return {name: _as(self._floats.get(name), array) for name, array in feeds.items()}

    def trace(self) -> Path:
        """Stop tracing, which nothing starts again; the file in the folder that was given."""
        with stdout_kept():
            return Path(self._session.end_profiling())

    def assigned(self) -> tuple[Assigned, ...] | None:
        """Which provider runs which node; None where onnxruntime does not say (before 1.24)."""
        ask = getattr(self._session, "get_provider_graph_assignment_info", None)
        if ask is None:
            return None
        parts = ((part.ep_name, part.get_nodes()) for part in ask())
        return tuple(Assigned(ep, node.name, node.op_type) for ep, nodes in parts for node in nodes)


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
            f"{providers.INSTALL}"
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
    made = runtime.SessionOptions()
    made.log_severity_level = FATAL_ONLY
    made.inter_op_num_threads = 1
    made.intra_op_num_threads = threads or 0
    made.add_session_config_entry(options.SPINNING, "0")
    made.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if folder is not None:
        made.add_session_config_entry(WEIGHTS_FOLDER, str(folder.resolve()))
    return made


def _is_open(shape: Sequence[object]) -> bool:
    """Some size past the first, which is mostly the batch, is left open."""
    return any(not isinstance(size, int) for size in shape[1:])


def _trace(made: Any, folder: Path) -> None:
    """Weights go to a file of their own: the graph is what is wanted, whatever they weigh."""
    made.enable_profiling = True
    made.profile_file_prefix = str(folder / "trace")
    made.optimized_model_filepath = str(folder / OPTIMISED)
    made.add_session_config_entry(WEIGHTS_APART, "weights.bin")
