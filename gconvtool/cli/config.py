"""`[tool.gconvtool]` of the nearest pyproject.toml: what a pipeline need not say again.

Paths in it are relative to that file; the command line wins over it.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gconvtool.errors import InputError

PATHS = ("model", "output", "data", "baseline")
TYPES: dict[str, type] = {"model": str, "output": str, "data": str, "provider": str, "threads": int}
BUDGETS = ("max-macs", "max-params", "max-peak-memory", "max-increase", "baseline")


@dataclass(frozen=True)
class Budgets:
    """`[tool.gconvtool.analyze]`: limits as the command line writes them."""

    max_macs: str | None = None
    max_params: str | None = None
    max_peak_memory: str | None = None
    max_increase: str | None = None
    baseline: str | None = None


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
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            return _parse(path)
    return Config()


def _parse(path: Path) -> Config:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    tools = document.get("tool", {})
    table = _table(path, tools, "gconvtool", "tool.gconvtool")
    budgets = _table(path, table, "analyze", "tool.gconvtool.analyze")
    limits = {key.replace("-", "_"): _budget(path, key, budgets[key]) for key in budgets}
    values = {key: _value(path, key, table[key]) for key in table if key != "analyze"}
    return Config(**values, analyze=Budgets(**limits))


def _table(path: Path, outer: object, key: str, name: str) -> dict[str, Any]:
    inner = outer.get(key, {}) if isinstance(outer, dict) else outer
    if not isinstance(inner, dict):
        raise InputError(f"{path}: [{name}] should be a table")
    return inner


def _value(path: Path, key: str, value: Any) -> Any:
    """A value as it is meant: of its key's type, and absolute if it is a path."""
    _check_key(path, key, TYPES, "tool.gconvtool")
    if type(value) is not TYPES[key]:  # a bool is no number of threads
        raise InputError(f"{path}: [tool.gconvtool] {key} should be a {TYPES[key].__name__}")
    if isinstance(value, int) and value < 1:
        raise InputError(f"{path}: [tool.gconvtool] threads should be 1 or more")
    return _absolute(path, key, value)


def _budget(path: Path, key: str, value: Any) -> str:
    """A limit: a number, or what the command line would have, or a list of that."""
    _check_key(path, key, BUDGETS, "tool.gconvtool.analyze")
    parts = value if isinstance(value, list) and key == "max-increase" else [value]
    if not all(type(part) in (int, str) for part in parts):
        raise InputError(f"{path}: [tool.gconvtool.analyze] {key} should be a number or a string")
    return str(_absolute(path, key, ",".join(map(str, parts))))


def _check_key(path: Path, key: str, known: Collection[str], table: str) -> None:
    if key in known:
        return
    close = get_close_matches(key, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    raise InputError(f"{path}: [{table}] has no key {key}; {hint}")


def _absolute(path: Path, key: str, value: Any) -> Any:
    target = path.parent / str(value)
    reader = key == "data" and ":" in str(value) and not target.exists()
    return value if key not in PATHS or reader else str(target)
