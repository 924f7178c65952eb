"""Layers under the roof of a machine (Williams, Waterman and Patterson, CACM 52(4), 2009).

A machine does at most P GFLOP/s, and moves at most B GB/s between memory and processor. A layer of
F FLOPs that moves D bytes has the arithmetic intensity I = F/D, and

    roof  = min(P, I·B)           what the machine can reach on it
    least = max(F/P, D/B)         the time that it needs for it, if nothing else holds it up
    ridge = P/B                   from this intensity on arithmetic is the limit, below it memory
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf

from gconvtool.errors import InputError
from gconvtool.results import Layer, Placement, Roofline


def place(
    layers: Iterable[Layer], peak_gflops: float, bandwidth_gbs: float, measured: bool
) -> Roofline:
    """Every layer that multiplies and whose bytes are known; what holds others is none itself.

    Raises:
        InputError: a limit that no machine has.
    """
    for limit, unit in ((peak_gflops, "GFLOP/s"), (bandwidth_gbs, "GB/s")):
        if not 0 < limit < inf:
            raise InputError(f"{limit:g} {unit}: a machine's limit is more than zero, and finite")
    rows = tuple(layers)
    holders = {row.parent for row in rows}
    leaves = (row for row in rows if row.name not in holders)
    return Roofline(
        peak_gflops, bandwidth_gbs, measured, tuple(_placed(leaves, peak_gflops, bandwidth_gbs))
    )


def _placed(layers: Iterable[Layer], peak: float, bandwidth: float) -> Iterator[Placement]:
    for layer in layers:
        intensity = layer.intensity
        if intensity and layer.macs:
            flops = 2 * layer.macs
            yield Placement(
                name=layer.name,
                intensity=intensity,
                bound="compute" if intensity >= peak / bandwidth else "memory",
                roof_gflops=min(peak, intensity * bandwidth),
                least_ms=max(flops / peak, flops / intensity / bandwidth) / 1e6,
            )
