"""A second pass over all new weights at once, for what the network makes of them in the end.

The first pass fits a layer to the original's outputs without a thought for what reads them. Here
every converted convolution moves, inside its structure, so that together they lessen

    L = mean over targets t of  E‖t(work) − t(base)‖² / E‖t(base) − t̄‖²

where the targets are the outputs of the network and of its rewritten convolutions, those sums in
the place of outputs that are added to something: what follows reads the sum. No labels are needed.
Gradients go back by hand (`adjoint`), from values that one run of the network gives; steps are in
coordinates where all unknowns weigh the same (`descent`). Targets inside the network are many
numbers a sample, and so hold back weights that would else learn a few hundred samples by heart.

The best state by the *outputs'* error over held-out samples is kept, which may be the first one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
import onnx_ir as ir

from gconvtool.facts import Skip
from gconvtool.fit.descent import Adam, Coordinates, pace
from gconvtool.fit.patches import outputs, spread
from gconvtool.graph.adjoint import window_of
from gconvtool.runtime.inputs import Arrays, Batch, Data
from gconvtool.runtime.movable import (
    Array,
    Gradients,
    Movable,
    Plan,
    Values,
    backward,
    name_of,
    with_outputs,
)
from gconvtool.runtime.session import Session
from gconvtool.runtime.stream import Settings

STEPS = 96
STEP = 4e-4
"""The largest step, as a share of an output's spread for each of its unknowns."""
LOOKS = 6
"""How often the held-out samples are looked at."""
FEWEST_ROWS, ROWS_PER_UNKNOWN = 1000, 8
"""Patches taken for each of a filter's unknowns, to find coordinates."""
LOOKED_AT = 8
"""Batches to find coordinates from: one may be a dull image."""


@dataclass(frozen=True)
class Refined:
    """The outputs' relative squared error over held-out samples, and the steps that were kept."""

    error_before: float
    error_after: float
    steps: int


