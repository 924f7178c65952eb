"""What of a sweep is done, in a file, so that an interruption costs no more than what it was at.

The agenda is written down once it is known, and every point once it is there; each time the file
is replaced as a whole. It belongs to one imprint: with any other model, data or options it is not
this sweep's. What cannot be read counts as not done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from gconvtool import files
from gconvtool.facts import Skip
from gconvtool.pipeline.agenda import Agenda, Intent
from gconvtool.results import Drift, Interval, Race, SiteOutcome, SweepPoint, Totals

SCHEMA = "gconvtool.ledger/1"
Read = TypeVar("Read")


class Ledger:
    """Reads and writes a file; without one, nothing is remembered."""

    def __init__(self, path: Path | None, imprint: str, *, anew: bool = False) -> None:
        """`ours` says whether the file is of this sweep; `anew` leaves what it holds unread."""
        self._path = path
        self._held: dict[str, Any] = {"schema": SCHEMA, "imprint": imprint, "points": {}}
        found = _json(path)
        self.ours = all(found.get(key) == self._held[key] for key in ("schema", "imprint"))
        if self.ours and not anew:
            self._held |= found

    @property
    def agenda(self) -> Agenda | None:
        """What was to be done, if that is known."""
        return _tried(_agenda, self._held.get("agenda"))

    def note(self, agenda: Agenda) -> Agenda:
        """Write it down; what was done by another one is void."""
        self._held |= {"agenda": asdict(agenda), "points": {}}
        self._write()
        return agenda

    def point(self, number: int) -> SweepPoint | Skip | None:
        """What came of an intent, if it was made."""
        return _tried(_answer, self._held["points"].get(str(number)))

    def add(self, number: int, made: SweepPoint | Skip) -> None:
        """Write down what came of one."""
        self._held["points"][str(number)] = asdict(made)
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            files.write((json.dumps(self._held, indent=1) + "\n").encode(), self._path)


def _json(path: Path | None) -> dict[str, Any]:
    """What a file holds; nothing where there is none, or none of that kind."""
    try:
        found = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("points"), dict) else {}


def _tried(read: Callable[[Mapping[str, Any]], Read], held: Any) -> Read | None:
    """Nothing where something else is held than what is written here."""
    try:
        return None if held is None else read(held)
    except (TypeError, KeyError, AttributeError):
        return None


def _agenda(held: Mapping[str, Any]) -> Agenda:
    return Agenda(
        tuple(Intent(**intent) for intent in held["intents"]),
        held["candidates"],
        {name: tuple(shape) for name, shape in held["shapes"].items()},
        tuple(held["warnings"]),
    )


def _answer(held: Mapping[str, Any]) -> SweepPoint | Skip:
    if "reason" in held:
        return Skip(**held)
    parts = {
        "sites": tuple(SiteOutcome(**site) for site in held["sites"]),
        "after": Totals(**held["after"]),
        "drift": tuple(Drift(**drift) for drift in held["drift"]),
        "race": None if held["race"] is None else _race(held["race"]),
        "warnings": tuple(held["warnings"]),
    }
    return SweepPoint(**{**held, **parts})


def _race(held: Mapping[str, Any]) -> Race:
    return Race(**{**held, "speedup": Interval(**held["speedup"])})
