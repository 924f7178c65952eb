"""Constants are read through what carries them, and go with it when nothing reads them any more."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from models import model

from gconvtool.errors import InputError
from gconvtool.graph.parts import array, constant, drop_unread, opset
from gconvtool.pipeline.convert import convert
from gconvtool.recipes import Grouped

HALF = np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float16)
X = np.random.default_rng(1).standard_normal((1, 8, 9, 9)).astype(np.float32)
CHAIN = "a = Transpose <perm = [1, 0, 2, 3]> (w) v = Cast <to = 1> (a)"


def network(body: str, outputs: str = "float[1, 8, 7, 7] y", **constants: np.ndarray) -> ir.Model:
    return model(f"g (float[1, 8, 9, 9] x) => ({outputs}) {{ {body} }}", **constants)


def value(of: ir.Model, name: str) -> ir.Value:
    return ir.convenience.create_value_mapping(of.graph)[name]


def test_an_array_has_the_type_in_which_it_arrives() -> None:
    made = array(value(network(f"{CHAIN} y = Conv (x, v)", w=HALF), "v"))
    assert made is not None
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made[2, 5], HALF[5, 2].astype(np.float32))


def test_numbers_that_do_not_fit_their_new_shape_are_the_models_fault() -> None:
    made = network("s = Constant <value_ints = [5, 7]> () v = Reshape (w, s) y = Neg (x)", w=HALF)
    with pytest.raises(InputError, match="weight v"):
        array(value(made, "v"))


def test_a_chain_goes_with_its_last_reader() -> None:
    made = network(f"{CHAIN} y = Neg (x)", w=HALF)
    drop_unread(made.graph, value(made, "v"))
    assert [node.op_type for node in made.graph] == ["Neg"]
    assert not made.graph.initializers


def test_of_a_chain_stays_what_is_read_elsewhere() -> None:
    made = network(f"{CHAIN} z = Neg (a) y = Neg (x)", "float[1, 8, 9, 9] y, float16 z", w=HALF)
    drop_unread(made.graph, value(made, "v"))
    assert [node.op_type for node in made.graph] == ["Transpose", "Neg", "Neg"]
    assert list(made.graph.initializers) == ["w"]


def test_what_is_computed_or_returned_stays() -> None:
    made = network("a = Neg (x) v = Identity (w) y = Neg (x)", "y, v", w=HALF)
    for name in ("a", "v", "w"):
        drop_unread(made.graph, value(made, name))
    assert len(list(made.graph)) == 3
    assert list(made.graph.initializers) == ["w"]


def test_a_new_constant_takes_no_name_that_is_taken() -> None:
    made = network("y = Conv (x, w)", w=HALF.astype(np.float32))
    assert constant(made.graph, "w", X).name == "w_"
    assert opset(made) == 17


@pytest.mark.parametrize(
    "body",
    [
        f"{CHAIN} y = Conv (x, v)",
        "v = Cast <to = 1> (w) c = Cast <to = 1> (b) y = Conv (x, v, c)",
        "v = Cast <to = 1> (w) d = Unsqueeze (b, k) e = Squeeze (d, k) c = Cast <to = 1> (e)"
        " y = Conv (x, v, c)",
    ],
)
def test_a_convolution_of_carried_weights_is_converted_and_has_plain_ones(
    body: str, tmp_path: object
) -> None:
    given = {"w": HALF, "b": HALF[0, :, 0, 0], "k": np.array([1], np.int64)}
    used = {name: v for name, v in given.items() if f"({name}" in body or f", {name}" in body}
    made = network(body, **used)
    target = f"{tmp_path}/out.onnx"
    convert(made, target, recipe=Grouped(8))
    written = ir.load(target)
    assert "Cast" not in {node.op_type for node in written.graph}
    assert not set(used) & set(written.graph.initializers)
    assert {v.dtype for v in written.graph.initializers.values()} <= {
        ir.DataType.FLOAT,
        ir.DataType.INT64,
    }


def test_what_is_hidden_in_carried_weights_is_found() -> None:
    sparse = HALF.copy()
    sparse[:4, 4:] = sparse[4:, :4] = 0
    made = network(
        f"{CHAIN} c = Cast <to = 1> (b) y = Conv (x, v, c)", w=sparse, b=HALF[0, :, 0, 0]
    )
    result = convert(made, exact=True)
    assert [one.site for one in result.certificates] == ["y"]
