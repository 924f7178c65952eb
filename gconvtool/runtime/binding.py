"""Runs whose inputs and outputs stay on the device, so that no copies are timed.

Inputs are copied there once, and every run returns when the device is done. So the device is idle
at both readings of a clock around a run: the run before has waited for it, and so does this one.

A provider that captures its work as a CUDA graph replays the addresses of the third run. The bound
tensors must then never move: outputs are made by a run that is not captured, and bound as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEVICES: Mapping[str, str] = {"cuda": "cuda", "tensorrt": "cuda", "dml": "dml"}
"""Providers with a memory of their own, and what onnxruntime calls that."""
CAPTURE = "enable_cuda_graph"
ANNOTATION, NOT_CAPTURED = "gpu_graph_id", "-1"
"""An entry of the options of a run; this value of it keeps the run out of a CUDA graph."""


def bound(
    runtime: ModuleType,
    session: Any,
    feeds: Mapping[str, NDArray[Any]],
    outputs: Sequence[str],
    provider: str,
    options: Mapping[str, str],
) -> Callable[[], object]:
    """A function that runs once on the device, on these inputs, and returns when it is done."""
    device, number = DEVICES[provider], int(options.get("device_id", 0))
    binding = session.io_binding()
    for name, array in feeds.items():
        value = np.asarray(array, order="C")  # ascontiguousarray makes an axis for a scalar
        on_device = runtime.OrtValue.ortvalue_from_numpy(value, device, number)
        binding.bind_ortvalue_input(name, on_device)
    for name in outputs:
        binding.bind_output(name, device, number)
    binding.synchronize_inputs()
    if captures(options):
        _hold_outputs(session, binding, outputs, uncaptured(runtime))

    def run() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run


def captures(options: Mapping[str, str]) -> bool:
    """Whether runs become a CUDA graph."""
    return options.get(CAPTURE, "0").lower() in ("1", "true")


def uncaptured(runtime: ModuleType) -> Any:
    """Options of a run that is no part of a CUDA graph."""
    options = runtime.RunOptions()
    options.add_run_config_entry(ANNOTATION, NOT_CAPTURED)
    return options


def _hold_outputs(session: Any, binding: Any, outputs: Sequence[str], options: Any) -> None:
    """Run once, so that outputs have a place, and bind them to that place."""
    session.run_with_iobinding(binding, options)
    binding.synchronize_outputs()
    for name, value in zip(outputs, binding.get_outputs(), strict=True):
        binding.bind_ortvalue_output(name, value)
