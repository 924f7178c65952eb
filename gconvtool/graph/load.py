"""From a file to a checked onnx_ir model; its weights stay on the disk until they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import CheckerPass

from gconvtool.errors import InputError
from gconvtool.graph import claims

ONE: Mapping[str, type | tuple[type, ...]] = {
    "INT": (int, np.integer),
    "FLOAT": (int, float, np.integer, np.floating),
    "STRING": (str, bytes),
    "GRAPH": ir.Graph,
}
"""What attributes hold one of, or as many as they like."""
FIRST_IR_WITH_PRIVATE_INITIALIZERS = 4
SMALL_BYTES = 1024
"""Tensors up to this size are read at once: shape inference wants the values of some."""


def load(path: Path) -> ir.Model:
    """Read and check a model.

    Raises:
        InputError: where there is no readable, valid ONNX model at `path`.
    """
    model = _deserialise(_decode(path), path)
    _allow_private_initializers(model)
    _store_constants(model)
    for value, tensor in external(model):
        value.const_value = _inside(tensor, path)
    for value, tensor in external(model):
        if tensor.nbytes <= SMALL_BYTES and Path(tensor.path).is_file():
            with readable(f"{path} ({tensor.path})"):
                value.const_value = ir.tensor(numbers(tensor).copy(), name=value.name)
    _require_valid(model, str(path))
    return model


def copied(model: ir.Model, name: str) -> ir.Model:
    """A copy of a model in memory.

    Raises:
        InputError: it is no valid ONNX model.
    """
    for trouble in _misfits(model):
        raise InputError(f"{name}: not a valid ONNX model: {trouble}")
    try:
        copy = model.clone()
    except Exception as error:  # cycles, values that nobody makes, …
        raise InputError(f"{name}: not a valid ONNX model: {one_line(error)}") from error
    _allow_private_initializers(copy)
    functions = dict(copy.functions)
    copy.functions.clear()  # looked at when expanded: the standard domain has two names there
    _require_valid(copy, name)
    copy.functions.update(functions)
    return copy


def _misfits(model: ir.Model) -> Iterator[str]:
    """Versions and attributes that do not hold what they say; in a file they cannot be."""
    for domain, version in model.opset_imports.items():
        if not isinstance(version, int):
            yield f"the version of domain {domain!r} is {version!r}, which is no whole number"
    yield from _misfits_of(model.graph, outside=True)
    for function in model.functions.values():
        yield from _misfits_of(function, outside=False)


def _misfits_of(nodes: ir.Graph | ir.Function, *, outside: bool) -> Iterator[str]:
    for node in nodes:
        where = next((value.name for value in node.outputs if value.name), node.name)
        for name, attribute in node.attributes.items():
            said = f"attribute {name} of {node.op_type} {where or ''}".rstrip()
            if attribute.is_ref():
                if outside:
                    yield f"{said} is a function's, and it is in none"
                continue
            held = attribute.value
            if not _holds(attribute.type.name, held):
                yield f"{said} is of type {attribute.type.name} and holds {held!r:.40}"
            for graph in held if isinstance(held, (list, tuple)) else (held,):
                if isinstance(graph, ir.Graph):
                    yield from _misfits_of(graph, outside=outside)


def _holds(kind: str, value: object) -> bool:
    """Whether an attribute of this type may have this value."""
    one = kind.removesuffix("S")
    if kind != one:
        return isinstance(value, (list, tuple)) and all(_holds(one, part) for part in value)
    if kind == "TENSOR":
        return hasattr(type(value), "numpy")  # asked of the value, a lazy one would be read
    return isinstance(value, ONE.get(kind, object))


@contextmanager
def said_in_full(model: ir.Model) -> Iterator[bool]:
    """Inputs and outputs with shapes and types: the checker insists on them, runtimes do not. True
    if some had none."""
    values = (*model.graph.inputs, *model.graph.outputs)
    said = [(value.shape, value.type) for value in values]
    for value in values:
        value.shape = value.shape or ir.Shape([])
        value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
    try:
        yield any(None in both for both in said)
    finally:
        for value, (shape, kind) in zip(values, said, strict=True):
            value.shape, value.type = shape, kind


def _allow_private_initializers(model: ir.Model) -> None:
    """Older IR versions want every initializer to be an input too; runtimes do not insist."""
    private = any(not value.is_graph_input() for value in model.graph.initializers.values())
    if private and model.ir_version:
        model.ir_version = max(model.ir_version, FIRST_IR_WITH_PRIVATE_INITIALIZERS)


def _require_valid(model: ir.Model, name: str) -> None:
    if said := objection(model):
        raise InputError(f"{name}: not a valid ONNX model: {said}")


def objection(model: ir.Model) -> str | None:
    """What ONNX's checker has against a model, in one line; its large weights are not looked at."""
    try:
        with _set_aside(external(model)), said_in_full(model):
            CheckerPass()(model)
    except Exception as error:  # the checker's own family, wrapped by the pass
        return one_line(error)
    return None


