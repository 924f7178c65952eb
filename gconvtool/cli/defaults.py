"""What options are where the command line does not say: variables, then pyproject.toml.

`[tool.gconvtool.bench]` and `[tool.gconvtool.verify]` hold options under their own names, and so do
variables: `min-speedup`, `GCONVTOOL_BENCH_MIN_SPEEDUP`. They become Click's `default_map`, which is
what counts after the command line and before an option's own default. Whoever misspells a limit
should hear of it, so that an unknown name is an error in both.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from gconvtool.cli import config, options
from gconvtool.errors import InputError

GATES = ("max-relative-error", "min-agreement", "max-accuracy-drop", "on-inconclusive")
RUNNING = (
    *("models", "data", "dim", "input-shape", "seed", "scale", "mean", "std", "layout"),
    *("provider", "provider-option", "session-option", "strict-provider", "threads"),
)
KEYS: Mapping[str, Sequence[str]] = {
    "bench": (
        *RUNNING,
        *("batch", "time-budget", "layers", "memory", "baseline", "host-mismatch"),
        *("min-speedup", "max-slowdown", "max-p95", "max-size", *GATES),
    ),
    "verify": (*RUNNING, "max-abs", "min-snr", *GATES),
}
"""What a file or a variable may say of each command. Where results go is left to the call."""
PATHS = ("models", "data", "baseline")
"""What is relative to the file that says it."""


def of(command: Any, name: str) -> dict[str, Any]:
    """The defaults of a command's parameters.

    Args:
        command: Typer's command.
        name: what it is called.

    Raises:
        InputError: an unknown name, or a value that the option does not take.
    """
    if name not in KEYS:
        return {}
    parameters = {parameter.name: parameter for parameter in command.params}
    found = {}
    for said, key, value in (*_configured(name), *_variables(name)):
        parameter = parameters[key.replace("-", "_")]
        found[parameter.name] = _checked(command, parameter, said, value)
    return found


def _configured(name: str) -> Iterator[tuple[str, str, Any]]:
    """What the nearest pyproject.toml says: where, of which option, and what."""
    path, table = config.table(Path.cwd(), name)
    place = f"tool.gconvtool.{name}"
    for key, value in table.items():
        config.check_key(f"{path}: [{place}]", key, KEYS[name])
        yield f"{path}: [{place}] {key}", key, _located(path, key, value)


def _located(path: Path, key: str, value: Any) -> Any:
    if key not in PATHS:
        return value
    if isinstance(value, list):
        return [config.located(path, key, one) for one in value]
    return config.located(path, key, value)


def _variables(name: str) -> Iterator[tuple[str, str, Any]]:
    """What the environment says."""
    prefix = f"GCONVTOOL_{name.upper()}_"
    known = {prefix + key.replace("-", "_").upper(): key for key in KEYS[name]}
    for variable, value in sorted(os.environ.items()):
        if variable.startswith(prefix) and value:
            config.check_key("the environment", variable, known)
            yield variable, known[variable], value


def _checked(command: Any, parameter: Any, said: str, value: Any) -> Any:
    """A value in the form that the command line would have, if the option takes it."""
    words = _words(parameter, said, value)
    try:
        parameter.process_value(typer.Context(command), words)
    except typer.TyperException as error:
        raise InputError(f"{said}: {options.complaint(error)}") from error
    return words


def _words(parameter: Any, said: str, value: Any) -> Any:
    """Lists for what may be said several times, commas where the command line has them."""
    if isinstance(value, dict):
        value = [f"{key}={_word(said, part)}" for key, part in value.items()]
    if parameter.multiple or parameter.nargs == -1:
        words = value if isinstance(value, list) else _split(said, str(value))
        return [_word(said, word) for word in words]
    if isinstance(value, list):
        return ",".join(_word(said, word) for word in value)
    switch = getattr(parameter, "is_flag", False)
    if isinstance(value, bool) != switch and not (switch and isinstance(value, str)):
        raise InputError(f"{said}: {'true or false' if switch else 'a value, not true or false'}")
    return value


def _split(said: str, text: str) -> list[str]:
    """A variable's words, which may be quoted; a backslash is part of a name, as in Windows'."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        return list(lexer)
    except ValueError as error:
        raise InputError(f"{said}: {error}") from error


def _word(said: str, value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise InputError(f"{said}: a list of words or numbers")
    return str(value).lower() if isinstance(value, bool) else str(value)
