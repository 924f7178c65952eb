"""Sizes for open dimensions, and shape inference.

Open dimensions keep their name; those without one are called after their input (`image_2` is the
third of `image`). A leading open dimension is a batch and is taken as 1 unless it is given: costs
are per sample then, and the report says so.

Shapes are inferred anew: what the file says of inner ones is believed only where no rule says more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass
from onnx_shape_inference import SYM_DATA_KEY, infer_symbolic_shapes, registry

from gconvtool.errors import InputError
from gconvtool.graph import rules
from gconvtool.graph.dims import Reader

LARGEST = 2**63 - 1
"""Sizes in files are of 64 bits."""
FUNCTIONS = frozenset("ceil ceiling floor max min mod sqrt".split())
"""Names that mean something else in a formula."""


class Names(NamedTuple):
    """What sizes can be given for: open dimensions, and inputs as a whole."""

    dims: frozenset[str]
    inputs: frozenset[str]
    several: bool = False

    def check(self, dims: Iterable[str], inputs: Iterable[str], option: str = "--dim") -> None:
        """Refuse sizes for anything else; `option` is where those of dimensions come from.

        Raises:
            InputError: there is no open dimension, or no input, of such a name.
        """
        for name in dims:
            if name not in self.dims:
                raise InputError(
                    f"{option} {name}: {self._lack('open dimension', name, self.dims)}"
                )
        for name in inputs:
            if name not in self.inputs:
                raise InputError(f"--input-shape {name}: {self._lack('input', name, self.inputs)}")

    def _lack(self, what: str, name: str, known: frozenset[str]) -> str:
        said = f"no model has an {what}" if self.several else f"the model has no {what}"
        if not known:
            return said
        close = get_close_matches(name, sorted(known), 1)
        have = f"{'they have' if self.several else 'it has'} {', '.join(sorted(known))}"
        return f"{said} of that name; {f'did you mean {close[0]}?' if close else have}"


def names(model: ir.Model) -> Names:
    """What sizes can be given for in this model."""
    inputs = _inputs_by_name(model)
    dims = (
        _called(name, axis, dim)
        for name, value in inputs.items()
        for axis, dim in enumerate(value.shape or ())
        if isinstance(dim, ir.SymbolicDim)
    )
    return Names(frozenset(dims), frozenset(inputs))


class Fixed(NamedTuple):
    """Sizes of open dimensions, and the nodes whose shapes contradict each other at these sizes."""

    sizes: dict[str, int]
    contradictions: tuple[str, ...]


def infer(model: ir.Model) -> None:
    """Fill in what can be derived; never fails. Dimensions are then numbers, expressions in the
    open dimensions of the inputs (`ceil(H/2)`), or not known."""
    _infer(model, *_forget_inner_shapes(model))


def fix(
    model: ir.Model, dims: Mapping[str, int], input_shapes: Mapping[str, Sequence[int]]
) -> Fixed:
    """Give open dimensions their sizes, in place, and infer shapes.

    Args:
        model: is changed.
        dims: sizes by dimension name.
        input_shapes: whole shapes by input name; they win over what the model says.

    Returns:
        The sizes in force for dimensions that the model leaves open, and what does not fit.

    Raises:
        InputError: a dimension or an input that the model does not have, or another rank.
    """
    names(model).check(dims, input_shapes)
    inputs = _inputs_by_name(model)
    _name_open_dims(inputs)
    sizes = _sizes(inputs, dims, input_shapes)
    contradicted = any(_contradicts(inputs[name], shape) for name, shape in input_shapes.items())
    for name, shape in input_shapes.items():
        inputs[name].shape = ir.Shape(shape)
    for value in inputs.values():
        value.shape = _fixed(value.shape, sizes)
    inner, said = _forget_inner_shapes(model)
    hints = {} if contradicted else {v: _fixed(shape, sizes) for v, shape in said.items()}
    return Fixed(sizes, _infer(model, inner, hints))


@contextmanager
def kept(model: ir.Model) -> Iterator[None]:
    """Whatever becomes of shapes, and of numbers that follow from them, is forgotten afterwards."""
    values = (*model.graph.inputs, *_Inner.of(model).values)
    before = [(value.shape, value.const_value) for value in values]
    try:
        yield
    finally:
        for value, (shape, number) in zip(values, before, strict=True):
            value.shape, value.const_value = shape, number
            value.metadata_props.pop(SYM_DATA_KEY, None)


def leave_open(model: ir.Model) -> None:
    """Infer shapes with every open dimension left open, in place."""
    _name_open_dims(_inputs_by_name(model))
    infer(model)


def open_dims(model: ir.Model) -> tuple[str, ...]:
    """Names of dimensions of the inputs that are still open."""
    shapes = [value.shape for value in _true_inputs(model) if value.shape is not None]
    names = (str(dim.value) for s in shapes for dim in s if isinstance(dim, ir.SymbolicDim))
    return tuple(dict.fromkeys(names))


def _true_inputs(model: ir.Model) -> list[ir.Value]:
    """Inputs that must be fed: old files list their initializers as inputs too."""
    return [value for value in model.graph.inputs if not value.is_initializer()]


def _inputs_by_name(model: ir.Model) -> dict[str, ir.Value]:
    return {value.name or "": value for value in _true_inputs(model)}


def _called(name: str, axis: int, dim: ir.SymbolicDim) -> str:
    """An open dimension's name, or that of its place."""
    return dim.value or f"{name}_{axis}"


