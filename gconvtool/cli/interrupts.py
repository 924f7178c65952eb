"""Ctrl-C: heard once, never lost, and never in the middle of an import.

Python raises it as `KeyboardInterrupt` wherever the program happens to be. There are places that
swallow it, so that the work goes on as if nothing had been said, or that it turns into another
error or a crash:

    an import                its locks have callbacks that drop it; C extensions make an
                             ImportError of it, which reads as "not installed", or crash
    a destructor             drops it, and prints a traceback

So it waits until no import is in progress, a second or two unless the machine is slow, and is
raised again where it was dropped. Once it has been raised, whoever presses again wants out at once:
that time is the system's, which ends the process.
"""

from __future__ import annotations

import _thread
import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Protocol

AGAIN_S = 0.02
IMPORTING = "<frozen importlib._bootstrap>"


class _Dropped(Protocol):
    """What Python tells of an exception that it cannot raise."""

    exc_type: type[BaseException]
    exc_value: BaseException | None
    exc_traceback: TracebackType | None
    err_msg: str | None
    object: object


def listen() -> None:
    """From now on; but where interruptions are ignored, as behind `nohup … &`, they stay so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _heard)
        sys.unraisablehook = _dropped


def leave() -> None:
    """All is said: whatever is left of the process may be ended by the system."""
    if signal.getsignal(signal.SIGINT) is _heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _heard(number: int, frame: FrameType | None) -> None:
    if _importing(frame):
        _again()
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != IMPORTING:
        frame = frame.f_back
    return frame is not None


def _dropped(dropped: _Dropped) -> None:
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)
        return
    signal.signal(signal.SIGINT, _heard)
    _again()


def _again() -> None:
    """Soon, and in the main thread: signals are heard nowhere else."""
    _thread.start_new_thread(_press, ())


def _press() -> None:
    time.sleep(AGAIN_S)
    _thread.interrupt_main()
