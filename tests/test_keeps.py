"""What a conversion does not concern is in the written model as it was, and nothing hangs loose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser, shape_inference

from gconvtool.pipeline.convert import convert
from gconvtool.recipes import Bottleneck, Gdc, Grouped, Separable

GRAPH = """
<ir_version: {ir}, opset_import: ["": {opset}, "f": 1, "unused.domain": 3]>
g (float[N, 8, 6, 6] x) => (float[N, 16, 6, 6] y, float[N, M, K, L] z, float[N, 5] scores)
{{
  a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
  n = BatchNormalization (a, s, b1, b1, s)
  r = Relu (n)
  sizes = Shape (r)
  h = f.Half (r)
  y = Conv <pads = [1, 1, 1, 1]> (h, w2)
  d = Conv <pads = [1, 1, 1, 1], group = 2> (h, w3)
  t = ConvTranspose <strides = [2, 2]> (d, w4)
  z = Reshape (t, shape)
  p = GlobalAveragePool (d)
  e = Mul (d, p)
  flat = Flatten (e)
  scores = Gemm (flat, w5)
}}
<domain: "f", opset_import: ["": {opset}]>
Half (x) => (y) {{ c = Constant <value = float {{0.5}}> () y = Mul (x, c) }}
"""
SHAPES = {
    "w1": (16, 8, 3, 3),
    "w2": (16, 16, 3, 3),
    "w3": (8, 8, 3, 3),
    "w4": (8, 8, 2, 2),
    "w5": (288, 5),
    "b1": (16,),
    "s": (16,),
}
REQUESTS: dict[str, dict[str, Any]] = {
    "exact": {"exact": True},
    "grouped": {"recipe": Grouped(2)},
    "separable": {"recipe": Separable(2), "exact": True},
    "bottleneck": {"recipe": Bottleneck(4, 2)},
    "gdc": {"recipe": Gdc(1)},
    "densify": {"densify": True},
    "split": {"recipe": Grouped(2), "spelling": "split"},
    "gap to gdc": {"gap_to_gdc": True},
}


def network(opset: int, ir: int) -> onnx.ModelProto:
    """A model in which everything that can be said of something is said."""
    made = parser.parse_model(GRAPH.format(opset=opset, ir=ir))
    rng = np.random.default_rng(0)
    weights = {name: rng.random(shape) / 8 - 0.05 for name, shape in SHAPES.items()}
    weights["w2"][:8, 8:] = weights["w2"][8:, :8] = 0  # hidden groups
    weights["s"] += 1  # a variance, too
    for name, numbers in weights.items():
        made.graph.initializer.append(numpy_helper.from_array(numbers.astype(np.float32), name))
    shape = numpy_helper.from_array(np.array([0, 4, 24, -1], np.int64), "shape")
    made.graph.initializer.append(shape)
    made.producer_name, made.producer_version, made.domain = "trainer", "1.2", "org.example"
    made.model_version, made.doc_string, made.graph.doc_string = 7, "a model", "a graph"
    onnx.helper.set_model_props(made, {"author": "someone"})
    for node in made.graph.node:
        node.name = f"{node.output[0]}_node"
    _describe(made)
    return made


def _describe(made: onnx.ModelProto) -> None:
    graph = made.graph
    for said in (*graph.input, *graph.output, *graph.node):
        said.doc_string = f"about {said.name}"
        said.metadata_props.add(key="of", value=said.name)
    graph.metadata_props.add(key="of", value="graph")
    graph.input[0].type.denotation = "IMAGE"
    graph.value_info.append(onnx.helper.make_tensor_value_info("r", 1, ["N", 16, 6, 6]))
    graph.value_info[0].doc_string = "about r"


@pytest.fixture(scope="module", params=[(11, 6), (13, 7), (18, 10)], ids=str)
def original(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return network(*request.param)


@pytest.fixture(scope="module", params=REQUESTS)
def written(
    request: pytest.FixtureRequest,
    original: onnx.ModelProto,
    tmp_path_factory: pytest.TempPathFactory,
) -> onnx.ModelProto:
    folder = tmp_path_factory.mktemp("keeps")
    onnx.save(original, folder / "in.onnx")
    result = convert(folder / "in.onnx", folder / "out.onnx", **REQUESTS[request.param])
    assert result.certificates or any(site.recipe for site in result.sites)
    return onnx.load(folder / "out.onnx")


def test_the_frame_stays(original: onnx.ModelProto, written: onnx.ModelProto) -> None:
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        assert getattr(written, name) == getattr(original, name)
    assert written.ir_version == original.ir_version
    assert _versions(written) == _versions(original)
    assert {p.key: p.value for p in written.metadata_props}.items() >= {"author": "someone"}.items()
    assert [f.name for f in written.functions] == ["Half"]
    for name in ("name", "doc_string", "metadata_props"):
        assert getattr(written.graph, name) == getattr(original.graph, name)


def test_inputs_and_outputs_stay_with_all_that_is_said_of_them(
    original: onnx.ModelProto, written: onnx.ModelProto
) -> None:
    assert list(written.graph.input) == list(original.graph.input)
    assert list(written.graph.output) == list(original.graph.output)


def test_what_is_not_rewritten_stays_as_it_was(
    original: onnx.ModelProto, written: onnx.ModelProto
) -> None:
    now = {node.name: node for node in written.graph.node}
    kept = [n for n in original.graph.node if n.op_type in ("Relu", "Shape", "Half", "Mul")]
    assert len(kept) == 4
    for node in kept:
        assert now[node.name].output == node.output
        assert now[node.name].doc_string == node.doc_string
        assert now[node.name].metadata_props == node.metadata_props
    (info,) = [value for value in written.graph.value_info if value.name == "r"]
    assert info.doc_string == "about r"


def test_convolutions_keep_their_names_and_new_nodes_inherit_what_is_said(
    original: onnx.ModelProto, written: onnx.ModelProto
) -> None:
    made = {name for node in written.graph.node for name in node.output}
    assert {"a", "y", "d", "t"} <= made
    convolutions = [n for n in written.graph.node if n.op_type in ("Conv", "ConvTranspose")]
    known = {node.name for node in original.graph.node}
    assert {p.value for node in convolutions for p in node.metadata_props} <= known
    assert all(node.metadata_props and node.doc_string for node in convolutions)


def test_nothing_hangs_loose(original: onnx.ModelProto, written: onnx.ModelProto) -> None:
    assert set(_unread(written.graph)) <= set(_unread(original.graph))
    made = Counter(name for node in written.graph.node for name in node.output if name)
    made.update(value.name for value in written.graph.initializer)
    made.update(value.name for value in written.graph.input)
    assert max(made.values()) == 1
    assert {value.name for value in written.graph.value_info} <= set(made)
    names = Counter(node.name for node in written.graph.node)
    assert max(names.values()) == 1


def test_shapes_are_there_and_are_those_that_onnx_infers(written: onnx.ModelProto) -> None:
    onnx.checker.check_model(written, full_check=True)
    given = {v.name: v.type for v in (*written.graph.value_info, *written.graph.output)}
    assert set(given) >= {name for node in written.graph.node for name in node.output}
    inferred = shape_inference.infer_shapes(written, strict_mode=True, data_prop=True)
    for value in inferred.graph.value_info:
        if value.name in given:
            assert _sizes(given[value.name]) == _sizes(value.type)


def _versions(model: onnx.ModelProto) -> dict[str, int]:
    return {i.domain: i.version for i in model.opset_import}


def _sizes(kind: onnx.TypeProto) -> list[int]:
    """Known ones; names for others are free to differ."""
    return [dim.dim_value for dim in kind.tensor_type.shape.dim]


def _unread(graph: onnx.GraphProto) -> Iterator[str]:
    read = {name for node in graph.node for name in node.input}
    read |= {value.name for value in graph.output}
    made = (name for node in graph.node for name in node.output)
    yield from (n for n in (*made, *(v.name for v in graph.initializer)) if n and n not in read)


def test_the_input_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "in.onnx"
    onnx.save(network(18, 10), path)
    before = path.read_bytes()
    convert(path, tmp_path / "out.onnx", recipe=Grouped(2), exact=True)
    assert path.read_bytes() == before
