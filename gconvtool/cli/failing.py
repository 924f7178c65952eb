"""What is answered where there is no result, in the forms that a result would have had.

A pipeline reads files and not exit codes: one that is missing shows nothing, and one of an earlier
run shows that run. So whoever named files finds there that this one failed, and why.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

from gconvtool.cli import console, options
from gconvtool.errors import GconvError, InputError, MissingError
from gconvtool.files import write

if TYPE_CHECKING:
    from gconvtool.cli.faces import Format
    from gconvtool.cli.outlets import Outlets

BUG = 70


def told(error: Exception) -> tuple[GconvError, int]:
    """An error as the user should read it, and its exit code."""
    if isinstance(error, GconvError):
        return error, error.exit_code
    if isinstance(error, typer.TyperException):  # the command line itself was wrong
        return InputError(options.complaint(error)), InputError.exit_code
    if isinstance(error, MemoryError):
        return MissingError("not enough memory; use a smaller batch, size or model"), 4
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return MissingError(f"stdout: {error.strerror}"), 4
    return GconvError("this is a bug of gconvtool; please report it with the lines above"), BUG


def line(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())


def document(error: GconvError, code: int, command: str) -> dict[str, object]:
    """The document of a call that could not answer."""
    from gconvtool.report.document import failure

    return failure(type(error).__name__, line(error), code, command)


@contextmanager
def written(outlets: Outlets, command: str) -> Iterator[None]:
    """Where the work fails, write that into the files that its result was meant for.

    An interruption is no failure, and leaves them as they are.
    """
    try:
        yield
    except Exception as error:
        for form, path in outlets.files:
            with suppress(GconvError):  # the first error is the one to hear of
                write(_text(form, *told(error), command).encode() + b"\n", path)
        raise


def _text(form: Format, error: GconvError, code: int, command: str) -> str:
    """A failure as it is written into a file."""
    from gconvtool.report import csv, junit, markdown

    message = line(error)
    forms: Mapping[Format, Callable[[], str]] = {
        "table": lambda: f"error: {message}",
        "json": lambda: console.json_text(document(error, code, command)),
        "csv": lambda: csv.failure(message),
        "junit": lambda: junit.failure(command, message),
        "markdown": lambda: markdown.failure(command, message),
    }
    return forms[form]().rstrip("\n")
