"""What `doctor` answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Health = Literal["ok", "warning", "failed", "unknown"]


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, and what to do where it is not well."""

    name: str
    health: Health
    found: str
    advice: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """The checks, in the order in which trouble should be sought."""

    checks: tuple[Check, ...]

    def count(self, health: Health) -> int:
        """How many checks came out so."""
        return sum(check.health == health for check in self.checks)
