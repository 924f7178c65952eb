"""Models run with onnxruntime's profiler on: how long each kernel takes, and what it computes.

Profiling slows a run down, so that no time is taken for a verdict here. Models take turns, run by
run, so that what disturbs one disturbs the others too.

The optimised graph has other nodes than the model. onnxruntime keeps their names, or makes new ones
of tensors' names; so nodes are named after their first output first, which is unique, and then a
name says which tensor a node makes. The graph that is really run is written beside the trace.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx_ir as ir

from gconvtool.errors import InputError
from gconvtool.graph import bodies
from gconvtool.graph.expand import expand_functions
from gconvtool.runtime.session import OPTIMISED, Session, Tensors, version
from gconvtool.timing.profile import Profile, profile
from gconvtool.timing.protocol import S_NS, Clock

Open = Callable[[Path], Session]
"""Opens a session that leaves its profile in a folder."""

WARM_UP = 5
LEAST, MOST = 11, 101
"""Runs of each model that count; odd, so that the median is one of them."""
BUDGET_S = 5.0


@dataclass(frozen=True)
class Kernel:
    """A node of an optimised graph: the tensors that it reads and writes, by name."""

    name: str
    op: str
    domain: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class Profiled:
    """The optimised graph in topological order, and how long its kernels took."""

    kernels: tuple[Kernel, ...]
    profile: Profile


def named(model: ir.Model) -> ir.Model:
    """A copy with nodes that are named after what they make, and without functions.

    Nodes in bodies of control flow are named after what holds them, too.
    """
    copy = model.clone()
    expand_functions(copy)
    for name, node in list(bodies.named(copy.graph)):
        node.name = name
    return copy


def record(opens: Sequence[Open], feeds: Tensors, clock: Clock) -> tuple[Profiled, ...]:
    """Profile models side by side on the same inputs: 101 runs, or as many as fit into 5 s, or 11.

    Raises:
        InputError: a model does not run, or is too large to be traced.
    """
    with TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folders = [Path(place, str(index)) for index in range(len(opens))]
        for folder in folders:
            folder.mkdir()
        sessions = [open_(folder) for open_, folder in zip(opens, folders, strict=True)]
        _run(sessions, feeds, clock)
        return tuple(map(_read, sessions, folders))


def _run(sessions: Sequence[Session], feeds: Tensors, clock: Clock) -> None:
    """In turns, the first of each turn another one than that of the turn before."""
    end_ns = clock.wall_ns() + BUDGET_S * S_NS
    for turn in range(WARM_UP + MOST):
        if turn >= WARM_UP + LEAST and clock.wall_ns() >= end_ns:
            return
        for session in sessions if turn % 2 else reversed(sessions):
            session.run(feeds)


def _read(session: Session, folder: Path) -> Profiled:
    try:
        seen = profile(json.loads(session.trace().read_text(encoding="utf-8")), WARM_UP)
    except ValueError as error:  # a million events are the most that it writes
        raise InputError(f"onnxruntime {version()} left no profile to read: {error}") from error
    return Profiled(tuple(map(_kernel, ir.load(folder / OPTIMISED).graph)), seen)


def _kernel(node: ir.Node) -> Kernel:
    reads = tuple(value.name or "" for value in node.inputs if value is not None)
    writes = tuple(value.name or "" for value in node.outputs)
    return Kernel(node.name or "", node.op_type, node.domain, reads, writes)
