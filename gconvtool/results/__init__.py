"""What the commands answer: frozen results that every report is made from.

Units are in the names (`_ms`, `_bytes`, `_db`); a ratio has none. None means that a figure does
not apply or is not known, and never zero.
"""

from gconvtool.results.conversion import FITS, Certificate, Conversion, Fit, SiteOutcome
from gconvtool.results.costs import (
    Analysis,
    Bound,
    Difference,
    Explanation,
    Failed,
    KindTotal,
    Layer,
    LayerChange,
    Placement,
    Prospect,
    Role,
    Roofline,
    Saving,
    Stored,
    Study,
    SweepRow,
    Totals,
    Unknown,
    WhatIf,
)
from gconvtool.results.drift import Drift, Verification
from gconvtool.results.gate import Gate
from gconvtool.results.kernels import CacheInfo, CacheShare, Estimate, KernelTime
from gconvtool.results.planning import Planning, Race, SiteTime
from gconvtool.results.timing import (
    Block,
    Comparison,
    Interval,
    Judgement,
    Machine,
    Measurement,
    Round,
    Sample,
    Timing,
    Verdict,
)

__all__ = [
    "FITS",
    "Analysis",
    "Block",
    "Bound",
    "CacheInfo",
    "CacheShare",
    "Certificate",
    "Comparison",
    "Conversion",
    "Difference",
    "Drift",
    "Estimate",
    "Explanation",
    "Failed",
    "Fit",
    "Gate",
    "Interval",
    "Judgement",
    "KernelTime",
    "KindTotal",
    "Layer",
    "LayerChange",
    "Machine",
    "Measurement",
    "Placement",
    "Planning",
    "Prospect",
    "Race",
    "Role",
    "Roofline",
    "Round",
    "Sample",
    "Saving",
    "SiteOutcome",
    "SiteTime",
    "Stored",
    "Study",
    "SweepRow",
    "Timing",
    "Totals",
    "Unknown",
    "Verdict",
    "Verification",
    "WhatIf",
]
