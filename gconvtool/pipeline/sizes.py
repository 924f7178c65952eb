"""What inputs are like at the sizes that were asked for.

`--input-shape` and `--dim` say how large open dimensions are to be; what the model fixes itself
they cannot change. An input of a known leading size takes batches of that size only, with one
exception: a whole shape has to begin with some number, and its 1 leaves the batch open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gconvtool.errors import InputError
from gconvtool.facts import Dim, Input, Shape, describe_shape


@dataclass(frozen=True)
class Sizes:
    """Sizes of open dimensions by name, and whole shapes by input."""

    dims: Mapping[str, int] = field(default_factory=dict)
    input_shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __str__(self) -> str:
        """As it would be typed: `H=224 x:1,3,224,224`."""
        dims = [f"{name}={size}" for name, size in self.dims.items()]
        shapes = [f"{n}:{','.join(map(str, shape))}" for n, shape in self.input_shapes.items()]
        return " ".join([*dims, *shapes])

    def applied(self, inputs: Sequence[Input], model: str) -> tuple[Input, ...]:
        """The inputs at these sizes; what is not said stays open. `model` is for messages.

        Raises:
            InputError: a whole shape is not one that the input takes.
        """
        return tuple(replace(i, shape=self._shape(i, model)) for i in inputs)

    def _shape(self, i: Input, model: str) -> Shape:
        given = self.input_shapes.get(i.name)
        if given is None:
            return i.shape and tuple(
                dim if isinstance(dim, int) else self.dims.get(dim or f"{i.name}_{axis}", dim)
                for axis, dim in enumerate(i.shape)
            )
        if i.shape is not None and not _fits(i.shape, given):
            raise InputError(
                f"--input-shape {i.name}: {describe_shape(tuple(given))} does not fit {model}, "
                f"which takes {describe_shape(i.shape)}"
            )
        named = i.shape[0] if i.shape else None
        return tuple(given) if given[:1] != (1,) or named == 1 else (named, *given[1:])


def _fits(shape: tuple[Dim, ...], given: Sequence[int]) -> bool:
    return len(shape) == len(given) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(shape, given, strict=True)
    )


def merged(a: Sequence[Input], b: Sequence[Input], name_a: str, name_b: str) -> tuple[Input, ...]:
    """A's inputs, open sizes filled with those that B fixes: what both of them take.

    Raises:
        InputError: there is no such thing. The names of the models are for the message.
    """
    others = {i.name: i for i in b}
    if others.keys() != {i.name for i in a}:
        lists = [", ".join(i.name for i in inputs) or "nothing" for inputs in (a, b)]
        raise InputError(
            f"{name_a} is fed {lists[0]}, {name_b} {lists[1]}: models with other inputs "
            "do not do the same job"
        )
    return tuple(_both(i, others[i.name], name_a, name_b) for i in a)


def _both(a: Input, b: Input, name_a: str, name_b: str) -> Input:
    """One input of both models."""
    if a.shape is None or b.shape is None:
        return replace(a, shape=b.shape if a.shape is None else a.shape)
    if len(a.shape) != len(b.shape) or any(map(_differ, a.shape, b.shape)):
        raise InputError(
            f"input {a.name} is {describe_shape(a.shape)} in {name_a} and "
            f"{describe_shape(b.shape)} in {name_b}: they cannot be fed the same"
        )
    both = (two if isinstance(two, int) else one for one, two in zip(a.shape, b.shape, strict=True))
    return replace(a, shape=tuple(both))


def _differ(a: Dim, b: Dim) -> bool:
    return isinstance(a, int) and isinstance(b, int) and a != b
