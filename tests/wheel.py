"""The models that ship with onnx, those of one operator with the arrays that go in and come out."""

from __future__ import annotations

import pkgutil
import warnings
from collections.abc import Container, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
from models import Numbers
from onnx import numpy_helper

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
ARCHITECTURES = sorted((DATA / "light").glob("light_*.onnx"))
WEIGHT = {
    "CausalConvWithState": 1,
    "Conv": 1,
    "ConvInteger": 1,
    "ConvTranspose": 1,
    "DeformConv": 1,
    "QLinearConv": 3,
}
"""Every kind of convolution, and which input its weight is."""
MODULES = ("conv", "averagepool", "gemm")
"""What is in the names of the modules with those cases, and with averages and heads."""
Arrays = list[Numbers]
Found = tuple[str, onnx.ModelProto, Arrays, Arrays]
"""A name, a model, what goes in and what comes out."""


@cache
def collected() -> Mapping[str, Found]:
    """The backend's cases of operators, which their modules collect when they are imported."""
    node = import_module("onnx.backend.test.case.node")
    modules = [module.name for module in pkgutil.iter_modules(node.__path__)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            if any(part in name for part in MODULES) or name == "attention":
                import_module(f"onnx.backend.test.case.node.{name}")
    return {
        case.name: (case.name, case.model, list(case.data_sets[0][0]), list(case.data_sets[0][1]))
        for case in node._NodeTestCases
    }


def stored() -> list[Found]:
    """Models that were exported from PyTorch."""
    found = []
    for path in sorted(DATA.glob("pytorch-*/*/model.onnx")):
        model = onnx.load(path)
        if is_one_of(model, WEIGHT):
            held = {
                tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
            }
            x, y = (_array(path.parent / "test_data_set_0" / f"{n}put_0.pb") for n in ("in", "out"))
            fed = [held.get(name, x) for name in model.graph.node[0].input]
            found.append((path.parent.name, model, fed, [y]))
    return found


def cases(operators: Container[str]) -> list[Found]:
    """Those of a single node that is one of these."""
    every = [*collected().values(), *stored()]
    return [found for found in every if is_one_of(found[1], operators)]


def is_one_of(model: onnx.ModelProto, operators: Container[str]) -> bool:
    return len(model.graph.node) == 1 and model.graph.node[0].op_type in operators


def weights_kept(found: Found) -> tuple[onnx.ModelProto, dict[str, Numbers]]:
    """A case whose inputs are weights of the model, all but the first; and what that one is fed."""
    _, source, fed, _ = found
    model = onnx.ModelProto()
    model.CopyFrom(source)
    graph, held = model.graph, {tensor.name for tensor in source.graph.initializer}
    given = [name for name in graph.node[0].input if name]
    data, *others = zip(given, fed, strict=True)
    for name, numbers in others:
        if name not in held:
            graph.initializer.append(numpy_helper.from_array(np.asarray(numbers), name))
    (kept,) = (value for value in source.graph.input if value.name == data[0])
    graph.ClearField("input")
    graph.input.append(kept)
    model.ir_version = max(model.ir_version, 4)  # the first in which weights need be no inputs
    return model, dict([data])


def _array(path: Path) -> Numbers:
    return numpy_helper.to_array(onnx.load_tensor(path))
