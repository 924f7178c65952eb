"""From a file to a checked onnx_ir model; its weights stay on the disk until they are read."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import CheckerPass

from gconvtool.errors import InputError


def load(path: Path) -> ir.Model:
    """Read and check a model.

    Raises:
        InputError: where there is no readable, valid ONNX model at `path`.
    """
    model = _deserialise(_decode(path), path)
    try:
        CheckerPass()(model)
    except Exception as error:  # the checker's own family, wrapped by the pass
        raise InputError(f"{path}: not a valid ONNX model: {first_line(error)}") from error
    return model


def first_line(error: BaseException) -> str:
    """The innermost cause of an error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")


def _decode(path: Path) -> onnx.ModelProto:
    if path.is_dir():
        raise InputError(f"{path}: a folder, not an ONNX file")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if not raw:
        raise InputError(f"{path}: the file is empty")
    try:
        proto = onnx.load_model_from_string(raw)
    except Exception as error:  # protobuf's DecodeError, whose home moves between its versions
        raise InputError(
            f"{path}: not an ONNX file, or cut off: it does not decode as a protobuf model"
        ) from error
    if not proto.graph.node:
        raise InputError(f"{path}: not an ONNX model: it decodes, but its graph has no nodes")
    return proto


def _deserialise(proto: onnx.ModelProto, path: Path) -> ir.Model:
    try:
        model = ir.from_proto(proto)
    except Exception as error:  # malformed protos fail in many ways
        raise InputError(f"{path}: not a valid ONNX model: {first_line(error)}") from error
    ir.external_data.set_base_dir(model.graph, path.parent)
    return model