def refine(
    base: ir.Model,
    work: ir.Model,
    sites: Collection[str],
    fit: Data,
    held_out: Data,
    *,
    steps: int = STEPS,
    batch: int | None = None,
    settings: Settings = Settings(),  # noqa: B008  frozen
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Refined | Skip:
    """Refine the weights of `work` in place; its graph stays as it is.

    Args:
        base: the original network, shapes inferred; it is not changed.
        work: the same network with its `sites` converted, under the old names; channels of all
            values that have a name in `base` are in the order that they have there.
        sites: outputs of the convolutions that were rewritten.
        fit: samples to move by.
        held_out: samples that decide what is kept.
        steps: batches that are gone through.
        batch: samples a step, if the model insists; else by the size of its maps.
        settings: threads, the seed of the order of samples, and memory: half of it is for targets
            that are kept from one round to the next, those beyond are computed again.
        progress: called after every step.
    """
    plan = Plan(base, work, sites)
    if not plan.movable or not plan.targets:
        return _immovable(work, sites)
    teacher = Session(
        with_outputs(base, plan.targets), threads=settings.threads, name=settings.name
    )
    student = Session(plan.student(), threads=settings.threads, name=settings.name)
    size = batch or plan.batch(student, fit)
    order = np.random.default_rng(settings.seed).permutation(len(fit))
    seen = _Teacher(teacher, _batches(fit.take(order), size), settings.memory // 2)
    run = _Run(plan, student, seen, settings.seed)
    judge = _Judge(teacher, student, plan.outputs, _batches(held_out, size, batch is None))
    refined, best = _descend(run, judge, steps, progress)
    for weight, numbers in best.items():
        _store(work, weight, numbers)
    return refined


def _immovable(work: ir.Model, sites: Collection[str]) -> Skip:
    """Why no new weight can be refined."""
    made = [v for node in work.graph for v in node.outputs if v.name in sites]
    types = sorted({v.dtype.numpy().name for v in made if v.dtype is not None})
    if not made:
        return Skip("all converted convolutions are in bodies of control flow, which it leaves")
    if types and "float32" not in types:
        return Skip(f"it moves weights of float32, and these are {' and '.join(types)}")
    return Skip("no converted convolution that the network's outputs follow from smoothly")


def _descend(
    run: _Run, judge: _Judge, steps: int, progress: Callable[[str, int, int], None]
) -> tuple[Refined, Mapping[str, Array]]:
    best, kept = dict(run.weights), 0
    first = least = judge.error(run.weights)
    for step in range(steps):
        run.step(STEP * pace(step, steps))
        progress(f"all layers miss {least:.1%}", step + 1, steps)
        if (step + 1) % max(1, steps // LOOKS) == 0 or step + 1 == steps:
            error = judge.error(run.weights)
            if error < least:
                best, least, kept = dict(run.weights), error, step + 1
    return Refined(first, least, kept), best


class _Teacher:
    """Batches and what the original makes of them; targets are kept as far as memory goes."""

    def __init__(self, session: Session, batches: Sequence[Arrays], room: int) -> None:
        self._session, self.batches, self._room = session, batches, room
        self._kept: dict[int, Arrays] = {}

    def targets(self, index: int) -> Arrays:
        """The values of all targets over a batch."""
        if index in self._kept:
            return self._kept[index]
        made = self._session.run(self.batches[index])
        size = sum(a.nbytes for a in made.values())
        if size <= self._room:
            self._room -= size
            self._kept[index] = made
        return made


@dataclass
class _Run:
    """Weights on their way."""

    plan: Plan
    student: Session
    teacher: _Teacher
    seed: int
    weights: dict[str, Array] = field(init=False)

    def __post_init__(self) -> None:
        self.weights = dict(self.plan.weights)
        looked = range(min(LOOKED_AT, len(self.teacher.batches)))
        rng = np.random.default_rng(self.seed)
        seen = [_rows_seen(self.plan, self._values(index), len(looked), rng) for index in looked]
        self._coordinates = {
            m.weight: _coordinates(m, rows)
            for m, *rows in zip(self.plan.movable.values(), *seen, strict=True)
        }
        self._scales = _variances([self.teacher.targets(index) for index in looked])
        self._adam = Adam([np.zeros(_rows(w).shape, np.float32) for w in self.weights.values()])

    def step(self, size: float) -> None:
        """One batch, one step."""
        index = self._adam.taken % len(self.teacher.batches)
        values = {**self._values(index), **self.plan.constants, **self.weights}
        upstream = {
            name: self._pull(values[name], target, name)
            for name, target in self.teacher.targets(index).items()
            if name in self.plan.targets
        }
        gradients = backward(self.plan.nodes, self.plan.movable, self.plan.active, values, upstream)
        self._move(gradients, size)

    def _values(self, index: int) -> Arrays:
        """What the network is fed in a batch, and what it makes of that on its way."""
        feeds = self.teacher.batches[index]
        return {**feeds, **self.student.run({**feeds, **self.weights})}

    def _pull(self, value: Array, target: Array, name: str) -> Array:
        """∂L/∂ a target's value."""
        share = 2 / (len(self.plan.targets) * value.size * self._scales[name])
        return np.asarray((value - target) * np.float32(share))

    def _move(self, gradients: Gradients, size: float) -> None:
        pulls = []
        for m in self.plan.movable.values():
            where = self._coordinates[m.weight]
            pulls.append(where.gradient(_rows(gradients[m.weight])))
            if m.bias is not None:
                pulls.append(_rows(gradients[m.bias]) * where.spread[:, None])
        self._adam.step(pulls, size)
        moved = iter(self._adam.position)
        for m in self.plan.movable.values():
            where, start = self._coordinates[m.weight], self.plan.weights[m.weight]
            self.weights[m.weight] = start + where.weight(next(moved)).reshape(start.shape)
            if m.bias is not None:
                shift = next(moved)[:, 0] * where.spread
                self.weights[m.bias] = self.plan.weights[m.bias] + shift


class _Judge:
    """The outputs' relative squared error over held-out samples."""

    def __init__(
        self, teacher: Session, student: Session, outputs: Sequence[str], batches: Sequence[Arrays]
    ) -> None:
        self._student, self._batches = student, batches
        self._wanted = [{n: a for n, a in teacher.run(b).items() if n in outputs} for b in batches]

    def error(self, weights: Mapping[str, Array]) -> float:
        """Mean over the outputs."""
        missed, whole = defaultdict[str, float](float), defaultdict[str, float](float)
        for batch, wanted in zip(self._batches, self._wanted, strict=True):
            have = self._student.run({**batch, **weights})
            for name, want in wanted.items():
                missed[name] += float(np.square(have[name] - want, dtype=np.float64).sum())
                whole[name] += float(np.square(want, dtype=np.float64).sum())
        return float(np.mean([missed[name] / (whole[name] or 1.0) for name in whole]))


def _coordinates(m: Movable, rows: Sequence[tuple[Array, Array]]) -> Coordinates:
    """From patches and outputs of several batches."""
    patches, made = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return Coordinates.of(patches, made, m.site.groups)


def _rows_seen(
    plan: Plan, values: Values, parts: int, rng: np.random.Generator
) -> list[tuple[Array, Array]]:
    """Patches and outputs of everything that moves, one of so many equal parts of those wanted."""
    found = []
    for m in plan.movable.values():
        x, made = values[name_of(m.node.inputs[0])], values[name_of(m.node.outputs[0])]
        unknowns = m.site.channels // m.site.groups * prod(m.site.kernel)
        wanted = max(FEWEST_ROWS, ROWS_PER_UNKNOWN * unknowns)
        rows = spread(made.size // made.shape[1], -(-wanted // parts), rng)
        found.append((window_of(m.site).patches(x, rows), outputs(made, rows)))
    return found


def _rows(numbers: Array) -> Array:
    """N × D of weights or of biases."""
    return numbers.reshape(len(numbers), -1)


def _variances(batches: Sequence[Arrays]) -> dict[str, float]:
    """Of every target around the means of its channels, over batches of one size."""
    return {name: _variance([batch[name] for batch in batches]) for name in batches[0]}


def _variance(parts: Sequence[Array]) -> float:
    axes = (0, *range(2, parts[0].ndim))
    means = np.stack([part.mean(axes, dtype=np.float64) for part in parts])
    inside = np.stack([part.var(axes, dtype=np.float64) for part in parts])
    return float(np.mean(inside.mean(0) + means.var(0))) or 1.0


def _batches(data: Data, size: int, short: bool = False) -> list[Arrays]:
    """Batches of one size; a last one that is `short` is left out if it is not welcome."""
    return list(data.batches(Batch(size, fixed=not short)))


def _store(model: ir.Model, name: str, numbers: Array) -> None:
    """New numbers under an initializer's old name."""
    model.graph.initializers[name].const_value = ir.tensor(np.ascontiguousarray(numbers), name=name)
