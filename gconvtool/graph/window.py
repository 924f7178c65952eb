"""Windows that are larger than the taps inside them, made smaller.

Along an axis with K taps at distance d, pads b and e, where the first and last that are not zero in
some kernel are at l and K − 1 − h, and all of those in steps of g,

    K' = (K − 1 − l − h)/g + 1,     d' = d·g,     b' = b − d·l,     e' = e − d·h

compute the same at the same places: a K×K kernel of one tap is 1×1, 5×5 with a border of zeros is
3×3. A pad below zero crops the input: that is a Slice, except for depthwise convolutions, where it
costs more than it spares; those keep the taps that their pads are needed for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from math import gcd, prod

import numpy as np
import onnx_ir as ir

from gconvtool.facts import ConvSite, describe_shape
from gconvtool.fit import hidden
from gconvtool.fit.moments import Index
from gconvtool.graph.bodies import forget, home
from gconvtool.graph.parts import Numbers, constant, opset
from gconvtool.graph.plain import Family, Plain, families, insert_before, times
from gconvtool.results.conversion import Certificate

FIRST_OPSET_WITH_SLICE_INPUTS = 10
TO_THE_END = 2**31 - 1
"""An end that is beyond any."""


@dataclass(frozen=True)
class _Axis:
    """The taps that are kept of an axis: where they are, and the pads that they need."""

    kept: tuple[int, ...]
    dilation: int
    begin: int
    end: int

    @property
    def crops(self) -> bool:
        """Some of the input is not read at all."""
        return self.begin < 0 or self.end < 0


def shrink(model: ir.Model) -> tuple[Certificate, ...]:
    """Take out taps that are zero around all others or between them, in place."""
    done: list[Certificate] = []
    for family in families(model):
        axes = [found for plain in family if (found := _smaller(plain)) is not None]
        kept = {tuple(axis.kept for axis in found) for found in axes}
        if len(axes) == len(family) and len(kept) == 1:
            done.extend(_certificate(plain, *kept) for plain in family)
            _store(model, family, axes)
    return tuple(done)


def _smaller(plain: Plain) -> tuple[_Axis, ...] | None:
    """The window that is left; None where it is as large, or its padding is not known."""
    site, pads = plain.site, plain.site.pads
    if site.transposed:
        return None  # its pads are taken off what it makes
    offsets = hidden.offsets(plain.kernel, site.kernel, plain.u)
    if pads is None or not all(len(at) for at in offsets):
        return None
    rank = len(offsets)
    crop = site.channels > site.groups
    axes = tuple(
        _axis(at.tolist(), k, d, (pads[i], pads[rank + i]), size, crop)
        for i, (at, k, d, size) in enumerate(
            zip(offsets, site.kernel, site.dilations, _sizes(site), strict=True)
        )
    )
    return axes if prod(len(axis.kept) for axis in axes) < prod(site.kernel) else None


def _axis(
    at: Sequence[int], k: int, d: int, pads: tuple[int, int], size: int | None, crop: bool
) -> _Axis:
    low, high = at[0], k - 1 - at[-1]
    if not _croppable(pads[0] - d * low, pads[1] - d * high, size, crop):
        low, high = min(low, pads[0] // d), min(high, pads[1] // d)
    ends = (low, *at, k - 1 - high)
    step = reduce(gcd, (b - a for a, b in pairwise(ends)), 0) or 1
    kept = tuple(range(low, k - high, step))
    return _Axis(kept, d * step if len(kept) > 1 else 1, pads[0] - d * low, pads[1] - d * high)


def _croppable(begin: int, end: int, size: int | None, crop: bool) -> bool:
    """Nothing is to be cropped, or it may be and the input is sure to be larger than that.

    Where both ends are cropped, it is for every input that has an output.
    """
    lost = -min(begin, 0) - min(end, 0)
    if lost == 0:
        return True
    larger = max(begin, end) <= 0 if size is None else size > lost
    return crop and larger


def _sizes(site: ConvSite) -> tuple[int | None, ...]:
    shape = site.input_shape
    if shape is None or len(shape) != len(site.kernel) + 2:
        return (None,) * len(site.kernel)
    return tuple(size if isinstance(size, int) else None for size in shape[2:])


def _certificate(plain: Plain, kept: tuple[tuple[int, ...], ...]) -> Certificate:
    size = np.abs(plain.kernel).max()
    gone = plain.weight.astype(np.float64)
    gone[_where(plain.weight, kept)] = 0
    shape = tuple(len(axis) for axis in kept)
    because = (
        f"of its {describe_shape(plain.site.kernel)} taps, {describe_shape(shape)} are not zero; "
        f"{times(prod(shape) / prod(plain.site.kernel))}"
    )
    lost, bound = float(np.abs(gone).max() / size), min(plain.u, hidden.NARROWEST)
    return Certificate("smaller window", plain.name, because, lost, bound)


def _where(weight: Numbers, kept: tuple[tuple[int, ...], ...]) -> tuple[Index, ...]:
    return np.ix_(range(len(weight)), range(weight.shape[1]), *kept)


# Writing.


def _store(model: ir.Model, family: Family, windows: Sequence[tuple[_Axis, ...]]) -> None:
    first, old = family[0], family[0].node.inputs[1]
    kept = tuple(axis.kept for axis in windows[0])
    numbers = first.weight[_where(first.weight, kept)]
    weight = constant(home(first.node), f"{first.name}.smaller_weight", numbers)
    for plain, axes in zip(family, windows, strict=True):
        plain.node.replace_input_with(1, weight)
        _set_window(plain.node, axes)
        _crop(model, plain, axes)
    forget(old)


def _set_window(node: ir.Node, axes: Sequence[_Axis]) -> None:
    pads = [max(0, axis.begin) for axis in axes] + [max(0, axis.end) for axis in axes]
    node.attributes.pop("auto_pad", None)
    for name, numbers in (
        ("kernel_shape", [len(axis.kept) for axis in axes]),
        ("dilations", [axis.dilation for axis in axes]),
        ("pads", pads),
    ):
        node.attributes[name] = ir.AttrInt64s(name, numbers)


def _crop(model: ir.Model, plain: Plain, axes: Sequence[_Axis]) -> None:
    """A Slice before a convolution that does not read its input to the border."""
    source = plain.node.inputs[0]
    assert source is not None
    if not any(axis.crops for axis in axes):
        return
    numbers = {
        "starts": [max(0, -axis.begin) for axis in axes],
        "ends": [axis.end if axis.end < 0 else TO_THE_END for axis in axes],
        "axes": [2 + i for i in range(len(axes))],
    }
    prefix = f"{plain.name}.cropped"
    if opset(model) < FIRST_OPSET_WITH_SLICE_INPUTS:
        node = ir.node("Slice", [source], numbers, name=prefix)
    else:
        inputs = [
            constant(home(plain.node), f"{prefix}_{name}", np.array(list_, np.int64))
            for name, list_ in numbers.items()
        ]
        node = ir.node("Slice", [source, *inputs], name=prefix)
    insert_before(model, plain.node, node)
