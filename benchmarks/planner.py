"""What a search for recipes is worth, against one recipe everywhere.

    python benchmarks/planner.py [FOLDER PHOTOS] [--only NAME …] [--threads T] [--time-budget S]

Without arguments the sample network is searched; FOLDER and PHOTOS are those of
benchmarks/networks.py and add its networks, and where FOLDER holds denoiser.onnx that of
benchmarks/denoiser.py. For each a Markdown table: first uniform recipes (`gconvtool.convert`), then
searches within several limits, each of which times all kernels anew.
Loss and SNR are those of test samples that no search has seen: points of top-1, of the denoiser
decibels of PSNR, against photos without noise, and of the super-resolution network too, against
its outputs with noise of 34.2 dB. Speed-up is at batch 1 on T threads (2), with the 95 % interval,
timed by this script for all rows alike. Seconds are those of planning and converting, of a process
that has the machine as others leave it. The bars come last, held or missed:

    the sample network is 2x as fast or faster within 1 point of top-1
    no uniform recipe is both faster and better than a search, by more than the intervals' widths
    of the denoiser, searches are faster than a line through 1.8x at 0.9 dB and 2.2x at 1.4 dB
    times that were predicted are within 15 % of those measured
    a search takes 5 minutes or less, but for the denoiser, which has 14 GMACs
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from networks import chords, pages, small_pictures
from numpy.typing import NDArray

import gconvtool
from gconvtool.errors import GconvError
from gconvtool.goals import goal
from gconvtool.notation import parse
from gconvtool.results import Conversion, Drift, Interval
from gconvtool.runtime.session import Session

Array = NDArray[Any]
Photos = Mapping[str, NDArray[np.uint8]]
SAMPLES = Path(__file__).parent.parent / "sample_models"
PARTS = ("calib", "test")
SIGMA = 25 / 255
MISSED_DB = 34.2
"""The PSNR that a denoiser reaches, for one."""
MOST_SECONDS, MOST_OFF, FASTER, POINTS = 300.0, 0.15, 2.0, 1.0
LINE = ((0.9, 1.8), (1.4, 2.2))
"""What uniform recipes reached on such a denoiser at first: dB lost, and how many times faster."""
UNIFORM = (
    "groups=2",
    "groups=4",
    "separable:rank=1",
    "separable:rank=2",
    "separable:rank=3",
    "separable:rank=1,order=pw-dw",
    "separable:rank=2,order=pw-dw",
    "separable:rank=3,order=pw-dw",
    "bottleneck:groups=4,width=16",
)


@dataclass(frozen=True)
class Case:
    """A network, its data, and the limits to search within."""

    name: str
    file: str
    data: Callable[[Photos, str, Path], Mapping[str, Array]]
    samples: int
    limits: tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class Row:
    """A conversion, judged and timed; `failure` says why there is none."""

    what: str
    loss: float | None = None
    snr_db: float | None = None
    macs: float | None = None
    speedup: Interval | None = None
    predicted: float | None = None
    seconds: float | None = None
    failure: str | None = None


def enlarged(photos: Photos, part: str, model: Path) -> Mapping[str, Array]:
    """A quarter of each photo, so that no two are of one scene, and outputs of the original with
    noise in them: what a network would be judged by that misses by that much, and not in the
    directions that a conversion does."""
    pictures = small_pictures(photos, part)[: len(photos[part])]
    (output,) = Session(model).run({"data": pictures}).values()
    noise = np.random.default_rng(PARTS.index(part)).standard_normal(output.shape)
    scale = np.ptp(output) * 10 ** (-MISSED_DB / 20)
    return {"data": pictures, "target": (output + scale * noise).astype(np.float32)}


def noisy(photos: Photos, part: str, _: Path) -> Mapping[str, Array]:
    """Photos in the noise that the denoiser was trained for, and without it."""
    clean = photos[part].astype(np.float32) / 255
    noise = np.random.default_rng(PARTS.index(part)).standard_normal(clean.shape)
    return {"noisy": (clean + SIGMA * noise).astype(np.float32), "target": clean}


def detected(photos: Photos, part: str, _: Path) -> Mapping[str, Array]:
    return {"x": pages(photos, part)}


def heard(photos: Photos, part: str, _: Path) -> Mapping[str, Array]:
    return {"serving_default_input_2:0": chords(photos, part)}


def dressed(_: Photos, part: str, model: Path) -> Mapping[str, Array]:
    """Of the calibration images 256, without labels."""
    every = dict(np.load(SAMPLES / f"fashion_{part}.npz"))
    return {name: array[:256] if part == "calib" else array for name, array in every.items()}


CASES = (
    Case(
        "fashion",
        str(SAMPLES / "fashion_resnet.onnx"),
        dressed,
        256,
        tuple({"max_drop": drop} for drop in ("0.5%", "1%", "2%", "4%")),
    ),
    Case(
        "super-resolution",
        "realesr-animevideov3-x2.onnx",
        enlarged,
        64,
        tuple({"max_drop": drop} for drop in ("0.5dB", "1dB", "2dB")),
    ),
    Case(
        "denoiser",
        "denoiser.onnx",
        noisy,
        64,
        tuple({"max_drop": drop} for drop in ("0.5dB", "1dB", "2dB")),
    ),
    Case(
        "text detection",
        "PP-OCRv6_det_small.onnx",
        detected,
        256,
        tuple({"min_snr": ratio} for ratio in ("20dB", "12dB")),
    ),
    Case(
        "pitch detection",
        "basic_pitch_nmp.onnx",
        heard,
        64,
        tuple({"min_snr": ratio} for ratio in ("20dB", "12dB")),
    ),
)


def rows(case: Case, folder: Path, photos: Photos, threads: int, budget: float) -> Iterator[Row]:
    model = folder / case.file
    with tempfile.TemporaryDirectory() as place:
        for part in PARTS:
            arrays: dict[str, Any] = {**case.data(photos, part, model)}
            np.savez(Path(place) / f"{part}.npz", **arrays)
        output = Path(place) / "out.onnx"
        common = {
            "data": f"{place}/calib.npz",
            "test_data": f"{place}/test.npz",
            "samples": case.samples,
            "threads": threads,
            "force": True,
        }
        wanted: list[tuple[str, dict[str, Any]]] = [
            *((recipe, {"recipe": parse(recipe)}) for recipe in UNIFORM),
            *(
                (" ".join(f"{k} {v}" for k, v in limit.items()), {"goal": goal(**limit)})
                for limit in case.limits
            ),
        ]
        for what, options in wanted:
            yield row(what, model, output, budget, {**common, **options})


def row(what: str, model: Path, output: Path, budget: float, options: dict[str, Any]) -> Row:
    start = time.perf_counter()
    try:
        made = gconvtool.convert(model, output, remember=False, allow_over=True, **options)
    except GconvError as error:
        return Row(what, failure=str(error))
    seconds = time.perf_counter() - start
    raced = gconvtool.bench(
        model,
        output,
        data=options["test_data"],
        threads=options["threads"],
        time_budget_s=budget,
    ).judgement.speedup
    return Row(
        what,
        _loss(made.drift[0]),
        min((d.snr_db for d in made.drift if d.snr_db is not None), default=None),
        made.after.macs / made.before.macs,
        raced,
        _predicted(made),
        seconds,
    )


def _loss(drift: Drift) -> float | None:
    """Points of top-1, or decibels of PSNR."""
    if drift.accuracy_before is not None and drift.accuracy_after is not None:
        return 100 * (drift.accuracy_before - drift.accuracy_after)
    if drift.psnr_before is not None and drift.psnr_after is not None:
        return drift.psnr_before - drift.psnr_after
    return None


def _predicted(made: Conversion) -> float | None:
    """The predicted time of the whole over the measured one, of a search."""
    found = made.planning
    if found is None or found.race is None or found.predicted_ms is None:
        return None
    return found.predicted_ms / found.race.after_ms


def line(row: Row) -> str:
    if row.failure:
        return f"| {row.what} | {row.failure} |"
    speed = row.speedup
    cells = (
        row.what,
        "" if row.loss is None else f"{row.loss:.2f}",
        "" if row.snr_db is None else f"{row.snr_db:.1f}",
        "" if row.macs is None else f"{row.macs:.2f}",
        "" if speed is None else f"{speed.estimate:.2f}x ({speed.low:.2f}–{speed.high:.2f})",
        "" if row.predicted is None else f"{row.predicted:.2f}",
        "" if row.seconds is None else f"{row.seconds:.0f} s",
    )
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| recipes | lost | SNR, dB | MACs | faster | predicted/measured | took |\n" + 7 * "|---" + "|"
)


def bars(case: Case, made: Sequence[Row]) -> Iterator[str]:
    searched = [row for row in made if row.predicted is not None]
    uniform = [row for row in made if row.what in UNIFORM and not row.failure]
    for row in searched:
        assert row.predicted is not None
        assert row.seconds is not None
        off = abs(row.predicted - 1)
        yield f"{_verdict(off <= MOST_OFF)}: {case.name}, {row.what}: predicted {off:.0%} off"
        if case.name != "denoiser":
            in_time = row.seconds <= MOST_SECONDS
            yield f"{_verdict(in_time)}: {case.name}, {row.what}: took {row.seconds:.0f} s"
        better = [other.what for other in uniform if _beats(other, row)]
        said = f"beaten by {', '.join(better)}" if better else "no uniform recipe beats it"
        yield f"{_verdict(not better)}: {case.name}, {row.what}: {said}"
        if case.name == "denoiser" and row.loss is not None and row.speedup is not None:
            least = _on_line(row.loss)
            told = f"{row.speedup.estimate:.2f}x at {row.loss:.2f} dB (line {least:.2f}x)"
            yield f"{_verdict(row.speedup.low > least)}: {case.name}, {row.what}: {told}"
    if case.name == "fashion":
        reached = max((r.speedup.estimate for r in searched if _gentle(r) and r.speedup), default=1)
        yield (
            f"{_verdict(reached >= FASTER)}: fashion: {reached:.2f}x within {POINTS:g} point "
            f"(bar {FASTER:g}x)"
        )


def _on_line(lost: float) -> float:
    """How fast the first uniform recipes were for such a loss."""
    (l0, s0), (l1, s1) = LINE
    return s0 + (lost - l0) * (s1 - s0) / (l1 - l0)


def _gentle(row: Row) -> bool:
    return row.loss is not None and row.loss <= POINTS


def _beats(uniform: Row, searched: Row) -> bool:
    """Certainly faster, and nearer to the original."""
    if uniform.speedup is None or searched.speedup is None:
        return False
    nearer = (uniform.snr_db or 0) > (searched.snr_db or 0)
    less = uniform.loss is None or searched.loss is None or uniform.loss <= searched.loss
    return uniform.speedup.low > searched.speedup.high and nearer and less


def _verdict(held: bool) -> str:
    return "held" if held else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("photos", type=Path, nargs="?")
    names = [case.name for case in CASES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--time-budget", type=float, default=10.0)
    said = parser.parse_args()
    photos: Photos = dict(np.load(said.photos)) if said.photos else {}
    folder, judged = said.folder or Path(), list[str]()
    for case in CASES:
        if case.name not in said.only or not (folder / case.file).is_file():
            continue
        print(
            f"\n{case.name}, {case.samples} samples, {said.threads} threads\n\n{HEAD}", flush=True
        )
        made = []
        for one in rows(case, folder, photos, said.threads, said.time_budget):
            made.append(one)
            print(line(one), flush=True)
        judged += bars(case, made)
    print("", *judged, sep="\n")


if __name__ == "__main__":
    main()
