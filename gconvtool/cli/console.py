"""Where things are printed: the result on stdout, everything else on stderr."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from gconvtool.errors import MissingError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPED_WIDTH = 100


def show(page: RenderableType) -> None:
    """Print a result page on stdout."""
    if sys.stdout is None:
        return
    _write(_rendered(page))


def answer(document: Mapping[str, Any]) -> None:
    """Print a document on stdout."""
    if sys.stdout is None:
        return
    _write(json_text(document, sys.stdout.encoding or "utf-8"))


def json_text(document: Mapping[str, Any], encoding: str = "utf-8") -> str:
    """A document as text; in ASCII where names in another alphabet, or in none, cannot be."""
    from gconvtool.report.document import dumps

    text = dumps(document, ascii_only=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return dumps(document, ascii_only=True)
    return text


def say(text: str) -> None:
    """Print a text on stdout, with one line end after it; escaped where it cannot be printed."""
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "utf-8"
    _write(text.encode(encoding, "backslashreplace").decode(encoding).rstrip("\n"))


def plain(page: RenderableType) -> str:
    """A page for a file: as wide as into a pipe, and without colours even where they are forced."""
    from rich.console import Console

    text = io.StringIO()
    Console(file=text, force_terminal=False, width=PIPED_WIDTH, highlight=False).print(page)
    return text.getvalue().rstrip("\n")


def _write(text: str) -> None:
    with _stdout():
        sys.stdout.write(text + "\n")


def _rendered(page: RenderableType) -> str:
    """The page as text, so that only one place writes."""
    text = io.StringIO()
    _console(sys.stdout, text).print(page)
    return text.getvalue().rstrip("\n")


@contextmanager
def _stdout() -> Iterator[None]:
    """Write, and flush while an error can still be told.

    A reader that went away, as in `| head`, is no error.

    Raises:
        MissingError: the disk behind stdout is full.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
    except OSError as error:
        _abandon_stdout()
        raise MissingError(f"stdout: {error.strerror}") from error


def _abandon_stdout() -> None:
    """Let what is still to be flushed go nowhere."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def tell(text: str) -> None:
    """Print lines on stderr as they are."""
    if sys.stderr is not None:
        print(text, file=sys.stderr)


@contextmanager
def unadorned() -> Iterator[None]:
    """No colours and no bars, whatever the surroundings force or could show."""
    kept = {name: os.environ.get(name) for name in ("NO_COLOR", "FORCE_COLOR", "TTY_INTERACTIVE")}
    os.environ |= {"NO_COLOR": "1", "TTY_INTERACTIVE": "0"}
    os.environ.pop("FORCE_COLOR", None)
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def warn(warnings: Iterable[str]) -> None:
    """Print warnings on stderr, a paragraph each."""
    for warning in warnings:
        _say("warning", "bold yellow", warning)


def fail(message: str) -> None:
    """Print an error on stderr."""
    _say("error", "bold red", message)


def _say(word: str, style: str, message: str) -> None:
    """One line, however narrow the terminal is, with no meaning given to brackets or colons."""
    from rich.text import Text

    if sys.stderr is None:
        return
    line = Text.assemble((f"{word}:", style), " ", message)
    _console(sys.stderr).print(line, soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr with what is being done and the time left; nothing where no one watches."""
    console = _console(sys.stderr)
    watched = sys.stderr is not None and sys.stderr.isatty()  # colours may be forced, this not
    if not watched or os.environ.get("TTY_INTERACTIVE") == "0":
        yield lambda what, done, total: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=f"{title}: {what}", completed=done, total=total)

        yield report


def _console(stream: TextIO | None, file: TextIO | None = None) -> Console:
    """A console with a stream's colours and width, which prints there or into `file`."""
    from rich.console import Console

    terminal = stream is not None and stream.isatty()
    told = os.environ.get("COLUMNS", "")
    width = int(told) if told.isdecimal() and int(told) else None if terminal else PIPED_WIDTH
    return Console(
        file=file or stream, force_terminal=terminal or None, width=width, highlight=False
    )
