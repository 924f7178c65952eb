"""Sums: of kinds, of several models, of one model at several sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gconvtool.report import words
from gconvtool.report.tables.table import Table, counts, names, numbers, texts
from gconvtool.report.words import CONVENTIONS, Convention
from gconvtool.results import Analysis, Failed, Gate, KindTotal, Study, SweepRow


def kinds(result: Analysis, convention: Convention) -> Table:
    """A row a kind, the costliest first."""
    rows = telling(result.kinds)
    found = [kind for _, kind in rows]
    return Table(
        (
            texts("Kind", [name for name, _ in rows]),
            counts("Layers", [kind.count for kind in found]),
            counts("Params", [kind.params for kind in found], rank=1),
            counts(CONVENTIONS[convention], [words.cost(kind.macs, convention) for kind in found]),
            numbers("Share", [words.share(kind.macs, result.totals) for kind in found], rank=2),
        )
    )


def telling(kinds: Mapping[str, KindTotal]) -> list[tuple[str, KindTotal]]:
    """Kinds with MACs, parameters or something unknown, the most MACs first."""
    found = [(name, kind) for name, kind in kinds.items() if kind.macs != 0 or kind.params]
    return sorted(found, key=lambda item: (-(item[1].macs or 0), item[0]))


def models(results: Sequence[Study | Failed], convention: Convention) -> Table:
    """A row a model; one that could not be analysed has the reason beside its name."""
    studies = [result if isinstance(result, Study) else None for result in results]
    totals = [study and study.analysis.totals for study in studies]
    costs = [words.whole_cost(t, convention) if t else "failed" for t in totals]
    peaks = [words.size(t.peak_activation_bytes) if t else "" for t in totals]
    unknown = [f"{len(study.analysis.unknown):,}" if study else "" for study in studies]
    return Table(
        (
            names("Model", [words.model_or_reason(result) for result in results]),
            numbers(CONVENTIONS[convention], costs),
            numbers("Params", [words.number(t.params) if t else "" for t in totals], rank=1),
            numbers("Peak activations", peaks, rank=2),
            numbers("Unknown nodes", unknown, rank=3),
        ),
        tuple("" if study else "red" for study in studies),
    )


def sweep(rows: Sequence[SweepRow], convention: Convention) -> Table:
    """A row for each choice of sizes."""
    sizes = dict.fromkeys(name for row in rows for name in row.sizes)
    peaks = [words.size(row.totals.peak_activation_bytes) for row in rows]
    costs = [words.whole_cost(row.totals, convention) for row in rows]
    return Table(
        (
            *(
                counts(words.printable(name), [row.sizes.get(name) for row in rows])
                for name in sizes
            ),
            numbers(CONVENTIONS[convention], costs),
            counts("Params", [row.totals.params for row in rows], rank=2),
            numbers("Peak activations", peaks, rank=1),
        )
    )


def gates(rows: Sequence[Gate]) -> Table:
    """A row a limit: what was found, and whether it held."""
    return Table(
        (
            names("Gate", [words.limit(row) for row in rows]),
            numbers("Found", [words.gate_value(row) for row in rows]),
            texts("Verdict", [words.gate_verdict(row) for row in rows]),
        )
    )
