"""A file is a valid ONNX model, or one line says why not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import proto
from onnx import TensorProto, helper, numpy_helper

from gconvtool.errors import InputError
from gconvtool.graph.load import load
from gconvtool.graph.parts import array
from gconvtool.graph.save import serialise
from gconvtool.pipeline.analyze import analyze

GRAPH = "g (float[N, 3, 8, 8] x) => (float[N, 4, 6, 6] y) { h = Conv (x, w) y = Relu (h) }"
W = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
MODEL = proto(GRAPH, w=W)
BYTES = MODEL.SerializeToString()


def refused(path: Path) -> str:
    """The one line that is said of a file that cannot be loaded."""
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message) > len(f"{path}: ") + 10
    assert message.isprintable()
    return message


def put(folder: Path, content: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def test_a_model_is_read_with_its_weights(tmp_path: Path) -> None:
    model = load(put(tmp_path, BYTES))
    assert [node.op_type for node in model.graph] == ["Conv", "Relu"]
    np.testing.assert_array_equal(array(model.graph.initializers["w"]), W)


def test_weights_of_an_old_file_need_be_no_inputs(tmp_path: Path) -> None:
    """Its version wants them to be; runtimes take it as it is."""
    old = proto(GRAPH, opset=8, ir_version=3, w=W)
    model = load(put(tmp_path, old.SerializeToString()))
    onnx.checker.check_model(onnx.load_model_from_string(serialise(model, "model")))


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere.onnx")


def test_a_file_in_a_missing_folder_is_called_missing(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "nowhere" / "model.onnx")


def test_a_file_below_a_file_is_called_missing(tmp_path: Path) -> None:
    assert "no such file" in refused(put(tmp_path, BYTES) / "model.onnx")


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    assert "folder" in refused(tmp_path)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    assert "empty" in refused(put(tmp_path, b""))


def test_links_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "circle")
    refused(tmp_path / "dangling")


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / ("x" * 300))


def test_a_file_that_may_not_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, BYTES)

    def forbidden(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", forbidden)
    assert "Permission denied" in refused(path)


@pytest.mark.parametrize(
    "content",
    [
        b"not a model\n",
        b"\n",
        b"{}",
        b'{"ir_version": 8}',
        b"<html><body>404 Not Found</body></html>",
        "# Überschrift\n".encode(),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4711\n",
        b"PK\x03\x04\x14\x00\x00\x00",
        b"\x00" * 64,
        b"\x80\x04\x95\x10",
        np.random.default_rng(0).bytes(1000),
    ],
    ids=lambda content: repr(content[:16]),
)
def test_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "ONNX" in refused(put(tmp_path, content))


def test_a_model_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    for length in range(1, len(BYTES)):
        refused(put(tmp_path, BYTES[:length]))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)), min_size=1, max_size=3
    )
)
def test_a_damaged_model_loads_or_is_refused_in_one_line(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(BYTES)
    for position, byte in changes:
        damaged[position] = byte
    path = put(tmp_path, bytes(damaged))
    try:
        load(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017  both ends are good
        assert str(error).isprintable()  # noqa: PT017


def _rename_input(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nothing"


def _turn_round(model: onnx.ModelProto) -> None:
    last = model.graph.node.pop()
    model.graph.node.insert(0, last)


BROKEN: dict[str, Callable[[onnx.ModelProto], object]] = {
    "no nodes": lambda model: model.graph.ClearField("node"),
    "no graph": lambda model: model.ClearField("graph"),
    "no opset": lambda model: model.ClearField("opset_import"),
    "no IR version": lambda model: model.ClearField("ir_version"),
    "an IR version of the future": lambda model: setattr(model, "ir_version", 9999),
    "no such operator": lambda model: setattr(model.graph.node[0], "op_type", "Konv"),
    "too few inputs": lambda model: model.graph.node[0].input.pop(),
    "too many inputs": lambda model: model.graph.node[1].input.extend(["x", "x"]),
    "an input from nowhere": _rename_input,
    "an output from nowhere": lambda model: setattr(model.graph.output[0], "name", "z"),
    "a name twice": lambda model: model.graph.node[0].output.__setitem__(0, "y"),
    "wrong order": _turn_round,
    "an attribute of the wrong type": lambda model: model.graph.node[0].attribute.append(
        helper.make_attribute("group", 1.5)
    ),
    "an attribute that there is not": lambda model: model.graph.node[1].attribute.append(
        helper.make_attribute("alpha", 1.5)
    ),
    "no element type": lambda model: setattr(
        model.graph.initializer[0], "data_type", TensorProto.UNDEFINED
    ),
    "an element type that there is not": lambda model: setattr(
        model.graph.initializer[0], "data_type", 1234
    ),
}


def test_a_model_that_does_nothing_is_refused(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    model.graph.ClearField("node")
    model.graph.output[0].CopyFrom(model.graph.input[0])  # valid: what comes in goes out
    onnx.checker.check_model(model)
    assert "no nodes" in refused(put(tmp_path, model.SerializeToString()))


@pytest.mark.parametrize("damage", BROKEN)
def test_an_invalid_model_is_refused(tmp_path: Path, damage: str) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    BROKEN[damage](model)
    assert "not a" in refused(put(tmp_path, model.SerializeToString()))


@pytest.mark.parametrize("filters", [3, 99])
def test_a_weight_that_does_not_fill_its_shape_is_refused(tmp_path: Path, filters: int) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.tile(W, (4, 1, 1, 1)), "w"))
    model.graph.initializer[0].dims[0] = filters
    refused(put(tmp_path, model.SerializeToString()))


@pytest.fixture(params=[4, 40], ids=["small weights", "large weights"])
def outside(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A model whose weights are in a file beside it."""
    model = proto(
        GRAPH.replace("4, 6, 6", f"{request.param}, 6, 6"), w=np.resize(W, (request.param, 3, 3, 3))
    )
    path = tmp_path / "outside" / "model.onnx"
    path.parent.mkdir()
    onnx.save_model(
        model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    return path


def test_weights_beside_the_model_are_found_from_any_folder(outside: Path) -> None:
    model = load(outside)
    weights = array(model.graph.initializers["w"])
    assert weights is not None
    np.testing.assert_array_equal(weights[:4], W)
    inside = onnx.load_model_from_string(serialise(load(outside), "model"))
    np.testing.assert_array_equal(numpy_helper.to_array(inside.graph.initializer[0])[:4], W)


def test_a_model_is_counted_without_the_weights_beside_it(outside: Path) -> None:
    (outside.parent / "weights.bin").unlink()
    result = analyze(outside)
    filters = result.layers[0].filters
    assert (result.totals.params, result.totals.exact) == (filters * 27, True)
    assert result.totals.macs == filters * 27 * 6 * 6


def _truncate(weights: Path) -> None:
    os.truncate(weights, 100)


def _steal(weights: Path) -> None:
    """Let the model name a file above its folder."""
    path = weights.parent / "model.onnx"
    weights.rename(weights.parent.parent / "weights.bin")
    model = onnx.load(path, load_external_data=False)
    (location,) = (e for e in model.graph.initializer[0].external_data if e.key == "location")
    location.value = "../weights.bin"
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("harm", [Path.unlink, _truncate, _steal])
def test_weights_that_cannot_be_read_are_refused_when_they_are_needed(
    outside: Path, harm: Callable[[Path], None]
) -> None:
    harm(outside.parent / "weights.bin")
    with pytest.raises(InputError, match=r"weights\.bin"):
        serialise(load(outside), str(outside))


def placed(folder: Path, location: str, weights: bytes | None = W.tobytes()) -> Path:
    """A model in the folder that names a file of weights, which is put there."""
    folder.mkdir(parents=True, exist_ok=True)
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], location)
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    if weights is not None:
        place = folder / location
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(weights)
    return put(folder, model.SerializeToString())


