"""What is said about a layer: the formulas with its own numbers, against arrays and onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import ort, proto, site

from gconvtool.explain import explain
from gconvtool.facts import Body, ConvSite, NodeFact
from gconvtool.results import Layer


def lines(
    facts: ConvSite | None, row: dict[str, Any], words: tuple[str, ...] = (), **node: Any
) -> tuple[str, ...]:
    known: dict[str, Any] = {"op": "Conv", "kind": "standard", "macs": 0, "params": 0}
    shapes = {"input_shape": (1, 8, 10, 10), "output_shape": (1, 8, 8, 8)}
    layer = Layer(name="y", **{**known, **shapes, **row})
    fact = NodeFact("y", layer.op, "", (), (), node.pop("attributes", {}), **node)
    answer = explain(fact, facts, layer, words)
    assert answer.name == "y"
    return answer.lines


def test_a_convolution_is_explained_line_by_line() -> None:
    dense = site(
        channels=64,
        filters=128,
        strides=(2, 2),
        pads=(1, 1, 1, 1),
        input_shape=(1, 64, 56, 56),
        output_shape=(1, 128, 28, 28),
        bias=True,
    )
    row = {
        "macs": 57_802_752,
        "params": 73_856,
        "input_shape": dense.input_shape,
        "output_shape": dense.output_shape,
        "bias_adds": 100_352,
        "weight_bytes": 295_424,
        "activation_bytes": 1_204_224,
    }
    assert lines(dense, row, ("MACs = as was said",)) == (
        "Conv: standard, since G = 1 and its kernel is 3×3",
        "C = 64 channels, N = 128 filters, G = 1, K = 3×3, stride 2×2, dilation 1×1, padding 1×1",
        "input 1×64×56×56, output 1×128×28×28",
        "output height = width = floor((56 + 1 + 1 − 1·(3 − 1) − 1) / 2) + 1 = 28",
        "parameters = N · C/G · K + N of the bias = 128 · 64/1 · 3×3 + 128 = 73,856",
        "MACs = as was said",
        "FLOPs = 2 · MACs = 115,605,504",
        "no MACs: 100,352 bias adds",
        "bytes moved = 295,424 of weights + 1,204,224 of activations = 1,499,648",
        "arithmetic intensity = FLOPs / bytes = 115,605,504 / 1,499,648 = 77.09",
        "legal group counts above 1: 2, 4, 8, 16, 32, 64",
    )


@settings(deadline=None, max_examples=25)
@given(
    size=st.integers(5, 12),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    pads=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    transposed=st.booleans(),
)
def test_the_output_size_is_what_the_runtime_makes(
    size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int], transposed: bool
) -> None:
    op, more = "ConvTranspose" if transposed else "Conv", (stride - 1) * transposed
    padding = f", output_padding = [{more}]" if transposed else ""
    made = ort(
        proto(
            f"g (float[1, 1, {size}] x) => (float[1, 1, L] y) {{ y = {op} <strides = [{stride}], "
            f"dilations = [{dilation}], pads = [{pads[0]}, {pads[1]}]{padding}> (x, w) }}",
            w=np.ones((1, 1, kernel), np.float32),
        ),
        x=np.ones((1, 1, size), np.float32),
    )[0]
    facts = site(
        op=op,
        channels=1,
        filters=1,
        kernel=(kernel,),
        strides=(stride,),
        dilations=(dilation,),
        pads=pads,
        input_shape=(1, 1, size),
        output_shape=None,
    )
    attributes = {"output_padding": (more,)} if transposed else {}
    (line,) = (s for s in lines(facts, {"op": op}, attributes=attributes) if "length = " in s)
    *_, formula, value = line.split(" = ")
    assert value == str(made.shape[2])
    plain = formula.replace("·", "*").replace("−", "-").replace("floor", "np.floor")
    assert eval(plain, {"np": np}) == made.shape[2]  # what is written is what is counted


def test_axes_that_differ_have_a_line_each() -> None:
    told = lines(site(kernel=(3, 1), output_shape=(1, 8, 8, 10)), {})
    assert "output height = floor((10 + 0 + 0 − 1·(3 − 1) − 1) / 1) + 1 = 8" in told
    assert "output width = floor((10 + 0 + 0 − 1·(1 − 1) − 1) / 1) + 1 = 10" in told


def test_open_sizes_stay_in_the_formula() -> None:
    told = lines(
        site(input_shape=(1, 8, "H", None), output_shape=(1, 8, "H - 2", None)),
        {"macs": None, "macs_formula": "576·H", "output_shape": (1, 8, "H - 2", None)},
        ("MACs are open",),
    )
    assert any(line.endswith("output 1×8×(H - 2)×?") for line in told)
    assert "output height = floor((H + 0 + 0 − 1·(3 − 1) − 1) / 1) + 1 = H - 2" in told
    assert "output width = floor((input + 0 + 0 − 1·(3 − 1) − 1) / 1) + 1" in told
    assert "MACs = 576·H" in told
    assert "bytes moved: not known" in told


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"kernel": (1, 1)}, "pointwise, since G = 1 and its kernel is 1×1"),
        ({"groups": 4}, "grouped, since 1 < G = 4 < C = 8"),
        ({"groups": 4, "kernel": (1, 1)}, "grouped-pointwise, since 1 < G = 4 < C"),
        ({"groups": 8, "filters": 16}, "depthwise-multiplier, since G = C = 8 and N = 16"),
        ({"groups": 8}, "since G = C = N = 8; not gdc, since its map is 10×10 and its kernel 3×3"),
        ({"groups": 8, "input_shape": (1, 8, "H", 3)}, "not gdc as far as is known"),
        ({"groups": 8, "input_shape": (1, 8, 3, 3), "pads": (1, 1, 1, 1)}, "since it pads"),
        ({"groups": 8, "op": "ConvTranspose"}, "since it is transposed"),
        (
            {"groups": 8, "input_shape": (1, 8, 3, 3), "output_shape": (1, 8, 1, 1)},
            "gdc, since G = C = N = 8 and its kernel is the whole 3×3 map, unpadded",
        ),
    ],
)
def test_a_kind_comes_with_its_reason(facts: dict[str, Any], words: str) -> None:
    assert words in lines(site(**facts), {})[0]


def test_padding_that_is_not_the_same_at_both_ends_says_so() -> None:
    told = lines(site(pads=(0, 1, 1, 1)), {})
    assert any("padding 0×1 before and 1×1 after" in line for line in told)
    assert any("padding not known" in line for line in lines(site(pads=None), {}))


def test_contradictions_get_no_formula() -> None:
    told = lines(site(strides=(1,)), {})
    assert not any(line.startswith("output") for line in told)
    assert not any(line.startswith("output") for line in lines(site(strides=(0, 1)), {}))


def test_parameters_that_count_elsewhere_are_told() -> None:
    told = lines(site(), {"params": 0})
    assert "parameters = N · C/G · K = 8 · 8/1 · 3×3 = 576; 0 of them count at this layer" in told


def test_a_head_is_a_fully_connected_layer_over_a_map() -> None:
    head = site(op="Gemm", channels=16, filters=10, kernel=(5, 5), input_shape=(1, 16, 5, 5))
    row = {"op": "Gemm", "kind": "linear", "macs": 4000, "params": 4000}
    told = lines(head, row, ("MACs = 10 · 400",))
    assert told[0] == "Gemm: linear, a fully connected layer over the whole 5×5 map"
    assert "parameters = N · C/G · K = 10 · 16/1 · 5×5 = 4,000" in told
    assert not any("group counts" in line for line in told)


def test_other_nodes_say_what_they_have() -> None:
    row = {"op": "Relu", "kind": "activation", "elementwise_ops": 512, "weight_bytes": 0}
    assert lines(None, {**row, "activation_bytes": 4096}, ("MACs = 0: nothing to multiply",)) == (
        "Relu: activation",
        "input 1×8×10×10, output 1×8×8×8",
        "MACs = 0: nothing to multiply",
        "no MACs: 512 elementwise",
        "bytes moved = 0 of weights + 4,096 of activations = 4,096",
    )


def test_control_flow_says_what_is_inside_and_how_often() -> None:
    body = Body("body", (NodeFact("y/body/a", "Relu", "", (), (), {}),), trips=10)
    told = lines(None, {"op": "Loop", "kind": "control", "macs": 90}, ("no rule",), bodies=(body,))
    assert "body: 1 node, 10 times" in told
    assert "MACs = 90, all of them inside" in told
    assert "no rule" not in told
    open_end = Body("body", (), trips=None, reason="its number of trips is not known")
    told = lines(None, {"op": "Loop", "kind": "unknown", "macs": None}, bodies=(open_end,))
    assert "body: 0 nodes, its number of trips is not known" in told
    assert "MACs are not known" in told
    (inside,) = (s for s in lines(None, {"parent": "y", "times": 10}) if "counts" in s)
    assert "10 times in y" in inside
