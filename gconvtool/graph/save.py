"""A model as one protobuf, checked, that holds its own weights."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from gconvtool.errors import InputError, VerificationError
from gconvtool.graph.load import external_files, one_line, readable, said_in_full

LIMIT_BYTES = 2**31 - 2**20
"""Protobuf's limit for one file, less some room for the graph itself."""


def serialise(model: ir.Model, name: str) -> bytes:
    """The model as one checked, self-contained protobuf; the same model gives the same bytes.

    Raises:
        InputError: it does not fit into one file.
        VerificationError: the rewritten model fails ONNX's checker, which is a bug of ours.
    """
    values = (value for graph in model.graphs() for value in graph.initializers.values())
    size = sum(value.const_value.nbytes for value in values if value.const_value is not None)
    if size > LIMIT_BYTES:
        raise InputError(f"{name}: {size / 2**30:.1f} GiB of weights do not fit into one ONNX file")
    files = ", ".join(sorted(map(str, external_files(model))))
    with readable(f"{name} ({files})" if files else name):
        ir.external_data.load_to_model(model)
    content = _bytes(model)
    with said_in_full(model) as more:
        _check(_bytes(model) if more else content, name)
    return content


def _bytes(model: ir.Model) -> bytes:
    return bytes(ir.to_proto(model).SerializeToString(deterministic=True))


def _check(content: bytes, name: str) -> None:
    try:
        onnx.checker.check_model(content)
    except Exception as error:  # the checker's own family, and what malformed protos raise
        raise VerificationError(
            f"{name}: not written: the rewritten model fails ONNX's checker: {one_line(error)}"
        ) from error
