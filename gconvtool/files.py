"""Writing so that a path holds a whole, checked file or what was there before."""

from __future__ import annotations

import filecmp
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Protocol

from gconvtool.errors import InputError, MissingError


def check_target(path: Path, sources: Iterable[Path], force: bool) -> None:
    """Refuse an output path before any work is done for it.

    Args:
        path: where to write.
        sources: the files of the model that is read.
        force: whether a file that exists may be replaced.

    Raises:
        InputError: the folder is missing or read-only, the file exists, or it is one that this
            call reads.
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
        raise InputError(f"{path}: this call reads it, and what it reads is never changed")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: a device or a pipe; name a file")
    if os.path.lexists(path) and not force:
        raise InputError(f"{path}: exists already; use --force to replace it")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written: {path.parent} is read-only for this user")


class Sink(Protocol):
    """What bytes can be written to."""

    def write(self, data: bytes, /) -> object:
        """Take these bytes."""


@contextmanager
def written(content: bytes, path: Path) -> Iterator[Path]:
    """Write beside the target; what is written takes its place when the block ends well.

    Whatever goes wrong, the target is as it was and no other file is left.
    """
    with _filled(path, lambda file: file.write(content)) as temporary:
        yield temporary
        _put_in_place(temporary, path)


def write(content: bytes, path: Path, check: Callable[[Path], None] = lambda written: None) -> None:
    """Write a file, and let `check` read it before it takes its place."""
    with written(content, path) as temporary:
        check(temporary)


def write_apart(
    data: Callable[[Sink], None],
    content: Callable[[str], bytes],
    path: Path,
    check: Callable[[Path], None],
) -> Path:
    """Write a file and another one beside it, that of its data; both or neither.

    The data are there first, under a name that depends on what they are: a file that is in use is
    never written over by others.

    Args:
        data: writes them.
        content: what the file holds, given the name of the file of data.
        path: the file.
        check: reads the file before it takes its place; its data are there by then.

    Returns:
        The file of data.
    """
    digest = blake2b(digest_size=8)
    with _filled(path, lambda file: data(_Digested(file, digest.update))) as temporary:
        beside = path.with_name(f"{path.stem}.{digest.hexdigest()}.data")
        new = not (beside.is_file() and filecmp.cmp(temporary, beside, shallow=False))
        if new:
            _put_in_place(temporary, beside)
        try:
            write(content(beside.name), path, check)
        except BaseException:
            if new:
                beside.unlink(missing_ok=True)
            raise
    return beside


@dataclass(frozen=True)
class _Digested:
    """A file whose bytes are seen as they are written."""

    file: Sink
    see: Callable[[bytes], None]

    def write(self, data: bytes, /) -> object:
        self.see(data)
        return self.file.write(data)


@contextmanager
def _filled(path: Path, fill: Callable[[BinaryIO], object]) -> Iterator[Path]:
    """A whole file beside the target, under a name that it has for as long as the block lasts."""
    try:
        handle, name = tempfile.mkstemp(prefix=".gconvtool.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    except OSError as error:
        raise MissingError(f"{path}: not written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _put_in_place(temporary: Path, path: Path) -> None:
    temporary.chmod(0o666 & ~_umask())
    temporary.replace(path)


def _umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
