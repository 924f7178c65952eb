"""What a model is fed: arrays with samples along the first axis, from files, a reader or a seed.

An input that is a scalar (a sample rate, a flag) has one number, which holds for all samples.

A data source is an .npz whose arrays are named after the model's inputs (with optional `labels` and
`target`), an .npy for a model of one input, a folder of either, a folder of images, or
`module:object` with onnxruntime's CalibrationDataReader protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gconvtool.errors import InputError, MissingError
from gconvtool.facts import Input, describe_shape
from gconvtool.runtime import foreign

Arrays = dict[str, NDArray[Any]]
EXTRAS = ("labels", "target")
IMAGES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp"))


@dataclass(frozen=True)
class ImageOptions:
    """How pixels become numbers: (pixel · scale − mean) / std, a channel each; pixels are 0…255."""

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str | None = None


@dataclass(frozen=True)
class Batch:
    """How many samples a run takes, and whether the model insists on that number."""

    samples: int
    fixed: bool = False


def count(feeds: Mapping[str, NDArray[Any]]) -> int:
    """How many samples there are in feeds; scalars alone are one."""
    return next((len(array) for array in feeds.values() if array.ndim), 1)


def shapes(feeds: Mapping[str, NDArray[Any]], samples: int) -> dict[str, tuple[int, ...]]:
    """The shapes of feeds, had they so many samples."""
    return {
        name: (samples, *array.shape[1:]) if array.ndim else () for name, array in feeds.items()
    }


@dataclass(frozen=True)
class Data:
    """Samples for every input; `labels` are class numbers, `target` is shaped like an output."""

    source: str
    feeds: Arrays
    labels: NDArray[Any] | None = None
    target: NDArray[Any] | None = None

    def __len__(self) -> int:
        return count(self.feeds)

    @property
    def sampled(self) -> list[NDArray[Any]]:
        """The arrays that have samples."""
        return [array for array in self.feeds.values() if array.ndim]

    def take(self, rows: NDArray[np.intp] | slice) -> Data:
        """Some of the samples."""
        return Data(
            self.source,
            self._feeds(rows),
            None if self.labels is None else self.labels[rows],
            None if self.target is None else self.target[rows],
        )

    def batches(self, size: Batch) -> Iterator[Arrays]:
        """Feeds of a batch each; a last one that is short is left out where the size is fixed."""
        stop = len(self) - len(self) % size.samples if size.fixed else len(self)
        for start in range(0, stop, size.samples):
            yield self._feeds(slice(start, min(start + size.samples, stop)))

    def _feeds(self, rows: NDArray[np.intp] | slice) -> Arrays:
        return {name: array[rows] if array.ndim else array for name, array in self.feeds.items()}


@dataclass(frozen=True)
class Split:
    """Samples to fit to and samples to judge by, which are never the same."""

    fit: Data
    held_out: Data
    unused: Data


def split(data: Data, samples: int, seed: int, size: Batch = Batch(1)) -> Split:
    """Draw `samples`, hold a fifth of them out, in whole batches; the rest is unused.

    Raises:
        InputError: too few to fit to some and to judge by others.
    """
    least = size.samples if size.fixed else 1
    if min(samples, len(data)) < 2 * least:
        raise InputError(
            f"{data.source}: fitting and judging need {2 * least} samples at least, "
            f"{least} each, and better 256"
        )
    order = np.random.default_rng(seed).permutation(len(data))
    drawn, rest = order[:samples], order[samples:]
    held = max(1, len(drawn) // 5 // least) * least
    return Split(*(data.take(np.sort(rows)) for rows in (drawn[held:], drawn[:held], rest)))


def batch(inputs: Sequence[Input], wanted: int) -> Batch:
    """The batch that a model insists on, or the wanted one if it takes any."""
    sizes = [i.shape[0] for i in inputs if i.shape and isinstance(i.shape[0], int)]
    return Batch(max(sizes), fixed=True) if sizes else Batch(wanted)


def load(source: str, inputs: Sequence[Input], images: ImageOptions = ImageOptions()) -> Data:
    """Read a data source and fit it to a model's inputs.

    Raises:
        InputError: it is not there, is not what it should be, or does not fit the model.
    """
    if not inputs:
        raise InputError(f"{source}: the model has no inputs to feed")
    arrays = _read(source, inputs, images)
    _check_names(source, arrays, inputs)
    feeds = {i.name: _fitted(source, arrays[i.name], i) for i in inputs}
    sampled = {**arrays, **feeds}.items()
    counts = {name: len(array) for name, array in sampled if array.ndim}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise InputError(f"{source}: arrays of different numbers of samples: {listed}")
    if 0 in counts.values():
        raise InputError(f"{source}: no samples in it")
    extras = {name: arrays[name] for name in EXTRAS if name in arrays and name not in feeds}
    return Data(source, feeds, _labels(source, extras.get("labels")), _target(source, extras))


def random(inputs: Sequence[Input], dims: Mapping[str, int], samples: int, seed: int) -> Data:
    """Standard normal floats, and whole numbers that most models take; never good for fitting.

    Bytes are most often pixels or quantised values and take all that there are. Wider whole numbers
    are indices, masks and counts, of which nobody knows how large they may be: 0 or 1, like truth.
    One that is a scalar is 1: a flag that is set, a loop of one trip.

    Raises:
        InputError: an input has an open dimension that `dims` does not fix, or is too large.
    """
    if not inputs:
        raise InputError("the model has no inputs: it gives the same output always")
    rng = np.random.default_rng(seed)
    feeds: Arrays = {}
    for i in inputs:
        shape = _sized(i, dims)
        try:
            feeds[i.name] = _drawn(np.dtype(i.dtype), (samples, *shape) if i.shape else (), rng)
        except (MemoryError, ValueError) as error:
            size = describe_shape(shape)
            raise InputError(f"input {i.name}: there is no room for samples of {size}") from error
    return Data("random inputs", feeds)


def _drawn(dtype: np.dtype[Any], shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    if np.issubdtype(dtype, np.floating):
        return np.asarray(rng.standard_normal(shape), dtype)
    if shape == ():
        return np.ones(shape, dtype)
    if np.issubdtype(dtype, np.integer) and dtype.itemsize == 1:
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return rng.integers(0, 2, shape).astype(dtype)


def _sized(i: Input, dims: Mapping[str, int]) -> tuple[int, ...]:
    if i.shape is None:
        raise InputError(f"input {i.name}: its shape is not known; give --data or --input-shape")
    sizes = [dims.get(dim) if isinstance(dim, str) else dim for dim in i.shape[1:]]
    for axis, size in enumerate(sizes, 1):
        if size is None:
            dim = i.shape[axis] or f"{i.name}_{axis}"
            raise InputError(f"input {i.name} leaves {dim} open; give --data or --dim {dim}=SIZE")
    return tuple(size for size in sizes if size is not None)


def _read(source: str, inputs: Sequence[Input], images: ImageOptions) -> Arrays:
    path = Path(source)
    if path.is_dir():
        return _folder(path, inputs, images)
    if path.exists():
        return _file(path, inputs)
    if ":" in source:
        return _reader(source)
    raise InputError(f"{source}: no such data file or folder")


def _file(path: Path, inputs: Sequence[Input]) -> Arrays:
    if path.suffix not in (".npz", ".npy"):
        raise InputError(f"{path}: data is an .npz, an .npy, a folder of images or module:object")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {_only(path, inputs).name: loaded}
            arrays = {name: loaded[name] for name in loaded.files}
    except InputError:
        raise
    except Exception as error:  # a damaged archive fails in many ways
        raise InputError(f"{path}: not a readable {path.suffix} file of plain arrays") from error
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise InputError(f"{path}: not an .npz: it holds other things than arrays")
    return arrays


def _only(source: object, inputs: Sequence[Input]) -> Input:
    if len(inputs) != 1:
        names = ", ".join(i.name for i in inputs)
        raise InputError(f"{source}: the model has several inputs ({names}); give an .npz")
    return inputs[0]


def _folder(path: Path, inputs: Sequence[Input], images: ImageOptions) -> Arrays:
    files = sorted(path.iterdir())
    arrays = [file for file in files if file.suffix in (".npz", ".npy")]
    if arrays:
        return _joined(path, [_file(file, inputs) for file in arrays])
    pictures = [file for file in files if file.suffix.lower() in IMAGES]
    if not pictures:
        raise InputError(f"{path}: no .npz, .npy or image files in this folder")
    target = _only(path, inputs)
    return {target.name: np.stack(_same_size(path, [_image(p, target, images) for p in pictures]))}


def _joined(source: object, parts: Sequence[Arrays]) -> Arrays:
    names = parts[0].keys()
    if any(part.keys() != names for part in parts):
        raise InputError(f"{source}: its files do not hold the same arrays")
    try:
        return {
            name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in names
        }
    except ValueError as error:
        raise InputError(f"{source}: its files do not fit together: {error}") from error


def _same_size(path: Path, pictures: list[NDArray[Any]]) -> list[NDArray[Any]]:
    if len({picture.shape for picture in pictures}) > 1:
        raise InputError(f"{path}: images of different sizes, and the model does not fix one")
    return pictures


def _image(path: Path, target: Input, options: ImageOptions) -> NDArray[np.float32]:
    """One image as the model wants it, C × H × W or H × W × C."""
    try:
        from PIL import Image  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingError('images need Pillow: pip install "gconvtool[images]"') from error
    height, width, channels, first = _layout(target, options.layout)
    try:
        with Image.open(path) as picture:
            plain = picture.convert("L" if channels == 1 else "RGB")
    except OSError as error:
        raise InputError(f"{path}: not a readable image") from error
    if height and width and plain.size != (width, height):
        plain = plain.resize((width, height), Image.Resampling.BILINEAR)
    for what, numbers in (("mean", options.mean), ("std", options.std)):
        if len(numbers) not in (1, channels):
            raise InputError(f"{len(numbers)} numbers of {what} for {channels} channels")
    pixels = np.asarray(plain, np.float32).reshape(plain.height, plain.width, channels)
    scaled = (pixels * options.scale - np.asarray(options.mean)) / np.asarray(options.std)
    return np.asarray(np.moveaxis(scaled, -1, 0) if first else scaled, np.float32)


def _layout(target: Input, wanted: str | None) -> tuple[int | None, int | None, int, bool]:
    """Height, width (None if open), channels, and whether channels come first."""
    shape = target.shape
    if shape is None or len(shape) != 4:
        raise InputError(
            f"input {target.name} is {describe_shape(shape)}: images need four dimensions"
        )
    first = wanted == "nchw" if wanted else shape[1] in (1, 3)
    channels, sizes = (shape[1], shape[2:]) if first else (shape[3], shape[1:3])
    if channels not in (1, 3):
        raise InputError(
            f"input {target.name} is {describe_shape(shape)}: no axis of 1 or 3 channels; "
            "give --layout"
        )
    height, width = (size if isinstance(size, int) else None for size in sizes)
    assert isinstance(channels, int)
    return height, width, channels, first


def _reader(source: str) -> Arrays:
    """All that a CalibrationDataReader gives: dicts of arrays until None."""
    with foreign.code(source):
        found = foreign.found(source, "module:object, an object with get_next()")
        parts = _drained(source, found() if callable(found) else found)
    if not parts:
        raise InputError(f"{source}: get_next() gave nothing")
    return _joined(source, parts)


def _drained(source: str, reader: Any) -> list[Arrays]:
    parts = []
    while (part := reader.get_next()) is not None:
        if not isinstance(part, Mapping):
            raise InputError(f"{source}: get_next() gave no dict of arrays by input name")
        parts.append({key: _plain(source, key, value) for key, value in part.items()})
    return parts


def _plain(source: str, name: str, value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise InputError(f"{source}: {name} is no array: {error}") from error


def _check_names(source: str, arrays: Arrays, inputs: Sequence[Input]) -> None:
    names, scalars = [i.name for i in inputs], {i.name for i in inputs if i.shape == ()}
    found = ", ".join(arrays) or "nothing"
    for name in names:
        if name not in arrays:
            raise InputError(f"{source}: no array for the model's input {name}; it holds {found}")
    for name in arrays:
        if name not in names and name not in EXTRAS:
            raise InputError(
                f"{source}: array {name} is no input of the model ({', '.join(names)}), "
                "nor labels or target"
            )
        if arrays[name].ndim == 0 and name not in scalars:
            raise InputError(f"{source}: array {name} is a single number, not samples")


def _fitted(source: str, array: NDArray[Any], i: Input) -> NDArray[Any]:
    """The array in the input's type, if its shape fits; one number for a scalar."""
    if i.shape == ():
        array = _one_number(source, array, i)
    elif i.shape is not None:
        fits = array.ndim == len(i.shape) and all(
            not isinstance(want, int) or want == have
            for want, have in zip(i.shape[1:], array.shape[1:], strict=True)
        )
        if not fits:
            want = describe_shape(("N", *i.shape[1:]) if i.shape else i.shape)
            have = describe_shape(array.shape)
            raise InputError(f"{source}: {i.name} is {have}, the model's input is {want}")
    dtype = np.dtype(i.dtype)
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and dtype.kind != "f"):
        raise InputError(f"{source}: {i.name} holds {array.dtype}, the model's input is {i.dtype}")
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        raise InputError(
            f"{source}: {i.name} holds NaN or infinite numbers, first in sample "
            f"{finite.reshape(len(finite), -1).all(axis=1).argmin()} (counted from 0); "
            "leave such samples out"
        )
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    kept = np.isfinite(cast).all() if dtype.kind == "f" else np.array_equal(cast, array)
    if not kept:
        raise InputError(f"{source}: {i.name} holds numbers that do not fit into {i.dtype}")
    return cast


def _one_number(source: str, array: NDArray[Any], i: Input) -> NDArray[Any]:
    if array.size == 0 or (array != array.flat[0]).any():
        raise InputError(
            f"{source}: {i.name} is {describe_shape(array.shape)} and the model's input a scalar, "
            "which is one number for all samples; make a file for each number"
        )
    return np.asarray(array.flat[0])


def _labels(source: str, labels: NDArray[Any] | None) -> NDArray[Any] | None:
    if labels is None:
        return None
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        found = f"{labels.dtype} {describe_shape(labels.shape)}"
        raise InputError(f"{source}: labels are one class number a sample, not {found}")
    if labels.min() < 0:
        raise InputError(f"{source}: labels are class numbers from 0 on, {labels.min()} is none")
    return labels


def _target(source: str, extras: Arrays) -> NDArray[Any] | None:
    target = extras.get("target")
    if target is not None and (target.dtype.kind not in "biuf" or not np.isfinite(target).all()):
        raise InputError(f"{source}: target holds other things than finite numbers")
    return target
