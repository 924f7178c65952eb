"""The values of a network on some samples, at a cut that moves from its inputs to its outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from gconvtool.facts import Skip
from gconvtool.fit.rows import BUDGET
from gconvtool.graph.cut import Cutter
from gconvtool.graph.parts import array
from gconvtool.runtime.inputs import Arrays
from gconvtool.runtime.inside import look
from gconvtool.runtime.session import Session
from gconvtool.runtime.shelf import Shelf


@dataclass(frozen=True)
class Settings:
    """How to go: onnxruntime's `threads`, the `seed` of samples, bytes of `memory`, a `name`."""

    threads: int | None = None
    seed: int = 0
    memory: int = BUDGET
    name: str = ""


class Stream:
    """The values alive at the present cut, one dict a batch."""

    def __init__(
        self,
        model: ir.Model,
        cutter: Cutter,
        batches: Iterable[Arrays],
        shelf: Shelf,
        settings: Settings,
        position: int = 0,
    ) -> None:
        self._model, self._cutter, self._shelf, self._settings = model, cutter, shelf, settings
        self._batches, self._position = list(batches), position

    def forked(self, model: ir.Model) -> Stream:
        """The same values, from where another model goes on."""
        batches = [dict(batch) for batch in self._batches]
        return Stream(model, self._cutter, batches, self._shelf, self._settings, self._position)

    def to_the_end(self) -> list[Arrays]:
        """The outputs of the model, a batch apart; this one stays where it is."""
        ahead = self.forked(self._model)
        ahead.advance(self._cutter.end)
        return ahead._batches

    def has(self, value: ir.Value) -> bool:
        """Whether a value is alive here."""
        return all(value.name in batch for batch in self._batches)

    def values(self, value: ir.Value) -> list[np.ndarray]:
        """A value that is alive here, a batch apart; a constant is the same in all."""
        stored = array(value)
        return [batch[value.name or ""] if stored is None else stored for batch in self._batches]

    def look(self, site: str, *, made: bool) -> list[tuple[np.ndarray, ...]] | Skip:
        """What a site in a body of the next node reads, and has `made` if that is wanted."""
        threads = self._settings.threads
        seen = look(self._model, self._cutter, site, self._batches, made=made, threads=threads)
        if isinstance(seen, Skip):
            return seen
        return [tuple(self._shelf.put(array) for array in arrays) for arrays in seen]

    def advance(self, end: int, extra: str | None = None) -> list[np.ndarray]:
        """Run up to a cut and keep what crosses it; returns what `extra` names."""
        wanted = () if extra is None else (extra,)
        segment = self._cutter.segment(self._model, self._position, end, wanted)
        session = None
        if segment.model is not None:
            session = Session(
                segment.model, threads=self._settings.threads, name=self._settings.name
            )
        found = []
        for index, batch in enumerate(self._batches):
            new = session.run({n: batch[n] for n in segment.inputs}) if session else {}
            kept = {name: self._shelf.put(array) for name, array in new.items()}
            found += [kept[name] for name in wanted]
            alive = {**batch, **kept}
            self._batches[index] = {n: a for n, a in alive.items() if n in segment.alive}
        self._position = end
        return found
