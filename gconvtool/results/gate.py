"""A limit that the user set, whatever command it is for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gate:
    """A limit that the user set, and whether it held (None: cannot tell)."""

    name: str
    limit: float
    value: float | None
    passed: bool | None
