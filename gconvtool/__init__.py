"""Shows what an ONNX network's convolutions cost, rewrites them into cheaper ones, and proves it.

The names are handed on when they are first used, so that `import gconvtool` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gconvtool._version import __version__

if TYPE_CHECKING:
    from gconvtool.errors import GconvError, InputError, MissingError, VerificationError
    from gconvtool.goals import goal
    from gconvtool.limits import Goal
    from gconvtool.pipeline.again import redo
    from gconvtool.pipeline.analyze import analyze, load
    from gconvtool.pipeline.baseline import Baseline
    from gconvtool.pipeline.calibration import calibrate
    from gconvtool.pipeline.compare import bench, verify
    from gconvtool.pipeline.convert import convert
    from gconvtool.pipeline.gates import Gates
    from gconvtool.pipeline.grid import grid
    from gconvtool.pipeline.several import rank
    from gconvtool.pipeline.sizes import Sizes
    from gconvtool.pipeline.solo import solo
    from gconvtool.pipeline.study import what_if
    from gconvtool.pipeline.sweep import sweep
    from gconvtool.pipeline.tolerances import Tolerances
    from gconvtool.recipes import Bottleneck, Gdc, Grouped, Monarch, Separable
    from gconvtool.results import (
        Analysis,
        Calibration,
        Comparison,
        Conversion,
        Drift,
        Grid,
        Planning,
        Ranking,
        Solo,
        Sweep,
        SweepPoint,
        Verification,
        WhatIf,
    )
    from gconvtool.runtime.inputs import ImageOptions

_HOMES = {
    "errors": ("GconvError", "InputError", "MissingError", "VerificationError"),
    "goals": ("goal",),
    "limits": ("Goal",),
    "pipeline.analyze": ("analyze", "load"),
    "pipeline.baseline": ("Baseline",),
    "pipeline.calibration": ("calibrate",),
    "pipeline.again": ("redo",),
    "pipeline.compare": ("bench", "verify"),
    "pipeline.convert": ("convert",),
    "pipeline.gates": ("Gates",),
    "pipeline.grid": ("grid",),
    "pipeline.several": ("rank",),
    "pipeline.sizes": ("Sizes",),
    "pipeline.solo": ("solo",),
    "pipeline.study": ("what_if",),
    "pipeline.sweep": ("sweep",),
    "pipeline.tolerances": ("Tolerances",),
    "recipes": ("Bottleneck", "Gdc", "Grouped", "Monarch", "Separable"),
    "results": (
        "Analysis",
        "Calibration",
        "Comparison",
        "Conversion",
        "Drift",
        "Grid",
        "Planning",
        "Ranking",
        "Solo",
        "Sweep",
        "SweepPoint",
        "Verification",
        "WhatIf",
    ),
    "runtime.inputs": ("ImageOptions",),
}

__all__ = [
    "Analysis",
    "Baseline",
    "Bottleneck",
    "Calibration",
    "Comparison",
    "Conversion",
    "Drift",
    "Gates",
    "GconvError",
    "Gdc",
    "Goal",
    "Grid",
    "Grouped",
    "ImageOptions",
    "InputError",
    "MissingError",
    "Monarch",
    "Planning",
    "Ranking",
    "Separable",
    "Sizes",
    "Solo",
    "Sweep",
    "SweepPoint",
    "Tolerances",
    "Verification",
    "VerificationError",
    "WhatIf",
    "__version__",
    "analyze",
    "bench",
    "calibrate",
    "convert",
    "goal",
    "grid",
    "load",
    "rank",
    "redo",
    "solo",
    "sweep",
    "verify",
    "what_if",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its room (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"gconvtool.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
