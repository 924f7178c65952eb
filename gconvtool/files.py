"""Writing so that a path holds a whole, checked file or what was there before."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from gconvtool.errors import InputError, MissingError


def check_target(path: Path, sources: Iterable[Path], force: bool) -> None:
    """Refuse an output path before any work is done for it.

    Args:
        path: where to write.
        sources: the files of the model that is read.
        force: whether a file that exists may be replaced.

    Raises:
        InputError: the folder is missing, the file exists, or it is a file of the input model.
    """
    try:
        _check_target(path, sources, force)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _check_target(path: Path, sources: Iterable[Path], force: bool) -> None:
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it first")
    if path.is_dir():
        raise InputError(f"{path}: a folder; name a file, for example {path / 'model.onnx'}")
    if path.exists() and any(path.samefile(source) for source in sources if source.exists()):
        raise InputError(f"{path}: the input model or its data, which are never changed")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: a device or a pipe; name a file")
    if os.path.lexists(path) and not force:
        raise InputError(f"{path}: exists already; use --force to replace it")


def write(content: bytes, path: Path, check: Callable[[Path], None] = lambda written: None) -> None:
    """Write beside the target, let `check` read the file, then rename it into place.

    Whatever goes wrong, the target is as it was and no other file is left.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=".gconvtool.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        check(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise MissingError(f"{path}: not written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
