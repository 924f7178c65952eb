"""What the commands answer: frozen results that every report is made from.

Units are in the names (`_ms`, `_bytes`, `_db`); a ratio has none. None means that a figure does
not apply or is not known, and never zero.
"""

from gconvtool.results.conversion import Conversion, Drift, SiteOutcome, Verification
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
from gconvtool.results.gate import Gate
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
    "Analysis",
    "Block",
    "Bound",
    "Comparison",
    "Conversion",
    "Difference",
    "Drift",
    "Explanation",
    "Failed",
    "Gate",
    "Interval",
    "Judgement",
    "KindTotal",
    "Layer",
    "LayerChange",
    "Machine",
    "Measurement",
    "Placement",
    "Prospect",
    "Role",
    "Roofline",
    "Round",
    "Sample",
    "Saving",
    "SiteOutcome",
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
