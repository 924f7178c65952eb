"""How far conversions drift, judged on few samples, again and again.

Of the samples that a conversion may have, most are fitted to, and on those it errs less than it
will elsewhere. With a the original's outputs and b the conversion's, samples that were fitted to
are judged by

    b' = a + w·(b − a),      w = relative error on held-out samples / that on samples fitted to

and held-out ones as they are, so that all count for what they are worth: a point of accuracy is
two samples of 200, but half a sample of the 50 that are held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconvtool.drift import Reference, compare
from gconvtool.results import Drift
from gconvtool.runtime.inputs import Batch, Data, Split
from gconvtool.runtime.session import Session
from gconvtool.runtime.shelf import Shelf

Outputs = Mapping[str, NDArray[Any]]


class Jury:
    """Remembers what the original makes of the samples."""

    def __init__(self, original: Session, split: Split, batch: Batch, memory: int) -> None:
        self._batch, self._shelf = batch, Shelf(memory)
        self._parts = [_whole(part, batch) for part in (split.held_out, split.fit)]
        self._made = [self._run(original, part) for part in self._parts]

    @property
    def has_classes(self) -> bool:
        """Some output holds scores of classes."""
        first = self._made[0][0].values()
        return any(array.ndim == 2 and array.shape[1] > 1 for array in first)

    @property
    def has_target(self) -> bool:
        """There is something that pixels should be."""
        return self._parts[0].target is not None

    def drifts(self, converted: Session) -> tuple[Drift, ...]:
        """Of every output, over all samples.

        Raises:
            VerificationError: its outputs are not finite.
        """
        made = [self._run(converted, part) for part in self._parts]
        held_out, fitted = (
            compare(_replayed(a), _replayed(b), self._feeds(part))
            for a, b, part in zip(self._made, made, self._parts, strict=True)
        )
        wider = {h.output: _wider(h, f) for h, f in zip(held_out, fitted, strict=True)}
        seen = zip(self._made[1], made[1], strict=True)
        after = [*made[0], *(_widened(a, b, wider) for a, b in seen)]
        before = [*self._made[0], *self._made[1]]
        feeds = [feeds for part in self._parts for feeds in self._feeds(part)]
        return compare(_replayed(before), _replayed(after), feeds, self._reference())

    def _run(self, session: Session, part: Data) -> list[Outputs]:
        made = map(session.run, self._feeds(part))
        return [{name: self._shelf.put(array) for name, array in run.items()} for run in made]

    def _feeds(self, part: Data) -> Iterator[Mapping[str, NDArray[Any]]]:
        return part.batches(self._batch)

    def _reference(self) -> Reference:
        labels, target = (
            _joined([getattr(part, what) for part in self._parts]) for what in ("labels", "target")
        )
        return Reference(self._parts[0].source, labels, target)


def _whole(part: Data, batch: Batch) -> Data:
    """Without what does not fill a batch that there has to be."""
    return part.take(slice(len(part) - len(part) % batch.samples)) if batch.fixed else part


def _replayed(made: Iterable[Outputs]) -> Callable[[object], Outputs]:
    """A runner that gives what was made before, in its order."""
    left = iter(made)
    return lambda feeds: next(left)


def _wider(held_out: Drift, fitted: Drift) -> float:
    if not held_out.relative_error or not fitted.relative_error:
        return 1.0
    return max(1.0, held_out.relative_error / fitted.relative_error)


def _widened(a: Outputs, b: Outputs, wider: Mapping[str, float]) -> Outputs:
    return {name: a[name] + (b[name] - a[name]) * w for name, w in wider.items() if w != 1} | {
        name: b[name] for name in b if wider.get(name, 1) == 1
    }


def _joined(parts: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
