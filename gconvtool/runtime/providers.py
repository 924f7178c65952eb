"""What onnxruntime's providers are called, and what has to be there before one of them runs.

    XxxExecutionProvider   <->   xxx

by rule, so that whatever an installed onnxruntime offers has a short name. Being built in, loading
and running are three things: onnxruntime lists what it was built with, warns where a library is
missing, and then runs on the CPU. So a provider is asked for before a session is opened and after;
what ran where is the matter of `placement`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from types import ModuleType
from typing import TypeAlias

from gconvtool.errors import InputError, MissingError

SUFFIX = "ExecutionProvider"
ALIASES: Mapping[str, str] = {"directml": "dml", "onednn": "dnnl"}
"""Names that are better known than those by the rule."""
PACKAGES: Mapping[str, str] = {
    "cpu": "gconvtool[cpu]",
    "cuda": "gconvtool[cuda]",
    "tensorrt": "gconvtool[cuda]",
    "dml": "onnxruntime-directml",
    "openvino": "onnxruntime-openvino",
    "qnn": "onnxruntime-qnn",
    "migraphx": "onnxruntime-migraphx",
    "webgpu": "onnxruntime-webgpu",
    "cann": "onnxruntime-cann",
}
"""What to install for a provider; the others are in no package, or in that for their system."""
EXACT: Mapping[str, Mapping[str, str]] = {"cuda": {"use_tf32": "0"}}
"""Options that hold where no others are given. TF32 keeps 10 of float32's 23 bits of a fraction,
and two models would be compared by what that rounds away."""
NEXT: Mapping[str, tuple[str, ...]] = {"tensorrt": ("cuda",)}
"""Who takes what a provider leaves, before the CPU does."""
DEVICE = "device_id"
"""Whoever takes what a provider leaves has to be on the same one."""
REPLAYING = "trt_cuda_graph_enable"
"""TensorRT's runs become a graph with this, all of them: those on other inputs, too."""
NVIDIA = ("cuda", "tensorrt")
"""Providers whose libraries `preload_dlls` finds in NVIDIA's packages."""
OLDEST = (1, 21)
"""The first version that is told where the weights of a serialised model are."""
INSTALL = 'pip install "gconvtool[cpu]" (or "gconvtool[cuda]" for NVIDIA GPUs)'
MODULE = "onnxruntime/__init__.py"
ENVIRONMENT = re.compile(
    r"CUDA (failure|error)|CUDA-capable|driver|shared object|shared library|LoadLibrary"
    r"|Error loading|failed to load",
    re.IGNORECASE,
)
"""What onnxruntime and the libraries under it say of devices, drivers and libraries."""

Chain: TypeAlias = list[tuple[str, dict[str, str]]]
"""Providers by their full names, in order of preference, with their options."""


def short(full: str) -> str:
    """`CUDAExecutionProvider` as it is typed: `cuda`."""
    return full.removesuffix(SUFFIX).lower()


def built_in(runtime: ModuleType) -> dict[str, str]:
    """Full names of the providers that this onnxruntime was built with, by their short ones."""
    return {short(full): full for full in runtime.get_available_providers()}


def canonical(runtime: ModuleType, name: str) -> str:
    """The short name of what was asked for by that, an alias or the full name.

    Raises:
        InputError: there is no such provider.
        MissingError: there is, but this onnxruntime was built without it.
    """
    here, known = built_in(runtime), _known(runtime)
    asked = short(name) if name in known.values() else ALIASES.get(name, name)
    if asked not in known:
        others = ", ".join(sorted(known.keys() - here.keys()))
        raise InputError(
            f"provider {name!r}: onnxruntime {runtime.__version__} has {', '.join(sorted(here))}"
            + (f"; other packages have {others}" if others else "")
        )
    if asked not in here:
        raise MissingError(_absent(asked))
    return asked


def chain(runtime: ModuleType, name: str, options: Mapping[str, str]) -> Chain:
    """What to open a session with: the provider, who takes what it leaves, and the CPU.

    Raises:
        InputError: options that would be ignored, or would make runs on other inputs wrong.
    """
    if REPLAYING in options:
        raise InputError(
            f"--provider-option {REPLAYING}: outputs could not be compared, since every run would "
            "replay the first inputs; CUDA graphs are there for --provider cuda: enable_cuda_graph"
        )
    if name == "cpu" and options:
        raise InputError(
            f"--provider-option {next(iter(options))}: the CPU's provider has no options; "
            "see --session-option"
        )
    here = built_in(runtime)
    following = [one for one in NEXT.get(name, ()) if one in here]
    device = {key: value for key, value in options.items() if key == DEVICE}
    return [
        (here[name], {**EXACT.get(name, {}), **options}),
        *((here[one], {**EXACT.get(one, {}), **device}) for one in following),
        *(((here["cpu"], {}),) if name != "cpu" and "cpu" in here else ()),
    ]


def wheels() -> tuple[str, ...]:
    """Installed packages that bring the module `onnxruntime`, and overwrite each other if several.

    Others are named like it and add something to it.
    """
    return tuple(sorted({name for name, dist in _candidates() if _brings_module(dist)}))


def unloadable(name: str, reason: str = "") -> str:
    """What is said of a provider that is built in and does not load."""
    why = reason or "a driver or a library is missing, or too old"
    cure = f'; pip install -U "{PACKAGES[name]}" brings CUDA and cuDNN' if name in NVIDIA else ""
    return (
        f"{name}: onnxruntime is built with it but cannot load it: {why}; "
        f"`gconvtool doctor` says what is missing{cure}"
    )


def lacks_something(name: str, said: str) -> bool:
    """Whether onnxruntime complains of the machine, and not of the model or an option."""
    return name != "cpu" and ENVIRONMENT.search(said) is not None


def conflict(found: Sequence[str], wanted: str | None = None) -> str:
    """What to do about several packages that bring onnxruntime."""
    chosen = f'pip install "{wanted}"' if wanted else "install the one that is wanted"
    return f"pip uninstall -y {' '.join(found)}, then {chosen}"


def _known(runtime: ModuleType) -> dict[str, str]:
    """All providers that this version of onnxruntime has heard of, built in or not."""
    everywhere: list[str] = getattr(runtime, "get_all_providers", list)()
    return {**{short(full): full for full in everywhere}, **built_in(runtime)}


def _absent(name: str) -> str:
    """Why a provider is not built in, and what to install."""
    found, package = wheels(), PACKAGES.get(name)
    if len(found) > 1:
        both = f"{name}: the packages {' and '.join(found)} overwrite each other here"
        return f"{both}: {conflict(found, package)}"
    said = f"{name}: the installed onnxruntime is built without it"
    if package is None:
        return f"{said}: https://onnxruntime.ai/docs/install tells which one has it"
    return f"{said}: {conflict(found, package)}"


def _candidates() -> Iterator[tuple[str, metadata.Distribution]]:
    """Installed packages that are named like onnxruntime or its nightly builds."""
    for dist in metadata.distributions():
        name = str(dist.metadata["Name"] or "").lower().replace("_", "-")
        if name == "onnxruntime" or name.startswith(("onnxruntime-", "ort-")):
            yield name, dist


def _brings_module(dist: metadata.Distribution) -> bool:
    """Whether the module is among its files; without a list of them, a package is believed."""
    return dist.files is None or any(path.as_posix() == MODULE for path in dist.files)
