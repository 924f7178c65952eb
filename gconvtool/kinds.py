"""The taxonomy of convolutions: one pure function from a site's facts to its kind.

With C channels, N filters and G groups, and kernel K…:

    standard               G = 1, some K > 1 (G = C = 1 too)
    pointwise              G = 1, every K = 1
    grouped                1 < G, not depthwise, some K > 1
    grouped-pointwise      1 < G, not depthwise, every K = 1
    depthwise              G = C = N > 1                       (MobileNet, Xception)
    depthwise-multiplier   G = C > 1, N = mC, m > 1
    gdc                    depthwise, K = the whole unpadded map, so that one value is left a
                           channel                             (MobileFaceNet, arXiv 1804.07573)
"""

from __future__ import annotations

from typing import Literal

from gconvtool.facts import ConvSite

Kind = Literal[
    "standard",
    "pointwise",
    "grouped",
    "grouped-pointwise",
    "depthwise",
    "depthwise-multiplier",
    "gdc",
]


def kind(site: ConvSite) -> Kind:
    """The kind of a convolution. `gdc` is only claimed where the shapes prove it."""
    pointwise = all(k == 1 for k in site.kernel)
    if site.groups == 1:
        return "pointwise" if pointwise else "standard"
    if site.groups != site.channels:
        return "grouped-pointwise" if pointwise else "grouped"
    if site.filters != site.channels:
        return "depthwise-multiplier"
    return "gdc" if covers_the_map(site) else "depthwise"


def covers_the_map(site: ConvSite) -> bool:
    """Whether the kernel is as large as the map, so that one position is left."""
    if site.transposed or site.input_shape is None or site.output_shape is None:
        return False
    return (
        site.input_shape[2:] == site.kernel
        and site.pads is not None
        and not any(site.pads)
        and all(size == 1 for size in site.output_shape[2:])
    )
