"""A model as onnxruntime takes it: a protobuf, and the folder of those weights that are not in it.

Weights in files beside a model stay there. onnxruntime maps such files, so that only what it reads
of them takes memory, and a model may be larger than that is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from gconvtool.graph import save, twin
from gconvtool.graph.load import as_bytes, external, readable


@dataclass(frozen=True)
class Packed:
    """A protobuf and the folder that its files of weights are in; None if it has no such files."""

    content: bytes
    folder: Path | None = None


def pack(model: ir.Model, name: str) -> Packed:
    """The model to run, or its twin where onnxruntime lacks a type of its numbers.

    Raises:
        InputError: weights cannot be read, or those in memory do not fit into a protobuf.
    """
    runnable = twin.runnable(model)
    folders = {Path(tensor.base_dir) for _, tensor in external(runnable)}
    if len(folders) > 1:  # onnxruntime knows one
        runnable, folders = save.held(runnable, name), set()
    for _, tensor in external(runnable):
        _require(tensor, name)
    save.require_room(runnable, name)
    return Packed(save.to_bytes(runnable), next(iter(folders), None))


def _require(tensor: ir.ExternalTensor, name: str) -> None:
    """It is all there, and inside its folder: mapping its bytes shows that and reads none."""
    with readable(f"{name} ({tensor.path})"):
        as_bytes(tensor).numpy()
