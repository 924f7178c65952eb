"""What onnxruntime is handed: weights in files stay there, wherever one stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import ort, proto

from gconvtool.errors import InputError
from gconvtool.graph import save
from gconvtool.graph.load import load
from gconvtool.graph.pack import pack
from gconvtool.runtime.session import Session

GRAPH = "g (float[N, 3, 8, 8] x) => (float[N, 4, 6, 6] y) { h = Conv (x, w) y = Relu (h) }"
RNG = np.random.default_rng(0)
W = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
WIDE = RNG.standard_normal((4, 3, 9, 9)).astype(np.float32)
X = RNG.standard_normal((2, 3, 8, 8)).astype(np.float32)


def stored_beside(folder: Path, numbers: np.ndarray = WIDE) -> Path:
    """A network whose weight is in a file of its own."""
    model = proto("g (float[N, 3, 9, 9] x) => (float[N, 4, 1, 1] y) { y = Conv (x, w) }", w=numbers)
    path = folder / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    return path


def test_weights_in_memory_are_in_the_protobuf() -> None:
    model = proto(GRAPH, w=W)
    packed = pack(ir.from_proto(model), "m")
    assert packed.folder is None
    np.testing.assert_array_equal(Session(packed).run({"x": X})["y"], ort(model, x=X)[0])


@pytest.mark.parametrize("relative", [False, True])
def test_weights_in_a_file_stay_there_and_are_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    stored_beside(tmp_path)
    monkeypatch.chdir(tmp_path if relative else tmp_path.parent)
    packed = pack(load(Path("net.onnx") if relative else tmp_path / "net.onnx"), "m")
    assert len(packed.content) < WIDE.nbytes
    x = RNG.standard_normal((2, 3, 9, 9)).astype(np.float32)
    want = np.einsum("nchw,fchw->nf", x, WIDE)
    made = Session(packed, threads=1).run({"x": x})["y"]
    np.testing.assert_allclose(made[:, :, 0, 0], want, rtol=1e-4, atol=1e-4)


def test_weights_from_several_folders_are_read(tmp_path: Path) -> None:
    model = load(stored_beside(tmp_path))
    (value,) = model.graph.initializers.values()
    (tmp_path / "other").mkdir()
    other = load(stored_beside(tmp_path / "other"))
    (second,) = other.graph.initializers.values()
    second.name = "v"
    model.graph.register_initializer(ir.val("v", const_value=second.const_value))
    packed = pack(model, "m")
    assert packed.folder is None
    assert isinstance(value.const_value, ir.ExternalTensor)  # the model is as it was
    assert len(packed.content) > 2 * WIDE.nbytes


@pytest.mark.parametrize("damage", ["missing", "short", "a link to outside"])
def test_a_file_that_is_not_as_it_should_be_is_told_at_once(tmp_path: Path, damage: str) -> None:
    (tmp_path / "model").mkdir()
    path = stored_beside(tmp_path / "model")
    model, weights = load(path), path.with_name("w.bin")
    if damage == "short":
        weights.write_bytes(weights.read_bytes()[:-1])
    else:
        weights.rename(tmp_path / "elsewhere.bin")
    if damage == "a link to outside":
        weights.symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(InputError, match=r"m \(.*w\.bin\): its weights cannot be read"):
        pack(model, "m")


def test_what_is_in_memory_must_fit_and_what_is_in_files_need_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save, "LIMIT_BYTES", W.nbytes - 1)
    assert pack(load(stored_beside(tmp_path)), "m").folder == tmp_path
    with pytest.raises(InputError, match=r"^m: .* do not fit"):
        pack(ir.from_proto(proto(GRAPH, w=W)), "m")
