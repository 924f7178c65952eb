"""An earlier document of `analyze`, read with suspicion: what budgets take as a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gconvtool.errors import InputError
from gconvtool.report.document.costs import OTHER_FIGURES
from gconvtool.report.document.parts import LARGEST_COUNT
from gconvtool.results import Totals

ANALYZE = "gconvtool.analyze/1"


def totals_of(document: Mapping[str, Any]) -> Totals:
    """The totals of an earlier document of `analyze`, as a baseline.

    Raises:
        InputError: it is another document, or a figure is missing or no number.
    """
    found = document.get("schema") if isinstance(document, Mapping) else None
    if found != ANALYZE:
        raise InputError(
            f"not a document of one analysis: its schema is {_shown(found)}, not {ANALYZE}; "
            "make one with `gconvtool analyze MODEL --json`"
        )
    totals = document.get("totals")
    if not isinstance(totals, Mapping):
        raise InputError("the document has no totals: its analysis failed, or it is damaged")
    if not isinstance(totals.get("exact"), bool):
        raise InputError(f"totals.exact is {_shown(totals.get('exact'))}, not true or false")
    others = {name: _whole(totals, name, optional=True) for name in OTHER_FIGURES}
    macs, params = _whole(totals, "macs") or 0, _whole(totals, "params") or 0
    return Totals(macs, params, totals["exact"], **others)


def _whole(totals: Mapping[str, Any], name: str, *, optional: bool = False) -> int | None:
    """A count of an earlier document; documents of earlier versions lack the optional ones."""
    value = totals.get(name)
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_COUNT:
        raise InputError(
            f"totals.{name} is {_shown(value)}, not a whole number of a network's size"
        )
    return value


def _shown(value: object) -> str:
    """A value of a foreign document, short enough for one line."""
    return "missing" if value is None else repr(value)[:60]
