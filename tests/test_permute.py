"""Gathers of channels vanish into weights: where they can, and only where nothing changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise, permutations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import strategies as st
from models import Numbers, model, ort
from often import often

from gconvtool.fit.grouping import Grouping
from gconvtool.fit.structure import GroupedFactors
from gconvtool.graph import shapes, surgery
from gconvtool.graph.parts import array
from gconvtool.graph.permute import Absorbed, absorb

SHAPES = {
    "wa": (8, 8, 3, 3),
    "wb": (8, 8, 3, 3),
    "wc": (4, 8, 1, 1),
    "w4": (4, 4, 1, 1),
    "w16": (4, 16, 1, 1),
    "w8": (8, 8, 1, 1),
    "w_narrow": (2, 8, 1, 1),
    "w_wide": (8, 2, 1, 1),
    "depthwise": (8, 1, 3, 3),
    "multiplied": (16, 1, 3, 3),
    "transposed": (8, 4, 3, 3),
    "in_groups": (8, 4, 3, 3),
    "in_fours": (8, 2, 3, 3),
    "in_fours_too": (8, 2, 3, 3),
    "w_pixels": (4, 2, 1, 1),
    "v": (8,),
    "positive": (8,),
    "tall": (8, 1, 1),
    "map": (1, 8, 1, 1),
    "position": (6,),
    "flat": (5, 288),
    "tilted": (288, 5),
    "head": (5, 8),
    "bias": (5,),
    "tail": (4,),
}
"""Constants that a network may name."""
Groups = tuple[Numbers, Numbers]
CROSSED = [[0, 2, 5, 7], [1, 3, 4, 6]], [[1, 2, 3, 6], [0, 4, 5, 7]]
SAME = "Conv <pads = [1, 1, 1, 1]>"


def numbers(name: str) -> Numbers:
    rng = np.random.default_rng(len(name) + sum(SHAPES[name]))
    drawn = rng.standard_normal(SHAPES[name]) / np.sqrt(np.prod(SHAPES[name][1:]))
    return (np.abs(drawn) + 0.5 if name == "positive" else drawn).astype(np.float32)


def network(body: str, outputs: str = "float[] y", **settings: object) -> ir.Model:
    """A network of x, 1×8×6×6, with the constants that it names."""
    text = f"g (float[1, 8, 6, 6] x) => ({outputs}) {{ {body} }}"
    named = {name: numbers(name) for name in SHAPES if re.search(rf"\b{name}\b", text)}
    result = model(text, **{**named, **settings})
    shapes.infer(result)  # the checker wants those of outputs
    return result


def grouped(result: ir.Model, site: str, inputs: object, outputs: object) -> ir.Model:
    """A dense convolution becomes one in these groups, with some weights."""
    rng = np.random.default_rng(len(result.graph))
    weight, _ = surgery.weight_and_bias(result, site)
    grouping = Grouping(np.array(inputs), np.array(outputs))
    taps = weight.shape[1] // grouping.inputs.size
    shape = len(weight), taps * grouping.inputs.shape[1]
    drawn = rng.standard_normal(shape) / np.sqrt(shape[1])
    bias = rng.standard_normal(len(weight))
    surgery.replace(result, site, GroupedFactors(drawn, bias, grouping, taps))
    return result


def drawn(count: int, groups: int, rng: np.random.Generator) -> Numbers:
    """Groups that are not the channels in their own order: a Gather is written for each."""
    while True:
        parts = np.sort(rng.permutation(count).reshape(groups, -1), axis=1)
        if groups == 1 or not np.array_equal(parts.ravel(), np.arange(count)):
            return parts


def grouped_at_random(result: ir.Model, *sites: str, seed: int = 0, groups: int = 2) -> ir.Model:
    rng = np.random.default_rng(seed)
    for site in sites:
        filters, channels = array(surgery.find(result, site).inputs[1]).shape[:2]
        grouped(result, site, drawn(channels, groups, rng), drawn(filters, groups, rng))
    return result


def left(result: ir.Model, *sites: str) -> int:
    """Gathers that are left, once it is checked that all else is as it was."""
    rng = np.random.default_rng(1)
    fed = {
        v.name: rng.standard_normal(v.shape.numpy()).astype(np.float32) for v in result.graph.inputs
    }
    names = [value.name for value in result.graph.outputs]
    before = ort(result, **fed)
    absorbed = absorb(result)
    onnx.checker.check_model(ir.to_proto(result), full_check=True)
    for old, new in zip(before, ort(result, **fed), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-5 * np.abs(old).max())
    assert [value.name for value in result.graph.outputs] == names
    assert all(value.uses() for value in result.graph.initializers.values())
    assert {*sites} <= {v.name for node in result.graph for v in node.outputs}
    assert absorbed.left == permuting(result) <= absorbed.before
    assert_done(result, absorbed.left)
    return absorbed.left


def permuting(result: ir.Model) -> int:
    return sum(node.op_type == "Gather" for node in result.graph)


def assert_done(result: ir.Model, count: int) -> None:
    """A second time nothing happens."""
    once = ir.to_proto(result).SerializeToString(deterministic=True)
    assert absorb(result) == Absorbed(count, count)
    assert ir.to_proto(result).SerializeToString(deterministic=True) == once


def between(body: str, end: str = "y = Conv (m, wc)", **settings: object) -> ir.Model:
    """x → a, dense → b, in two groups → what the body makes of it: m → a dense end."""
    text = f"a = {SAME} (x, wa) b = {SAME} (a, wb) {body} {end}"
    return grouped_at_random(network(text, **settings), "b")


NORM = "BatchNormalization (b, v, v, v, positive)"
ALIKE = {
    "nothing": "m = Identity (b)",
    "relu": "m = Relu (b)",
    "clip": "k = Constant <value = float {0.1}> () m = Clip (b, k)",
    "cast": "h = Cast <to = 11> (b) m = Cast <to = 1> (h)",
    "dropout": "m = Dropout (b)",
    "normalisation": f"m = {NORM}",
    "instances": "m = InstanceNormalization (b, v, v)",
    "slopes": "m = PRelu (b, tall)",
    "one slope": "k = Constant <value = float[1] {0.1}> () m = PRelu (b, k)",
    "a number a channel": "m = Mul (map, b)",
    "a computed number a channel": "k = Abs (map) m = Mul (b, k)",
    "a number a position": "m = Mul (b, position)",
    "a choice": "k = Greater (b, tall) m = Where (k, b, tall)",
    "max pooling": "m = MaxPool <kernel_shape = [2, 2]> (b)",
    "average pooling": "m = AveragePool <kernel_shape = [2, 2]> (b)",
    "depthwise": f"m = {SAME.replace('<', '<group = 8, ')} (b, depthwise, v)",
    "transposed depthwise": "m = ConvTranspose <group = 8> (b, depthwise, v)",
    "a size": "s = Shape (b) k = Cast <to = 1> (s) n = ReduceSum <keepdims = 0> (k) m = Div (b, n)",
    "softmax": "m = Softmax <axis = 1> (b)",
    "layers": "m = LayerNormalization <axis = 3> (b, position)",
    "layers of all": "m = LayerNormalization <axis = 1> (b, whole)",
    "turned": "m = Transpose <perm = [0, 1, 3, 2]> (b)",
    "resized": "k = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> () m = Resize (b, , k)",
    "padded": "k = Constant <value_ints = [0, 0, 1, 1, 0, 0, 1, 1]> () m = Pad (b, k)",
    "reduced": "m = ReduceMean <axes = [2, 3]> (b)",
    "quantised": "s = Constant <value = float {0.05}> () z = Constant <value = uint8 {128}> () "
    "q = QuantizeLinear (b, s, z) m = DequantizeLinear (q, s, z)",
    "excitation": "p = GlobalAveragePool (b) n = Conv (p, w_narrow) r = Relu (n) "
    "e = Conv (r, w_wide) s = Sigmoid (e) m = Mul (b, s)",
}
"""What a map may go through before something takes its order."""
FLAT = "m = GlobalAveragePool (b) f = Flatten (m)"
ENDS = {
    "dense": "y = Conv (b, wc)",
    "dense transposed": "y = ConvTranspose (b, transposed, tail)",
    "fully connected": "f = Flatten (b) y = Gemm <transB = 1> (f, flat, bias)",
    "fully connected, tilted": "f = Flatten (b) y = Gemm (f, tilted, bias)",
    "a product": "f = Flatten (b) r = Relu (f) y = MatMul (r, tilted)",
    "pooled": f"{FLAT} y = Gemm <transB = 1> (f, head, bias)",
    "squeezed": "m = ReduceMean <axes = [2, 3], keepdims = 0> (b) y = Gemm <transB = 1> (m, head)",
    "two readers": "y = Conv (b, wc) z = Conv (b, w8)",
    "joined": "n = Neg (a) j = Concat <axis = 1> (b, n) y = Conv (j, w16)",
    "in parts": "p, q = Split <axis = 1> (a) d = Conv (p, w4) e = Conv (q, w4) "
    "n = Conv (b, wc) y = Sum (d, e, n)",
    "cut": "s = Constant <value_ints = [2]> () e = Constant <value_ints = [6]> () "
    "i = Constant <value_ints = [1]> () p = Slice (a, s, e, i) d = Conv (p, w4) "
    "n = Conv (b, wc) y = Add (d, n)",
    "summed up": "y = ReduceSum <keepdims = 0> (b)",
    "multiplied": "d = Conv <group = 8> (b, multiplied) y = Conv (d, w16)",
    "a shuffle of what is joined": "n = Neg (b) j = Concat <axis = 1> (b, n) "
    "i = Constant <value_ints = [15, 0, 3, 1, 2, 14, 13, 4, 6, 5, 8, 7, 10, 9, 12, 11]> () "
    "s = Gather <axis = 1> (j, i) y = Conv (s, w16)",
    "in other groups": "k = Conv (b, w8) d = Conv <group = 2> (k, in_groups) y = Conv (d, wc)",
}
"""What may take an order; y is the result."""
CUTS = frozenset({"in parts", "cut"})
"""Where a falls into parts, which are not the groups that b has: one Gather has to stay."""


@pytest.mark.parametrize("body", ALIKE.values(), ids=ALIKE.keys())
def test_channels_that_are_treated_alike_may_stand_anywhere(body: str) -> None:
    extra = {"whole": np.ones((8, 6, 6), np.float32)} if "whole" in body else {}
    assert left(between(body, **extra), "a", "b") == 0


@pytest.mark.parametrize("name", ENDS)
def test_weights_take_the_order(name: str) -> None:
    outputs = "float[] y, float[] z" if " z = " in ENDS[name] else "float[] y"
    result = between("", ENDS[name], outputs=outputs)
    assert left(result, "a", "b") == (name in CUTS)


FIXED = {
    "an output": f"y = {SAME} (b, w8) z = Identity (b)",
    "another domain": "m = com.microsoft.QuickGelu (b) y = Conv (m, wc)",
    "neighbours": "m = LRN <size = 3> (b) y = Conv (m, wc)",
    "pixels of channels": "m = DepthToSpace <blocksize = 2> (b) y = Conv (m, w_pixels)",
    "the largest channel": "k = ArgMax <axis = 1> (b) m = Cast <to = 1> (k) y = Neg (m)",
    "a sum over some": "k = Constant <value_ints = [1]> () m = CumSum (b, k) y = Conv (m, wc)",
    "groups of its own": "m = Conv <group = 4> (b, in_fours) y = Conv (m, wc)",
    "transposed groups": "m = ConvTranspose <group = 4> (b, in_fours_too) y = Conv (m, wc)",
    "a shuffle": "k = Constant <value_ints = [1, 2, 4, 36]> () f = Reshape (b, k) "
    "t = Transpose <perm = [0, 2, 1, 3]> (f) l = Constant <value_ints = [1, 8, 6, 6]> () "
    "m = Reshape (t, l) y = Conv (m, wc)",
    "a computed weight": "w = Abs (w8) y = Conv (b, w)",
    "channels as positions": "m = Transpose <perm = [0, 2, 1, 3]> (b) y = Neg (m)",
    "places of the largest": "m, i = MaxPool <kernel_shape = [2, 2]> (b) "
    "f = Cast <to = 1> (i) y = Add (m, f)",
    "a branch": "t = Constant <value = bool {1}> () y = If (t) <"
    "then_branch = g1 () => (float[1, 8, 6, 6] p) { p = Neg (b) }, "
    "else_branch = g2 () => (float[1, 8, 6, 6] q) { q = Relu (b) }>",
}
"""What takes the channels as they have always been; the Gather before b vanishes into a."""


@pytest.mark.parametrize("end", FIXED.values(), ids=FIXED.keys())
def test_what_knows_channels_by_their_place_gets_them_there(end: str) -> None:
    outputs = "float[] y, float[] z" if " z = " in end else "float[] y"
    result = between("", end, outputs=outputs, domains=["com.microsoft"])
    assert left(result, "a", "b") == 1


def test_inputs_and_outputs_keep_their_order() -> None:
    result = grouped_at_random(network(f"y = {SAME} (x, wa)"), "y")
    assert left(result, "y") == 2


def chain(length: int) -> ir.Model:
    """Convolutions c1, c2, … of eight channels between two dense ones."""
    names = ["a", *(f"c{i}" for i in range(1, length + 1))]
    steps = (f"{y} = {SAME} ({x}, wa) " for x, y in pairwise(["x", *names]))
    return network(f"{''.join(steps)} y = Conv ({names[-1]}, wc)")


def test_between_two_convolutions_in_other_groups_one_gather_stays() -> None:
    names = ["c1", "c2", "c3"]
    result = grouped_at_random(chain(3), *names)
    assert permuting(result) == 6
    assert left(result, *names) == 2


def test_groups_may_trade_places() -> None:
    result = chain(4)
    parts = [[0, 3], [1, 6], [2, 4], [5, 7]]
    for index in (2, 4, 1, 3):
        turned = [parts[(g + index) % 4] for g in range(4)]
        grouped(result, f"c{index}", parts[::-1] if index % 2 else parts, turned)
    assert permuting(result) == 8
    assert left(result, "c1", "c2", "c3", "c4") == 0


def test_groups_trade_places_up_to_what_is_fixed() -> None:
    parts = [[0, 1], [2, 3], [4, 5], [6, 7]]
    result = network(f"a = {SAME} (x, wa) b = {SAME} (a, wb) c = Relu (b) y = LRN <size = 3> (c)")
    assert left(grouped(result, "b", [[6, 1], [0, 5], [7, 2], [4, 3]], parts[::-1]), "b") == 0


def test_two_cheap_gathers_may_be_worth_more_than_a_dear_one() -> None:
    """Both readers of the pooled map want one order, the reader of the large map another."""
    pool = "MaxPool <kernel_shape = [2, 2], strides = [1, 1]>"  # 36 positions → 25; 2·25 > 36
    body = f"a = {SAME} (x, wa) p = {pool} (a) b = {SAME} (a, wb) "
    body += f"c = {SAME} (p, wb) d = {SAME} (p, wa)"
    result = network(
        f"{body} y = Conv (b, wc) e = Conv (c, wc) z = Conv (d, wc)",
        "float[] y, float[] e, float[] z",
    )
    shared = [[0, 2, 4, 6], [1, 3, 5, 7]]
    grouped(result, "b", [[0, 1, 2, 3], [7, 6, 5, 4]][::-1], shared)
    grouped(grouped(result, "c", shared, shared), "d", shared, shared)
    assert left(result, "b", "c", "d") == 1
    (stays,) = (node for node in result.graph if node.op_type == "Gather")
    assert stays.inputs[0].name == "a"


def residual(blocks: int, seed: int) -> tuple[ir.Model, list[tuple[Numbers, Numbers]]]:
    """A stage of four channels whose blocks are two convolutions in two groups, and these."""
    body, rng, groupings = "s0 = Conv (x, stem) ", np.random.default_rng(seed), []
    for i in range(blocks):
        body += f"a{i} = {SAME} (s{i}, w) r{i} = Relu (a{i}) b{i} = {SAME} (r{i}, w) "
        body += f"t{i} = Add (s{i}, b{i}) s{i + 1} = Relu (t{i}) "
    shapes = {"stem": (4, 8, 1, 1), "w": (4, 4, 3, 3), "last": (3, 4, 1, 1)}
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    result = network(f"{body} y = Conv (s{blocks}, last)", **weights)
    for site in (f"{name}{i}" for i in range(blocks) for name in "ab"):
        groupings.append((drawn(4, 2, rng), drawn(4, 2, rng)))
        grouped(result, site, *groupings[-1])
    return result, groupings


def fewest(groupings: list[tuple[Numbers, Numbers]]) -> int:
    """By trying every order of the stream and of each inner map, and every sequence of groups."""
    orders = list(permutations(range(4)))

    def misses(order: tuple[int, ...], groups: Numbers, sequence: tuple[int, int]) -> int:
        halves = [set(order[:2]), set(order[2:])]
        return halves != [set(groups[g]) for g in sequence]

    def block(stream: tuple[int, ...], first: Groups, second: Groups) -> int:
        return min(
            sum(
                (
                    misses(stream, first[0], one),
                    misses(inner, first[1], one),
                    misses(inner, second[0], two),
                    misses(stream, second[1], two),
                )
            )
            for inner in orders
            for one in ((0, 1), (1, 0))
            for two in ((0, 1), (1, 0))
        )

    pairs = list(zip(groupings[::2], groupings[1::2], strict=True))
    return min(sum(block(stream, *pair) for pair in pairs) for stream in orders)


@often(10, 30, st.integers(1, 3), st.integers(0, 999))
def test_a_residual_stage_keeps_as_few_gathers_as_can_be(blocks: int, seed: int) -> None:
    result, groupings = residual(blocks, seed)
    written = permuting(result)
    count = left(result, *(f"{name}{i}" for i in range(blocks) for name in "ab"))
    assert count == fewest(groupings) <= written


def test_names_of_convolutions_move_to_the_convolutions() -> None:
    result = between("m = Relu (b)")
    absorb(result)
    assert [node.op_type for node in result.graph] == ["Conv", "Conv", "Relu", "Conv"]
    assert [node.outputs[0].name for node in result.graph] == ["a", "b", "m", "y"]


def test_an_output_behind_a_gather_that_vanishes_keeps_its_name() -> None:
    result = network(f"a = {SAME} (x, wa) y = Gather <axis = 1> (a, turn)", turn=np.arange(8)[::-1])
    assert left(result, "y") == 0
    assert [node.outputs[0].name for node in result.graph] == ["y"]


def test_negative_indices_and_axes_permute_too() -> None:
    turn = np.array([-1, 0, -2, 1, 2, 3, 4, 5])
    result = network(
        f"a = {SAME} (x, wa) g = Gather <axis = -3> (a, turn) y = Conv (g, wc)", turn=turn
    )
    assert left(result, "a") == 0


def test_gathers_that_stay_are_written_once() -> None:
    halves = [[0, 1, 4, 5], [2, 3, 6, 7]], [[0, 1, 2, 3], [4, 5, 6, 7]]
    body = f"a = LRN <size = 3> (x) b = {SAME} (a, wa) c = {SAME} (a, wb)"
    result = network(f"{body} y = Conv (b, wc) z = Conv (c, wc)", "float[] y, float[] z")
    grouped(grouped(result, "b", *halves), "c", *halves)
    assert permuting(result) == 2
    assert left(result, "b", "c") == 1


def test_groups_that_are_written_out_take_the_order_too() -> None:
    """A Split behind one Gather and a Concat before the other."""
    body = f"a = {SAME} (x, wa) b = {SAME} (a, wb) r = Relu (b) c = {SAME} (r, wc)"
    result = network(f"{body} y = Neg (c)", wc=numbers("wb"))
    weight, grouping = surgery.weight_and_bias(result, "b")[0], Grouping(*map(np.array, CROSSED))
    surgery.replace(
        result, "b", GroupedFactors(weight[:, :36], np.arange(8.0), grouping, 9), "split"
    )
    assert permuting(result) == 2
    assert left(result, "a", "b", "c") == 0


def test_runs_that_do_not_divide_each_other_keep_their_gathers() -> None:
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_normal((12, 8, 1, 1), np.float32),
        "w2": rng.standard_normal((12, 6, 3, 3), np.float32),
        "w3": rng.standard_normal((12, 12, 3, 3), np.float32),
    }
    body = f"a = Conv (x, w1) b = Conv <group = 2> (a, w2) c = {SAME} (a, w3)"
    result = network(f"{body} y = Neg (b) z = Neg (c)", "float[] y, float[] z", **weights)
    grouped(result, "c", drawn(12, 3, rng), drawn(12, 3, rng))
    assert left(result, "a", "b", "c") == 2


@pytest.mark.parametrize(
    "step",
    [
        "s = Constant <value_ints = [1]> () m = Slice (u, s, s, s)",
        "s = Constant <value_ints = [1, 1]> () c = Constant <value = float {0}> () "
        "t = Constant <value_ints = [1]> () m = Pad (u, s, c, t)",
        "m = Concat <axis = -3> (u, u)",
        "m = Softmax (u)",
        "m = Flatten (u)",
        "s = Constant <value_ints = [1, 8, 1, 36]> () m = Reshape (u, s)",
        "s = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> () m = Resize <axes = [0, 1, 2, 3], "
        'keep_aspect_ratio_policy = "stretch"> (u, , s)',
        "m = ReduceMean <axes = [1], keepdims = 0> (u)",
        "m = ReduceMean <axes = [-1]> (u)",
        "m, n = Split <axis = 1> (u)",
        "m = Add (u, x)",
        "m = Conv (u, wc)",
        "m = MatMul (u, head)",
        "k = Constant <value_ints = [7, 6, 5, 4, 3, 2, 1, 0]> () m = Gather <axis = 1> (u, k)",
    ],
)
def test_what_has_no_shape_is_left_alone(step: str) -> None:
    body = f"a = {SAME} (x, wa) b = {SAME} (a, wb) u = local.Unknown (b) {step} y = Neg (m)"
    result = grouped_at_random(network(body, opset=18, domains=["local"]), "b")
    rest = [node.op_type for node in result.graph][5:]
    absorb(result)
    assert permuting(result) - rest.count("Gather") == 1  # in front of what nobody knows
    assert [node.op_type for node in result.graph][4:] == rest


@pytest.mark.parametrize("turn", [[0, 1, 2], [0, 0, 1, 2, 3, 4, 5, 6], [[0, 1, 2, 3]] * 2])
def test_what_is_no_permutation_stays(turn: object) -> None:
    result = network(
        f"a = {SAME} (x, wa) g = Gather <axis = 1> (a, turn) y = Neg (g)", turn=np.array(turn)
    )
    before = ir.to_proto(result).graph.node
    assert absorb(result) == Absorbed(0, 0)
    assert ir.to_proto(result).graph.node == before


def test_convolutions_that_share_a_weight_share_it_afterwards() -> None:
    result = between(
        "",
        "y = Conv (b, wc) n = Relu (b) z = Conv (n, wc) e = Conv (x, wc)",
        outputs="float[] y, float[] z, float[] e",
    )
    assert left(result) == 0
    assert sum(name.startswith("wc") for name in result.graph.initializers) == 2  # one for e


def test_before_opset_7_slopes_are_a_number_a_channel() -> None:
    result = network(
        "a = Conv (x, wa) p = PRelu (a, v) g = Gather <axis = 1> (p, turn) y = Conv (g, wc)",
        opset=6,
        turn=np.arange(8)[::-1],
    )
    assert absorb(result) == Absorbed(0, 0)


def test_half_precision_stays_half_precision() -> None:
    body = "a = Conv (x, w) g = Gather <axis = 1> (a, turn) y = Conv (g, w)"
    w = np.random.default_rng(0).standard_normal((4, 4, 1, 1)).astype(np.float16)
    text = f"g (float16[1, 4, 5, 5] x) => (float16[] y) {{ {body} }}"
    result = model(text, w=w, turn=np.array([2, 0, 3, 1]))
    assert absorb(result) == Absorbed(1, 0)
    assert {value.dtype for value in result.graph.initializers.values()} == {ir.DataType.FLOAT16}


class Drawing:
    """Draws a network: maps of 1×C×6×6, each step made of earlier ones."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw, self.rng = draw, np.random.default_rng(draw(st.integers(0, 999)))
        self.body, self.weights, self.dense = "", {}, []
        self.maps: list[tuple[str, int]] = [("x", 8)]
        for _ in range(draw(st.integers(3, 14))):
            draw(st.sampled_from([self.conv] * 3 + self.others()))()
        name, size = self.maps[-1]
        head = self.weight("last", (3, size * 36))
        self.body += f"rows = Flatten ({name}) logits = Gemm <transB = 1> (rows, {head}) "
        inner = [n for n, _ in self.maps[1:-1] if f"{n} = Gather" not in self.body]
        taps = draw(st.lists(st.sampled_from(inner), max_size=2, unique=True)) if inner else []
        self.outputs = ", ".join(f"float[] {n}" for n in ("logits", *taps))

    def others(self) -> list[Callable[[], None]]:
        steps = [self.alike, self.norm, self.depthwise, self.add, self.join, self.split]
        return [*steps, self.excite, self.shuffle]

    def weight(self, name: str, shape: tuple[int, ...]) -> str:
        numbers = self.rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        self.weights[name] = numbers.astype(np.float32)
        return name

    def take(self) -> tuple[str, int]:
        """One of the newest maps."""
        return self.draw(st.sampled_from(self.maps[-3:]))

    def note(self, text: str, size: int) -> str:
        name = f"n{len(self.maps)}"
        self.body += f"{name} = {text} "
        self.maps.append((name, size))
        return name

    def conv(self) -> None:
        x, size = self.take()
        filters = self.draw(st.sampled_from([4, 8, 12]))
        shared = [n for n, w in self.weights.items() if w.shape == (filters, size, 3, 3)]
        if shared and self.draw(st.booleans()):
            weight = shared[0]
        else:
            weight = self.weight(f"w{len(self.maps)}", (filters, size, 3, 3))
        self.dense.append(self.note(f"{SAME} ({x}, {weight})", filters))

    def alike(self) -> None:
        x, size = self.take()
        pool = "MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (X)"
        text = self.draw(st.sampled_from(["Relu (X)", "PRelu (X, V)", "Mul (V, X)", pool]))
        if "V" in text:
            text = text.replace("V", self.weight(f"s{len(self.maps)}", (size, 1, 1)))
        self.note(text.replace("X", x), size)

    def norm(self) -> None:
        x, size = self.take()
        vectors = [self.weight(f"{v}{len(self.maps)}", (size,)) for v in "gbm"]
        variance = self.weight(f"v{len(self.maps)}", (size,))
        self.weights[variance] = np.abs(self.weights[variance]) + 1
        self.note(f"BatchNormalization ({', '.join([x, *vectors, variance])})", size)

    def depthwise(self) -> None:
        x, size = self.take()
        some = [(size, 1), (size, 2), *((g, 1) for g in (2, 4) if size % g == 0)]
        groups, times = self.draw(st.sampled_from(some))
        weight = self.weight(f"d{len(self.maps)}", (size * times, size // groups, 3, 3))
        self.note(f"Conv <pads = [1, 1, 1, 1], group = {groups}> ({x}, {weight})", size * times)

    def add(self) -> None:
        x, size = self.take()
        other = self.draw(st.sampled_from([name for name, count in self.maps if count == size]))
        self.note(f"Add ({other}, {x})", size)

    def join(self) -> None:
        (x, size), (other, more) = self.take(), self.take()
        if size + more <= 24:
            self.note(f"Concat <axis = 1> ({x}, {other})", size + more)

    def split(self) -> None:
        x, size = self.take()
        if size % 2:
            return
        other = f"h{len(self.maps)}"
        self.maps.append((other, size // 2))
        self.body += f"{other}, n{len(self.maps)} = Split <axis = 1> ({x}) "
        self.maps.append((f"n{len(self.maps)}", size // 2))

    def shuffle(self) -> None:
        x, size = self.take()
        order = f"o{len(self.maps)}"
        self.weights[order] = self.rng.permutation(size)
        self.note(f"Gather <axis = 1> ({x}, {order})", size)

    def excite(self) -> None:
        x, size = self.take()
        number = len(self.maps)
        weight = self.weight(f"e{number}", (size, size, 1, 1))
        self.body += f"p{number} = GlobalAveragePool ({x}) q{number} = Conv (p{number}, {weight}) "
        self.note(f"Mul ({x}, q{number})", size)


@often(20, 60, st.data())
def test_any_network_computes_what_it_did(data: st.DataObject) -> None:
    drawing = Drawing(data.draw)
    result = network(drawing.body, drawing.outputs, opset=13, **drawing.weights)
    for site in drawing.dense:
        filters, channels, *_ = array(surgery.find(result, site).inputs[1]).shape
        groups = [g for g in (1, 2, 4) if filters % g == channels % g == 0]
        count = data.draw(st.sampled_from(groups))
        grouped(
            result, site, drawn(channels, count, drawing.rng), drawn(filters, count, drawing.rng)
        )
    twin = result.clone()
    left(result, *drawing.dense)
    absorb(twin)
    assert ir.to_proto(twin).SerializeToString(deterministic=True) == ir.to_proto(
        result
    ).SerializeToString(deterministic=True)
