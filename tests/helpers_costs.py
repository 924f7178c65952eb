"""One node at a time, as the cost rules see it; also with the shapes that a run of it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from models import Numbers, ort
from onnx import TensorProto, helper

from gconvtool.facts import NodeFact, Shape

MICROSOFT = "com.microsoft"


def fact(op: str, *inputs: Shape, out: Shape | Sequence[Shape] = (1, 8), **more: Any) -> NodeFact:
    """A node of these shapes; `out` may be a list of several."""
    outputs = tuple(out) if isinstance(out, list) else (out,)
    facts: dict[str, Any] = {"domain": "", "attributes": {}, **more}
    return NodeFact("y", op, inputs=inputs, outputs=outputs, **facts)


def ran(op: str, *inputs: Numbers | None, **settings: Any) -> NodeFact:
    """The node, with the shapes that onnxruntime's outputs have."""
    return executed(op, *inputs, **settings)[0]


def executed(
    op: str,
    *inputs: Numbers | None,
    domain: str = "",
    opset: int = 17,
    outputs: int = 1,
    dtype: int = TensorProto.FLOAT,
    **attributes: Any,
) -> tuple[NodeFact, list[Numbers]]:
    """The node, and what onnxruntime makes of it; None is an optional input left out."""
    names = ["" if value is None else f"i{index}" for index, value in enumerate(inputs)]
    given = {name: np.asarray(v) for name, v in zip(names, inputs, strict=True) if v is not None}
    results = [f"o{index}" for index in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(op, names, results, domain=domain, **attributes)],
        "g",
        [helper.make_tensor_value_info(n, _type(v), v.shape) for n, v in given.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name in results],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    network = helper.make_model(graph, opset_imports=imports, ir_version=10)
    made = ort(network, **given)
    kept = {k: tuple(v) if isinstance(v, list) else v for k, v in attributes.items()}
    shapes = tuple(() if value is None else np.shape(value) for value in inputs)
    found = tuple(np.shape(value) for value in made)
    return NodeFact("y", op, domain, shapes, found, kept, reads=tuple(names)), made


def _type(value: Numbers) -> int:
    return helper.np_dtype_to_tensor_dtype(value.dtype)


def ones(*shape: int) -> Numbers:
    """Numbers that do not matter."""
    return np.ones(shape, np.float32)
