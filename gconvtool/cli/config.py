"""`[tool.gconvtool]` of the nearest pyproject.toml: what a pipeline need not say again.

Paths in it are relative to that file; the command line wins over it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gconvtool.errors import InputError

PATHS = ("model", "output", "data")
TYPES: dict[str, type] = {"model": str, "output": str, "data": str, "provider": str, "threads": int}


@dataclass(frozen=True)
class Config:
    """What the file says; None where it says nothing."""

    model: str | None = None
    output: str | None = None
    data: str | None = None
    provider: str | None = None
    threads: int | None = None


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
    table = tools.get("gconvtool", {}) if isinstance(tools, dict) else tools
    if not isinstance(table, dict):
        raise InputError(f"{path}: [tool.gconvtool] should be a table")
    return Config(**{key: _value(path, key, value) for key, value in table.items()})


def _value(path: Path, key: str, value: Any) -> Any:
    """A value as it is meant: of its key's type, and absolute if it is a path."""
    if key not in TYPES:
        close = get_close_matches(key, TYPES, 1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(TYPES)}"
        raise InputError(f"{path}: [tool.gconvtool] has no key {key}; {hint}")
    if type(value) is not TYPES[key]:  # a bool is no number of threads
        raise InputError(f"{path}: [tool.gconvtool] {key} should be a {TYPES[key].__name__}")
    if isinstance(value, int) and value < 1:
        raise InputError(f"{path}: [tool.gconvtool] threads should be 1 or more")
    target = path.parent / str(value)
    reader = key == "data" and ":" in str(value) and not target.exists()
    return value if key not in PATHS or reader else str(target)
