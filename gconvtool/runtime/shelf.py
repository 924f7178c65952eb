"""Arrays kept in memory up to a budget, and beyond it in temporary files that vanish with them.

A file is mapped, so that an array on it is used like any other; it has no name (or is deleted when
it is closed), so that nothing is left behind, whatever ends the process. A process may have some
hundred files open, and a model of a fixed batch makes thousands of arrays, so that many lie in one
file, which goes with the last of them.
"""

from __future__ import annotations

import tempfile
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconvtool.errors import MissingError

FILE_BYTES = 2**28
"""What a file holds, or one array if that is larger."""
ALIGNED = 64


class Shelf:
    """Takes arrays and gives them back, somewhere else perhaps. Counts what is alive."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held: dict[int, int] = {}
        self._file: _File | None = None

    @property
    def in_memory(self) -> int:
        """Bytes of the arrays that were put here, are still used, and are not on the disk."""
        return sum(self._held.values())

    def put(self, array: NDArray[Any]) -> NDArray[Any]:
        """The same numbers, in memory where they fit; strings and lists are kept as they are.

        Raises:
            MissingError: the disk is full.
        """
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            return array  # of sequences and of strings there are few
        if self.in_memory + array.nbytes > self._budget and array.nbytes:
            return self._on_disk(array)
        key = id(array)
        self._held[key] = array.nbytes
        weakref.finalize(array, self._held.pop, key, None)
        return array

    def _on_disk(self, array: NDArray[Any]) -> NDArray[Any]:
        try:
            if self._file is None or not self._file.has_room(array):
                self._file = _File(max(FILE_BYTES, array.nbytes))
            return self._file.put(array)
        except OSError as error:
            raise MissingError(
                f"{tempfile.gettempdir()}: no room for activations ({error.strerror or error}); "
                "raise --max-memory, give fewer --samples, or name another folder in TMPDIR"
            ) from error


class _File:
    """A file without a name, mapped once, that arrays are written to one after the other."""

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._file = tempfile.TemporaryFile(prefix="gconvtool.")  # noqa: SIM115  closed below
        weakref.finalize(self, self._file.close)
        self._file.truncate(size)  # which takes no room on the disk before it is written to
        self._mapped = np.memmap(self._file, np.uint8, "r", shape=(size,))

    def has_room(self, array: NDArray[Any]) -> bool:
        return self._used + array.nbytes <= self._size

    def put(self, array: NDArray[Any]) -> NDArray[Any]:
        start = self._used
        self._file.seek(start)
        np.ascontiguousarray(array).tofile(self._file)
        self._used += -(-array.nbytes // ALIGNED) * ALIGNED
        return self._mapped[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
