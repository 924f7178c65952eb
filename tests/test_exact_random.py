"""Exact rewrites change no network, in onnxruntime as in the reference evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nets
import onnx
import onnx_ir as ir
import pytest
from drawn import PHASES, Drawing, networks, require_close, require_valid
from hypothesis import given, settings

import gconvtool

WAYS: Mapping[str, Mapping[str, Any]] = {
    "exact": {"exact": True},
    "densify": {"densify": True},
    "exact and densify": {"exact": True, "densify": True},
    "exact and split": {"exact": True, "spelling": "split"},
    "split": {"spelling": "split"},
    "gap to gdc": {"gap_to_gdc": True},
    "gdc to gap": {"gdc_to_gap": "exact"},
}
CLOSE, CLOSE_IN_HALF = 1e-5, 0.02
"""What rounding makes of layers behind each other."""


def rewritten(source: onnx.ModelProto, way: str) -> onnx.ModelProto:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out.onnx"
        result = gconvtool.convert(ir.from_proto(source), out, threads=1, **WAYS[way])
        assert all(one.difference <= one.bound for one in result.certificates)
        return onnx.load(out)


def evaluated(drawing: Drawing) -> bool:
    """The reference evaluator has errors of its own elsewhere: in old operators, in 1-D pooling."""
    return drawing.opset >= 13 and len(drawing.inputs[0].sizes) == 2 and not drawing.half


def check(drawing: Drawing) -> None:
    """Convolutions can only become averages that were averages before."""
    before, most = drawing.model(), CLOSE_IN_HALF if drawing.half else CLOSE
    made = {way: rewritten(before, way) for way in WAYS}
    made["there and back"] = rewritten(made["gap to gdc"], "gdc to gap")
    for after in made.values():
        require_valid(before, after)
        require_close(drawing, before, after, most)
    if evaluated(drawing):
        require_close(drawing, before, made["exact and split"], most, nets.run)


@settings(max_examples=8, phases=PHASES)
@given(drawing=networks())
def test_no_exact_rewrite_changes_a_network(drawing: Drawing) -> None:
    check(drawing)


@pytest.mark.slow
@settings(max_examples=300, phases=PHASES)
@given(drawing=networks())
def test_no_exact_rewrite_changes_any_of_many_networks(drawing: Drawing) -> None:
    check(drawing)
