"""Two models at several settings, and from where on one of them is the faster.

Settings are batches × threads × sizes of open dimensions. Along each of the three, with the others
kept, a crossover is where the verdict becomes "faster" (or "slower") and stays so to the end, or
was so from the start until there. Verdicts make it, and no estimate does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from gconvtool.pipeline.duel import Duel, contest
from gconvtool.pipeline.opponents import opponents
from gconvtool.pipeline.sizes import Sizes
from gconvtool.pipeline.source import Model
from gconvtool.pipeline.terms import Shared, Terms
from gconvtool.recipes import Recipe
from gconvtool.results import Cell, Comparison, Grid
from gconvtool.timing import machine

if TYPE_CHECKING:
    from typing_extensions import Unpack

Label = Callable[[Cell], str]
AXES: tuple[Label, ...] = (
    lambda cell: f"batch {cell.batch}",
    lambda cell: f"{cell.threads} thread{'s' * (cell.threads > 1)}",
    lambda cell: cell.shapes,
)
"""What each axis calls the place of a cell."""


def grid(
    a: Model,
    b: Model | None = None,
    *,
    batches: Sequence[int] = (1,),
    threads: Sequence[int | None] = (None,),
    shapes: Sequence[Sizes] = (Sizes(),),
    recipe: Recipe | None = None,
    fit_data: str | None = None,
    **options: Unpack[Shared],
) -> Grid:
    """Compare two models at every setting; each gets an equal part of the time budget.

    Args:
        a: the model to compare with.
        b: the other model; if None, `a` is converted with `recipe`, in memory.
        batches: samples a run.
        threads: intra-op threads; as many as the machine grants where one is None.
        shapes: sizes of open dimensions and whole shapes of inputs.
        recipe: see `bench`.
        fit_data: see `bench`.
        options: how to run, feed, time and judge them, see `Terms`; gates hold for each setting.

    Raises:
        InputError: a model does not take a setting, which is told before anything is timed; and
            where `bench` raises it.
        VerificationError: B's outputs are not finite.
        MissingError: onnxruntime or the provider is missing, or a convolution ran elsewhere.
    """
    noise, terms = machine.preflight(), Terms(**options)
    columns = list(product(sorted({t or terms.granted for t in threads}), sorted({*batches})))
    rows = [replace(terms, dims=s.dims, input_shapes=s.input_shapes) for s in shapes]
    pair = opponents(a, b, recipe, fit_data, rows[0])
    duels = list[Duel]()
    for row in rows:
        samples = pair.samples(row, batches)
        duels += (pair.duel(replace(row, threads=t, batch=n), samples) for t, n in columns)
    found = contest(duels, terms, noise, terms.gates.speedups)
    cells = tuple(map(_cell, duels, found))
    return Grid(cells, tuple(crossovers(cells)))


def _cell(duel: Duel, found: Comparison) -> Cell:
    return Cell(found.batch, found.threads, str(duel.first.terms.sizes), found)


def crossovers(cells: Sequence[Cell]) -> Iterator[str]:
    """In sentences, along each axis; cells are in the order of their settings."""
    varying = [axis for axis in AXES if len({axis(cell) for cell in cells}) > 1]
    for axis in varying:
        others = [other for other in varying if other is not axis]
        for kept, line in _lines(cells, others).items():
            where = f" ({', '.join(kept)})" if kept else ""
            yield from (f"B is {change}{where}" for change in _changes(line, axis))


def _lines(cells: Sequence[Cell], kept: Sequence[Label]) -> dict[tuple[str, ...], list[Cell]]:
    """Cells that are alike in these, in their order."""
    lines = defaultdict[tuple[str, ...], list[Cell]](list)
    for cell in cells:
        lines[tuple(label(cell) for label in kept)].append(cell)
    return lines


def _changes(line: Sequence[Cell], axis: Label) -> Iterator[str]:
    for verdict in ("faster", "slower"):
        said = [cell.comparison.judgement.verdict == verdict for cell in line]
        if all(said):
            continue
        until, since = said.index(False), said[::-1].index(False)
        if until:
            yield f"{verdict} up to {axis(line[until - 1])}"
        if since:
            yield f"{verdict} from {axis(line[-since])} on"
