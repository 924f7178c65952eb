"""What a result was made of, as a digest: the same digest, the same result, but for the clock.

Networks count by their bytes and those of their files of weights, samples by their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np

import gconvtool
from gconvtool._version import __version__
from gconvtool.errors import InputError
from gconvtool.graph.load import external_files
from gconvtool.pipeline.ground import Request
from gconvtool.pipeline.source import Network
from gconvtool.runtime.inputs import Data, Split
from gconvtool.runtime.session import version
from gconvtool.timing.machine import cpu_budget, identity

PIECE = 2**24
"""Bytes of a file that are read at once."""


def imprint(request: Request, split: Split, test: Data | None, *said: object) -> str:
    """64 hexadecimal digits for a request, its samples, and whatever else was said.

    Raises:
        InputError: weights cannot be read.
    """
    whole = sha256()
    asked = (request.selection, request.method, request.exact, request.samples, request.seed)
    sizes = (sorted(request.feed.dims.items()), sorted(request.feed.input_shapes.items()))
    place = (identity(), version(), request.provider, request.threads or cpu_budget())
    whole.update(repr((__version__, _tool(), *asked, *sizes, *place, *said)).encode())
    for piece in _network(request.network):
        whole.update(piece)
    for data in (split.fit, split.held_out, test):
        for piece in _samples(data):
            whole.update(piece)
    return whole.hexdigest()


@cache
def _tool() -> str:
    """A digest of this tool itself: what other code made is not what this code would make."""
    whole = sha256()
    for path in sorted(Path(gconvtool.__file__).parent.rglob("*.py")):
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _network(network: Network) -> Iterator[bytes]:
    yield network.packed().content
    for path in sorted(external_files(network.model)):
        yield from _pieces(Path(path))


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _samples(data: Data | None) -> Iterator[bytes]:
    """Every array behind its name, type and shape."""
    if data is None:
        yield b"none"
        return
    for name, array in {**data.feeds, "labels": data.labels, "target": data.target}.items():
        yield repr((name, array is not None and (array.dtype.str, array.shape))).encode()
        if array is not None:
            yield np.ascontiguousarray(array).tobytes()