def _name_open_dims(inputs: Mapping[str, ir.Value]) -> None:
    for name, value in inputs.items():
        if value.shape is not None:
            value.shape = ir.Shape(
                [
                    dim if isinstance(dim, int) else _called(name, axis, dim)
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
    for name, size in dims.items():
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


@dataclass(frozen=True)
class _Inner:
    """What is not fed: all nodes, those in bodies too, and their values."""

    nodes: tuple[ir.Node, ...]
    values: tuple[ir.Value, ...]

    @classmethod
    def of(cls, model: ir.Model) -> _Inner:
        nodes = tuple(ir.traversal.RecursiveGraphIterator(model.graph))
        bodies = dict.fromkeys(node.graph for node in nodes if node.graph is not model.graph)
        inputs = (v for graph in bodies if isinstance(graph, ir.Graph) for v in graph.inputs)
        return cls(nodes, (*(value for node in nodes for value in node.outputs), *inputs))


def _forget_inner_shapes(model: ir.Model) -> tuple[_Inner, Mapping[ir.Value, ir.Shape]]:
    """Drop, and return, what the file says of shapes inside: it may hold for another size only.
    So may numbers that were calculated from shapes before."""
    inner = _Inner.of(model)
    said = {value: value.shape for value in inner.values if value.shape is not None}
    for value in inner.values:
        value.shape = None
        if value.producer() is not None:
            value.const_value = None
        value.metadata_props.pop(SYM_DATA_KEY, None)
    return inner, said


def _infer(
    model: ir.Model, inner: _Inner, hints: Mapping[ir.Value, ir.Shape | None]
) -> tuple[str, ...]:
    """Infer; where a hint says more, believe it, and infer again what follows from it."""
    rules.register()
    with _symbols(model) as reader:
        for node in inner.nodes:
            if not registry.has(node.domain, node.op_type):
                _believe(node.outputs, hints)
        contradictions = _run(model, inner.nodes)
        if doubtful := [value for value in hints if not _known(value.shape, reader)]:
            _believe(doubtful, hints)
            contradictions = _run(model, inner.nodes)
        for value in inner.values:
            value.shape = _read(value.shape, reader)
    return contradictions


def _believe(values: Iterable[ir.Value], hints: Mapping[ir.Value, ir.Shape | None]) -> None:
    """Take the numbers of hints where inference has none."""
    for value in values:
        hint, shape = hints.get(value), value.shape
        if hint is None or (shape is not None and len(shape) != len(hint)):
            continue
        inferred = hint if shape is None else shape
        value.shape = ir.Shape(
            [
                told if isinstance(told, int) else dim if shape is not None else None
                for dim, told in zip(inferred, hint, strict=True)
            ]
        )


def _known(shape: ir.Shape | None, reader: Reader) -> bool:
    return shape is not None and all(reader.dim(dim) is not None for dim in shape)


def _read(shape: ir.Shape | None, reader: Reader) -> ir.Shape | None:
    if shape is None:
        return None
    return ir.Shape([_size(dim) if isinstance(dim, int) else reader.dim(dim) for dim in shape])


def _size(dim: int) -> int | None:
    """A window that is larger than its map leaves nothing, not less than nothing; and what no file
    can say is not known."""
    return max(0, dim) if dim <= LARGEST else None


@contextmanager
def _symbols(model: ir.Model) -> Iterator[Reader]:
    """Names of dimensions that can stand in formulas, while inside; what they mean is read."""
    shapes = {value: value.shape for value in _true_inputs(model) if value.shape is not None}
    names = {str(d.value) for s in shapes.values() for d in s if isinstance(d, ir.SymbolicDim)}
    meaning = {_symbol(name, i): name for i, name in enumerate(sorted(names - {"None"}))}
    symbols = {name: symbol for symbol, name in meaning.items()}
    for value, shape in shapes.items():
        value.shape = ir.Shape(
            [dim if isinstance(dim, int) else symbols.get(str(dim.value)) for dim in shape]
        )
    try:
        yield Reader(meaning)
    finally:
        for value, shape in shapes.items():
            value.shape = shape


def _symbol(name: str, number: int) -> str:
    plain = re.fullmatch(r"[A-Za-z]\w*", name) and name.lower() not in FUNCTIONS
    return name if plain else f"dim_{number}_"


def _run(model: ir.Model, nodes: Iterable[ir.Node]) -> tuple[str, ...]:
    """The library's inference; what the nodes say whose shapes do not fit each other."""
    known = set(nodes)
    with rules.failures() as failed:
        try:
            infer_symbolic_shapes(model, warn_on_missing=False, adopt_declared_symbols=False)
        except Exception:  # malformed models fail in many ways, and inference is best effort
            ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
    return tuple(
        f"{node.outputs[0].name if node.outputs else ''}: {message}"
        for node, message in failed.items()
        if node in known
    )


def _fixed(shape: ir.Shape | None, sizes: Mapping[str, int]) -> ir.Shape | None:
    """The shape with open dimensions replaced by their sizes."""
    if shape is None or shape.is_static():
        return shape
    return ir.Shape(
        [dim if isinstance(dim, int) else sizes.get(str(dim.value), dim) for dim in shape]
    )
