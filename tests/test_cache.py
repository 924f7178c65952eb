"""Measured times are remembered for what they were measured under, and never in the way."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers_cli import run

from gconvtool.results.kernels import Estimate, KernelTime
from gconvtool.runtime.cache import (
    FILE,
    SEARCHES,
    Cache,
    Circumstances,
    Pair,
    clear,
    default_folder,
    info,
)

HERE = Circumstances("a machine", "1.30", "cpu", 2, 1)
PAIR = Pair("dense", "grouped")
TIME = KernelTime(Estimate(1.5, 0.1), Estimate(4.0, 0.2), Estimate(2.5, 0.3), 12, settled=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GCONVTOOL_CACHE", str(tmp_path / "cache"))
    return default_folder()


def test_what_was_measured_is_found_again(folder: Path) -> None:
    first = Cache(HERE, folder)
    assert first.get(PAIR) is None
    first.put(PAIR, TIME)
    first.close()
    assert Cache(HERE, folder).get(PAIR) == replace(TIME, cached=True)


@pytest.mark.parametrize(
    "other",
    [
        {"machine": "another"},
        {"onnxruntime": "1.31"},
        {"provider": "cuda"},
        {"threads": 1},
        {"protocol": 2},
    ],
)
def test_under_other_circumstances_it_is_not(folder: Path, other: dict[str, object]) -> None:
    Cache(HERE, folder).put(PAIR, TIME)
    assert Cache(replace(HERE, **other), folder).get(PAIR) is None  # type: ignore[arg-type]


def test_what_is_not_settled_is_measured_again(folder: Path) -> None:
    cache = Cache(HERE, folder)
    cache.put(PAIR, replace(TIME, settled=False))
    assert cache.get(PAIR) is None


def test_without_a_folder_nothing_is_kept() -> None:
    cache = Cache(HERE, None)
    cache.put(PAIR, TIME)
    assert cache.get(PAIR) is None
    assert cache.warnings == []


def test_a_damaged_file_is_set_aside(folder: Path) -> None:
    folder.mkdir()
    (folder / FILE).write_bytes(b"no database" * 100)
    cache = Cache(HERE, folder)
    cache.put(PAIR, TIME)
    assert cache.get(PAIR) is not None
    (said,) = cache.warnings
    assert "set aside" in said
    assert (folder / f"{FILE}.damaged").is_file()


def test_a_folder_that_cannot_be_is_said_once_and_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(HERE, tmp_path / "file")
    cache.put(PAIR, TIME)
    assert cache.get(PAIR) is None
    (said,) = cache.warnings
    assert "GCONVTOOL_CACHE" in said


def test_another_table_is_no_reason_to_fail(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / FILE) as file:
        file.execute("CREATE TABLE times (something INTEGER)")
    file.close()
    cache = Cache(HERE, folder)
    cache.put(PAIR, TIME)
    assert cache.get(PAIR) is None
    assert cache.warnings


WRITER = """
import sys
from pathlib import Path
from gconvtool.results.kernels import Estimate, KernelTime
from gconvtool.runtime.cache import Cache, Circumstances, Pair
cache = Cache(Circumstances("a machine", "1.30", "cpu", 2, 1), Path(sys.argv[1]))
time = KernelTime(Estimate(1, 1), Estimate(1, 1), Estimate(1, 1), 8, settled=True)
for i in range(100):
    cache.put(Pair(sys.argv[2], str(i)), time)
assert not cache.warnings, cache.warnings
"""


def test_several_processes_write_at_once(folder: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name]) for name in "abc"
    ]
    assert [child.wait() for child in running] == [0, 0, 0]
    assert info(folder).entries == 300


def test_what_is_there_is_told_and_cleared(folder: Path) -> None:
    assert info(folder).entries == 0
    assert not folder.exists()
    Cache(HERE, folder).put(PAIR, TIME)
    Cache(replace(HERE, threads=1), folder).put(PAIR, TIME)
    there = info(folder)
    assert there.entries == 2
    assert {(share.threads, share.entries) for share in there.shares} == {(1, 1), (2, 1)}
    assert clear(folder).removed == 1
    assert info(folder).entries == 0


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Cache(HERE, folder).put(PAIR, TIME)
    assert run(["cache", "info", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "gconvtool.cache/1"
    assert document["entries"] == 1
    assert run(["cache", "info"]) == 0
    assert str(folder) in capsys.readouterr().out.replace("\n", "")
    assert run(["cache", "clear"]) == 0
    capsys.readouterr()
    assert run(["cache", "info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 0


def test_what_searches_found_is_told_and_cleared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, sizes in {"one": (10, 20), "two": (30,)}.items():
        (folder / SEARCHES / name).mkdir(parents=True)
        for number, size in enumerate(sizes):
            (folder / SEARCHES / name / f"{number}.npz").write_bytes(bytes(size))
    told = info(folder)
    assert (told.searches, told.searches_bytes) == (2, 60)
    assert run(["cache", "info"]) == 0
    assert "2 searches beside it, 60 bytes" in capsys.readouterr().out
    assert clear(folder).removed == 3
    assert (info(folder).searches, info(folder).searches_bytes) == (0, 0)
    assert not list((folder / SEARCHES).iterdir())
