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
    contradicted = any(_contradicts(inputs[name], shape) for name, shape in input_shapes.items())
    for name, shape in input_shapes.items():
        inputs[name].shape = ir.Shape(shape)
    for value in inputs.values():
        value.shape = _fixed(value.shape, sizes)
    said = _forget_inner_shapes(model) if sizes or input_shapes else {}
    infer(model)
    if not contradicted:
        for value, shape_said in said.items():
            value.shape = value.shape or _fixed(shape_said, sizes)
    return sizes


def open_dims(model: ir.Model) -> tuple[str, ...]:
    """Names of dimensions of the inputs that are still open."""
    shapes = [value.shape for value in _true_inputs(model) if value.shape is not None]
    names = (str(dim.value) for s in shapes for dim in s if isinstance(dim, ir.SymbolicDim))
    return tuple(dict.fromkeys(names))


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
    for name, size in dims.items():
        if name not in known:
            raise InputError(f"--dim {name}: {_unknown(name, known, 'open dimension')}")
        if size < 1:
            raise InputError(f"--dim {name}={size}: a size is 1 or more")
    batches = (shape[0] for shape in shapes if len(shape) > 1)
    sizes = {str(dim.value): 1 for dim in batches if isinstance(dim, ir.SymbolicDim)}
    sizes.update(dims)
    return {**sizes, **_sizes_of_shapes(inputs, input_shapes)}


def _sizes_of_shapes(
    inputs: Mapping[str, ir.Value], input_shapes: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """The sizes that whole shapes give to open dimensions; they must agree."""
    sizes: dict[str, int] = {}
    for name, given in input_shapes.items():
        if name not in inputs:
            raise InputError(f"--input-shape {name}: {_unknown(name, inputs, 'input')}")
        if any(size < 1 for size in given):
            raise InputError(f"--input-shape {name}: sizes are 1 or more")
        for dim, size in _match(name, inputs[name].shape, given):
            if sizes.setdefault(dim, size) != size:
                raise InputError(
                    f"--input-shape {name}: {dim} cannot be {size} here and {sizes[dim]} elsewhere"
                )
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


def _forget_inner_shapes(model: ir.Model) -> dict[ir.Value, ir.Shape | None]:
    """Drop, and return, what the file says of shapes inside: it may hold for another size only."""
    values = [value for graph in model.graphs() for node in graph for value in node.outputs]
    said = {value: value.shape for value in values}
    for value in values:
        value.shape = None
    return said


def _fixed(shape: ir.Shape | None, sizes: Mapping[str, int]) -> ir.Shape | None:
    """The shape with open dimensions replaced by their sizes."""
    if shape is None or shape.is_static():
        return shape
    return ir.Shape(
        [dim if isinstance(dim, int) else sizes.get(str(dim.value), dim) for dim in shape]
    )


def _unknown(name: str, known: Mapping[str, object] | set[str], what: str) -> str:
    if not known:
        return f"the model has no {what}"
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(sorted(known))}"
    return f"the model has no {what} of that name; {hint}"