@pytest.mark.parametrize(
    "location",
    ["../w.bin", "a/../../w.bin", "./../inside/../w.bin", "..", "../inside2/w.bin"],
)
def test_weights_outside_of_the_models_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "inside2").mkdir()
    (tmp_path / "w.bin").write_bytes(W.tobytes())
    message = refused(placed(tmp_path / "inside", location, None))
    assert location in message
    assert "outside" in message


@pytest.mark.parametrize("exists", [True, False])
def test_weights_at_an_absolute_place_are_refused(tmp_path: Path, exists: bool) -> None:
    place = tmp_path / "elsewhere.bin"
    if exists:
        place.write_bytes(W.tobytes())
    assert str(place) in refused(placed(tmp_path / "inside", str(place), None))


@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "deep/down/w.bin", "a/../w.bin", "..w"])
def test_weights_inside_of_the_models_folder_are_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "inside" / "a").mkdir(parents=True)
    weights = array(load(placed(tmp_path / "inside", location)).graph.initializers["w"])
    np.testing.assert_array_equal(weights, W)


@pytest.mark.parametrize("way", ["link/model.onnx", "link/../inside/model.onnx", "named.onnx"])
def test_a_model_may_be_reached_through_links(tmp_path: Path, way: str) -> None:
    path = placed(tmp_path / "inside", "w.bin")
    (tmp_path / "link").symlink_to(path.parent, target_is_directory=True)
    (tmp_path / "inside" / "named.onnx").symlink_to(path)
    at = tmp_path / "inside" / way if way == "named.onnx" else tmp_path / way
    weights = array(load(at).graph.initializers["w"])
    np.testing.assert_array_equal(weights, W)
    assert analyze(at).warnings == ()


