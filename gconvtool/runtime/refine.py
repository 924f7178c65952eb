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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.facts import ConvSite, Skip
from gconvtool.fit.convolving import to_weight
from gconvtool.fit.descent import Adam, Coordinates, pace
from gconvtool.fit.patches import outputs, spread
from gconvtool.graph import shapes
from gconvtool.graph.adjoint import Call, back, passes, window_of
from gconvtool.graph.exact import array
from gconvtool.graph.sites import conv_site
from gconvtool.runtime.calibrate import Settings
from gconvtool.runtime.inputs import Arrays, Batch, Data
from gconvtool.runtime.session import Session

Array: TypeAlias = NDArray[Any]
Gradients: TypeAlias = dict[str, Array]
Values: TypeAlias = Mapping[str, Array]
"""Numbers by the name of their value."""

STEPS = 96
STEP = 4e-4
"""The largest step, as a share of an output's spread for each of its unknowns."""
POSITIONS = 16_000
"""Positions of the widest map in a batch: gradients over more of them are hardly better."""
MOST_SAMPLES = 32
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


@dataclass(frozen=True)
class Movable:
    """A convolution whose weights are refined; a bias has no name where there is none."""

    node: ir.Node
    site: ConvSite
    weight: str
    bias: str | None


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
    plan = _Plan(base, work, sites)
    if not plan.movable or not plan.targets:
        return Skip("no converted convolution that the network's outputs follow from smoothly")
    teacher = Session(
        _with_outputs(base, plan.targets), threads=settings.threads, name=settings.name
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


class _Plan:
    """What moves, what it is moved by, and the values that gradients need on their way."""

    def __init__(self, base: ir.Model, work: ir.Model, sites: Collection[str]) -> None:
        self.model = work.clone()
        shapes.infer(self.model)
        self.movable = {m.node: m for m in _movable(self.model, base)}
        self.active = _active(self.model, self.movable)
        self.outputs = [_name(v) for v in base.graph.outputs]
        self.targets = _targets(base, sites, {_name(v) for v in self.active})
        self.nodes = [n for n in self.model.graph if any(v in self.active for v in n.outputs)]
        self.weights = {
            name: np.asarray(array(self.model.graph.initializers[name]))
            for name in _weights_of(self.movable.values())
        }
        read = {v for n in self.nodes for v in (*n.inputs, *n.outputs) if v is not None}
        self.constants = {_name(v): found for v in read if (found := array(v)) is not None}
        fed = {_name(v) for v in self.model.graph.inputs}
        made = {_name(v) for v in read} - self.constants.keys() - fed
        self.values = sorted(made | {*self.targets, *self.outputs})

    def student(self) -> bytes:
        """The network with its weights as inputs, and all values that are needed as outputs."""
        return _with_outputs(self.model, self.values, self.weights)

    def batch(self, student: Session, data: Data) -> int:
        """Samples whose widest rewritten map has about POSITIONS of them."""
        made = student.run({**data.take(slice(1)).feeds, **self.weights})
        maps = (made[_name(node.outputs[0])].shape[2:] for node in self.movable)
        return max(1, min(MOST_SAMPLES, len(data), POSITIONS // max(map(prod, maps))))


def _movable(work: ir.Model, base: ir.Model) -> Iterator[Movable]:
    """The convolutions whose weights the original does not have."""
    for node in work.graph:
        site = conv_site(node) if node.op_type == "Conv" and node.domain == "" else None
        if site is None or site.pads is None:
            continue
        weight, bias = (*(_own(v, work, base) for v in node.inputs[1:]), None)[:2]
        if weight is not None:
            yield Movable(node, site, weight, bias)


def _own(value: ir.Value | None, work: ir.Model, base: ir.Model) -> str | None:
    """The name of an initializer of float32 numbers that only `work` has."""
    name = None if value is None else value.name
    if value is None or name not in work.graph.initializers or name in base.graph.initializers:
        return None
    return name if value.dtype is ir.DataType.FLOAT else None


def _active(work: ir.Model, movable: Collection[ir.Node]) -> set[ir.Value]:
    """Values that weights have an influence on through nodes that gradients pass."""
    active: set[ir.Value] = set()
    for node in work.graph:
        moved = any(v in active and passes(node, i) for i, v in enumerate(node.inputs))
        if node in movable or moved:
            active.add(node.outputs[0])
    return active


def _targets(base: ir.Model, sites: Collection[str], active: Collection[str]) -> list[str]:
    """Outputs of the network and of its sites, or the sums that those enter."""
    found = [_name(v) for v in base.graph.outputs]
    for node in base.graph:
        value = node.outputs[0] if node.outputs else None
        if value is None or value.name not in sites:
            continue
        readers = [use.node for use in value.uses()]
        joined = len(readers) == 1 and readers[0].op_type == "Add"
        found.append(_name(readers[0].outputs[0] if joined else value))
    return [name for name in dict.fromkeys(found) if name in active]


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

    plan: _Plan
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


def backward(
    nodes: Sequence[ir.Node],
    movable: Mapping[ir.Node, Movable],
    active: Collection[ir.Value],
    values: Values,
    upstream: Gradients,
) -> Gradients:
    """∂L/∂ every weight and bias that moves.

    Args:
        nodes: those whose outputs are active, in topological order.
        movable: the ones among them with weights that move.
        active: values that gradients are wanted of on the way.
        values: all that these nodes read and make, by name.
        upstream: ∂L/∂ the targets, by name.
    """
    found: Gradients = {name: np.zeros_like(values[name]) for name in _weights_of(movable.values())}
    pending = defaultdict[str, list[Array]](list)
    for name, g in upstream.items():
        pending[name].append(g)
    for node in reversed(nodes):
        parts = pending.pop(_name(node.outputs[0]), None)
        if parts is None:  # nothing that is judged depends on it
            continue
        g = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)
        if node in movable:
            found.update(_of_weights(movable[node], g, values))
        inputs = tuple(None if v is None else values[_name(v)] for v in node.inputs)
        call = Call(node, inputs, values[_name(node.outputs[0])])
        for index, value in enumerate(node.inputs):
            if value in active and passes(node, index):
                pending[_name(value)].append(back(call, g, index))
    return found


def _of_weights(m: Movable, g: Array, values: Values) -> Gradients:
    x = values[_name(m.node.inputs[0])]
    found = {m.weight: to_weight(g, x, window_of(m.site), m.site.groups)}
    if m.bias is not None:
        found[m.bias] = g.sum((0, *range(2, g.ndim)))
    return found


def _weights_of(movable: Iterable[Movable]) -> Iterator[str]:
    """Names of weights and biases, in one order everywhere."""
    for m in movable:
        yield from (m.weight,) if m.bias is None else (m.weight, m.bias)


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
    plan: _Plan, values: Values, parts: int, rng: np.random.Generator
) -> list[tuple[Array, Array]]:
    """Patches and outputs of everything that moves, one of so many equal parts of those wanted."""
    found = []
    for m in plan.movable.values():
        x, made = values[_name(m.node.inputs[0])], values[_name(m.node.outputs[0])]
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


def _with_outputs(
    model: ir.Model, names: Sequence[str], fed: Mapping[str, Array] | None = None
) -> bytes:
    """The serialised model with other outputs, and with some initializers as inputs."""
    copy = model.clone()
    values = ir.convenience.create_value_mapping(copy.graph)
    for name, numbers in (fed or {}).items():
        value = copy.graph.initializers.pop(name)
        value.const_value, value.shape = None, ir.Shape(numbers.shape)
        value.type = ir.TensorType(ir.DataType.from_numpy(numbers.dtype))
        copy.graph.inputs.append(value)
    wanted = dict.fromkeys([*names, *(_name(v) for v in copy.graph.outputs)])
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(values[name] for name in wanted)
    return bytes(ir.to_proto(copy).SerializeToString())


def _name(value: ir.Value | None) -> str:
    return "" if value is None else value.name or ""


def _store(model: ir.Model, name: str, numbers: Array) -> None:
    """New numbers under an initializer's old name."""
    model.graph.initializers[name].const_value = ir.tensor(np.ascontiguousarray(numbers), name=name)
