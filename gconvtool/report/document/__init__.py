"""Results as versioned dicts for JSON. The names are a contract: README.md lists them.

Every document starts with `schema` (`gconvtool.<command>/1`), `tool` and `model`; a figure that
does not apply is null.
"""

from gconvtool.report.document.converting import conversion, sweep
from gconvtool.report.document.costs import (
    analysis,
    difference,
    figure,
    several,
    side_by_side,
    study,
)
from gconvtool.report.document.earlier import totals_of
from gconvtool.report.document.here import cache, diagnosis
from gconvtool.report.document.measuring import (
    calibration,
    comparison,
    grid,
    measured,
    ranking,
    solo,
    verification,
)
from gconvtool.report.document.parts import LARGEST_COUNT, Document, dumps, failure

__all__ = [
    "LARGEST_COUNT",
    "Document",
    "analysis",
    "cache",
    "calibration",
    "comparison",
    "conversion",
    "diagnosis",
    "difference",
    "dumps",
    "failure",
    "figure",
    "grid",
    "measured",
    "ranking",
    "several",
    "side_by_side",
    "solo",
    "study",
    "sweep",
    "totals_of",
    "verification",
]
