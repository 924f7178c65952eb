"""What a convolution pads along each axis, also where it only says what for.

auto_pad SAME is for ceil(I / stride) outputs of I inputs, so that along an axis it pads, in all,

    max(0, (ceil(I / stride) − 1)·stride + dilation·(K − 1) + 1 − I)

in halves; what is odd goes behind by SAME_UPPER, in front by SAME_LOWER. A transposed convolution
has its padding taken off its output, which without it has

    stride·(I − 1) + dilation·(K − 1) + 1 + output_padding

positions: of these an output_shape, or the stride·I of SAME, leaves the padding over, and what is
odd goes in front but by SAME_UPPER. Where nothing is left over, onnxruntime takes nothing off. From
an output_shape below the input's size ONNX infers no shape for what follows, so it is not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import onnx_ir as ir

from gconvtool.facts import Dim, Shape
from gconvtool.graph.constants import ints_attribute

Sizes = tuple[int, ...]
MODES = ("NOTSET", "SAME_LOWER", "SAME_UPPER", "VALID")


@dataclass(frozen=True)
class _Axis:
    """`size` is the input's; `more` the output_padding; `made` an output size that is given."""

    size: Dim
    kernel: int
    stride: int
    dilation: int
    more: int
    made: int | None

    def padded(self) -> int | None:
        """By SAME in all; steps of one need no size for that."""
        covered = self.dilation * (self.kernel - 1) + 1
        if self.stride == 1:
            return covered - 1
        if not isinstance(self.size, int):
            return None
        return max(0, (ceil(self.size / self.stride) - 1) * self.stride + covered - self.size)

    def taken_off(self) -> int | None:
        """Of a transposed convolution in all; SAME needs no size for that."""
        covered = self.dilation * (self.kernel - 1) + 1 + self.more
        if self.made is None:
            return max(0, covered - self.stride)
        if not isinstance(self.size, int) or self.made < self.size:
            return None
        return max(0, self.stride * (self.size - 1) + covered - self.made)


def pads(
    node: ir.Node, data: Shape, kernel: Sizes, strides: Sizes, dilations: Sizes
) -> Sizes | None:
    """Begins, then ends; None where they depend on an input size that is not known.

    None too for an output smaller than that, and for attributes that contradict each other.
    """
    attribute, transposed = node.attributes.get("auto_pad"), node.op_type == "ConvTranspose"
    mode = attribute.value if attribute else "NOTSET"
    made = ints_attribute(node, "output_shape", ()) if transposed else ()
    if mode in ("NOTSET", "VALID") and not made:
        none = (0,) * (2 * len(kernel))
        return none if mode == "VALID" else ints_attribute(node, "pads", none)
    if mode not in MODES:
        return None
    axes = _axes(node, data, kernel, strides, dilations, made)
    totals = [axis.taken_off() if transposed else axis.padded() for axis in axes]
    return _halved(totals, behind=mode == "SAME_UPPER")


def _halved(totals: Sequence[int | None], behind: bool) -> Sizes | None:
    """Begins, then ends; what is odd goes `behind` or in front."""
    known = [total for total in totals if total is not None]
    if not totals or len(known) < len(totals):
        return None
    less, more = [total // 2 for total in known], [total - total // 2 for total in known]
    return (*less, *more) if behind else (*more, *less)


def _axes(
    node: ir.Node, data: Shape, kernel: Sizes, strides: Sizes, dilations: Sizes, made: Sizes
) -> Iterator[_Axis]:
    """None for attributes that contradict each other."""
    count = len(kernel)
    columns = (
        data[2:] if data else (None,) * count,
        kernel,
        strides,
        dilations,
        ints_attribute(node, "output_padding", (0,) * count),
        made or (None,) * count,
    )
    if all(len(column) == count for column in columns) and 0 not in strides:
        yield from (_Axis(*axis) for axis in zip(*columns, strict=True))
