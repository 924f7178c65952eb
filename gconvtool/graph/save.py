"""A model as a file, checked: one protobuf that holds its own weights.

Where they do not fit into one, they lie in a file beside it. Each begins at a multiple of 64 KiB
there, which is where systems can begin to map a file (Windows asks for that much). They are copied
from where they lie a piece at a time, so that the model may be larger than the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

import onnx
import onnx_ir as ir

from gconvtool import files
from gconvtool.errors import InputError, VerificationError
from gconvtool.graph.load import (
    SMALL_BYTES,
    as_bytes,
    external,
    external_files,
    objection,
    one_line,
    readable,
    said_in_full,
)

LIMIT_BYTES = 2**31 - 2**20
"""Protobuf's limit for one file, less some room for the graph itself."""
ALIGNMENT = 2**16


def write(model: ir.Model, name: str, path: Path, check: Callable[[Path], None]) -> Path | None:
    """Write a model; `check` reads it before it takes its place.

    Returns:
        The file beside it that holds its weights, where they do not fit into one with the graph.

    Raises:
        InputError: the path cannot be written, or weights cannot be read.
        VerificationError: the rewritten model fails ONNX's checker, which is a bug of ours.
        MissingError: the disk is full.
    """
    if _weights_bytes(model) <= LIMIT_BYTES:
        files.write(serialise(model, name), path, check)
        return None
    require_valid(model, name)
    return _write_apart(model.clone(), path, check)


def serialise(model: ir.Model, name: str) -> bytes:
    """The model as one checked, self-contained protobuf; the same model gives the same bytes.

    Raises:
        InputError: it does not fit into one file.
        VerificationError: the rewritten model fails ONNX's checker, which is a bug of ours.
    """
    whole = held(model, name)
    content = to_bytes(whole)
    with said_in_full(whole) as more:
        _check(to_bytes(whole) if more else content, name)
    return content


def held(model: ir.Model, name: str) -> ir.Model:
    """A copy that holds all of its weights itself.

    Raises:
        InputError: they cannot be read, or do not fit into a protobuf.
    """
    if _weights_bytes(model) > LIMIT_BYTES:
        raise _too_large(_weights_bytes(model), name)
    copy = model.clone()
    listed = ", ".join(sorted(map(str, external_files(copy))))
    with readable(f"{name} ({listed})" if listed else name):
        ir.external_data.load_to_model(copy)
    return copy


def require_room(model: ir.Model, name: str) -> None:
    """Refuse a model whose weights in memory do not fit into a protobuf."""
    size = _weights_bytes(model) - sum(tensor.nbytes for _, tensor in external(model))
    if size > LIMIT_BYTES:
        raise _too_large(size, name)


def require_valid(model: ir.Model, name: str) -> None:
    """Let ONNX's checker look at a rewritten model, its large weights aside.

    Raises:
        VerificationError: it has objections, which is a bug of ours.
    """
    if said := objection(model):
        raise _invalid(name, said)


def to_bytes(model: ir.Model) -> bytes:
    """The model as a protobuf; weights in files are named in it."""
    return bytes(ir.to_proto(model).SerializeToString(deterministic=True))


def _weights_bytes(model: ir.Model) -> int:
    values = (value for graph in model.graphs() for value in graph.initializers.values())
    return sum(value.const_value.nbytes for value in values if value.const_value is not None)


def _too_large(size: int, name: str) -> InputError:
    return InputError(f"{name}: {size / 2**30:.1f} GiB of weights do not fit into one ONNX file")


def _check(content: bytes, name: str) -> None:
    try:
        onnx.checker.check_model(content)
    except Exception as error:  # the checker's own family, and what malformed protos raise
        raise _invalid(name, one_line(error)) from error


def _invalid(name: str, said: str) -> VerificationError:
    return VerificationError(
        f"{name}: not written: the rewritten model fails ONNX's checker: {said}"
    )


def _write_apart(model: ir.Model, path: Path, check: Callable[[Path], None]) -> Path:
    """Write the model and, beside it, its weights; the model is changed."""
    values = _movable(model)
    tensors = [value.const_value for value in values if value.const_value is not None]
    places = _places([tensor.nbytes for tensor in tensors])

    def put_weights(file: files.Sink) -> None:
        end = 0
        for tensor, place in zip(tensors, places, strict=True):
            file.write(bytes(place - end))
            _put(tensor, file)
            end = place + tensor.nbytes

    def content(location: str) -> bytes:
        for value, tensor, place in zip(values, tensors, places, strict=True):
            shape = ir.Shape(tensor.shape.numpy())
            value.const_value = ir.ExternalTensor(
                location, place, tensor.nbytes, tensor.dtype, shape=shape, name=value.name or ""
            )
        return to_bytes(model)

    return files.write_apart(put_weights, content, path, check)


def _movable(model: ir.Model) -> list[ir.Value]:
    """Weights that can lie in a file of their own; small ones may as well stay."""
    return [
        value
        for graph in model.graphs()
        for value in graph.initializers.values()
        if value.const_value is not None
        and value.const_value.dtype is not ir.DataType.STRING
        and (
            value.const_value.nbytes > SMALL_BYTES
            or isinstance(value.const_value, ir.ExternalTensor)
        )
    ]


def _places(sizes: Sequence[int]) -> list[int]:
    """Where each begins, one behind the other."""
    steps = (-(-size // ALIGNMENT) * ALIGNMENT for size in sizes[:-1])
    return list(accumulate(steps, initial=0))


def _put(tensor: ir.TensorProtocol, file: files.Sink) -> None:
    if isinstance(tensor, ir.ExternalTensor):
        as_bytes(tensor).tofile(file)  # in pieces
    else:
        file.write(tensor.tobytes())
