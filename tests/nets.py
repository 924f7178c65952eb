"""Small networks for the tests: ONNX text, with weights from a seed."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import numpy_helper, parser
from onnx.reference import ReferenceEvaluator

RESIDUAL = """
<ir_version: 8, opset_import: ["": 17]>
residual (float[N, 8, 9, 9] x) => (float[N, 5] scores)
  <float[16, 8, 3, 3] w1, float[16] b1, float[16, 16, 3, 3] w2, float[16, 8, 1, 1] w3,
   float[16, 16, 3, 3] w4, float[16] b4, float[5, 16] w5, float[5] b5>
{
  a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w1, b1)
  ra = Relu (a)
  b = Conv <pads = [1, 1, 1, 1]> (ra, w2)
  s = Conv <strides = [2, 2]> (x, w3)
  sum = Add (b, s)
  r = Relu (sum)
  d = Conv <pads = [1, 1, 1, 1]> (r, w4, b4)
  rd = Relu (d)
  p = GlobalAveragePool (rd)
  f = Flatten <axis = 1> (p)
  scores = Gemm <transB = 1> (f, w5, b5)
}
"""


def network(text: str, seed: int = 0) -> onnx.ModelProto:
    """Parse a network; weights that it declares without values become normal numbers.

    They are scaled by the fan-in, so that activations neither vanish nor explode.
    """
    model = parser.parse_model(text)
    made = {name for node in model.graph.node for name in node.output}
    rng = np.random.default_rng(seed)
    for value in [value for value in model.graph.value_info if value.name not in made]:
        shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        scale = np.sqrt(2 / (np.prod(shape[1:]) or 1))
        numbers = (rng.standard_normal(shape) * scale).astype(dtype)
        model.graph.initializer.append(numpy_helper.from_array(numbers, value.name))
        model.graph.value_info.remove(value)
    onnx.checker.check_model(model, full_check=True)
    return model


def residual(seed: int = 0) -> ir.Model:
    """A residual classifier: x N×8×9×9 → scores N×5, with dense sites a, b and d."""
    return ir.from_proto(network(RESIDUAL, seed))


def images(count: int, seed: int = 0, shape: tuple[int, ...] = (8, 9, 9)) -> np.ndarray:
    """Smooth random maps: neighbouring positions and channels are correlated, as in images."""
    noise = np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)
    for axis in range(1, noise.ndim):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, 2, axis)
    return noise / noise.std()


def run(model: onnx.ModelProto | ir.Model, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The network's outputs by the ONNX reference evaluator."""
    proto = ir.to_proto(model) if isinstance(model, ir.Model) else model
    return ReferenceEvaluator(proto).run(None, feeds)
