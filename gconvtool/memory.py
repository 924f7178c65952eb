"""Bytes: what a run of a node moves at least, and the most that a run of the network holds at once.

    moved   = every constant and activation that the node reads, once, and all that it writes
    held(i) = Σ bytes of the activations that are alive while node i runs;  peak = max over i

An activation is alive from the node that writes it (from the start, if it is fed) to the last one
that reads it (to the end, if it is a result). Nodes run in the order of the file, which is where
runtimes start from. As runtimes do,

    views           share the memory of their input
    constants       are no activations, nor is what is computed from constants alone: that happens
                    once, before the first run
    overwriting     an elementwise operator writes its result over an input of the same size that
                    nobody reads afterwards; what was fed is the caller's and is not overwritten
    control flow    while a node with bodies runs, the peak of its largest body comes on top; what
                    bodies read of the graph around them stays alive, and what they hand back is
                    written where the node's own outputs are
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from gconvtool.facts import Body, NodeFact, Shape, Survey, nested

VIEWS = frozenset("Dropout Flatten Identity Reshape Squeeze Unsqueeze".split())
"""Operators whose first output is their first input under another shape or name."""

OVERWRITING = frozenset(
    """
    Abs Acos Acosh Add Asin Asinh Atan Atanh Cast Ceil Celu Clip Cos Cosh Div Elu Erf Exp Floor Gelu
    HardSigmoid HardSwish LeakyRelu Log Mish Mul Neg Not Reciprocal Relu Round Selu Sigmoid Sign Sin
    Sinh Softplus Softsign Sqrt Sub Tan Tanh ThresholdedRelu
    """.split()
)
"""Elementwise operators: each value of the output needs one value of each input."""

MEASURING = frozenset({"Shape", "Size"})
"""Operators that read the shape of their input and none of its values."""

RANDOM = frozenset(
    "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike".split()
)
"""Operators whose output is no constant, whatever they read."""

NO_NAMES: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Peak:
    """The most bytes of activations alive at once, and the node that runs then."""

    bytes: int
    at: str


def tensor_bytes(shape: Shape, bits: int | None) -> int | None:
    """What a tensor takes, packed; None where its shape is open or its type not known."""
    if shape is None or bits is None:
        return None
    size = bits
    for dim in shape:
        if not isinstance(dim, int):
            return None
        size *= dim
    return (size + 7) // 8


def constants(survey: Survey) -> frozenset[str]:
    """The values that are the same in every run: stored ones, and what is computed from them."""
    names = {stored.name for stored in survey.stored}
    for node in nested(survey.nodes):
        for name, parameter in zip(node.reads, node.parameters, strict=False):
            if parameter is not None:
                names.add(name)
        if _folded(node, names):
            names.update(node.writes)
    return frozenset(names)


def weight_bytes(node: NodeFact, constants: Set[str] = NO_NAMES) -> int | None:
    """Bytes of the constants behind the inputs, as they are stored.

    `constants` are what the function of that name finds.
    """
    if _moves_nothing(node, constants):
        return 0
    return sum({p.name: p.stored_bytes for p in node.parameters if p is not None}.values())


def activation_bytes(node: NodeFact, constants: Set[str] = NO_NAMES) -> int | None:
    """Bytes of the activations that the node reads and writes; None where one is not known.

    A value that is read twice counts once. What holds bodies moves nothing, their nodes do.
    """
    if _moves_nothing(node, constants):
        return 0
    if len(node.reads) < len(node.inputs) or len(node.writes) < len(node.outputs):
        return None
    total = 0
    written = zip(node.writes, node.outputs, node.output_bits, strict=True)
    for name, shape, bits in {*_activations(node, constants), *written}:
        size = tensor_bytes(shape, bits) if name else 0
        if size is None:
            return None
        total += size
    return total


def peak(survey: Survey) -> Peak | None:
    """The largest sum of live activations; None where a size is not known, or nothing runs."""
    fed = {tensor.name: tensor_bytes(tensor.shape, tensor.bits) for tensor in survey.inputs}
    plan = _plan(survey.nodes, fed, constants(survey))
    return _largest(plan, kept=survey.outputs) if plan else None


def _moves_nothing(node: NodeFact, constants: Set[str]) -> bool:
    return node.op in VIEWS or bool(node.bodies) or _folded(node, constants)


def _folded(node: NodeFact, constants: Set[str]) -> bool:
    """Nothing but constants enters it, so that runtimes compute it once, before the first run."""
    if node.op in RANDOM or node.bodies or len(node.reads) < len(node.inputs):
        return False
    for index, name in enumerate(node.reads):
        if name and not _constant(node, index, constants):
            return False
    return True


def _constant(node: NodeFact, index: int, constants: Set[str]) -> bool:
    stored = index < len(node.parameters) and node.parameters[index] is not None
    return stored or node.reads[index] in constants


def _activations(node: NodeFact, constants: Set[str]) -> Iterator[tuple[str, Shape, int | None]]:
    """The inputs whose values are read and that are no constants."""
    for index, name in enumerate(node.reads):
        if name and node.op not in MEASURING and not _constant(node, index, constants):
            yield name, node.inputs[index], node.input_bits[index]


@dataclass
class _Plan:
    """A graph or a body: its nodes in order, where activations lie, how large and until when.

    `fed` is what it finds there; of that, what the graph around it holds has size 0. `storages` are
    the names of the values that memory was taken for, `last` the index of the last node that uses
    one, `inner` the peaks of the bodies of nodes.
    """

    nodes: tuple[NodeFact, ...]
    fed: Mapping[str, int]
    storages: dict[str, str]
    sizes: dict[str, int]
    last: dict[str, int] = field(default_factory=dict)
    inner: dict[int, Peak] = field(default_factory=dict)


def _plan(
    nodes: tuple[NodeFact, ...],
    fed: Mapping[str, int | None],
    constants: Set[str],
    around: tuple[Set[str], ...] = (),
) -> _Plan | None:
    """None where a size is not known. `around` are the activations of the graphs that hold it."""
    sizes = {name: size for name, size in fed.items() if size is not None}
    plan = _Plan(nodes, sizes, {name: name for name in sizes}, dict(sizes))
    if len(sizes) < len(fed):
        return None
    for index, node in enumerate(nodes):
        if node.bodies and not _enter(plan, index, constants, around):
            return None
        used = _all_reads(node) if node.bodies else node.reads
        for root in _roots(plan, used):
            plan.last[root] = index
        if not _write(plan, index, constants):
            return None
    return plan


def _write(plan: _Plan, index: int, constants: Set[str]) -> bool:
    """Give every output a storage; False where its size is not known."""
    node = plan.nodes[index]
    viewed = plan.storages.get(node.reads[0]) if node.op in VIEWS and node.reads else None
    for at, name in enumerate(node.writes):
        if viewed and at == 0:
            plan.storages[name] = viewed
        elif name and name not in constants:
            size = tensor_bytes(node.outputs[at], node.output_bits[at])
            if size is None:
                return False
            plan.storages[name], plan.sizes[name], plan.last[name] = name, size, index
    return True


def _enter(plan: _Plan, index: int, constants: Set[str], around: tuple[Set[str], ...]) -> bool:
    """Note the peak of the node's largest body; False where it is not known."""
    around = (plan.storages.keys(), *around)
    for body in plan.nodes[index].bodies:
        inside = _plan(body.nodes, _found(body, constants, around), constants, around)
        if inside is None:
            return False
        largest = _largest(inside, free=body.results)
        if largest and largest.bytes > plan.inner.get(index, Peak(0, "")).bytes:
            plan.inner[index] = largest
    return True


