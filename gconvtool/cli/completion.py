"""Completion for a shell that is named: `--show-completion zsh`, `--install-completion bash`.

Typer's own options guess the shell from the processes above, which fails in scripts and containers,
and they take no name.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Annotated, Literal, TypeAlias

import typer

from gconvtool.errors import InputError

PROGRAM, VARIABLE = "gconvtool", "_GCONVTOOL_COMPLETE"
Shell: TypeAlias = Literal["bash", "zsh", "fish", "powershell", "pwsh"]


def _typers() -> ModuleType:
    """Where Typer keeps its scripts; imported late, since it promises nothing about the place."""
    return import_module("typer.completion")


def _show(shell: Shell | None) -> None:
    if shell is None:
        return
    script = _typers().get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell)
    typer.echo(script)
    raise typer.Exit


def _install(shell: Shell | None) -> None:
    if shell is None:
        return
    try:
        _, path = _typers().install(shell, PROGRAM, VARIABLE)
    except OSError as error:
        raise InputError(
            f"--install-completion {shell}: {error.strerror or error}; put what "
            f"--show-completion {shell} prints where your shell looks for it"
        ) from error
    typer.echo(f"{path}: written; it holds in every {shell} that is started from now on")
    raise typer.Exit


Show = Annotated[
    Shell | None,
    typer.Option(
        "--show-completion",
        metavar="SHELL",
        callback=_show,
        is_eager=True,
        help="Print completion for bash, zsh, fish, powershell or pwsh.",
    ),
]
Install = Annotated[
    Shell | None,
    typer.Option(
        "--install-completion",
        metavar="SHELL",
        callback=_install,
        is_eager=True,
        help="Install it for your user.",
    ),
]


def prepare() -> None:
    """Know how to answer the shells, which call the program with VARIABLE set."""
    _typers().completion_init()
