"""Looking into bodies of control flow.

The node that holds a site is run once more, alone, and hands out what the site reads and makes
(`graph.probe`). All trips of a Loop and all slices of a Scan are rows of one batch then; where the
site's branch was not taken there are no rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from gconvtool.errors import InputError
from gconvtool.facts import Skip
from gconvtool.graph.cut import Cutter
from gconvtool.graph.probe import Probe, probe
from gconvtool.runtime.gather import Pair
from gconvtool.runtime.inputs import Arrays
from gconvtool.runtime.session import Session

Array: TypeAlias = NDArray[Any]


def look(
    model: ir.Model,
    cutter: Cutter,
    site: str,
    batches: Sequence[Arrays],
    *,
    made: bool,
    threads: int | None,
) -> list[tuple[Array, ...]] | Skip:
    """What a site inside a body reads, and what it has `made` if wanted, for every batch.

    Batches hold what is alive before the node that holds the site.
    """
    probed = probe(model, site, made=made)
    if isinstance(probed, Skip):
        return probed
    try:
        return _run(probed, cutter, site, batches, threads)
    except InputError as error:  # of trips that differ in their shapes, for one
        return Skip(f"what flows through it cannot be seen: {error}")


def paired(x: Array, y: Array) -> Pair:
    """A batch, without rows where the streams differ in how often the site ran."""
    return (x, y) if len(x) == len(y) else (x[:0], y[:0])


def _run(
    probed: Probe, cutter: Cutter, site: str, batches: Sequence[Arrays], threads: int | None
) -> list[tuple[Array, ...]]:
    piece = cutter.alone(probed.model, site, probed.values)
    assert piece.model is not None, "it makes the values that are handed out"
    session = Session(piece.model, threads=threads, name="its body")
    found = []
    for batch in batches:
        new = session.run({name: batch[name] for name in piece.inputs})
        found.append(tuple(_rows(new[name], probed.rank) for name in probed.values))
    return found


def _rows(array: Array, rank: int) -> Array:
    """What was seen in several trips, as more samples."""
    front = array.ndim - rank + 1
    return np.asarray(array.reshape(prod(array.shape[:front]), *array.shape[front:]))
