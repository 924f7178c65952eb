"""Structure that a kernel has already, so that a cheaper convolution computes the same.

Kernels are G × N/G × C/G × taps. How filters and channels are scaled says nothing of them, so let

    W[o, c, k] = a_o·Ŵ[o, c, k]·b_c,     a_o = max|W[o]|,     b_c = max_o |W[o, c]|/a_o

and with u the rounding of the type in which weights are stored, |Ŵ| ≤ τ = min(u, 2⁻²⁴) is zero.

    window      taps that are zero in all kernels: outside of the others, or between them
    groups      o and c belong together if some W[o, c, k] is not zero; connected parts that pack
                into equal bins are groups (`packing`), and what is zero goes where there is room

What is of low rank is found by `ranks`. Nothing counts that does not pass `closeness` in the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from math import gcd
from typing import Any, TypeVar

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gconvtool.fit.grouping import Grouping
from gconvtool.fit.moments import Array, Index
from gconvtool.fit.packing import pack
from gconvtool.fit.structure import (
    Factors,
    GroupedFactors,
)

ARITHMETIC = 2.0**-46
"""What a decomposition in float64 rounds by itself."""
NARROWEST = 2.0**-24
"""Half an ulp of float32: in narrower types, too, weights above it are there on purpose."""
Mask = np.ndarray[Any, np.dtype[np.bool_]]
AnyFactors = TypeVar("AnyFactors", bound=Factors)


def rounding(dtype: np.dtype[Any]) -> float:
    """u: how much a number moves, relatively, when it is stored in this type."""
    return float(np.spacing(np.ones((), dtype))) / 2


def scaled_to_one(kernel: Array) -> tuple[Array, Array, Array]:
    """Ŵ, a (G × N/G) and b (G × C/G); 1 for those that are zero."""
    a = or_one(np.abs(kernel).max((2, 3), keepdims=True))
    b = or_one(np.abs(kernel / a).max((1, 3), keepdims=True))
    return kernel / a / b, a[:, :, 0, 0], b[:, 0, :, 0]


def or_one(numbers: Array) -> Array:
    """Numbers to divide by."""
    return np.where(numbers > 0, numbers, 1.0)


def nonzero(kernel: Array, u: float) -> Mask:
    """Where weights are more than rounding, for their filter or for their channel."""
    return np.asarray(np.abs(scaled_to_one(kernel)[0]) > min(u, NARROWEST))


# How far the new kernel is from the old one.


@dataclass(frozen=True)
class Closeness:
    """max|W' − W| and what rounding explains of it, both relative to max|W|.

    `holds` says that it explains W' for each filter, and for each channel of filters scaled to 1.
    """

    difference: float
    bound: float
    holds: bool


def stored(factors: AnyFactors, dtype: np.dtype[Any]) -> AnyFactors:
    """The factors as a type of number rounds them."""
    with np.errstate(all="ignore"):  # what overflows is not close
        return _mapped(factors, lambda numbers: numbers.astype(dtype).astype(np.float64))


def closeness(kernel: Array, factors: Factors, u: float) -> Closeness:
    """Of a kernel to what factors make, which are rounded already.

    Rounding explains u·|W|, and where two factors are multiplied 2u·Σ|first|·|second| besides.
    """
    one = isinstance(factors, GroupedFactors)
    u = min(u, NARROWEST) if one else u + ARITHMETIC
    with np.errstate(all="ignore"):
        moved = np.abs(factors.kernel().reshape(kernel.shape) - kernel)
        explained = u * np.abs(kernel)
        if not one:
            explained += 2 * u * _mapped(factors, np.abs).kernel().reshape(kernel.shape)
        a = scaled_to_one(kernel)[1][:, :, None, None]
        holds = all(
            ((moved / a).max(axes) <= (explained / a).max(axes)).all() for axes in ((2, 3), (1, 3))
        )
        scale = np.abs(kernel).max()
        return Closeness(float(moved.max() / scale), float(explained.max() / scale), holds)


def _mapped(factors: AnyFactors, change: Any) -> AnyFactors:
    held = {field.name: getattr(factors, field.name) for field in fields(factors)}
    numbers = {k: v for k, v in held.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"}
    return replace(factors, **{name: change(array) for name, array in numbers.items()})


# Windows.


def offsets(kernel: Array, shape: Sequence[int], u: float) -> tuple[Index, ...]:
    """For each spatial axis, where taps are not zero in some kernel, ascending."""
    taps = nonzero(kernel, u).any((0, 1, 2)).reshape(shape)
    others = [tuple(a for a in range(taps.ndim) if a != axis) for axis in range(taps.ndim)]
    return tuple(np.flatnonzero(taps.any(axes)) for axes in others)


# Groups.


def grouped(kernel: Array, bias: Array, u: float) -> GroupedFactors | None:
    """As many groups as the kernel has, each of the G on its own; None where it has no more."""
    grouping = _groups(np.asarray(nonzero(kernel, u).any(3)))
    if grouping is None:
        return None
    groups, filters, channels, taps = kernel.shape
    rows = [
        kernel[out[0] // filters, out % filters][:, into % channels].reshape(len(out), -1)
        for into, out in zip(grouping.inputs, grouping.outputs, strict=True)
    ]
    return GroupedFactors(np.concatenate(rows), bias, grouping, taps, groups)


def _groups(joined: Mask) -> Grouping | None:
    filters, channels = joined.shape[1:]
    counts = [n for n in range(gcd(filters, channels), 1, -1) if filters % n == channels % n == 0]
    parts = [tuple(_parts(mask)) for mask in joined] if counts else []
    for count in counts:
        found = [_bins(part, filters // count, channels // count, count) for part in parts]
        bins = [grouping for grouping in found if grouping is not None]
        if len(bins) == len(found):
            inputs = [grouping.inputs + i * channels for i, grouping in enumerate(bins)]
            outputs = [grouping.outputs + i * filters for i, grouping in enumerate(bins)]
            return Grouping(np.concatenate(inputs), np.concatenate(outputs))
    return None


def _parts(joined: Mask) -> Iterator[tuple[Index, Index]]:
    """Channels and filters of each connected part, without those that nothing joins."""
    filters, channels = joined.shape
    rows, columns = np.nonzero(joined)
    size = filters + channels
    graph = coo_array((np.ones(len(rows)), (rows, filters + columns)), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    for label in np.unique(labels[rows]):
        yield (
            np.flatnonzero(labels[filters:] == label),
            np.flatnonzero(labels[:filters] == label),
        )


def _bins(
    parts: Sequence[tuple[Index, Index]], filters: int, channels: int, count: int
) -> Grouping | None:
    """Groups of so many filters and channels; those that lie side by side, if they can."""
    beside = [{*(into // channels), *(out // filters)} for into, out in parts]
    if all(len(bins) == 1 for bins in beside):
        every = np.arange(count)[:, None]
        return Grouping(
            every * channels + np.arange(channels), every * filters + np.arange(filters)
        )
    places = pack([(len(into), len(out)) for into, out in parts], (channels, filters), count)
    if places is None:
        return None
    inputs = _filled([into for into, _ in parts], places, channels, count)
    outputs = _filled([out for _, out in parts], places, filters, count)
    order = np.argsort(inputs[:, 0])
    if not np.array_equal(inputs[order].ravel(), np.arange(inputs.size)):
        order = np.argsort(outputs[:, 0])  # then one Gather may be spared there
    return Grouping(inputs[order], outputs[order])


def _filled(members: Sequence[Index], places: Sequence[int], size: int, count: int) -> Index:
    """The members of each bin, ascending; those that are in no part go where there is room."""
    bins: list[list[int]] = [[] for _ in range(count)]
    for part, place in zip(members, places, strict=True):
        bins[place].extend(part.tolist())
    spare = sorted({*range(size * count)}.difference(*bins), reverse=True)
    for held in sorted(bins, key=lambda held: min(held, default=size * count)):
        held.extend(spare.pop() for _ in range(size - len(held)))
    return np.sort(np.array(bins, np.intp), axis=1)
