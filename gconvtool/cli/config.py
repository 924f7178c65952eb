"""`[tool.gconvtool]` of the nearest pyproject.toml: what a pipeline need not say again.

Paths in it are relative to that file; the command line wins over it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gconvtool.cli import amounts
from gconvtool.errors import InputError

if TYPE_CHECKING:
    from gconvtool.budgets import Increase

PATHS = ("model", "output", "data")
COMMANDS = ("analyze", "bench", "verify")
"""What has a table of its own."""
TYPES: dict[str, type] = {"model": str, "output": str, "data": str, "provider": str, "threads": int}
LIMITS = {"max-macs": "macs", "max-params": "params", "max-peak-memory": "peak_memory"}
BUDGETS = (*LIMITS, "max-increase", "baseline")


@dataclass(frozen=True)
class Budgets:
    """`[tool.gconvtool.analyze]`, or what the command line says of the same."""

    most: Mapping[str, int] = field(default_factory=dict)
    growth: Mapping[str, Increase] = field(default_factory=dict)
    baseline: str | None = None

    def over(self, other: Budgets) -> Budgets:
        """These, and the other's limits on figures that these leave alone."""
        baseline = other.baseline if self.baseline is None else self.baseline
        return Budgets({**other.most, **self.most}, {**other.growth, **self.growth}, baseline)


@dataclass(frozen=True)
class Config:
    """What the file says; None where it says nothing."""

    model: str | None = None
    output: str | None = None
    data: str | None = None
    provider: str | None = None
    threads: int | None = None
    analyze: Budgets = field(default_factory=Budgets)


def read(start: Path) -> Config:
    """The configuration that is in force in a folder.

    Raises:
        InputError: the file does not parse, or holds a key or a value that means nothing.
    """
    path = _nearest(start)
    return Config() if path is None else _parse(path)


def table(start: Path, command: str) -> tuple[Path, dict[str, Any]]:
    """The file that is in force in a folder, and what it has under a command's name.

    Raises:
        InputError: the file does not parse.
    """
    path = _nearest(start)
    if path is None:
        return start, {}
    outer = _table(path, _document(path).get("tool", {}), "gconvtool", "tool.gconvtool")
    return path, _table(path, outer, command, f"tool.gconvtool.{command}")


def _nearest(start: Path) -> Path | None:
    paths = (folder / "pyproject.toml" for folder in (start, *start.parents))
    return next((path for path in paths if path.is_file()), None)


def _document(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _parse(path: Path) -> Config:
    table = _table(path, _document(path).get("tool", {}), "gconvtool", "tool.gconvtool")
    budgets = _budgets(path, _table(path, table, "analyze", "tool.gconvtool.analyze"))
    values = {key: _value(path, key, table[key]) for key in table if key not in COMMANDS}
    return Config(**values, analyze=budgets)


def _table(path: Path, outer: object, key: str, name: str) -> dict[str, Any]:
    inner = outer.get(key, {}) if isinstance(outer, dict) else outer
    if not isinstance(inner, dict):
        raise InputError(f"{path}: [{name}] should be a table")
    return inner


def _value(path: Path, key: str, value: Any) -> Any:
    """A value as it is meant: of its key's type, and absolute if it is a path."""
    check_key(f"{path}: [tool.gconvtool]", key, (*TYPES, *COMMANDS))
    if type(value) is not TYPES[key]:  # a bool is no number of threads
        raise InputError(f"{path}: [tool.gconvtool] {key} should be a {TYPES[key].__name__}")
    if isinstance(value, int) and value < 1:
        raise InputError(f"{path}: [tool.gconvtool] threads should be 1 or more")
    return located(path, key, value) if key in PATHS else value


def _budgets(path: Path, table: Mapping[str, Any]) -> Budgets:
    said = f"{path}: [tool.gconvtool.analyze]"
    words = {key: _words(path, key, table[key]) for key in table}
    most = {
        figure: amounts.limit(f"{said} {key}", figure, words[key][0])
        for key, figure in LIMITS.items()
        if key in words
    }
    growth = amounts.increases(f"{said} max-increase", words.get("max-increase", []))
    baseline = words.get("baseline")
    return Budgets(most, growth, None if baseline is None else str(path.parent / baseline[0]))


def _words(path: Path, key: str, value: Any) -> list[str]:
    """What the command line would have: a word, a whole number, or a list of increases."""
    check_key(f"{path}: [tool.gconvtool.analyze]", key, BUDGETS)
    words = value if isinstance(value, list) and key == "max-increase" else [value]
    if not all(type(word) in (int, str) for word in words):
        raise InputError(
            f"{path}: [tool.gconvtool.analyze] {key} should be a string, or a whole number"
        )
    return [str(word) for word in words]


def check_key(place: str, key: str, known: Collection[str]) -> None:
    """See that a name means something there.

    Raises:
        InputError: it does not; with the nearest one that does.
    """
    if key in known:
        return
    close = get_close_matches(key, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    raise InputError(f"{place} has no key {key}; {hint}")


def located(path: Path, key: str, value: Any) -> Any:
    """A path as seen from the file that names it; `module:object` is none."""
    target = path.parent / str(value)
    reader = key == "data" and ":" in str(value) and not target.exists()
    return value if reader or not isinstance(value, str) else str(target)
