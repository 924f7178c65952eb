"""Steps of equal worth: gradient descent in coordinates where all unknowns weigh the same.

A filter's weights W act on patches x that are correlated and of any size. With L·Lᵀ = Cxx + λI
(Cholesky, the patches of its group) and s the spread of what each filter puts out, write

    W = W₀ + s·V·L⁻¹          ∂L/∂V = s·∂L/∂W·L⁻ᵀ

so that a step of 0.001 in any entry of V moves its output by about a thousandth of its spread,
whatever the layer. On V go Adam's steps (Kingma and Ba, 2015), which grow over the first fifth
and then sink to nothing along a cosine: the start is a good fit, and must not be shaken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import cos, pi

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Floats = NDArray[np.floating]

RIDGE = 0.1
"""λ as a share of the patches' mean variance: directions weaker than that are not stretched."""
WIDEST = 2304
"""Unknowns of a filter beyond which only their sizes are evened out, not their correlations."""
WARM_UP = 0.2
FIRST, SECOND = 0.9, 0.99
"""How slowly Adam forgets gradients, and their squares."""
TINY = 1e-8


@dataclass(frozen=True)
class Coordinates:
    """A convolution's unknowns: `whitening` is L⁻¹, G × D × D; `spread` is s, a number a filter."""

    whitening: Floats
    spread: Floats

    @classmethod
    def of(cls, patches: Floats, outputs: Floats, groups: int) -> Coordinates:
        """From rows of patches (n × G·D) and of the outputs there (n × N)."""
        split = patches.reshape(len(patches), groups, -1).swapaxes(0, 1)
        whitening = np.stack([_whitening(part) for part in split]).astype(np.float32)
        spread = outputs.std(0)
        return cls(whitening, np.maximum(spread, 1e-3 * spread.max()).astype(np.float32))

    def weight(self, v: Floats) -> Floats:
        """s·V·L⁻¹, N × D, of V, N × D."""
        made = v.reshape(len(self.whitening), -1, v.shape[1]) @ self.whitening
        return np.asarray(made.reshape(v.shape) * self.spread[:, None])

    def gradient(self, g: Floats) -> Floats:
        """∂L/∂V of ∂L/∂W, both N × D."""
        scaled = (g * self.spread[:, None]).reshape(len(self.whitening), -1, g.shape[1])
        return np.asarray((scaled @ self.whitening.swapaxes(1, 2)).reshape(g.shape))


def pace(step: int, steps: int) -> float:
    """The share of the largest step that this one may take: up from little, then down to none."""
    rising = min((step + 1) / max(1, round(WARM_UP * steps)), 1.0)
    return rising * (1 + cos(pi * step / steps)) / 2


@dataclass
class Adam:
    """Where some arrays have got to, from zero on."""

    position: list[Floats]
    taken: int = 0
    _mean: list[Floats] = field(init=False)
    _square: list[Floats] = field(init=False)

    def __post_init__(self) -> None:
        self._mean = [np.zeros_like(p) for p in self.position]
        self._square = [np.zeros_like(p) for p in self.position]

    def step(self, gradients: Sequence[Floats], size: float) -> None:
        """Move every number by about `size`, downhill."""
        self.taken += 1
        fresh = 1 - FIRST**self.taken, 1 - SECOND**self.taken
        moves = zip(self.position, self._mean, self._square, gradients, strict=True)
        for position, mean, square, g in moves:
            mean[...] += (1 - FIRST) * (g - mean)
            square[...] += (1 - SECOND) * (np.square(g) - square)
            position[...] -= size * (mean / fresh[0]) / (np.sqrt(square / fresh[1]) + TINY)


def _whitening(patches: Floats) -> Floats:
    """L⁻¹ of n × D patches."""
    centred = np.asarray(patches - patches.mean(0), np.float64)
    size = centred.shape[1]
    ridge = RIDGE * np.square(centred).mean() or 1.0  # patches that never change: V is W
    if size > WIDEST:
        return np.diag(1 / np.sqrt(np.square(centred).mean(0) + ridge))
    covariance = centred.T @ centred / len(centred)
    covariance[np.diag_indices(size)] += ridge
    return solve_triangular(np.linalg.cholesky(covariance), np.eye(size), lower=True)
