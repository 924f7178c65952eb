"""Measured times on disk, so that a second run need not measure them again.

One SQLite file, in the user's cache folder or in $GCONVTOOL_CACHE. A time holds for one machine,
version of onnxruntime, provider, number of threads and way to measure, and for one pair of small
models, by digest. Several processes may read and write at once. A cache is a convenience: whatever
is wrong with it, a run goes on without, and says so.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from gconvtool.errors import MissingError
from gconvtool.results.kernels import CacheInfo, CacheShare, Estimate, KernelTime

FOLDER, FILE = "GCONVTOOL_CACHE", "kernels.sqlite"
SWEEPS = "sweeps"
"""A folder beside it: what of sweeps is done, a file each (`pipeline.ledger`)."""
SEARCHES = "searches"
"""Another: what of searches is done, a folder each (`pipeline.memo`)."""
PATIENCE_S = 10.0
"""How long to wait for another process that writes."""
CIRCUMSTANCES = "machine, onnxruntime, provider, threads, protocol"
TABLE = f"""
CREATE TABLE IF NOT EXISTS times (
  machine TEXT, onnxruntime TEXT, provider TEXT, threads INTEGER, protocol INTEGER,
  dense TEXT, rewritten TEXT,
  time_ns REAL NOT NULL, time_error_ns REAL NOT NULL,
  dense_ns REAL NOT NULL, dense_error_ns REAL NOT NULL,
  saved_ns REAL NOT NULL, saved_error_ns REAL NOT NULL,
  rounds INTEGER NOT NULL,
  PRIMARY KEY ({CIRCUMSTANCES}, dense, rewritten)
)"""
FIND = f"""
SELECT time_ns, time_error_ns, dense_ns, dense_error_ns, saved_ns, saved_error_ns, rounds
FROM times WHERE ({CIRCUMSTANCES}, dense, rewritten) = (?, ?, ?, ?, ?, ?, ?)"""
PUT = f"INSERT OR REPLACE INTO times VALUES ({', '.join('?' * 14)})"
SHARES = """
SELECT machine, onnxruntime, provider, threads, COUNT(*) FROM times
GROUP BY machine, onnxruntime, provider, threads ORDER BY 1, 2, 3, 4"""


@dataclass(frozen=True)
class Circumstances:
    """What a measured time depends on, besides the models; `protocol` is how it was measured."""

    machine: str
    onnxruntime: str
    provider: str
    threads: int
    protocol: int


@dataclass(frozen=True)
class Pair:
    """Digests of two small models: with the dense convolution, and with what takes its place."""

    dense: str
    rewritten: str


class Cache:
    """Times under one set of circumstances. `warnings` grow when something is wrong."""

    def __init__(self, circumstances: Circumstances, folder: Path | None) -> None:
        """Open what is there, or begin anew; without a folder nothing is remembered."""
        self.warnings: list[str] = []
        self._key = astuple(circumstances)
        self._path = (folder or Path()) / FILE
        self._file: sqlite3.Connection | None = None
        if folder is not None:
            self._open()

    def get(self, pair: Pair) -> KernelTime | None:
        """What was measured once, if it was."""
        for row in self._run(FIND, (*self._key, *astuple(pair))):
            time, dense, saved = (Estimate(*row[i : i + 2]) for i in (0, 2, 4))
            return KernelTime(time, dense, saved, row[6], settled=True, cached=True)
        return None

    def put(self, pair: Pair, measured: KernelTime) -> None:
        """Remember a time, if it is settled: any other is better measured again."""
        if measured.settled:
            parts = (measured.time, measured.dense, measured.saved)
            numbers = [number for part in parts for number in astuple(part)]
            self._run(PUT, (*self._key, *astuple(pair), *numbers, measured.rounds))

    def close(self) -> None:
        """Let go of the file; nothing is remembered after that."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _connected(self._path)
        except (OSError, sqlite3.Error) as error:
            self._fail(error)
        self._run(TABLE)

    def _run(self, statement: str, values: tuple[object, ...] = ()) -> list[Any]:
        """The answer to a statement, which is carried out at once; none where there is no cache."""
        if self._file is None:
            return []
        try:
            return self._file.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self._fail(error)
        return []

    def _fail(self, error: OSError | sqlite3.Error) -> None:
        """Go on with a new file where this one is damaged, once; else without."""
        self.close()
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error,
            sqlite3.OperationalError,  # no right to write, no space, locked, ...
        )
        aside = self._path.with_name(f"{FILE}.damaged")
        with suppress(OSError):
            if damaged and not self.warnings:
                self._path.replace(aside)
                self.warnings.append(f"{self._path}: damaged ({error}); set aside as {aside.name}")
                self._open()
                return
        self.warnings.append(
            f"{self._path}: measured times are not kept: {error}; ${FOLDER} names another folder"
        )


def default_folder() -> Path:
    """Where times are kept: $GCONVTOOL_CACHE, or in the user's cache folder."""
    said = os.environ.get(FOLDER)
    return Path(said) if said else user_cache_path("gconvtool", appauthor=False)


def info(folder: Path) -> CacheInfo:
    """What is kept in a folder; nothing is changed, and nothing made."""
    path, steps = folder / FILE, _steps(folder)
    known = CacheInfo(
        str(path),
        0,
        0,
        sweeps=len(_sweeps(folder)),
        searches=len({step.parent for step in steps}),
        searches_bytes=size_bytes(steps),
    )
    if not path.is_file():
        return known
    known = replace(known, size_bytes=path.stat().st_size)
    try:
        with closing(_connected(path)) as file:
            shares = tuple(CacheShare(*row) for row in file.execute(SHARES))
    except sqlite3.Error as error:
        return replace(known, entries=None, trouble=str(error))
    entries = sum(share.entries for share in shares)
    return replace(known, entries=entries, shares=shares)


def clear(folder: Path) -> CacheInfo:
    """Delete what is kept in a folder, damaged files too.

    Raises:
        MissingError: a file cannot be deleted.
    """
    files = [*sorted(folder.glob(f"{FILE}*")), *_sweeps(folder), *_steps(folder)]
    for path in files:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise MissingError(f"{path}: cannot be deleted: {error.strerror or error}") from error
    for left in (folder / SEARCHES).glob("*"):
        with suppress(OSError):  # it holds something else
            left.rmdir()
    return replace(info(folder), removed=len(files))


def _sweeps(folder: Path) -> list[Path]:
    return sorted((folder / SWEEPS).glob("*.json"))


def _steps(folder: Path) -> list[Path]:
    searches = sorted((folder / SEARCHES).glob("*"))
    return [file for search in searches for file in files_of(search)]


def files_of(search: Path) -> list[Path]:
    """The steps in a search's folder, and what killed processes had begun to write there."""
    return sorted((*search.glob("*.npz"), *search.glob(".gconvtool.*.tmp")))


def size_bytes(files: Iterable[Path]) -> int:
    """Of those that are there; another process may be deleting them."""
    used = 0
    for file in files:
        with suppress(OSError):
            used += file.stat().st_size
    return used


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
