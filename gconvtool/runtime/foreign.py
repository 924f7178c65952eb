"""Code of the user's own, named as `module:object`: found in the folder at hand or installed.

It prints where it does no harm, since stdout belongs to the result, and whatever way it fails in is
told in one line.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

from gconvtool.errors import InputError


@contextmanager
def code(name: str) -> Iterator[None]:
    """Where such code runs.

    Raises:
        InputError: it fails.
    """
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        with redirect_stdout(sys.stderr):
            yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # it may fail in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{name}: {reason}") from error
    finally:
        with suppress(ValueError):  # it may have tidied up itself
            sys.path.remove(folder)


def found(source: str, wanted: str) -> Any:
    """The object of `module:object`.

    Raises:
        InputError: it is not written so; `wanted` says what it should be.
    """
    module, _, attribute = source.partition(":")
    if not module or not attribute:
        raise InputError(f"{source}: write {wanted}")
    return getattr(importlib.import_module(module), attribute)
