"""How far model B is from model A: both run on the same inputs, and their outputs compared.

Sums are kept over batches, never the outputs themselves:

    relative error  ‖b − a‖ / ‖a‖, 0 where both are zero
    SNR             −20·log10(relative error), in dB
    cosine          ⟨a, b⟩ / (‖a‖·‖b‖)
    PSNR            10·log10(range² / mean((output − target)²)), range = max − min of the target
    top-5           A's largest class is among B's five largest; a tie counts for it

Quantiles of |b − a| come from counts: an error x falls into the bucket i = ⌈log_γ x⌉, γ = 1.02, and
all of a bucket is told as 2·γ^i / (γ + 1), which is within 1 % of every x in it (the DDSketch of
Masson, Rim and Lee, 2019). Counts are whole numbers, so that the answer is the same for any order
of samples and any size of batches, and double precision has room for 75,000 buckets at most.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconvtool.errors import InputError, VerificationError
from gconvtool.results import Drift

Outputs = Mapping[str, Any]
Run = Callable[[Mapping[str, NDArray[Any]]], Outputs]

GAMMA = 1.02
"""The width of a bucket of errors, as a factor."""
AMONG = 5
"""A class is looked for among so many."""


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
        size = next((len(array) for array in feeds.values() if array.ndim), 1)
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
class _Errors:
    """|b − a| of one output, counted in buckets."""

    values: int = 0
    total: float = 0.0
    most: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, errors: NDArray[np.float64]) -> None:
        self.values += errors.size
        self.total += float(errors.sum())
        self.most = max(self.most, float(errors.max(initial=0.0)))
        found = errors[errors > 0]
        if found.size:
            indices = np.ceil(np.log(found) / math.log(GAMMA)).astype(np.int64)
            first = int(indices.min())
            counts = np.bincount(indices - first)
            self.buckets.update({first + int(i): int(counts[i]) for i in np.flatnonzero(counts)})

    @property
    def mean(self) -> float | None:
        return self.total / self.values if self.values else None

    def quantile(self, share: float) -> float | None:
        """The least error that so large a share of all values does not exceed."""
        if not self.values:
            return None
        left = math.ceil(share * self.values) - (self.values - self.buckets.total())
        for index in sorted(self.buckets) if left > 0 else ():
            left -= self.buckets[index]
            if left <= 0:
                return min(self.most, 2 * GAMMA**index / (GAMMA + 1))
        return 0.0


@dataclass
class _Sums:
    """Running sums of one output."""

    output: str
    samples: int = 0
    aa: float = 0.0
    bb: float = 0.0
    ab: float = 0.0
    miss: float = 0.0
    errors: _Errors = field(default_factory=_Errors)
    agreed: int | None = None
    among: int | None = None
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
        self.errors.add(np.abs(b - a))
        if _is_classes(a):
            self.agreed = (self.agreed or 0) + int((a.argmax(1) == b.argmax(1)).sum())
        if _is_classes(a) and a.shape[1] > AMONG:
            self.among = (self.among or 0) + int(_among(b, a.argmax(1)).sum())

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
            max_abs=self.errors.most if self.errors.values else None,
            mean_abs=self.errors.mean,
            p50_abs=self.errors.quantile(0.5),
            p90_abs=self.errors.quantile(0.9),
            p99_abs=self.errors.quantile(0.99),
            top5_agreement=_share(self.among, self.samples),
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


def _among(scores: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether fewer than AMONG classes score higher than the named one, sample by sample."""
    named = np.take_along_axis(scores, classes[:, None], 1)
    found: NDArray[np.bool_] = (scores > named).sum(1) < AMONG
    return found


def _share(part: int | None, whole: int) -> float | None:
    return None if part is None or not whole else part / whole
