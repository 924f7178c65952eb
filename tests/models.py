"""Small models as ONNX text, and convolutions that count their own multiplications."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import numpy_helper, parser

from gconvtool.facts import ConvSite

Numbers = np.ndarray[Any, np.dtype[Any]]


def proto(
    graph: str,
    *,
    opset: int = 17,
    ir_version: int = 8,
    domains: Sequence[str] = (),
    **constants: Numbers,
) -> onnx.ModelProto:
    """A model from the text of its graph; `constants` become initializers."""
    imports = ", ".join([f'"": {opset}', *(f'"{domain}": 1' for domain in domains)])
    model = parser.parse_model(f"<ir_version: {ir_version}, opset_import: [{imports}]>\n{graph}")
    for name, numbers in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(numbers), name))
    return model


def model(graph: str, **settings: Any) -> ir.Model:
    """The same, as a model to work on."""
    return ir.from_proto(proto(graph, **settings))


def ort(source: onnx.ModelProto | ir.Model, **feeds: Numbers) -> list[Numbers]:
    """The outputs by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    content = (ir.to_proto(source) if isinstance(source, ir.Model) else source).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def site(**facts: Any) -> ConvSite:
    """A dense 3×3 convolution of 8 channels to 8 filters over 10×10, or what `facts` say."""
    usual: dict[str, Any] = {
        "name": "y",
        "op": "Conv",
        "channels": 8,
        "filters": 8,
        "groups": 1,
        "kernel": (3, 3),
        "bias": False,
    }
    known = {**usual, **facts}
    axes = len(known["kernel"])
    shapes: dict[str, Any] = {
        "strides": (1,) * axes,
        "dilations": (1,) * axes,
        "pads": (0,) * 2 * axes,
        "input_shape": (1, known["channels"], *[10] * axes),
        "output_shape": (1, known["filters"], *(11 - k for k in known["kernel"])),
    }
    return ConvSite(**{**shapes, **known})


class Number:
    """A number that adds one to `tally` whenever it is multiplied."""

    __slots__ = ("tally", "value")

    def __init__(self, value: float, tally: list[int]) -> None:
        self.value, self.tally = float(value), tally

    def __mul__(self, other: Number) -> Number:
        self.tally[0] += 1
        return Number(self.value * other.value, self.tally)

    def __add__(self, other: Number) -> Number:
        return Number(self.value + other.value, self.tally)


def counted(numbers: Numbers, tally: list[int]) -> Numbers:
    """The same array of numbers that count."""
    return np.frompyfunc(lambda value: Number(value, tally), 1, 1)(numbers)


def plain(numbers: Numbers) -> Numbers:
    """Back to what numpy can compare."""
    return np.frompyfunc(lambda number: number.value, 1, 1)(numbers).astype(np.float64)


def convolve(
    x: Numbers,
    w: Numbers,
    groups: int,
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> tuple[Numbers, int]:
    """The definition of a convolution, value by value; and how often it multiplied."""
    tally = [0]
    axes, (filters, share) = w.ndim - 2, w.shape[:2]
    margins = [(0, 0), (0, 0), *zip(pads[:axes], pads[axes:], strict=True)]
    padded, weights = counted(np.pad(x, margins), tally), counted(w, tally)
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:], strict=True)]
    sizes = [
        (size - r) // s + 1 for size, r, s in zip(padded.shape[2:], reach, strides, strict=True)
    ]
    y = np.empty((len(x), filters, *sizes), object)
    for n, f, *at in product(*map(range, y.shape)):
        first = f // (filters // groups) * share
        window = tuple(
            slice(a * s, a * s + r, d)
            for a, s, r, d in zip(at, strides, reach, dilations, strict=True)
        )
        y[(n, f, *at)] = (padded[(n, slice(first, first + share), *window)] * weights[f]).sum()
    return plain(y), tally[0]


def spread(
    x: Numbers,
    w: Numbers,
    groups: int,
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> tuple[Numbers, int]:
    """The definition of a transposed convolution, likewise: each input is spread over a window."""
    tally = [0]
    axes, (channels, share) = w.ndim - 2, w.shape[:2]
    values, weights = counted(x, tally), counted(w, tally)
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:], strict=True)]
    full = [(size - 1) * s + r for size, s, r in zip(x.shape[2:], strides, reach, strict=True)]
    y = counted(np.zeros((len(x), share * groups, *full)), tally)
    for n, c, *at in product(*map(range, x.shape)):
        first = c // (channels // groups) * share
        window = tuple(
            slice(a * s, a * s + r, d)
            for a, s, r, d in zip(at, strides, reach, dilations, strict=True)
        )
        where = (n, slice(first, first + share), *window)
        y[where] = y[where] + weights[c] * values[(n, c, *at)]
    kept = (slice(b, size - e) for b, e, size in zip(pads[:axes], pads[axes:], full, strict=True))
    return plain(y[(slice(None), slice(None), *kept)]), tally[0]
