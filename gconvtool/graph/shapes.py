"""Sizes for open dimensions, and shape inference.

Open dimensions keep their name; those without one are called after their input (`image_2` is the
third of `image`). A leading open dimension is a batch and is taken as 1 unless it is given: costs
are per sample then, and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from gconvtool.errors import InputError


def infer(model: ir.Model) -> None:
    """Fill in what ONNX's shape inference can derive; never fails, and keeps what was known."""
    ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)


def fix(
    model: ir.Model, dims: Mapping[str, int], input_shapes: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """Give open dimensions their sizes, in place, and infer shapes.

    Args:
        model: is changed.
        dims: sizes by dimension name.
        input_shapes: whole shapes by input name; they win over what the model says.

    Returns:
        The sizes in force for dimensions that the model leaves open.

    Raises:
        InputError: a dimension or an input that the model does not have, or another rank.
    """
    inputs = {value.name or "": value for value in _true_inputs(model)}
    _name_open_dims(inputs)
    sizes = _sizes(inputs, dims, input_shapes)
    if any(_contradicts(inputs[name], shape) for name, shape in input_shapes.items()):
        _forget_shapes(model)
    for name, shape in input_shapes.items():
        inputs[name].shape = ir.Shape(shape)
    for value in _values(model):
        if value.shape is not None and not value.shape.is_static():
            value.shape = ir.Shape([_fixed(dim, sizes) for dim in value.shape])
    infer(model)
    return sizes


def _true_inputs(model: ir.Model) -> list[ir.Value]:
    """Inputs that must be fed: old files list their initializers as inputs too."""
    return [value for value in model.graph.inputs if not value.is_initializer()]


def _name_open_dims(inputs: Mapping[str, ir.Value]) -> None:
    for name, value in inputs.items():
        if value.shape is not None:
            value.shape = ir.Shape(
                [
                    f"{name}_{axis}" if isinstance(dim, ir.SymbolicDim) and not dim.value else dim
                    for axis, dim in enumerate(value.shape)
                ]
            )


def _sizes(
    inputs: Mapping[str, ir.Value],
    dims: Mapping[str, int],
    input_shapes: Mapping[str, Sequence[int]],
) -> dict[str, int]:
    """Sizes by name: batches are 1, `dims` win over that, whole shapes win over both."""
    shapes = [value.shape for value in inputs.values() if value.shape is not None]
    known = {str(dim.value) for shape in shapes for dim in shape if isinstance(dim, ir.SymbolicDim)}
    for name in dims:
        if name not in known:
            raise InputError(f"--dim {name}: {_unknown(name, known, 'open dimension')}")
    batches = (shape[0] for shape in shapes if len(shape) > 1)
    sizes = {str(dim.value): 1 for dim in batches if isinstance(dim, ir.SymbolicDim)}
    sizes.update(dims)
    for name, given in input_shapes.items():
        if name not in inputs:
            raise InputError(f"--input-shape {name}: {_unknown(name, inputs, 'input')}")
        sizes.update(_match(name, inputs[name].shape, given))
    return sizes


def _match(name: str, shape: ir.Shape | None, given: Sequence[int]) -> Iterator[tuple[str, int]]:
    """The sizes that a whole shape gives to the open dimensions of an input."""
    if shape is None:
        return
    if len(shape) != len(given):
        raise InputError(
            f"--input-shape {name}: {len(given)} dimensions, the model's input has {len(shape)}"
        )
    for dim, size in zip(shape, given, strict=True):
        if isinstance(dim, ir.SymbolicDim):
            yield str(dim.value), size


def _contradicts(value: ir.Value, given: Sequence[int]) -> bool:
    return value.shape is None or any(
        isinstance(dim, int) and dim != size for dim, size in zip(value.shape, given, strict=True)
    )


def _forget_shapes(model: ir.Model) -> None:
    """Drop what the file says of shapes inside: it holds for another input size."""
    for graph in model.graphs():
        for node in graph:
            for value in node.outputs:
                value.shape = None


def _values(model: ir.Model) -> Iterator[ir.Value]:
    yield from _true_inputs(model)
    for graph in model.graphs():
        for node in graph:
            yield from node.outputs


def _fixed(dim: int | ir.SymbolicDim, sizes: Mapping[str, int]) -> int | ir.SymbolicDim:
    return dim if isinstance(dim, int) else sizes.get(str(dim.value), dim)


def _unknown(name: str, known: Mapping[str, object] | set[str], what: str) -> str:
    if not known:
        return f"the model has no {what}"
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(sorted(known))}"
    return f"the model has no {what} of that name; {hint}"
