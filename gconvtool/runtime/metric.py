"""A function of the user's own that scores outputs, the higher the better.

    def score(outputs: Mapping[str, ndarray], labels: ndarray | None) -> float

Outputs are arrays by name with samples along the first axis, all samples at once; labels are those
of the data, None where there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconvtool.errors import InputError
from gconvtool.limits import Score
from gconvtool.runtime import foreign

WANTED = "module:function, a function of outputs and labels that returns a number"


@dataclass(frozen=True)
class Metric:
    """A function and the name that messages give it."""

    name: str
    function: Score

    @classmethod
    def of(cls, source: str | Score) -> Metric:
        """A function as it is, or as `module:function`.

        Raises:
            InputError: there is none.
        """
        if not isinstance(source, str):
            return cls(getattr(source, "__qualname__", repr(source)), source)
        with foreign.code(source):
            function = foreign.found(source, WANTED)
        if not callable(function):
            raise InputError(f"{source}: it is no function; write {WANTED}")
        return cls(source, function)

    def score(self, outputs: Mapping[str, NDArray[Any]], labels: NDArray[Any] | None) -> float:
        """What it makes of these.

        Raises:
            InputError: it fails, or gives no finite number.
        """
        with foreign.code(self.name):
            made = self.function(outputs, labels)
            single = np.ndim(made) == 0 and not isinstance(made, str | bytes)
            number = float(made) if single else None
        if number is None or not isfinite(number):
            shown = " ".join(repr(made).split())[:60]
            raise InputError(f"{self.name}: it gave {shown}, not a finite number")
        return number
