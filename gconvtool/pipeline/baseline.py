"""An earlier comparison of the same kind, which a new one may not fall behind.

Milliseconds do not travel between machines and ratios nearly do, so speedups are compared: how many
times faster B was than A then, and is now. They depend on the provider, on threads and on the
batch, which have to be the same; another machine is told, or refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gconvtool.errors import InputError, MissingError
from gconvtool.pipeline.gates import MARGIN
from gconvtool.results import BaselineCheck, Interval, Machine
from gconvtool.timing import machine, stats

HostMismatch = Literal["warn", "fail"]


@dataclass(frozen=True)
class Baseline:
    """What is kept of an earlier comparison, and what to do where the machine is another one.

    `macs` are A's, by which another A, or one of another size, is told.
    """

    path: str
    speedup: Interval
    machine: Machine
    provider: str
    threads: int
    batch: int
    host_mismatch: HostMismatch = "warn"
    macs: int | None = None

    @property
    def least(self) -> float:
        """The speedup below which something is lost."""
        return (1 - MARGIN) * self.speedup.estimate

    def require_alike(self, provider: str, threads: int, batch: int) -> None:
        """Refuse a comparison that is not of the same kind.

        Raises:
            InputError: another provider, or other threads or another batch.
        """
        then = (self.provider, self.threads, self.batch)
        if then != (provider, threads, batch):
            raise InputError(
                f"--baseline {self.path}: measured with {_kind(*then)}, and this would be "
                f"{_kind(provider, threads, batch)}: measure it again, or ask for the same"
            )

    def differences(self, here: Machine) -> tuple[str, ...]:
        """In which ways this machine is another one.

        Raises:
            MissingError: it is, and `host_mismatch` is "fail".
        """
        found = machine.differences(self.machine, here)
        if found and self.host_mismatch == "fail":
            raise MissingError(
                f"--baseline {self.path}: measured on another machine ({'; '.join(found)}): run "
                "where it was measured, or save a new one here"
            )
        return found

    def doubts(self, differences: tuple[str, ...]) -> tuple[str, ...]:
        """What has to be said of a comparison on another machine."""
        if not differences:
            return ()
        return (
            f"--baseline {self.path} is from another machine ({'; '.join(differences)}): speedups "
            "are compared all the same, but may differ for that alone",
        )

    def other_model(self, macs: int) -> tuple[str, ...]:
        """What has to be said where A is not what it was; B may have changed, A is the measure."""
        if self.macs in (None, macs):
            return ()
        return (
            f"--baseline {self.path}: model A had {self.macs:,} MACs then and has {macs:,} now: "
            "speed-ups over another model, or at another size, say little; save a new one",
        )

    def check(self, now: Interval, differences: tuple[str, ...]) -> BaselineCheck:
        """This comparison's speedup against that one."""
        return BaselineCheck(self.path, self.speedup, stats.against(now, self.speedup), differences)


def _kind(provider: str, threads: int, batch: int) -> str:
    return f"{provider}, {threads} thread{'s' * (threads > 1)} and batch {batch}"
