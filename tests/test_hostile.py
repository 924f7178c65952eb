"""Models that mean harm: refused in one line by what would fall for them, and nothing is written.

Others that are merely broken are in test_bad_input.py, test_load.py and test_damaged_models.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers_cli import Desk, refused
from models import Numbers, proto
from onnx import AttributeProto, TensorProto, helper, numpy_helper

W = np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32)
GRAPH = "g (float[N, 8, 6, 6] x) => (float[N, 8, P, Q] y) { h = Conv (x, w) y = Relu (h) }"
LARGE = 2**62
CONVERSIONS = (
    "convert bad.onnx -o out.onnx --groups 2",
    "convert bad.onnx -o out.onnx --exact",
    "convert bad.onnx -o out.onnx --separable --save-plan plan.json",
)
BENCH = "bench bad.onnx bad.onnx --time-budget 1 --threads 1"

Maker = Callable[[Path], onnx.ModelProto]


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Desk:
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret.bin").write_bytes(W.tobytes())
    (tmp_path / "folder" / "w.bin").write_bytes(W.tobytes())
    return Desk(tmp_path / "folder", monkeypatch, capfd)


def put(desk: Desk, made: Maker) -> None:
    """A hostile model as bad.onnx, where w.bin has good weights and secret.bin lies outside."""
    model = made(desk.folder)
    (desk.folder / "bad.onnx").write_bytes(model.SerializeToString())


def unchanged(desk: Desk, call: str) -> str:
    before = desk.files()
    said = refused(desk(*call.split()))
    assert desk.files() == before
    return said


# Weights in other files.


def placed(weight: TensorProto, **place: object) -> None:
    """Say that the numbers of a weight are in another file."""
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in place.items():
        weight.external_data.add(key=key, value=str(value))


def outside(prepare: Callable[[Path], object] = lambda folder: None, **place: object) -> Maker:
    """A convolution whose weights are in a file, once the folder is prepared."""

    def made(folder: Path) -> onnx.ModelProto:
        prepare(folder)
        model = proto(GRAPH, w=W)
        placed(model.graph.initializer[0], **place)
        return model

    return made


def link(name: str, to: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(to)


def linked_folder(folder: Path) -> None:
    (folder.parent / "other" / "deep").mkdir(parents=True)
    (folder.parent / "other" / "w.bin").write_bytes(W.tobytes())
    (folder / "inside").symlink_to(folder.parent / "other")
    (folder / "deep").symlink_to(folder.parent / "other" / "deep")


def of_strings(folder: Path) -> onnx.ModelProto:
    model = outside(location="w.bin")(folder)
    model.graph.initializer[0].data_type = TensorProto.STRING
    return model


def chained(folder: Path) -> None:
    (folder / "second.bin").symlink_to(folder.parent / "secret.bin")
    (folder / "first.bin").symlink_to("second.bin")


PLACES: dict[str, tuple[Maker, str]] = {
    "a link to a file outside": (
        outside(link("a.bin", "../secret.bin"), location="a.bin"), "put a copy of"),
    "a link to a link to one": (outside(chained, location="first.bin"), "outside"),
    "in a linked folder": (outside(linked_folder, location="inside/w.bin"), "outside"),
    "above a linked folder": (outside(linked_folder, location="deep/../w.bin"), "outside"),
    "in a folder by itself": (outside(location="."), "no file"),
    "nowhere": (outside(location=""), "no file"),
    "not said where": (outside(offset=0), "no file"),
    "a name with a zero in it": (outside(location="w\0.bin"), "no file"),
    "an offset beyond 64 bits": (outside(location="w.bin", offset=2**90), "offset"),
    "a negative offset": (outside(location="w.bin", offset=-4), "offset"),
    "an offset in words": (outside(location="w.bin", offset="four"), "offset"),
    "an offset of a million digits": (outside(location="w.bin", offset="1" * 10**6), "offset"),
    "a negative length": (outside(location="w.bin", length=-1), "length"),
    "a length that is too large": (outside(location="w.bin", length=10**15), "0,000 bytes"),
    "a length that is too small": (outside(location="w.bin", length=16), "16 bytes"),
    "strings in a file": (of_strings, "text"),
}  # fmt: skip
if hasattr(os, "mkfifo"):
    pipe = outside(lambda folder: os.mkfifo(folder / "pipe"), location="pipe")
    PLACES["a pipe, which would never end"] = (pipe, "no file")

# What is in the file itself.


def changed(change: Callable[[onnx.GraphProto], object]) -> Maker:
    """A good convolution that something was done to."""

    def made(_: Path) -> onnx.ModelProto:
        model = proto(GRAPH, w=W)
        change(model.graph)
        return model

    return made


def sized(*dims: int, kind: int = TensorProto.FLOAT, **fields: Any) -> Maker:
    """A weight that claims a shape, with these fields in the place of its numbers."""

    def change(graph: onnx.GraphProto) -> None:
        weight = TensorProto(name="w", data_type=kind, dims=dims, **fields)
        graph.initializer[0].CopyFrom(weight)

    return changed(change)


def with_attribute(name: str, **fields: Any) -> Maker:
    made = AttributeProto(name=name, **fields)
    return changed(lambda graph: graph.node[0].attribute.append(made))


def integers(name: str, *numbers: int) -> Maker:
    return with_attribute(name, type=AttributeProto.INTS, ints=numbers)


def renamed(index: int, field: str, name: str) -> Maker:
    return changed(lambda graph: getattr(graph.node[index], field).__setitem__(0, name))


def twice(field: str) -> Maker:
    return changed(lambda graph: getattr(graph, field).append(getattr(graph, field)[0]))


def sparse(graph: onnx.GraphProto) -> None:
    values, indices = np.ones(1, np.float32), np.array([LARGE - 1])
    graph.sparse_initializer.add(
        values=numpy_helper.from_array(values, "v"), indices=numpy_helper.from_array(indices),
        dims=[LARGE],
    )  # fmt: skip


RAW = W.tobytes()
CLAIMS: dict[str, tuple[Maker, str]] = {
    "a size of 2^62": (sized(LARGE, 8, 3, 3, raw_data=RAW), "2,304 bytes"),
    "a negative size": (sized(-8, 8, 3, 3, raw_data=RAW), "-8×8×3×3"),
    "negative sizes whose product fits": (sized(-8, -8, 3, 3, raw_data=RAW), "-8×-8×3×3"),
    "a product beyond 64 bits": (sized(2**32, 2**32, 3, 3, raw_data=b""), "0 bytes"),
    "petabytes of one float": (sized(2**50, 1, 1, 1, float_data=[1.0]), "1 numbers"),
    "petabytes of nothing": (sized(2**50, 1, 1, 1), "0 numbers"),
    "petabytes of half floats": (
        sized(2**50, 1, 1, 1, int32_data=[1], kind=TensorProto.FLOAT16), "1 numbers"),
    "petabytes of zeros, sparse": (changed(sparse), "sparse"),
    "a weight's name twice": (twice("initializer"), "2 weights are called w"),
    "an input's name twice": (twice("input"), "x"),
    "a weight that is computed too": (renamed(0, "output", "w"), "w"),
    "an input that is computed too": (renamed(0, "output", "x"), "x"),
    "a cycle": (renamed(0, "input", "y"), "y"),
    "a cycle of one": (renamed(0, "input", "h"), "h"),
    "a string for a number": (
        with_attribute("group", type=AttributeProto.STRING, s=b"two"), "group"),
    "a tensor for a number": (
        with_attribute("group", type=AttributeProto.TENSOR, t=numpy_helper.from_array(W)), "group"),
    "a graph for a number": (
        with_attribute("group", type=AttributeProto.GRAPH, g=proto(GRAPH).graph), "group"),
    "floats for numbers": (
        with_attribute("strides", type=AttributeProto.FLOATS, floats=[1, 1]), "strides"),
    "strings for numbers": (
        with_attribute("pads", type=AttributeProto.STRINGS, strings=[b"1"] * 4), "pads"),
    "no type for a number": (with_attribute("group", i=1), "attribute"),
}  # fmt: skip
REFUSED = {**PLACES, **CLAIMS}


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of Unix")
@pytest.mark.parametrize("harm", REFUSED)
def test_what_no_file_may_say_is_refused_by_every_command(desk: Desk, harm: str) -> None:
    made, meant = REFUSED[harm]
    put(desk, made)
    said = unchanged(desk, "analyze bad.onnx")
    assert said.startswith("bad.onnx: ")
    assert meant in said
    for call in (*CONVERSIONS, BENCH):
        assert unchanged(desk, call) == said


def test_a_model_that_is_a_link_may_have_its_weights_where_it_is(desk: Desk) -> None:
    """As caches of downloads have it: both are links, to another folder."""
    put(desk, outside(location="weights.bin"))
    for name in ("bad.onnx", "w.bin"):
        (desk.folder / name).rename(desk.folder.parent / name)
    (desk.folder / "bad.onnx").symlink_to("../bad.onnx")
    (desk.folder / "weights.bin").symlink_to("../w.bin")
    assert desk("analyze", "bad.onnx").code == 0
    assert desk("convert", "bad.onnx", "-o", "out.onnx", "--exact").code == 0
    assert W.tobytes() in (desk.folder / "out.onnx").read_bytes()
    assert desk("verify", "bad.onnx", "out.onnx").code == 0


# What is a network on paper, and nothing that can be run.


def input_of(*dims: int) -> Maker:
    def change(graph: onnx.GraphProto) -> None:
        graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, dims))

    return changed(change)


def weight_of(numbers: Numbers) -> Maker:
    return changed(
        lambda graph: graph.initializer[0].CopyFrom(numpy_helper.from_array(numbers, "w"))
    )


def whole(body: str, x: str = "float[N, 8, 6, 6]", **constants: Numbers) -> Maker:
    text = f"g ({x} x) => (float[A, B, C, D] y) {{ {body} }}"
    return lambda _: proto(text, **constants)


def grown(operator: str, *sizes: int) -> Maker:
    """A convolution behind an operator whose output takes petabytes."""
    body = f"b = {operator} h = Conv (b, w) y = Relu (h)"
    return whole(body, w=W, s=np.array(sizes))


UNRUNNABLE: Mapping[str, Maker] = {
    "an offset beyond its file": outside(location="w.bin", offset=2**59),
    "weights beyond the end of their file": outside(
        lambda folder: os.truncate(folder / "w.bin", 2**20), location="w.bin", offset=2**20
    ),
    "no groups": with_attribute("group", type=AttributeProto.INT, i=0),
    "fewer groups than none": with_attribute("group", type=AttributeProto.INT, i=-1),
    "groups that are no number": with_attribute("group", type=AttributeProto.INT, s=b"x"),
    "2^62 groups": with_attribute("group", type=AttributeProto.INT, i=LARGE),
    "steps of none": integers("strides", 0, 0),
    "steps backwards": integers("strides", -1, 1),
    "one stride for two axes": integers("strides", 1),
    "two pads for two axes": integers("pads", 1, 1),
    "padding of 2^62": integers("pads", *[LARGE] * 4),
    "dilations of 2^62": integers("dilations", LARGE, LARGE),
    "another kernel than its weight": integers("kernel_shape", 5, 5),
    "a mode that is no text": with_attribute("auto_pad", type=AttributeProto.STRING, s=b"\xff\xfe"),
    "a bias of three numbers": whole("y = Conv (x, w, b)", w=W, b=np.ones(3, np.float32)),
    "pieces beyond the whole": whole(
        "c = Conv (x, w) p, q = Split <axis = 1> (c, s) y = Conv (p, v)",
        w=W,
        v=W[:, :4],
        s=np.array([4, 9]),
    ),
    "a cut with two starts": whole(
        "c = Conv (x, w) d = Slice (c, s, e, a) y = Conv (d, w)",
        w=W,
        s=np.array([0, 1]),
        e=np.array([8]),
        a=np.array([1]),
    ),
    "a weight of strings": weight_of(np.full((8, 8, 3, 3), "a", object)),
    "a weight of integers": weight_of(np.ones((8, 8, 3, 3), np.int64)),
    "a weight of truth values": weight_of(np.ones((8, 8, 3, 3), bool)),
    "a weight of complex numbers": weight_of(np.ones((8, 8, 3, 3), np.complex64)),
    "a weight without dimensions": weight_of(np.ones((), np.float32)),
    "a weight of no channels": weight_of(np.ones((8, 0, 3, 3), np.float32)),
    "a kernel of no taps": weight_of(np.ones((8, 8, 0, 3), np.float32)),
    "an input of 2^62 rows": input_of(1, 8, LARGE, 6),
    "an input of 2^45 rows": input_of(1, 8, 2**45, 6),
    "an input of strings": whole("y = Conv (x, w)", "string[N, 8, 6, 6]", w=W),
    "an input that is a sequence": whole("y = Conv (x, w)", "seq(float[N, 8, 6, 6])", w=W),
    "petabytes by ConstantOfShape": whole(
        "w = ConstantOfShape (s) y = Conv (x, w)", s=np.array([2**20, 8, 2**10, 2**20])
    ),
    "petabytes by Expand": grown("Expand (x, s)", 2**45, 8, 6, 6),
    "petabytes by Tile": grown("Tile (x, s)", 2**30, 1, 2**20, 1),
    "petabytes by Pad": grown("Pad (x, s)", 0, 0, 2**40, 2**40, 0, 0, 2**40, 2**40),
    "petabytes by Resize": grown("Resize (x, , , s)", 1, 8, 2**40, 2**40),
    "petabytes by Reshape": grown("Reshape (x, s)", -1, 8, 2**40, 2**40),
}


@pytest.mark.parametrize("harm", UNRUNNABLE)
def test_what_cannot_be_run_is_refused_where_it_has_to_run(desk: Desk, harm: str) -> None:
    put(desk, UNRUNNABLE[harm])
    before = desk.files()
    answer = desk("analyze", "bad.onnx")
    if answer.code != 0:
        refused(answer)
    assert desk.files() == before
    for call in (*CONVERSIONS, BENCH):
        unchanged(desk, call)