def test_a_model_in_the_current_folder_has_its_weights_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed(tmp_path, "w.bin")
    monkeypatch.chdir(tmp_path)
    weights = array(load(Path("model.onnx")).graph.initializers["w"])
    np.testing.assert_array_equal(weights, W)


def test_a_missing_file_of_weights_is_a_warning_and_the_costs_are_whole(outside: Path) -> None:
    whole = analyze(outside)
    assert whole.warnings == ()
    (outside.parent / "weights.bin").unlink()
    result = analyze(outside)
    (warning,) = result.warnings
    assert str(outside.parent / "weights.bin") in warning
    assert "missing" in warning
    assert (result.layers, result.totals) == (whole.layers, whole.totals)
    assert result.parameters == whole.parameters


def test_a_file_of_weights_outside_of_the_folder_is_refused_by_analyze(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="outside"):
        analyze(placed(tmp_path / "inside", "../w.bin", None))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model's folder with a file of weights, while another folder is the current one."""
    (tmp_path / "w.bin").write_bytes(np.resize(W, (40, 3, 3, 3)).tobytes())
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    return tmp_path


def _moved_out(tensor: TensorProto, location: str) -> TensorProto:
    tensor.CopyFrom(numpy_helper.from_array(np.resize(W, (40, 3, 3, 3)), "w"))
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    return tensor


IN_A_BRANCH = """
g (bool c, float[1, 3, 8, 8] x) => (float[1, 40, 6, 6] y) {
  y = If (c) < then_branch = t () => (float[1, 40, 6, 6] a) { a = Conv (x, w) },
               else_branch = e () => (float[1, 40, 6, 6] b) { b = Identity (x) } >
}
"""
OF_A_NODE = """
g (float[1, 3, 8, 8] x) => (float[1, 40, 6, 6] y) {
  w = Constant <value = float[1] {1}> () y = Conv (x, w)
}
"""


def _in_a_branch(location: str) -> onnx.ModelProto:
    model = proto(IN_A_BRANCH)
    _moved_out(model.graph.node[0].attribute[0].g.initializer.add(), location)
    return model


def _of_a_node(location: str) -> onnx.ModelProto:
    model = proto(OF_A_NODE)
    _moved_out(model.graph.node[0].attribute[0].t, location)
    return model


@pytest.mark.parametrize("made", [_in_a_branch, _of_a_node])
@pytest.mark.parametrize("missing", [False, True])
def test_weights_outside_that_are_no_initializers_of_the_graph_count_too(
    elsewhere: Path, made: Callable[[str], onnx.ModelProto], missing: bool
) -> None:
    path = put(elsewhere, made("w.bin").SerializeToString())
    if missing:
        (elsewhere / "w.bin").unlink()
    result = analyze(path)
    assert (result.totals.macs, result.totals.params) == (40 * 27 * 36, 40 * 27)
    assert result.totals.exact
    assert len(result.warnings) == missing
    if not missing:
        inside = onnx.load_model_from_string(serialise(load(path), "model"))
        onnx.checker.check_model(inside)
        assert W.tobytes() in inside.SerializeToString()


