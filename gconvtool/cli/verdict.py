"""From gates to an exit code: a pipeline has one number to go by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gconvtool.results import Gate

GATE_FAILED, CANNOT_TELL = 1, 3


def exit_code(gates: Iterable[Gate]) -> int:
    """1 if any failed, 3 if any is undecided, else 0."""
    passed = {gate.passed for gate in gates}
    return GATE_FAILED if False in passed else CANNOT_TELL if None in passed else 0
