"""Models in memory that no file could hold: answered, or refused in a line that says why."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from corpus import CASES
from models import model

from gconvtool.errors import GconvError, InputError
from gconvtool.pipeline.analyze import analyze

CHUNK, CHUNKS = 200, 3
ODD: tuple[Any, ...] = (
    0, -1, 7, 2**40, "3", "", "SAME_UPPER", b"x", 0.5, [], [1], [1, 2, 3], [-1, -1, -1, -1], ["a"],
    [0.5], [[1]], None, True,
)  # fmt: skip
KINDS = [ir.AttributeType[name] for name in "INT INTS FLOAT STRING FLOATS TENSOR GRAPH".split()]
NAMES = (
    "strides pads dilations group kernel_shape auto_pad transB axis hidden_size direction equation "
    "num_heads output_shape output_padding perm to value body then_branch num_scan_inputs axes"
).split()
SHAPES: tuple[Any, ...] = (None, [], [0, 0], [-1, 3, 8, 8], [None, "H", 2**40, "a+b"], [1] * 7)
OPERATORS = "Conv ConvTranspose LSTM If Loop Scan Einsum Slice Split Resize Gemm Constant".split()
PROTOS = [case.model() for case in CASES]


def nodes(damaged: ir.Model) -> list[ir.Node]:
    return list(ir.traversal.RecursiveGraphIterator(damaged.graph))


def values(damaged: ir.Model) -> list[ir.Value]:
    return [*damaged.graph.inputs, *(value for node in nodes(damaged) for value in node.outputs)]


def weights(damaged: ir.Model) -> list[ir.Value]:
    return [value for graph in damaged.graphs() for value in graph.initializers.values()]


def _another_type(damaged: ir.Model, rng: random.Random) -> None:
    node = rng.choice(nodes(damaged))
    name = rng.choice([*node.attributes, rng.choice(NAMES)])
    node.attributes[name] = ir.Attr(name, rng.choice(KINDS), rng.choice(ODD))


def _another_value(damaged: ir.Model, rng: random.Random) -> None:
    node = rng.choice([node for node in nodes(damaged) if node.attributes])
    held = node.attributes[rng.choice([*node.attributes])]
    node.attributes[held.name] = ir.Attr(held.name, held.type, rng.choice(ODD))


def _no_attribute(damaged: ir.Model, rng: random.Random) -> None:
    node = rng.choice(nodes(damaged))
    del node.attributes[rng.choice([*node.attributes])]


def _an_attribute_of_no_function(damaged: ir.Model, rng: random.Random) -> None:
    node, name = rng.choice(nodes(damaged)), rng.choice(NAMES)
    node.attributes[name] = ir.RefAttr(name, "other", rng.choice(KINDS))


def _no_input(damaged: ir.Model, rng: random.Random) -> None:
    node = rng.choice(nodes(damaged))
    node.replace_input_with(rng.randrange(len(node.inputs)), None)


def _other_inputs(damaged: ir.Model, rng: random.Random) -> None:
    node = rng.choice(nodes(damaged))
    node.resize_inputs(rng.randrange(len(node.inputs) + 3))


def _another_input(damaged: ir.Model, rng: random.Random) -> None:
    node = rng.choice(nodes(damaged))
    node.replace_input_with(rng.randrange(len(node.inputs)), rng.choice(values(damaged)))


def _another_shape(damaged: ir.Model, rng: random.Random) -> None:
    shape = rng.choice(SHAPES)
    rng.choice(values(damaged)).shape = None if shape is None else ir.Shape(shape)


def _another_weight(damaged: ir.Model, rng: random.Random) -> None:
    value = rng.choice(weights(damaged))
    shape = [rng.choice([0, 1, 2, 3]) for _ in range(rng.randrange(6))]
    dtype = rng.choice([np.float32, np.int64, np.bool_])
    value.const_value = ir.tensor(np.zeros(shape, dtype), name=value.name)


def _no_weight(damaged: ir.Model, rng: random.Random) -> None:
    rng.choice(weights(damaged)).const_value = None


def _another_name(damaged: ir.Model, rng: random.Random) -> None:
    rng.choice(values(damaged)).name = rng.choice([None, "", "x", "y", "\x1b[0m"])


def _another_operator(damaged: ir.Model, rng: random.Random) -> None:
    rng.choice(nodes(damaged)).op_type = rng.choice(OPERATORS)


def _another_version(damaged: ir.Model, rng: random.Random) -> None:
    damaged.opset_imports[""] = rng.choice([-1, 0, 1, 7, 999, "17", None])


def _another_dtype(damaged: ir.Model, rng: random.Random) -> None:
    dtype = rng.choice([ir.DataType.STRING, ir.DataType.UNDEFINED, ir.DataType.INT4])
    rng.choice(values(damaged)).dtype = dtype


CHANGES: tuple[Callable[[ir.Model, random.Random], None], ...] = (
    _another_type, _another_type, _another_value, _another_value, _no_attribute,
    _an_attribute_of_no_function, _no_input, _other_inputs, _another_input, _another_shape,
    _another_weight, _no_weight, _another_name, _another_operator, _another_version, _another_dtype,
)  # fmt: skip


def damaged(number: int) -> ir.Model:
    """The same damage for the same number."""
    rng = random.Random(number)
    found = ir.from_proto(rng.choice(PROTOS))
    for _ in range(rng.choice([1, 1, 2, 3])):
        try:
            rng.choice(CHANGES)(found, rng)
        except (IndexError, ValueError, TypeError, AttributeError):
            continue  # there was nothing of that kind to damage
    return found


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_damaged_models_are_answered_or_refused(chunk: int) -> None:
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        try:
            analyze(damaged(number))
        except GconvError as error:
            said = str(error)
            assert said.isprintable(), (number, said)
            assert "object" not in said.split("holds", maxsplit=1)[0], (number, said)


W = np.ones((4, 3, 3, 3), np.float32)
CONV = "g (float[1, 3, 8, 8] x) => (float[1, 4, P, Q] y) { y = Conv <pads = [1, 1, 1, 1]> (x, w) }"


def refused(change: Callable[[ir.Model, ir.Node], object]) -> str:
    """What is said of a convolution that was changed."""
    found = model(CONV, w=W)
    change(found, found.graph[0])
    with pytest.raises(InputError) as caught:
        analyze(found)
    return str(caught.value)


def held(name: str, kind: str, value: Any) -> Callable[[ir.Model, ir.Node], object]:
    attribute = ir.Attr(name, ir.AttributeType[kind], value)
    return lambda _, node: node.attributes.add(attribute)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (held("auto_pad", "STRING", 7), "auto_pad of Conv y is of type STRING and holds 7"),
        (held("pads", "GRAPH", [1]), "attribute pads of Conv y is of type GRAPH and holds [1]"),
        (held("pads", "INT", 1), "'INTS'"),
        (held("stride", "INTS", [1, 1]), "stride"),
        (lambda _, node: node.attributes.add(ir.RefAttr("pads", "p", ir.AttributeType.INTS)),
         "attribute pads of Conv y is a function's, and it is in none"),
        (lambda _, node: node.replace_input_with(1, None), "input 1"),
        (lambda _, node: node.resize_inputs(1), "input size 1"),
        (lambda found, _: found.opset_imports.update({"": "17"}),
         "the version of domain '' is '17', which is no whole number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(change: Callable[[ir.Model, ir.Node], object], words: str) -> None:
    said = refused(change)
    assert said.startswith("g: not a valid ONNX model: ")
    assert words in said


def test_what_is_not_said_of_inputs_and_outputs_is_no_damage() -> None:
    found = model(CONV, w=W)
    found.graph.outputs[0].shape = found.graph.outputs[0].type = None
    result = analyze(found)
    assert result.totals.macs == 8 * 8 * 4 * 27
    assert found.graph.outputs[0].shape is None