@pytest.mark.parametrize("made", [_in_a_branch, _of_a_node])
def test_no_weights_may_lie_above_the_folder(
    elsewhere: Path, made: Callable[[str], onnx.ModelProto]
) -> None:
    (elsewhere / "current" / "model.onnx").write_bytes(made("../w.bin").SerializeToString())
    assert "outside of the model's folder" in refused(elsewhere / "current" / "model.onnx")


def test_inputs_and_outputs_without_a_shape_are_no_reason_to_refuse(tmp_path: Path) -> None:
    model = proto(GRAPH, w=W)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert analyze(put(tmp_path, model.SerializeToString())).totals.macs == 4 * 27 * 36
    model.graph.input[0].type.tensor_type.ClearField("shape")
    result = analyze(put(tmp_path, model.SerializeToString()))
    assert (result.totals.exact, result.totals.params) == (False, 4 * 27)
    sized = analyze(tmp_path / "model.onnx", input_shapes={"x": (2, 3, 8, 8)})
    assert (sized.totals.exact, sized.totals.macs) == (True, 2 * 4 * 27 * 36)


RESHAPED = """
g (float[N, 3, 8, 8] x) => (float[A, B] y) { h = Conv (x, w) r = Reshape (h, s) y = MatMul (r, m) }
"""


@pytest.mark.parametrize("missing", [False, True])
def test_shapes_that_are_stored_outside_are_read_if_they_are_there(
    tmp_path: Path, missing: bool
) -> None:
    shape, product = np.array([-1, 144]), np.ones((144, 2), np.float32)
    path = tmp_path / "model.onnx"
    onnx.save_model(
        proto(RESHAPED, w=W, s=shape, m=product), path, save_as_external_data=True,
        location="w.bin", size_threshold=0,
    )  # fmt: skip
    if missing:
        (tmp_path / "w.bin").unlink()
    result = analyze(path)
    products = {layer.name: layer.macs for layer in result.layers}
    assert products["h"] == 4 * 6 * 6 * 27
    assert products["y"] == (None if missing else 144 * 2)
    assert result.totals.exact is not missing
    assert not any("do not fit" in warning for warning in result.warnings)


def test_weights_in_a_branch_are_kept_inside_too(tmp_path: Path) -> None:
    graph = """
    g (bool c, float[4] x) => (float[4] y) {
      y = If (c) < then_branch = t () => (float[4] a) { a = Add (x, u) },
                   else_branch = e () => (float[4] b) { b = Relu (x) } >
    }
    """
    model = proto(graph, u=np.ones(4, np.float32))
    tensor = model.graph.initializer.pop()
    onnx.external_data_helper.set_external_data(tensor, "../w.bin")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    model.graph.node[0].attribute[0].g.initializer.append(tensor)
    assert "outside" in refused(put(tmp_path, model.SerializeToString()))


def test_constants_of_a_node_are_kept_inside_too(tmp_path: Path) -> None:
    constant = "Constant <value = float[4] {1, 2, 3, 4}> ()"
    model = proto(f"g (float[4] x) => (float[4] y) {{ c = {constant} y = Add (x, c) }}")
    tensor = model.graph.node[0].attribute[0].t
    tensor.CopyFrom(numpy_helper.from_array(np.ones(4, np.float32)))
    onnx.external_data_helper.set_external_data(tensor, "../w.bin")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    refused(put(tmp_path, model.SerializeToString()))


def test_sparse_weights_are_refused_by_their_name(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    dense = model.graph.initializer.pop()
    numbers = numpy_helper.to_array(dense).ravel()
    values = numpy_helper.from_array(numbers[:2], dense.name)
    places = numpy_helper.from_array(np.arange(2, dtype=np.int64), "places")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, places, list(dense.dims))
    )
    assert "sparse" in refused(put(tmp_path, model.SerializeToString()))
