"""From gates to an exit code: a pipeline has one number to go by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gconvtool.report.story import Undecided
    from gconvtool.results import Gate

GATE_FAILED, CANNOT_TELL = 1, 3
UNDECIDED: Mapping[Undecided, int] = {"tell": CANNOT_TELL, "pass": 0, "fail": GATE_FAILED}


def exit_code(gates: Iterable[Gate], undecided: Undecided = "tell") -> int:
    """1 if any failed, 3 if any is undecided and nothing else is wanted then, else 0."""
    passed = {gate.passed for gate in gates}
    return GATE_FAILED if False in passed else UNDECIDED[undecided] if None in passed else 0
