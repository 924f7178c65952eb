"""What stands between a file and its plain convolutions, taken away before anything is planned.

    functions that hold what is rewritten     expanded where they are called
    fused convolutions                        taken apart
    initializers that a caller may replace    constants
    ways to the same weight                   one of them

Convolutions behind it have the names that `analyze` gives them, but for those that were fused: what
`analyze` calls y is y/conv then. Selections and plans may go by either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from gconvtool.graph import exact, expand, sharing, unfuse
from gconvtool.plan import Selection
from gconvtool.planfile import PlanFile
from gconvtool.recipes import Recipe


@dataclass(frozen=True)
class Opened:
    """What was done, in words, and the new names of convolutions by those of `analyze`."""

    notes: tuple[str, ...]
    names: Mapping[str, str]

    def selection(self, given: Selection) -> Selection:
        """The same convolutions by their new names."""
        return Selection(*(tuple(map(self._name, globs)) for globs in (given.only, given.skip)))

    def recipe(self, given: Recipe | PlanFile | None) -> Recipe | PlanFile | None:
        """A plan by new names; a recipe has none."""
        if not isinstance(given, PlanFile):
            return given
        entries = (replace(entry, name=self._name(entry.name)) for entry in given.entries)
        return replace(given, entries=tuple(entries))

    def _name(self, given: str) -> str:
        return self.names.get(given, given)


def open_up(model: ir.Model, every: bool) -> Opened:
    """Do it in place; `every` where averages and fully connected layers are rewritten too."""
    calls = expand.expand_holders(model, expand.ALWAYS)
    if every:
        calls += expand.expand_holders(model, expand.AT_TIMES)
    names = unfuse.take_apart(model)
    freed = exact.privatise_initializers(model)
    sharing.unite(model)
    return Opened(tuple(_notes(calls, names, freed)), names)


def _notes(calls: int, names: Mapping[str, str], freed: int) -> Iterator[str]:
    if calls:
        yield f"{calls} calls of functions that hold what is rewritten were expanded"
    if names:
        old, new = next(iter(names.items()))
        yield f"{len(names)} fused convolutions were taken apart: that of {old} is {new} now"
    if freed:
        yield f"{freed} initializers were graph inputs too; they are constants now"
