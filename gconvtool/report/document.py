"""Results as versioned dicts for JSON. The names are a contract: README.md lists them.

Every document starts with `schema` (`gconvtool.<command>/1`), `tool` and `model`; a figure that
does not apply is null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from gconvtool._version import __version__
from gconvtool.results import (
    Analysis,
    Comparison,
    Conversion,
    Drift,
    Gate,
    Timing,
    Totals,
    Verification,
)

Document = dict[str, Any]


def dumps(document: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """Strict JSON text."""
    return json.dumps(document, indent=2, ensure_ascii=ascii_only, allow_nan=False)


def analysis(result: Analysis) -> Document:
    """The document of `analyze`."""
    return {
        **_head("analyze", result.model),
        "convention": "1 MAC = 1 multiply + 1 add; flops = 2 * macs; bias, normalisation, "
        "activation and pooling have none",
        "dims": dict(result.dims),
        "totals": {**_totals(result.totals), "exact": result.totals.exact},
        "kinds": {name: asdict(kind) for name, kind in result.kinds.items()},
        "layers": [asdict(layer) for layer in result.layers],
        "unknown": [asdict(unknown) for unknown in result.unknown],
        "warnings": list(result.warnings),
    }


def conversion(result: Conversion) -> Document:
    """The document of `convert`."""
    return {
        **_head("convert", result.model),
        "output": result.output,
        "before": {**_totals(result.before), "exact": result.before.exact},
        "after": {**_totals(result.after), "exact": result.after.exact},
        "batch_norms_folded": result.folded,
        "samples": result.samples,
        "sites": [asdict(site) for site in result.sites],
        "drift": _drift(result.drift),
        "drift_source": result.drift_source,
        "warnings": list(result.warnings),
    }


def verification(result: Verification) -> Document:
    """The document of `verify`."""
    return {
        **_head("verify", result.a),
        "models": {"a": result.a, "b": result.b},
        "drift": [asdict(part) for part in result.drift],
        "drift_source": result.source,
    }


def comparison(result: Comparison) -> Document:
    """The document of `bench`, with its raw samples."""
    judged = result.judgement
    return {
        **_head("bench", result.a.path),
        "models": {
            "a": _timing(result.a, result.macs[0]),
            "b": _timing(result.b, result.macs[1]),
        },
        "speedup": asdict(judged.speedup),
        "verdict": judged.verdict,
        "clock": judged.clock,
        "rounds": judged.rounds,
        "clean_rounds": judged.clean_rounds,
        "drift": _drift(result.drift),
        "drift_source": result.drift_source,
        "gates": _gates(result.gates),
        "provider": result.provider,
        "threads": result.threads,
        "batch": result.batch,
        "placement": {key: dict(nodes) for key, nodes in result.placement.items()},
        "machine": asdict(result.machine),
        "warnings": [*result.warnings, *judged.warnings, *result.measurement.warnings],
        "samples": asdict(result.measurement),
    }


def failure(kind: str, message: str, exit_code: int, command: str) -> Document:
    """The document of a command that could not answer."""
    return {
        **_head(command, None),
        "error": {"kind": kind, "message": message},
        "exit_code": exit_code,
    }


def _head(command: str, model: str | None) -> Document:
    tool = {"name": "gconvtool", "version": __version__}
    return {"schema": f"gconvtool.{command}/1", "tool": tool, "model": model}


def _totals(totals: Totals) -> Document:
    return {"macs": totals.macs, "flops": totals.flops, "params": totals.params}


def _timing(timing: Timing, totals: Totals) -> Document:
    return {**asdict(timing), "macs": totals.macs, "params": totals.params}


def _drift(parts: tuple[Drift, ...]) -> Document | None:
    """The first output's drift; where there are several, all of them under `outputs`."""
    if not parts:
        return None
    first = asdict(parts[0])
    return first if len(parts) == 1 else {**first, "outputs": [asdict(part) for part in parts]}


def _gates(gates: Iterable[Gate]) -> list[Document]:
    return [asdict(gate) for gate in gates]
