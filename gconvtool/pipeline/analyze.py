"""What a network costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir

from gconvtool.graph import load as loading
from gconvtool.pipeline.source import Feed, Model, Network, count
from gconvtool.results import Analysis


def load(path: str | Path) -> ir.Model:
    """Read and check an ONNX model; its weights stay on the disk until they are needed.

    Raises:
        InputError: there is no readable, valid ONNX model at `path`.
    """
    return loading.load(Path(path))


def analyze(
    model: Model,
    *,
    dims: Mapping[str, int] | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Analysis:
    """Count what a network costs, layer by layer.

    Args:
        model: a file or a loaded model, which is not changed.
        dims: sizes for open dimensions by name; a leading one is 1 if nothing else is said.
        input_shapes: whole shapes by input name, also over fixed ones.

    Raises:
        InputError: no valid model, or sizes for what it does not have.
    """
    feed = Feed(dims=dims or {}, input_shapes=input_shapes or {})
    return count(Network.open(model), feed)
