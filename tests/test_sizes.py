"""Inputs at the sizes that were asked for, and what two models take both."""

from __future__ import annotations

import pytest

from gconvtool.errors import InputError
from gconvtool.facts import Input
from gconvtool.pipeline.sizes import Sizes, merged

OPEN = Input("x", "float32", ("N", 3, "H", None))


def shape(sizes: Sizes, i: Input = OPEN) -> object:
    return sizes.applied((i,), "net.onnx")[0].shape


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (Sizes(), ("N", 3, "H", None)),
        (Sizes({"H": 5}), ("N", 3, 5, None)),
        (Sizes({"x_3": 7, "other": 1}), ("N", 3, "H", 7)),  # an open one without a name
        (Sizes({"N": 4}), (4, 3, "H", None)),
        (Sizes(input_shapes={"x": (1, 3, 5, 7)}), ("N", 3, 5, 7)),  # the batch stays open
        (Sizes(input_shapes={"x": (2, 3, 5, 7)}), (2, 3, 5, 7)),
        (Sizes({"H": 9}, {"x": (2, 3, 5, 7)}), (2, 3, 5, 7)),
    ],
)
def test_open_sizes_are_filled_in(sizes, expected):
    assert shape(sizes) == expected


def test_a_shape_that_is_not_known_at_all_may_be_given():
    unknown = Input("x", "float32", None)
    assert shape(Sizes(), unknown) is None
    assert shape(Sizes(input_shapes={"x": (4, 3)}), unknown) == (4, 3)


@pytest.mark.parametrize("given", [(1, 4, 5, 7), (1, 3, 5)])
def test_what_a_model_fixes_stays(given):
    with pytest.raises(InputError, match=r"--input-shape x: .* does not fit net.onnx, which takes"):
        shape(Sizes(input_shapes={"x": given}))


def test_sizes_are_told_as_they_are_typed():
    assert str(Sizes({"H": 5, "W": 6}, {"x": (1, 2)})) == "H=5 W=6 x:1,2"
    assert str(Sizes()) == ""


def test_two_models_take_what_either_fixes():
    a = (Input("x", "float32", ("N", 3, 5, "W")), Input("y", "int64", None))
    b = (Input("y", "int64", (2,)), Input("x", "float32", (4, "C", 5, None)))
    both = merged(a, b, "a.onnx", "b.onnx")
    assert [(i.name, i.shape) for i in both] == [("x", (4, 3, 5, "W")), ("y", (2,))]


def test_two_models_that_fix_it_differently_cannot_be_fed_the_same():
    for other in ((1, 4), (1, 3, 3)):
        with pytest.raises(InputError, match=r"input x is 1×3 in a.onnx and 1×.* in b.onnx"):
            merged((Input("x", "f", (1, 3)),), (Input("x", "f", other),), "a.onnx", "b.onnx")


def test_models_with_other_inputs_are_told_apart():
    with pytest.raises(InputError, match=r"a.onnx is fed x, b.onnx z: "):
        merged((OPEN,), (Input("z", "float32", (1,)),), "a.onnx", "b.onnx")
