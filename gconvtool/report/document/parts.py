"""What documents are made of: their head, and the figures that several of them hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any

from gconvtool._version import __version__
from gconvtool.results import Drift, Gate, SiteOutcome, Totals

Document = dict[str, Any]

LARGEST_COUNT = 2**63 - 1
"""What a count of an earlier document may be."""


def dumps(document: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """Strict JSON text."""
    return json.dumps(document, indent=2, ensure_ascii=ascii_only, allow_nan=False)


def failure(kind: str, message: str, exit_code: int, command: str) -> Document:
    """The document of a command that could not answer."""
    return {
        **head(command, None),
        "error": {"kind": kind, "message": message},
        "exit_code": exit_code,
    }


def head(command: str, model: str | None) -> Document:
    """What every document starts with."""
    tool = {"name": "gconvtool", "version": __version__}
    return {"schema": f"gconvtool.{command}/1", "tool": tool, "model": model}


def sums(totals: Totals) -> Document:
    """MACs, and what goes with them."""
    return {"macs": totals.macs, "flops": totals.flops, "params": totals.params}


def outcome(site: SiteOutcome) -> Document:
    """What became of a convolution.

    JSON has no infinite numbers, which is what is missed of an output that never varies.
    """
    fields = asdict(site)
    errors = {key: _finite(fields[key]) for key in ("error", "training_error")}
    return {**fields, **errors}


def _finite(number: float | None) -> float | None:
    return None if number is None or not isfinite(number) else number


def drift(parts: tuple[Drift, ...]) -> Document | None:
    """The first output's drift; where there are several, all of them under `outputs`."""
    if not parts:
        return None
    first = asdict(parts[0])
    return first if len(parts) == 1 else {**first, "outputs": [asdict(part) for part in parts]}


def judged(gates: Iterable[Gate]) -> list[Document]:
    """Limits, and whether they held."""
    return [asdict(gate) for gate in gates]
