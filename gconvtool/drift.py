"""How far model B is from model A: both run on the same inputs, and their outputs compared.

Sums are kept over batches, never the outputs themselves:

    relative error  ‖b − a‖ / ‖a‖, 0 where both are zero
    SNR             −20·log10(relative error), in dB
    cosine          ⟨a, b⟩ / (‖a‖·‖b‖)
    PSNR            10·log10(range² / mean((output − target)²)), range = max − min of the target
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconvtool.errors import InputError, VerificationError
from gconvtool.results import Drift

Outputs = Mapping[str, Any]
Run = Callable[[Mapping[str, NDArray[Any]]], Outputs]


@dataclass(frozen=True)
class Reference:
    """What the first output should be: class numbers, or values of its shape."""

    source: str = "data"
    labels: NDArray[Any] | None = None
    target: NDArray[Any] | None = None


def compare(
    run_a: Run,
    run_b: Run,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    reference: Reference = Reference(),
) -> tuple[Drift, ...]:
    """The drift of every output that both models have, A's order.

    Args:
        run_a: feeds → outputs by name, samples along the first axis.
        run_b: the same for the other model.
        batches: feeds; references lie in the same order.
        reference: judged on the first output.

    Raises:
        InputError: the models' outputs do not match, or A's are not finite.
        VerificationError: B's outputs are not finite where A's are.
    """
    sums: dict[str, _Sums] = {}
    start = 0
    for feeds in batches:
        a, b = run_a(feeds), run_b(feeds)
        size = len(next(iter(feeds.values())))
        rows = slice(start, start + size)
        start += size
        for index, name in enumerate(_common(a, b)):
            part = sums.setdefault(name, _Sums(name))
            part.add(a[name], b[name])
            if index == 0:
                part.refer(a[name], b[name], reference, rows)
    return tuple(part.drift() for part in sums.values())


def _common(a: Outputs, b: Outputs) -> list[str]:
    names = [name for name in a if name in b and isinstance(a[name], np.ndarray)]
    names = [name for name in names if a[name].dtype.kind in "biuf"]
    if not names:
        raise InputError(
            f"the models have no output in common: A has {', '.join(a)}; B has {', '.join(b)}"
        )
    for name in names:
        if a[name].shape != b[name].shape:
            raise InputError(
                f"output {name} is {a[name].shape} in A and {b[name].shape} in B: "
                "the models do not do the same job"
            )
    return names


@dataclass
class _Sums:
    """Running sums of one output."""

    output: str
    samples: int = 0
    aa: float = 0.0
    bb: float = 0.0
    ab: float = 0.0
    miss: float = 0.0
    agreed: int | None = None
    right_a: int | None = None
    right_b: int | None = None
    psnr: tuple[float, float, int, float, float] | None = None

    def add(self, a: NDArray[Any], b: NDArray[Any]) -> None:
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if not np.isfinite(a).all():
            raise InputError(f"output {self.output} of model A is not finite on these inputs")
        if not np.isfinite(b).all():
            raise VerificationError(f"output {self.output} of model B is not finite, A's is")
        self.samples += len(a) if a.ndim else 1
        self.aa += float(np.vdot(a, a))
        self.bb += float(np.vdot(b, b))
        self.ab += float(np.vdot(a, b))
        self.miss += float(np.square(b - a).sum())
        if _is_classes(a):
            self.agreed = (self.agreed or 0) + int((a.argmax(1) == b.argmax(1)).sum())

    def refer(self, a: NDArray[Any], b: NDArray[Any], to: Reference, rows: slice) -> None:
        """Count against labels and target."""
        if to.labels is not None and _is_classes(a):
            labels = to.labels[rows]
            if labels.max() >= a.shape[1]:
                raise InputError(
                    f"{to.source}: labels up to {labels.max()}, but output {self.output} has "
                    f"{a.shape[1]} classes"
                )
            self.right_a = (self.right_a or 0) + int((a.argmax(1) == labels).sum())
            self.right_b = (self.right_b or 0) + int((b.argmax(1) == labels).sum())
        if to.target is not None:
            target = np.asarray(to.target[rows], np.float64)
            if target.shape != a.shape:
                raise InputError(
                    f"{to.source}: target is {target.shape}, output {self.output} is {a.shape}"
                )
            missed_a, missed_b = (float(np.square(out - target).sum()) for out in (a, b))
            old = self.psnr or (0.0, 0.0, 0, math.inf, -math.inf)
            self.psnr = (
                old[0] + missed_a,
                old[1] + missed_b,
                old[2] + target.size,
                min(old[3], float(target.min())),
                max(old[4], float(target.max())),
            )

    def drift(self) -> Drift:
        relative = math.sqrt(self.miss / self.aa) if self.aa else None if self.miss else 0.0
        norms = math.sqrt(self.aa * self.bb)
        return Drift(
            output=self.output,
            samples=self.samples,
            relative_error=relative,
            snr_db=-20 * math.log10(relative) if relative else None,
            cosine=self.ab / norms if norms else None,
            top1_agreement=_share(self.agreed, self.samples),
            accuracy_before=_share(self.right_a, self.samples),
            accuracy_after=_share(self.right_b, self.samples),
            psnr_before=self._psnr(0),
            psnr_after=self._psnr(1),
        )

    def _psnr(self, which: int) -> float | None:
        if self.psnr is None:
            return None
        missed, count, low, high = self.psnr[which], *self.psnr[2:]
        if not missed or high <= low:
            return None
        return 10 * math.log10((high - low) ** 2 * count / missed)


def _is_classes(output: NDArray[Any]) -> bool:
    """Samples × classes: the shape of a classifier's scores."""
    return output.ndim == 2 and output.shape[1] > 1


def _share(part: int | None, whole: int) -> float | None:
    return None if part is None or not whole else part / whole
