"""What layers would become under a recipe, and where that would save most."""

from __future__ import annotations

from collections.abc import Sequence

from gconvtool.report import words
from gconvtool.report.tables.table import Table, counts, names, texts
from gconvtool.report.words import CONVENTIONS, Convention
from gconvtool.results import Prospect, Saving


def prospects(rows: Sequence[Prospect], convention: Convention) -> Table:
    """A row a layer, before and after, with what speaks against it."""
    before = [words.cost(row.macs_before, convention) for row in rows]
    after = [words.cost(row.macs_after, convention) for row in rows]
    return Table(
        (
            names("Layer", [row.name for row in rows]),
            texts("Kind", [row.kind for row in rows], rank=5),
            texts("Legal groups", [" ".join(map(str, row.legal_groups)) for row in rows], rank=4),
            counts("Params", [row.params_before for row in rows], rank=3),
            counts("after", [row.params_after for row in rows], rank=3),
            counts(CONVENTIONS[convention], before),
            counts("after", after),
            texts("", [_marks(row) for row in rows], rank=2),
        ),
        tuple("red" if row.loss else "yellow" if row.bytes_kept else "" for row in rows),
    )


def savings(rows: Sequence[Saving], convention: Convention) -> Table:
    """A row a layer."""
    return Table(
        (
            names("Layer", [row.name for row in rows]),
            texts("Into", [row.recipe for row in rows]),
            counts(
                CONVENTIONS[convention], [words.cost(row.macs_before, convention) for row in rows]
            ),
            counts("after", [words.cost(row.macs_after, convention) for row in rows]),
        )
    )


def _marks(row: Prospect) -> str:
    marks = {"loss": row.loss, "bytes do not shrink": row.bytes_kept}
    return ", ".join(mark for mark, is_so in marks.items() if is_so)