def one_line(error: BaseException) -> str:
    """The innermost cause of an error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split("==> Context")[0].split())
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return printable.rstrip(".: ") or type(error).__name__


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Weights are read inside: what goes wrong with them is the model's fault.

    Raises:
        InputError: their file is missing, too short or elsewhere, or does not fill their shape.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: its weights cannot be read: {one_line(error)}") from error


def external_files(model: ir.Model) -> set[Path]:
    """The files beside the model that hold its weights."""
    return {Path(tensor.path) for _, tensor in external(model)}


def external(model: ir.Model) -> list[tuple[ir.Value, ir.ExternalTensor]]:
    """The weights that lie in such files, and where."""
    values = (value for graph in model.graphs() for value in graph.initializers.values())
    return [(v, v.const_value) for v in values if isinstance(v.const_value, ir.ExternalTensor)]


def numbers(tensor: ir.TensorProtocol) -> NDArray[Any]:
    """What a tensor holds. A file is mapped for as long as this is held, and no longer: each map
    keeps it open once more, and a process may open few."""
    if isinstance(tensor, ir.ExternalTensor):
        tensor = _anew(tensor, tensor.dtype, ir.Shape(tensor.shape))
    return tensor.numpy()


def as_bytes(tensor: ir.ExternalTensor) -> ir.ExternalTensor:
    """The same place in the same file, byte by byte."""
    return _anew(tensor, ir.DataType.UINT8, ir.Shape([tensor.nbytes]))


def _anew(
    tensor: ir.ExternalTensor, dtype: ir.DataType, shape: ir.Shape, beside: str | None = None
) -> ir.ExternalTensor:
    """The same place, apart from whoever else reads it; as a file in the folder `beside`, if that
    is given."""
    folder, location = tensor.base_dir, tensor.location
    if beside is not None:
        folder, location = beside, os.path.relpath(os.path.realpath(tensor.path), beside)
    name, size = tensor.name, tensor.nbytes
    return ir.ExternalTensor(
        location, tensor.offset, size, dtype, shape=shape, name=name, base_dir=folder
    )


def _store_constants(model: ir.Model) -> None:
    """Constants whose numbers lie in another file are weights like all others there: ONNX's checker
    looks for those of nodes in the current folder."""
    for graph in model.graphs():
        for node in list(graph):
            tensor = node.attributes["value"].value if "value" in node.attributes else None
            if node.op_type == "Constant" and isinstance(tensor, ir.ExternalTensor):
                (old,) = node.outputs
                new = ir.val(old.name, tensor.dtype, ir.Shape(tensor.shape), const_value=tensor)
                old.replace_all_uses_with(new, replace_graph_outputs=True)
                graph.remove(node, safe=True)
                graph.register_initializer(new)


def _inside(tensor: ir.ExternalTensor, path: Path) -> ir.ExternalTensor:
    """Weights lie in files of the model's folder, whatever links say: a model must not reach for
    other files of the machine. A model that is a link itself may have them beside what it is; they
    are looked for there then, since those who read them do not follow links out of a folder."""
    folder, said = os.path.abspath(path.parent), os.path.join(path.parent, tensor.location)
    home, beside = os.path.realpath(folder), os.path.dirname(os.path.realpath(path))
    real = os.path.realpath(said)
    if not _below(os.path.abspath(said), folder):
        raise _outside(tensor, path, "let the model name a copy in its folder")
    if not _below(real, home) and not _below(real, beside):
        raise _outside(tensor, path, f"put a copy of {real} in the place of the link")
    if os.path.exists(said) and not os.path.isfile(said):
        raise InputError(f"{path}: weight {tensor.name} names what is no file: {tensor.location}")
    if _below(real, home):
        return tensor
    return _anew(tensor, tensor.dtype, ir.Shape(tensor.shape), beside)


def _outside(tensor: ir.ExternalTensor, path: Path, help_: str) -> InputError:
    return InputError(
        f"{path}: weight {tensor.name} names a file outside of the model's folder, which is "
        f"refused: {tensor.location}; {help_}"
    )


def _below(place: str, folder: str) -> bool:
    return os.path.commonpath([folder, place]) == folder


@contextmanager
def _set_aside(stored: list[tuple[ir.Value, ir.ExternalTensor]]) -> Iterator[None]:
    """Hide tensors whose file the checker would look for in the current folder, for empty ones."""
    for value, tensor in stored:
        value.shape = value.shape or ir.Shape(tensor.shape)
        value.dtype = value.dtype or tensor.dtype
        value.const_value = ir.tensor(np.empty(0, np.float32), name=value.name)
    try:
        yield
    finally:
        for value, tensor in stored:
            value.const_value = tensor


def _decode(path: Path) -> onnx.ModelProto:
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise InputError(f"{path}: a device or a pipe, not an ONNX file")
        raw = path.read_bytes()
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, not an ONNX file") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {reason}") from error
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
    for trouble in claims.troubles(proto.graph):
        raise InputError(f"{path}: {trouble}")
    try:
        model = ir.from_proto(proto)
    except Exception as error:  # malformed protos fail in many ways
        raise InputError(f"{path}: not a valid ONNX model: {one_line(error)}") from error
    ir.external_data.set_base_dir(model.graph, path.parent)
    return model