def _found(body: Body, constants: Set[str], around: tuple[Set[str], ...]) -> dict[str, int | None]:
    """What a body reads and does not write: its own inputs, and what the graphs around it hold."""
    written = {name for node in body.nodes for name in node.writes}
    return {
        name: 0 if any(name in values for values in around) else tensor_bytes(shape, bits)
        for node in body.nodes
        for name, shape, bits in _activations(node, constants)
        if name not in written
    }


def _all_reads(node: NodeFact) -> Iterator[str]:
    """What the node reads, its bodies included."""
    yield from node.reads
    for body in node.bodies:
        yield from body.results
        for inner in body.nodes:
            yield from _all_reads(inner)


def _largest(plan: _Plan, kept: Iterable[str] = (), free: Iterable[str] = ()) -> Peak | None:
    """Run the plan. `kept` live to the end, `free` are written to memory counted elsewhere."""
    for root in _roots(plan, kept):
        plan.last[root] = len(plan.nodes)
    for root in _roots(plan, free):
        plan.sizes[root] = 0
    freed = [0] * (len(plan.nodes) + 1)
    for root, index in plan.last.items():
        freed[index] += plan.sizes[root]
    live, largest = sum(plan.sizes[root] for root in plan.fed if root in plan.last), None
    for index, node in enumerate(plan.nodes):
        live += sum(plan.sizes[name] for name in node.writes if plan.storages.get(name) == name)
        inner = plan.inner.get(index)
        now = live + (inner.bytes if inner else 0)
        if largest is None or now > largest.bytes:
            now -= _overwritten(plan, index, node)
            if largest is None or now > largest.bytes:
                largest = Peak(now, inner.at if inner else node.name)
        live -= freed[index]
    return largest


def _roots(plan: _Plan, names: Iterable[str]) -> list[str]:
    return [root for name in names if (root := plan.storages.get(name))]


def _overwritten(plan: _Plan, index: int, node: NodeFact) -> int:
    """Bytes of the output that lie where an input was."""
    if node.op not in OVERWRITING or not node.writes:
        return 0
    size = plan.sizes.get(node.writes[0], 0)
    dying = (root for root in _roots(plan, node.reads) if plan.last[root] == index)
    return size if any(plan.sizes[r] == size and r not in plan.fed for r in dying) else 0
