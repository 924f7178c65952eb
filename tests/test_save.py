"""Whatever happens while a model is written, its path holds a whole file or what was there."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import model, ort, proto

from gconvtool import files
from gconvtool.errors import GconvError, InputError, MissingError, VerificationError
from gconvtool.files import check_target, write
from gconvtool.graph import save
from gconvtool.graph.load import load
from gconvtool.graph.save import serialise

GRAPH = "g (float[N, 3, 8, 8] x) => (float[N, 4, 6, 6] y) { h = Conv (x, w) y = Relu (h) }"
W = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
NEW, OLD = b"new" * 1000, b"what was there"


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fine(path: Path) -> None:
    """A check that is content."""


def test_a_file_is_written_whole_and_alone(tmp_path: Path) -> None:
    write(NEW, tmp_path / "out.onnx", fine)
    assert content_of(tmp_path) == {"out.onnx": NEW}


def test_a_file_that_is_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.onnx").write_bytes(OLD)
    write(NEW, tmp_path / "out.onnx", fine)
    assert content_of(tmp_path) == {"out.onnx": NEW}


def test_the_check_sees_the_whole_file_before_the_target_changes(tmp_path: Path) -> None:
    target = tmp_path / "out.onnx"
    target.write_bytes(OLD)
    seen = []

    def look(path: Path) -> None:
        seen.append((path.read_bytes(), path.parent, target.read_bytes()))

    write(NEW, target, look)
    assert seen == [(NEW, tmp_path, OLD)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_mode_that_the_umask_asks_for(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        write(NEW, tmp_path / "out.onnx", fine)
        assert os.umask(mask) == mask  # and the mask is as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.onnx").stat().st_mode) == mode


def _raising(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: Any) -> NoReturn:
        raise error

    return fail


class FullDisk:
    """A file that takes a few bytes and no more."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> NoReturn:
        self._file.write(content[:10])
        raise no_space()


def no_space() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def _full_at_write(patch: pytest.MonkeyPatch) -> None:
    fdopen = os.fdopen
    patch.setattr(files.os, "fdopen", lambda handle, mode: FullDisk(fdopen(handle, mode)))


def _full_at_fsync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files.os, "fsync", _raising(no_space()))


def _full_at_rename(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "replace", _raising(no_space()))


@pytest.mark.parametrize("old", [{}, {"out.onnx": OLD}], ids=["new", "replaced"])
@pytest.mark.parametrize("fill", [_full_at_write, _full_at_fsync, _full_at_rename])
def test_a_full_disk_changes_nothing_and_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fill: Callable[[pytest.MonkeyPatch], None],
    old: dict[str, bytes],
) -> None:
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    with monkeypatch.context() as patch:
        fill(patch)
        with pytest.raises(MissingError) as caught:
            write(NEW, tmp_path / "out.onnx", fine)
    assert str(caught.value).startswith(f"{tmp_path / 'out.onnx'}: ")
    assert "No space left on device" in str(caught.value)
    assert caught.value.exit_code == 4
    assert content_of(tmp_path) == old


