"""What the steps of a search found, so that none is taken twice: not within one, and not after an
interruption, since each is a file of its own before the next is begun.

A memo is of one imprint (`imprint`), and a step in it of its key, which says all else that decides
it. Files are arrays and JSON, and nothing in them is ever run. A memo is a convenience: what cannot
be read is done anew, what cannot be written is only held, and the oldest make room for new ones.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from gconvtool import files
from gconvtool.errors import GconvError
from gconvtool.facts import Skip
from gconvtool.fit.grouping import Grouping
from gconvtool.fit.structure import (
    BottleneckFactors,
    GroupedFactors,
    MonarchFactors,
    PointwiseFirstFactors,
    SeparableFactors,
)
from gconvtool.recipes import Bottleneck, Gdc, Grouped, Monarch, Separable
from gconvtool.runtime.cache import files_of, size_bytes

MOST_BYTES = 2**30
"""Of all memos on disk: half of it is for one, half for those before it."""

KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Skip,
        Grouping,
        GroupedFactors,
        SeparableFactors,
        PointwiseFirstFactors,
        BottleneckFactors,
        MonarchFactors,
        Grouped,
        Separable,
        Bottleneck,
        Monarch,
        Gdc,
    )
}
"""Classes that can be kept, by name, and those that are `keepable`; besides them arrays, tuples,
mappings, words and numbers."""

Step = TypeVar("Step")
Kind = TypeVar("Kind", bound=type)


def keepable(kind: Kind) -> Kind:
    """Say of a dataclass that a memo may keep it."""
    KINDS[kind.__name__] = kind
    return kind


class Memo:
    """Steps that are done, by key; of one imprint in a folder, or only held."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is made once there is something to keep, and others beside it may go for it."""
        self._held, self._folder, self._room = dict[object, Any](), folder, MOST_BYTES // 2
        if folder is not None:
            self._room -= size_bytes(files_of(folder))
            _make_room(folder)

    def get(self, key: object) -> Any | None:
        """What a step found, if it was taken."""
        if key not in self._held and (found := self._read(key)) is not None:
            self._held[key] = found
        return self._held.get(key)

    def put(self, key: object, found: Step) -> Step:
        """Keep what a step found, which is not None."""
        self._held[key] = found
        if self._folder is not None and len(content := packed(found)) <= self._room:
            self._room -= len(content)
            with suppress(OSError, GconvError):
                self._folder.mkdir(parents=True, exist_ok=True)
                files.write(content, self._path(self._folder, key))
        return found

    def recall(self, key: object, take: Callable[[], Step]) -> Step:
        """What a step found; it is taken unless that is known."""
        found = self.get(key)
        return self.put(key, take()) if found is None else cast(Step, found)

    def forget(self, key: object) -> None:
        """The step will be taken again."""
        self._held.pop(key, None)
        if self._folder is not None:
            with suppress(OSError):
                self._path(self._folder, key).unlink(missing_ok=True)

    def _read(self, key: object) -> Any | None:
        if self._folder is None:
            return None
        with suppress(Exception):  # a damaged file may fail in any way
            return unpacked(self._path(self._folder, key).read_bytes())
        return None

    @staticmethod
    def _path(folder: Path, key: object) -> Path:
        return folder / f"{sha256(repr(key).encode()).hexdigest()[:32]}.npz"


def packed(thing: object) -> bytes:
    """A thing as the bytes of an .npz.

    Raises:
        TypeError: it holds what cannot be kept.
    """
    arrays = list[NDArray[Any]]()
    tree = np.array(json.dumps(_tree(thing, arrays)))
    content = io.BytesIO()
    np.savez(content, tree, *arrays)
    return content.getvalue()


def unpacked(content: bytes) -> Any:
    """The same again.

    Raises:
        Exception: whatever is wrong with the bytes.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        return _thing(json.loads(str(kept["arr_0"])), kept)


def _tree(thing: object, arrays: list[NDArray[Any]]) -> Any:
    """What JSON can hold of a thing, and its arrays apart."""
    if isinstance(thing, np.ndarray):
        arrays.append(thing)
        return {"array": len(arrays)}  # behind the tree
    if isinstance(thing, tuple):
        return [_tree(part, arrays) for part in thing]
    if isinstance(thing, Mapping):
        return {"pairs": [[_tree(k, arrays), _tree(v, arrays)] for k, v in thing.items()]}
    if (name := type(thing).__name__) in KINDS:
        said = {part.name: _tree(getattr(thing, part.name), arrays) for part in fields(thing)}  # type: ignore[arg-type]
        return {"kind": name, "said": said}
    return thing


def _thing(tree: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    match tree:
        case {"array": number}:
            return arrays[f"arr_{number}"]
        case {"pairs": pairs}:
            return {_thing(key, arrays): _thing(value, arrays) for key, value in pairs}
        case {"kind": name, "said": said}:
            return KINDS[name](**{key: _thing(part, arrays) for key, part in said.items()})
        case list():
            return tuple(_thing(part, arrays) for part in tree)
    return tree


def _make_room(folder: Path) -> None:
    """Delete the memos beside this one that were written to longest ago, as far as there are too
    many."""
    used = 0
    for other in sorted(_others(folder), key=_written_ns, reverse=True):
        used += size_bytes(files_of(other))
        if used > MOST_BYTES // 2:
            _delete(other)


def _delete(folder: Path) -> None:
    """Delete a memo, and its folder if nothing else is in there."""
    with suppress(OSError):
        for file in files_of(folder):
            file.unlink(missing_ok=True)
        folder.rmdir()


def _others(folder: Path) -> list[Path]:
    return [other for other in folder.parent.glob("*") if other.is_dir() and other != folder]


def _written_ns(folder: Path) -> int:
    with suppress(OSError):
        return folder.stat().st_mtime_ns
    return 0
