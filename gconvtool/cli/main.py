"""The entry point: commands, and the one place that turns errors into messages and exit codes."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from itertools import pairwise
from typing import Annotated, Any

import typer

from gconvtool._version import __version__
from gconvtool.cli import completion, console, defaults, failing, outlets
from gconvtool.cli.analyze import analyze
from gconvtool.cli.bench import bench
from gconvtool.cli.cache import cache
from gconvtool.cli.convert import convert
from gconvtool.cli.doctor import doctor
from gconvtool.cli.sweep import sweep
from gconvtool.cli.verify import verify
from gconvtool.errors import GconvError, InputError, MissingError

INTERRUPTED = 130
DEBUG, CI, HELP = "--debug", "--ci", ("-h", "--help")
BARE, MEANT = "--gdc-to-gap", "--gdc-to-gap=exact"
"""Typer has no options whose value may be left out."""
KEPT = {
    "sweep": "the same command goes on from the last finished point, unless --no-cache says not to",
    "convert": "no file is half-written, and a search goes on from its last step, unless "
    "--no-cache says not to",
}
"""What an interruption of a command leaves behind; of others nothing."""
COMMANDS = ("analyze", "convert", "sweep", "bench", "verify", "cache", "doctor")

app = typer.Typer(
    name="gconvtool",
    help="Shows what an ONNX network's convolutions cost, rewrites them, and proves what was won.",
    context_settings={"help_option_names": [*HELP]},
    pretty_exceptions_enable=False,
    add_completion=False,  # `completion` has its own
    rich_markup_mode=None,  # the rich one imports a Markdown parser: half of the time of --help
)
app.command()(analyze)
app.command()(convert)
app.command()(sweep)
app.command()(bench)
app.command()(verify)
app.command()(cache)
app.command()(doctor)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    show_completion: completion.Show = None,
    install_completion: completion.Install = None,
) -> int:
    """Shows what an ONNX network's convolutions cost, rewrites them, and proves what was won."""
    if version:
        typer.echo(f"gconvtool {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        return InputError.exit_code
    return 0


def main() -> None:
    """Run the command line and exit with its code; interruptions are Python's own affair."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code (0, 1, 2, 3, 4, 70, 130, see README)."""
    words = [MEANT if word == BARE else word for word in arguments if word != DEBUG]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a narrow encoding is no reason to fail
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)  # what it says, our errors say too
    try:
        with console.unadorned() if CI in words else nullcontext():
            return _called(words)
    except KeyboardInterrupt:
        return interrupted(words)
    except Exception as caught:
        error = caught
    except SystemExit as leaving:  # Typer's too: for completion, and where a reader went away
        return 0 if completion.VARIABLE not in os.environ else int(leaving.code or 0)
    told, code = failing.told(error)
    if DEBUG in arguments or code == failing.BUG:
        traceback.print_exception(error)
    return _answer(told, code, words)


def _called(words: Sequence[str]) -> int:
    """Call the command; what the words do not say, a file or a variable may."""
    group = typer.main.get_command(app)
    if completion.VARIABLE in os.environ:
        completion.prepare()
    given = {} if {*HELP} & {*words} else _given(group, _command(words))
    code = group(words, prog_name=completion.PROGRAM, standalone_mode=False, default_map=given) or 0
    if code == INTERRUPTED:  # Typer turns the interruption into this
        raise KeyboardInterrupt
    return int(code)


def _given(group: Any, name: str) -> dict[str, dict[str, Any]]:
    """The defaults of the command that is called."""
    return {name: defaults.of(group.commands[name], name)} if name in group.commands else {}


def interrupted(words: Sequence[str]) -> int:
    """Say what an interruption leaves behind; returns the exit code."""
    said = KEPT.get(_command(words), "no file is half-written")
    return _answer(GconvError(f"interrupted; {said}"), INTERRUPTED, words)


def _answer(error: GconvError, code: int, words: Sequence[str]) -> int:
    """One line on stderr, and on stdout a document or a report where one was asked for."""
    message, command = failing.line(error), _command(words)
    console.fail(message)
    if CI in words:
        with suppress(MissingError):  # the summary is only one more place to say it
            outlets.fail(command, message)
    with suppress(MissingError):  # stdout is full, and stderr has the message
        if "--json" in words or _formed("json", words):
            console.answer(failing.document(error, code, command))
        elif _formed("junit", words):
            from gconvtool.report import junit

            console.say(junit.failure(command, message))
    return code


def _command(words: Sequence[str]) -> str:
    """What was called, or `error` where that cannot be told."""
    return next((word for word in words if word in COMMANDS), "error")


def _formed(form: str, words: Sequence[str]) -> bool:
    """Whether a form was asked for by its name."""
    return f"--format={form}" in words or ("--format", form) in pairwise(words)
