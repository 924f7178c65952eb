"""The entry point: commands, and the one place that turns errors into messages and exit codes."""

from __future__ import annotations

import io
import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from gconvtool._version import __version__
from gconvtool.cli import console
from gconvtool.cli.analyze import analyze
from gconvtool.cli.bench import bench
from gconvtool.cli.convert import convert
from gconvtool.errors import GconvError, InputError

INTERRUPTED, BUG = 130, 70

app = typer.Typer(
    name="gconvtool",
    help="Shows what an ONNX network's convolutions cost, rewrites them, and proves what was won.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the rich one imports a Markdown parser: half of the time of --help
)
app.command()(analyze)
app.command()(convert)
app.command()(bench)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> int:
    """Shows what an ONNX network's convolutions cost, rewrites them, and proves what was won."""
    if version:
        typer.echo(f"gconvtool {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        return InputError.exit_code
    return 0


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code (0, 1, 2, 3, 4, 70, 130, see README)."""
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)  # what it says, our errors say too
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a narrow encoding is no reason to fail
    try:
        code = app(list(arguments), prog_name="gconvtool", standalone_mode=False) or 0
    except GconvError as error:
        if "--debug" in arguments:
            traceback.print_exception(error)
        return _answer(error, error.exit_code, arguments)
    except typer.TyperException as error:  # the command line itself was wrong
        return _answer(InputError(error.format_message()), InputError.exit_code, arguments)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        return _bug(error, arguments)
    if code == INTERRUPTED:  # Typer turns the interruption into this code
        interrupted = GconvError("interrupted; nothing was written")
        return _answer(interrupted, INTERRUPTED, arguments)
    return int(code)


def _bug(error: Exception, arguments: Sequence[str]) -> int:
    traceback.print_exception(error)
    report = "this is a bug of gconvtool; please report it with the lines above"
    return _answer(GconvError(report), BUG, arguments)


def _answer(error: GconvError, code: int, arguments: Sequence[str]) -> int:
    """One line on stderr, and a document on stdout where one was asked for."""
    message = " ".join(str(error).split())
    console.fail(message)
    if "--json" in arguments:
        from gconvtool.report import document

        command = next((word for word in arguments if not word.startswith("-")), "gconvtool")
        failure = document.failure(type(error).__name__, message, code, command)
        console.answer(failure)
    return code
