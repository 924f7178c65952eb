"""How long convolutions take, as measured, and what is remembered of that between runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A time and its standard error."""

    ns: float
    error_ns: float


@dataclass(frozen=True)
class KernelTime:
    """A rewritten convolution against the dense one, both in the same surroundings.

    `time` and `dense` are what small models take that hold the convolution, what is fused with it
    and little else; `saved` is the difference, over `rounds` undisturbed rounds if there were
    enough. `settled` says that it is as certain as was wanted, or that the rewritten one is
    certainly slower; `cached` that it was measured in an earlier run.
    """

    time: Estimate
    dense: Estimate
    saved: Estimate
    rounds: int
    settled: bool
    cached: bool = False

    @property
    def speedup(self) -> float:
        """How many times faster the rewritten one is."""
        return self.dense.ns / self.time.ns


@dataclass(frozen=True)
class CacheShare:
    """Times that were measured under the same circumstances."""

    machine: str
    onnxruntime: str
    provider: str
    threads: int
    entries: int


@dataclass(frozen=True)
class CacheInfo:
    """What `cache` answers: where measured times are kept, and what there is.

    `entries` is None where the file cannot be read, and `trouble` says why. `removed` is how many
    files were deleted, None where that was not asked for. `sweeps` are kept beside it, a file each,
    and `searches`, a folder each, of so many bytes.
    """

    path: str
    size_bytes: int
    entries: int | None
    shares: tuple[CacheShare, ...] = ()
    trouble: str | None = None
    removed: int | None = None
    sweeps: int = 0
    searches: int = 0
    searches_bytes: int = 0
