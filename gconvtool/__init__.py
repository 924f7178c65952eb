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
    from gconvtool.pipeline.analyze import analyze, load
    from gconvtool.pipeline.compare import Gates, bench, verify
    from gconvtool.pipeline.convert import convert
    from gconvtool.pipeline.study import what_if
    from gconvtool.recipes import Bottleneck, Gdc, Grouped, Monarch, Separable
    from gconvtool.results import (
        Analysis,
        Comparison,
        Conversion,
        Drift,
        Planning,
        Verification,
        WhatIf,
    )
    from gconvtool.runtime.inputs import ImageOptions

_HOMES = {
    "errors": ("GconvError", "InputError", "MissingError", "VerificationError"),
    "goals": ("goal",),
    "limits": ("Goal",),
    "pipeline.analyze": ("analyze", "load"),
    "pipeline.compare": ("Gates", "bench", "verify"),
    "pipeline.convert": ("convert",),
    "pipeline.study": ("what_if",),
    "recipes": ("Bottleneck", "Gdc", "Grouped", "Monarch", "Separable"),
    "results": (
        "Analysis",
        "Comparison",
        "Conversion",
        "Drift",
        "Planning",
        "Verification",
        "WhatIf",
    ),
    "runtime.inputs": ("ImageOptions",),
}

__all__ = [
    "Analysis",
    "Bottleneck",
    "Comparison",
    "Conversion",
    "Drift",
    "Gates",
    "GconvError",
    "Gdc",
    "Goal",
    "Grouped",
    "ImageOptions",
    "InputError",
    "MissingError",
    "Monarch",
    "Planning",
    "Separable",
    "Verification",
    "VerificationError",
    "WhatIf",
    "__version__",
    "analyze",
    "bench",
    "convert",
    "goal",
    "load",
    "verify",
    "what_if",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its room (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"gconvtool.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
