"""Depthwise convolutions with a multiplier, as true ones.

With C groups, m filters each, and * a convolution of single channels,

    y[c·m + j] = x[c] * W[c·m + j]        is        y = x' * W,    x'[i] = x[⌊i / m⌋]

in N = m·C groups: the weights and the order of the output stay, each input channel is repeated.
onnxruntime has fast kernels for a convolution in which groups, channels and filters are one number,
in 2-D and float32, and none for a multiplier. Between two pointwise convolutions, on one thread of
a CPU with AVX-512, the three together become faster

    by    1.3 – 2.0    at m = 2, 3×3                     1.16 – 1.45    at m = 3
          1.15 – 1.33  at m = 4                          0.95 – 1.14    at m = 8
          0.98 – 1.13  where C is 3 or 6                 0.95           for 1×1

so it is done from 8 channels on, up to m = 4. Concat of m convolutions, with a Gather behind it for
the order, is behind that by a tenth without strides (ahead by as much with strides).
"""

from __future__ import annotations

from math import prod

import numpy as np
import onnx_ir as ir

from gconvtool.facts import ConvSite
from gconvtool.graph.bodies import home
from gconvtool.graph.parts import constant
from gconvtool.graph.plain import Plain, insert_before, singles, times
from gconvtool.results.conversion import Certificate

FEWEST_CHANNELS = 8
LARGEST_MULTIPLIER = 4


def repeat_channels(model: ir.Model) -> tuple[Certificate, ...]:
    """Write depthwise convolutions with a multiplier as true ones where those are faster."""
    return tuple(_repeat(model, plain) for plain in singles(model) if _faster(plain))


def _faster(plain: Plain) -> bool:
    site = plain.site
    planar = len(site.kernel) == 2 and prod(site.kernel) > 1 and not site.transposed
    depthwise = site.groups == site.channels >= FEWEST_CHANNELS
    fast = planar and plain.weight.dtype == np.float32
    return depthwise and fast and 1 < _multiplier(site) <= LARGEST_MULTIPLIER


def _repeat(model: ir.Model, plain: Plain) -> Certificate:
    site, source = plain.site, plain.node.inputs[0]
    name = f"{plain.name}.repeated"
    order = np.arange(site.filters) // _multiplier(site)
    index = constant(home(plain.node), f"{name}_channels", order.astype(np.int64))
    gather = ir.node("Gather", [source, index], {"axis": 1}, name=name)
    insert_before(model, plain.node, gather)
    plain.node.attributes["group"] = ir.AttrInt64("group", site.filters)
    because = f"its {site.channels} channels are repeated, not its kernels changed; {times(1)}"
    return Certificate("true depthwise", plain.name, because, 0.0, 0.0)


def _multiplier(site: ConvSite) -> int:
    return site.filters // site.channels
