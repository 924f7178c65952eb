"""The errors that a user can meet: one line that says what, where and what to do next.

Everything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from typing import ClassVar


class GconvError(Exception):
    """Base of the family. `str(error)` is the one line that the user reads."""

    exit_code: ClassVar[int] = 2


class InputError(GconvError):
    """A file, an option or a model that cannot be used as it is."""


class VerificationError(GconvError):
    """A result that failed its own check; it was not written."""

    exit_code = 1


class MissingError(GconvError):
    """The environment lacks something: a package, a provider, a library, space on the disk."""

    exit_code = 4