@contextmanager
def _file_limit(size: int) -> Iterator[None]:
    """The system itself refuses to write more than this."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_write_that_really_fails_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "out.onnx").write_bytes(OLD)
    with pytest.raises(MissingError, match="not written"), _file_limit(1000):
        write(NEW, tmp_path / "out.onnx", fine)
    assert content_of(tmp_path) == {"out.onnx": OLD}


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (VerificationError("no"), VerificationError),
        (InputError("no"), InputError),
        (RuntimeError("a bug"), RuntimeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(errno.EIO, "Input/output error"), MissingError),
    ],
    ids=repr,
)
@pytest.mark.parametrize("old", [{}, {"out.onnx": OLD}], ids=["new", "replaced"])
def test_a_check_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, error: BaseException, seen: type[BaseException], old: dict[str, bytes]
) -> None:
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(seen):
        write(NEW, tmp_path / "out.onnx", _raising(error))
    assert content_of(tmp_path) == old


def test_an_error_without_a_number_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="the device went away"):
        write(NEW, tmp_path / "out.onnx", _raising(OSError("the device went away")))


def test_a_folder_that_takes_no_files_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        files.tempfile, "mkstemp", lambda **_: _raising(PermissionError(13, "Permission denied"))()
    )
    with pytest.raises(InputError, match="Permission denied"):
        write(NEW, tmp_path / "out.onnx", fine)
    assert content_of(tmp_path) == {}


def test_the_longest_legal_name_can_be_written(tmp_path: Path) -> None:
    name = "x" * 250 + ".onnx"
    write(NEW, tmp_path / name, fine)
    assert content_of(tmp_path) == {name: NEW}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.onnx"
    path.write_bytes(OLD)
    return path


def test_a_new_file_in_a_folder_is_a_good_target(tmp_path: Path, source: Path) -> None:
    check_target(tmp_path / "out.onnx", [source], force=False)
    assert content_of(tmp_path) == {"in.onnx": OLD}


def test_a_file_that_exists_needs_force(tmp_path: Path, source: Path) -> None:
    target = tmp_path / "out.onnx"
    target.write_bytes(OLD)
    with pytest.raises(InputError, match="--force"):
        check_target(target, [source], force=False)
    check_target(target, [source], force=True)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "alias", ["itself", "another spelling", "a symbolic link", "a link to a link", "a hard link"]
)
def test_the_input_is_no_output(tmp_path: Path, source: Path, alias: str, force: bool) -> None:
    target = tmp_path / "alias.onnx"
    if alias == "itself":
        target = source
    elif alias == "another spelling":
        target = tmp_path / "x" / ".." / "in.onnx"
        (tmp_path / "x").mkdir()
    elif alias == "a hard link":
        os.link(source, target)
    else:
        (tmp_path / "link.onnx").symlink_to(source)
        target.symlink_to(tmp_path / "link.onnx" if alias == "a link to a link" else source)
    with pytest.raises(InputError, match="this call reads it"):
        check_target(target, [source], force)
    assert source.read_bytes() == OLD


def test_a_link_to_the_input_as_the_source_protects_it_too(tmp_path: Path, source: Path) -> None:
    (tmp_path / "link.onnx").symlink_to(source)
    with pytest.raises(InputError, match="this call reads it"):
        check_target(source, [tmp_path / "link.onnx"], force=True)


def test_a_model_that_has_no_file_protects_none(tmp_path: Path, source: Path) -> None:
    check_target(source, [Path("a graph's name")], force=True)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("nowhere/out.onnx", "does not exist"),
        ("in.onnx/out.onnx", "does not exist"),
        (".", "folder"),
    ],
)
def test_a_path_that_can_hold_no_file_is_refused(
    tmp_path: Path, source: Path, name: str, word: str, force: bool
) -> None:
    with pytest.raises(InputError, match=word):
        check_target(tmp_path / name, [source], force)


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, source: Path) -> None:
    with pytest.raises(InputError):
        check_target(tmp_path / ("x" * 300), [source], force=False)


def test_a_dangling_link_needs_force(tmp_path: Path, source: Path) -> None:
    (tmp_path / "out.onnx").symlink_to(tmp_path / "nowhere.onnx")
    with pytest.raises(InputError, match="--force"):
        check_target(tmp_path / "out.onnx", [source], force=False)


def test_the_same_model_gives_the_same_bytes() -> None:
    network = model(GRAPH, w=W)
    network.metadata_props.update({str(i): "x" for i in range(20)})
    first = serialise(network.clone(), "m")
    assert serialise(network, "m") == serialise(network, "m") == first


def test_the_same_model_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(proto(GRAPH, w=W).SerializeToString())
    script = (
        "import sys; from pathlib import Path; from gconvtool.graph import load, save;"
        "sys.stdout.buffer.write(save.serialise(load.load(Path(sys.argv[1])), 'm'))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {serialise(load(path), "m")}


def test_what_was_serialised_is_the_model_with_its_weights() -> None:
    written = onnx.load_model_from_string(serialise(model(GRAPH, w=W), "m"))
    onnx.checker.check_model(written, full_check=True)
    (weight,) = written.graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weight), W)


def test_a_rewrite_that_broke_the_model_is_not_written() -> None:
    network = model(GRAPH, w=W)
    network.graph[0].op_type = "Konv"
    with pytest.raises(VerificationError) as caught:
        serialise(network, "net.onnx")
    assert str(caught.value).startswith("net.onnx: not written")
    assert "Konv" in str(caught.value)


def test_what_only_the_whole_file_shows_is_checked_too() -> None:
    network = model(GRAPH, opset=9, ir_version=3, w=W)
    try:
        content = serialise(network, "m")
    except VerificationError:
        return
    onnx.checker.check_model(onnx.load_model_from_string(content))


def test_weights_beyond_one_file_are_refused_before_they_are_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(save, "LIMIT_BYTES", W.nbytes - 1)
    with pytest.raises(InputError, match=r"net\.onnx"):
        serialise(model(GRAPH, w=W), "net.onnx")
    monkeypatch.setattr(save, "LIMIT_BYTES", W.nbytes)
    serialise(model(GRAPH, w=W), "net.onnx")


@pytest.mark.parametrize("error", [InputError, MissingError, VerificationError])
def test_errors_are_one_family_with_an_exit_code(error: type[GconvError]) -> None:
    assert issubclass(error, GconvError)
    expected = {"InputError": 2, "VerificationError": 1, "MissingError": 4}
    assert error("x").exit_code == expected[error.__name__]


# Weights that do not fit into one file.

DEEP = np.random.default_rng(1).standard_normal((4, 12, 3, 3)).astype(np.float32)
TABLE = np.random.default_rng(1).standard_normal((40, 4, 6, 6)).astype(np.float32)
LOOKED_UP = (
    "g (float[N, 12, 8, 8] x, int64[N] i) => (float[N, 4, 6, 6] y) "
    "{ h = Conv (x, w) t = Gather (table, i) s = Add (h, t) y = Mul (s, k) }"
)
HALF = np.array(0.5, np.float32)
FEEDS = {
    "x": np.random.default_rng(2).standard_normal((2, 12, 8, 8)).astype(np.float32),
    "i": np.array([7, 39]),
}


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ir.Model:
    """A network with a table in a file, and no room in a file for its weights."""
    monkeypatch.setattr(save, "LIMIT_BYTES", 1000)
    path = tmp_path / "in" / "net.onnx"
    path.parent.mkdir()
    onnx.save(whole(), path, save_as_external_data=True, location="t", size_threshold=2000)
    return load(path)


def whole() -> onnx.ModelProto:
    return proto(LOOKED_UP, w=DEEP, table=TABLE, k=HALF)


def test_a_large_model_is_two_files_that_belong_together(large: ir.Model, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    seen = []
    beside = save.write(large, "m", folder / "n.onnx", lambda path: seen.append(load(path)))
    assert beside is not None
    assert sorted(folder.iterdir()) == sorted((folder / "n.onnx", beside))
    assert re.fullmatch(r"n\.[0-9a-f]{16}\.data", beside.name)
    assert len(seen) == 1
    onnx.checker.check_model(str(folder / "n.onnx"), full_check=True)
    light = onnx.load(folder / "n.onnx", load_external_data=False)
    stored = {tensor.name: tensor for tensor in light.graph.initializer}
    places = [{e.key: e.value for e in stored[name].external_data} for name in ("table", "w")]
    assert {place["location"] for place in places} == {beside.name}
    assert all(int(place["offset"]) % 2**16 == 0 for place in places)
    assert not stored["k"].external_data
    written, (want,) = onnx.load(folder / "n.onnx"), ort(whole(), **FEEDS)
    np.testing.assert_array_equal(ort(written, **FEEDS)[0], want)


def test_a_large_model_twice_is_the_same_bytes(large: ir.Model, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        save.write(large, "m", folder / "n.onnx", fine)
    one, two = map(content_of, folders)
    assert one == two
    save.write(large, "m", folders[0] / "n.onnx", fine)  # onto what is there
    assert content_of(folders[0]) == two


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_both_files_have_the_mode_that_the_umask_asks_for(large: ir.Model, tmp_path: Path) -> None:
    beside = save.write(large, "m", tmp_path / "n.onnx", fine)
    assert beside is not None
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (beside, tmp_path / "n.onnx")}
    before = os.umask(0)
    os.umask(before)
    assert modes == {0o666 & ~before}


@pytest.mark.parametrize("old", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("error", [VerificationError("no"), KeyboardInterrupt(), no_space()])
def test_a_large_model_that_fails_its_check_leaves_no_data(
    large: ir.Model, tmp_path: Path, error: BaseException, old: bool
) -> None:
    if old:
        save.write(large, "m", tmp_path / "n.onnx", fine)
    before = files_of(tmp_path)
    with pytest.raises((VerificationError, KeyboardInterrupt, MissingError)):
        save.write(large, "m", tmp_path / "n.onnx", _raising(error))
    assert files_of(tmp_path) == before  # data that others use are not taken from them


@pytest.mark.parametrize("limit", [2**9, 2**16])
def test_a_disk_that_is_full_of_data_keeps_nothing(
    large: ir.Model, tmp_path: Path, limit: int
) -> None:
    before = files_of(tmp_path)
    with pytest.raises(MissingError, match="not written") as caught, _file_limit(limit):
        save.write(large, "m", tmp_path / "n.onnx", fine)
    assert "\n" not in str(caught.value)
    assert files_of(tmp_path) == before


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_of_that_name_with_other_bytes_is_replaced(large: ir.Model, tmp_path: Path) -> None:
    beside = save.write(large, "m", tmp_path / "n.onnx", fine)
    assert beside is not None
    good = beside.read_bytes()
    beside.write_bytes(b"cut short")
    assert save.write(large, "m", tmp_path / "n.onnx", fine) == beside
    assert beside.read_bytes() == good


def test_what_fits_has_no_second_file(tmp_path: Path) -> None:
    assert save.write(model(GRAPH, w=W), "m", tmp_path / "n.onnx", fine) is None
    assert set(content_of(tmp_path)) == {"n.onnx"}
