"""What makes samples doubtful to fit to: that they are the same, blank, or nearly alike.

A fit knows only what its samples show, and their diversity counts for more than their number: 64
times one image are one image. With x the numbers of an input, sample by sample, and m their mean
over samples, the variance about m is what differs from sample to sample. Against the whole,

    share = Var(x - m) / (Var(x - m) + Var(m))

is about 1 for unlike images, whose mean is almost flat, and near 0 for one image with a little
noise on it. Var(m) is taken inside channels, so that their different levels do not count as content
that samples share.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconvtool.runtime.inputs import Data

LEAST_SHARE = 0.05
"""Of the variance, that should differ: photographs have 0.99, pieces of clothing in the middle of
their images 0.68, and one photograph in [0, 1] with noise of 0.03 added 0.02."""
MOST_BLANK = 0.1
"""Of the samples, that may be blank: those do no harm, they only say nothing."""


def doubts(data: Data) -> tuple[str, ...]:
    """A line for each reason to doubt samples that are to be fitted to, and what to do.

    It takes a few readings of the data and no copy of more than a sample.
    """
    return tuple(f"{data.source}: {doubt}" for doubt in _doubts(data))


def _doubts(data: Data) -> Iterator[str]:
    count = len(data)
    blank, distinct = _blank(data), _distinct(data)
    if blank >= MOST_BLANK * count and blank:
        yield (
            f"{blank} of {count} samples hold one number throughout, like an empty image or "
            "silence, and say nothing; give real ones instead"
        )
    if 2 * distinct <= count:
        yield (
            f"only {distinct} distinct among {count} samples: the new weights will suit those and "
            "little else; give 100 or more different ones"
        )
    elif count > 1 and (share := _share(data)) < LEAST_SHARE:
        yield (
            f"the samples are nearly alike: {share:.2%} of their variance differs from one to the "
            "next; give more diverse ones"
        )


def _distinct(data: Data) -> int:
    """Samples that differ in some number of some input."""
    return len({_digest(data, row) for row in range(len(data))})


def _digest(data: Data, row: int) -> bytes:
    digest = blake2b(digest_size=16)
    for array in data.sampled:
        digest.update(array[row].tobytes())
    return digest.digest()


def _blank(data: Data) -> int:
    """Samples that hold one number throughout in every input that could hold several."""
    arrays = [array for array in data.sampled if array[0].size > 1]
    if not arrays:
        return 0
    return sum(all(_flat(array[row]) for array in arrays) for row in range(len(data)))


def _flat(sample: NDArray[Any]) -> bool:
    return bool(sample.min() == sample.max())


def _share(data: Data) -> float:
    """The share of the variance that differs between samples: the largest of all inputs'."""
    shares = [_share_of(array) for array in data.sampled if array.size]
    return max((share for share in shares if share is not None), default=1.0)


def _share_of(array: NDArray[Any]) -> float | None:
    """The same of one input; None where all its numbers are alike.

    Sums are of differences from the first sample, which lose nothing where samples are close to
    each other and far from zero.
    """
    first = array[0].astype(np.float64)
    total, squares = np.zeros_like(first), np.zeros_like(first)
    with np.errstate(over="ignore", invalid="ignore"):
        for sample in array:
            apart = sample - first
            total += apart
            squares += np.square(apart)
        mean = total / len(array)
        between = float((squares / len(array) - np.square(mean)).sum())
        within = float(_inside_channels(first + mean).sum())
        whole = between + within
    return between / whole if whole > 0 else None


def _inside_channels(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances from each channel's own level; without positions all is one channel."""
    channels = mean.reshape(len(mean) if mean.ndim > 1 else 1, -1)
    return np.asarray(np.square(channels - channels.mean(axis=1, keepdims=True)))
