"""How far conversions drift, judged on few samples, again and again.

Of the samples that a conversion may have, most are fitted to, and on those it errs less than it
will elsewhere. With a the original's outputs and b the conversion's, samples that were fitted to
are judged by

    b' = a + w·(b − a),      w = relative error on held-out samples / that on samples fitted to

and held-out ones as they are, so that all count for what they are worth: a point of accuracy is
two samples of 200, but half a sample of the 50 that are held out. Outputs in whole numbers, such as
classes, are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.drift import Reference, compare
from gconvtool.graph.cut import Cutter
from gconvtool.limits import Evidence
from gconvtool.results import Drift
from gconvtool.runtime.inputs import Arrays, Batch, Data, Split
from gconvtool.runtime.metric import Metric
from gconvtool.runtime.session import Session
from gconvtool.runtime.shelf import Shelf
from gconvtool.runtime.stream import Settings, Stream

Outputs = Mapping[str, NDArray[Any]]
Runs = Sequence[Outputs]


class Jury:
    """Remembers what the original makes of the samples, and what the metric says of that."""

    def __init__(
        self,
        original: Session,
        split: Split,
        batch: Batch,
        memory: int,
        metric: Metric | None = None,
    ) -> None:
        self._batch, self._shelf, self.metric = batch, Shelf(memory), metric
        self._parts = [_whole(part, batch) for part in (split.held_out, split.fit)]
        self._made = [self._run(original, part) for part in self._parts]
        self._itself = self._compared(self._before())
        self.score = self._scored(self._before())

    @property
    def has_classes(self) -> bool:
        """Some output holds scores of classes."""
        return any(drift.top1_agreement is not None for drift in self._itself)

    @property
    def has_target(self) -> bool:
        """There is something that pixels should be."""
        return self._parts[0].target is not None

    def evidence(self, converted: Session) -> Evidence:
        """Of every output, over all samples.

        Raises:
            VerificationError: its outputs are not finite.
            InputError: the metric fails.
        """
        made = [self._run(converted, part) for part in self._parts]
        wider = self._wider(made)
        drifts = self._compared(self._after(made, wider))
        after = None if self.score is None else self._scored(self._after(made, wider))
        scores = None if self.score is None or after is None else (self.score, after)
        return Evidence(drifts, scores)

    def _before(self) -> Iterator[Outputs]:
        for made in self._made:
            yield from made

    def _after(self, made: Sequence[Runs], wider: Mapping[str, float]) -> Iterator[Outputs]:
        held_out, fitted = made
        yield from held_out
        for a, b in zip(self._made[1], fitted, strict=True):
            yield _widened(a, b, wider)

    def _wider(self, made: Sequence[Runs]) -> Mapping[str, float]:
        """How many times larger the errors of outputs are on held-out samples, at least one."""
        held_out, fitted = (
            compare(_replayed(a), _replayed(b), self._feeds(part))
            for a, b, part in zip(self._made, made, self._parts, strict=True)
        )
        return {h.output: _ratio(h, f) for h, f in zip(held_out, fitted, strict=True)}

    def _compared(self, made: Iterable[Outputs]) -> tuple[Drift, ...]:
        feeds = (feeds for part in self._parts for feeds in self._feeds(part))
        return compare(_replayed(self._before()), _replayed(made), feeds, self._reference())

    def _scored(self, made: Iterable[Outputs]) -> float | None:
        if self.metric is None:
            return None
        return self.metric.score(_at_once(made), self._reference().labels)

    def _run(self, session: Session, part: Data) -> Runs:
        made = map(session.run, self._feeds(part))
        return [{name: self._shelf.put(array) for name, array in run.items()} for run in made]

    def _feeds(self, part: Data) -> Iterator[Mapping[str, NDArray[Any]]]:
        return part.batches(self._batch)

    def _reference(self) -> Reference:
        labels, target = (
            _joined([getattr(part, what) for part in self._parts]) for what in ("labels", "target")
        )
        return Reference(self._parts[0].source, labels, target)


class Glance:
    """How far outputs move on some samples when one site changes, whatever that means for those who
    use them. What comes before the site is run once."""

    def __init__(
        self,
        base: ir.Model,
        sites: Iterable[str],
        part: Data,
        batch: Batch,
        settings: Settings,
    ) -> None:
        self._cutter = Cutter(base, [*sites])
        self._feeds = list(_whole(part, batch).batches(batch))
        shelf = Shelf(settings.memory // 2)
        self._stream = Stream(base, self._cutter, self._feeds, shelf, settings)
        self._at, self._made = "", list[Arrays]()

    def position(self, site: str) -> int:
        """Sites are looked at by rising positions."""
        return self._cutter.position(site)

    def evidence(self, site: str, converted: ir.Model) -> Evidence:
        """Of every output of a model that differs in this site only.

        Raises:
            VerificationError: its outputs are not finite.
        """
        if site != self._at:
            self._stream.advance(self.position(site))
            # From the same cut as all looks, so that what is fused is so in all of them.
            self._at, self._made = site, self._stream.to_the_end()
        made = self._stream.forked(converted).to_the_end()
        return Evidence(compare(_replayed(self._made), _replayed(made), self._feeds))


def _whole(part: Data, batch: Batch) -> Data:
    """Without what does not fill a batch that there has to be."""
    return part.take(slice(len(part) - len(part) % batch.samples)) if batch.fixed else part


def _replayed(made: Iterable[Outputs]) -> Callable[[object], Outputs]:
    """A runner that gives what was made before, in its order."""
    left = iter(made)
    return lambda feeds: next(left)


def _ratio(held_out: Drift, fitted: Drift) -> float:
    if not held_out.relative_error or not fitted.relative_error:
        return 1.0
    return max(1.0, held_out.relative_error / fitted.relative_error)


def _widened(a: Outputs, b: Outputs, wider: Mapping[str, float]) -> Outputs:
    further = {name: _further(a[name], b[name], times) for name, times in wider.items()}
    return {**b, **further}


def _further(a: NDArray[Any], b: NDArray[Any], times: float) -> NDArray[Any]:
    if times == 1 or b.dtype.kind != "f":
        return b
    dtype = np.result_type(a, np.float32)  # float16 would not reach as far
    return np.asarray(a + (b.astype(dtype) - a) * times)


def _at_once(made: Iterable[Outputs]) -> Outputs:
    """All samples of the outputs that are arrays of them."""
    runs = list(made)
    arrays = [name for name, one in runs[0].items() if isinstance(one, np.ndarray) and one.ndim]
    return {name: np.concatenate([run[name] for run in runs]) for name in arrays}


def _joined(parts: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
