"""Arrays kept in memory up to a budget, and beyond it in temporary files that vanish with them.

A file is mapped, so that an array on it is used like any other; it has no name (or is deleted when
it is closed), so that nothing is left behind, whatever ends the process.
"""

from __future__ import annotations

import tempfile
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconvtool.errors import MissingError


class Shelf:
    """Takes arrays and gives them back, somewhere else perhaps. Counts what is alive."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held: dict[int, int] = {}

    @property
    def in_memory(self) -> int:
        """Bytes of the arrays that were put here, are still used, and are not on the disk."""
        return sum(self._held.values())

    def put(self, array: NDArray[Any]) -> NDArray[Any]:
        """The same numbers, in memory where they fit.

        Raises:
            MissingError: the disk is full.
        """
        if self.in_memory + array.nbytes > self._budget and array.nbytes:
            return _on_disk(array)
        key = id(array)
        self._held[key] = array.nbytes
        weakref.finalize(array, self._held.pop, key, None)
        return array


def _on_disk(array: NDArray[Any]) -> NDArray[Any]:
    try:
        with tempfile.TemporaryFile(prefix="gconvtool.") as file:
            np.ascontiguousarray(array).tofile(file)
            return np.memmap(file, array.dtype, "r", shape=array.shape)
    except OSError as error:
        raise MissingError(
            f"{tempfile.gettempdir()}: no room for activations ({error.strerror or error}); "
            "raise --max-memory, give fewer --samples, or name another folder in TMPDIR"
        ) from error
