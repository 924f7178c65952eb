"""Models of early versions of the operators have their shapes, at the sizes given by hand."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest
from onnx import parser

from gconvtool.facts import Shape
from gconvtool.graph.constants import shape_of
from gconvtool.graph.shapes import infer
from gconvtool.pipeline.analyze import analyze

MAP = "float[2, 8, 6, 6] x, float[8] b"
SEQUENCE = "float[5, 2, 4] x, float[1, 12, 4] w, float[1, 12, 3] r"
CASES: dict[str, tuple[int, str, str, tuple[Shape, ...]]] = {
    "the same shape": (6, MAP, "y = Add (x, x)", ((2, 8, 6, 6),)),
    "along the channels": (6, MAP, "y = Mul <broadcast = 1, axis = 1> (x, b)", ((2, 8, 6, 6),)),
    "to the end": (6, "float[2, 8] x, float[8] b", "y = Sub <broadcast = 1> (x, b)", ((2, 8),)),
    "compared": (6, MAP, "y = Greater <broadcast = 1, axis = 1> (x, b)", ((2, 8, 6, 6),)),
    "a sum": (6, MAP, "y = Sum (x, x, x)", ((2, 8, 6, 6),)),
    "channels joined": (3, MAP, "y = Concat (x, x)", ((2, 16, 6, 6),)),
    "rows joined": (3, MAP, "y = Concat <axis = 2> (x, x)", ((2, 8, 12, 6),)),
    "reshaped": (4, MAP, "y = Reshape <shape = [0, -1]> (x)", ((2, 288),)),
    "open": (4, "float[N, 8, H, 6] x", "y = Reshape <shape = [0, -1]> (x)", (("N", "48*H"),)),
    "split": (1, MAP, "y, z = Split <axis = 1, split = [3, 5]> (x)", ((2, 3, 6, 6), (2, 5, 6, 6))),
    "dropout": (6, MAP, "y, m = Dropout (x)", ((2, 8, 6, 6),) * 2),
    "a product": (
        6,
        "float[2, 3] x, float[4, 3] w, float[4] b",
        "y = Gemm <broadcast = 1, transB = 1> (x, w, b)",
        ((2, 4),),
    ),
    "recurrent": (
        1,
        SEQUENCE,
        "y, h, c = LSTM <hidden_size = 3> (x, w, r)",
        ((5, 1, 2, 3), (1, 2, 3), (1, 2, 3)),
    ),
    "on trial": (1, MAP, "y = ImageScaler <scale = 2.0> (x)", ((2, 8, 6, 6),)),
}  # fmt: skip


def network(opset: int, inputs: str, body: str) -> onnx.ModelProto:
    header = f'<ir_version: 3, opset_import: ["": {opset}]>'
    return parser.parse_model(f"{header} g ({inputs}) => (float[] y) {{ {body} }}")


@pytest.mark.parametrize("case", CASES)
def test_an_early_version_has_its_shapes(case: str) -> None:
    opset, inputs, body, expected = CASES[case]
    model = ir.from_proto(network(opset, inputs, body))
    infer(model)
    (node,) = model.graph
    assert tuple(shape_of(value) for value in node.outputs) == expected


def test_a_network_of_early_operators_is_counted_to_its_end() -> None:
    body = """
      a = ImageScaler <scale = 0.5> (x) h = Conv (a, w)
      s = Add <broadcast = 1, axis = 1> (h, b) c = Concat (s, s) d = Dropout (c)
      f = Reshape <shape = [0, -1]> (d) y = Gemm <broadcast = 1> (f, v, u)
    """
    inputs = "float[1, 3, 8, 8] x, float[4, 3, 3, 3] w, float[4] b, float[288, 5] v, float[5] u"
    result = analyze(ir.from_proto(network(3, inputs, body)))
    assert (result.totals.macs, result.unknown) == (4 * 36 * 27 + 288 * 5, ())
