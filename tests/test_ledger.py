"""What was written down is read back as it was; what is not this sweep's counts as nothing."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any

import pytest

from gconvtool.facts import Skip
from gconvtool.pipeline.agenda import Agenda, Intent
from gconvtool.pipeline.ledger import Ledger
from gconvtool.results import Drift, Interval, Race, SiteOutcome, SweepPoint, Totals

AGENDA = Agenda(
    (
        Intent({"a": "groups=2"}, {"a": 0.25}),
        Intent({"a": "separable:rank=2", "b": "gdc:rank=1"}, {}, {"a": "concat"}),
    ),
    9,
    {"x": (1, 8, 9, 9), "scale": ()},
    ("a warning",),
)
POINT = SweepPoint(
    number=1,
    sites=(SiteOutcome("a", "standard", "grouped(2)", error=inf, macs_before=10, macs_after=5),),
    after=Totals(5, 4, True),
    drift=(Drift("scores", 20, 0.1, 20.0, 0.99, 1.0, psnr_before=30.5),),
    gain=1.5,
    lost=0.1,
    predicted_ms=0.75,
    race=Race(1.0, 0.66, Interval(1.5, 1.4, 1.6), "faster"),
    warnings=("few samples",),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep.json"


@pytest.fixture
def kept(path: Path) -> Ledger:
    ledger = Ledger(path, "mine")
    ledger.note(AGENDA)
    ledger.add(1, POINT)
    ledger.add(2, Skip("its outputs are not finite"))
    return ledger


def test_all_is_read_back_as_it_was(kept: Ledger, path: Path) -> None:
    again = Ledger(path, "mine")
    assert again.ours
    assert again.agenda == AGENDA
    assert again.point(1) == POINT
    assert again.point(2) == Skip("its outputs are not finite")
    assert again.point(3) is None


def test_another_sweep_is_not_this_one(kept: Ledger, path: Path) -> None:
    other = Ledger(path, "another")
    assert not other.ours
    assert (other.agenda, other.point(1)) == (None, None)


def test_anew_leaves_unread_what_is_there(kept: Ledger, path: Path) -> None:
    anew = Ledger(path, "mine", anew=True)
    assert anew.ours
    assert (anew.agenda, anew.point(1)) == (None, None)


def test_another_agenda_makes_points_void(kept: Ledger) -> None:
    kept.note(AGENDA)
    assert kept.point(1) is None


def test_without_a_file_nothing_is_remembered() -> None:
    ledger = Ledger(None, "mine")
    assert ledger.note(AGENDA) == AGENDA
    assert not ledger.ours
    assert ledger.agenda == AGENDA


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"points": []}', "[" * 100_000])
def test_what_is_no_ledger_holds_nothing(content: str, path: Path) -> None:
    path.write_text(content)
    ledger = Ledger(path, "mine")
    assert not ledger.ours
    assert ledger.agenda is None


@pytest.mark.parametrize(
    "damaged",
    [{}, 3, {"reason": "no", "why": "no"}, {"sites": 1}, {"number": 1, "sites": [{"colour": 2}]}],
)
def test_what_is_damaged_counts_as_not_done(kept: Ledger, path: Path, damaged: Any) -> None:
    document = json.loads(path.read_text())
    document["points"]["1"] = document["agenda"] = damaged
    path.write_text(json.dumps(document))
    ledger = Ledger(path, "mine")
    assert ledger.point(1) is None
    assert ledger.point(2) is not None
    assert ledger.agenda is None
