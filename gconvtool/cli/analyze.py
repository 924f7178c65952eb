"""`gconvtool analyze`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gconvtool.cli import config, console, options


def analyze(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="An ONNX file.")] = None,
    dim: options.Dims = None,
    input_shape: options.InputShapes = None,
    json: options.Json = False,
) -> int:
    """Count what convolutions cost, layer by layer."""
    from gconvtool.pipeline.analyze import analyze as count
    from gconvtool.report import document
    from gconvtool.report.terminal import AnalysisPage

    settings = config.read(Path.cwd())
    source = options.required(model or settings.model, "model", "name an ONNX file")
    result = count(source, dims=options.dims(dim), input_shapes=options.input_shapes(input_shape))
    if json:
        console.answer(document.analysis(result))
    else:
        console.show(AnalysisPage(result))
    console.warn(result.warnings)
    return 0
