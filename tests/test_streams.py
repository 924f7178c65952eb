"""Which convolutions share a stream of channels, and what that saves."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from models import model
from test_permute import SAME, grouped, left, network

from gconvtool.graph.streams import Ties, tied

STEM = f"s0 = {SAME} (x, wa) "
NONE = (None, None)


def block(index: int, end: str = "Relu (t{i})") -> str:
    """Two convolutions, a and b, around which the stream goes from s to the next s."""
    i = index
    return (
        f"a{i} = {SAME} (s{i}, wa) r{i} = Relu (a{i}) b{i} = {SAME} (r{i}, wb) "
        f"t{i} = Add (s{i}, b{i}) s{i + 1} = {end.format(i=i)} "
    )


def ties(body: str, *sites: str, outputs: str = "float[] y") -> dict[str, Ties]:
    return tied(network(body, outputs), sites)


def test_residual_branches_are_one_stream_and_their_inside_is_free() -> None:
    found = ties(f"{STEM}{block(0)}{block(1)} y = Conv (s2, wc)", "a0", "b0", "a1", "b1")
    (stream,) = {tie for both in found.values() for tie in both} - {None}
    assert found == {
        "a0": (stream, None),
        "b0": (None, stream),
        "a1": (stream, None),
        "b1": (None, stream),
    }


@pytest.mark.parametrize(
    "end",
    [
        "MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (t{i})",
        "BatchNormalization (t{i}, v, v, v, positive)",
        "PRelu (t{i}, tall)",
        "Mul (t{i}, tall)",
        "Conv <pads = [1, 1, 1, 1], group = 8> (t{i}, depthwise)",
    ],
)
def test_a_stream_goes_on_through_what_treats_channels_alike(end: str) -> None:
    found = ties(f"{STEM}{block(0, end)}{block(1, end)} y = Conv (s2, wc)", "a1", "b0")
    assert found["a1"][0] == found["b0"][1] is not None


def test_a_shortcut_that_is_no_site_begins_another_stream() -> None:
    body = f"{STEM}{block(0)} p = Conv (s1, w8) q = {SAME} (s1, wb) s2 = Add (p, q) {block(2)}"
    found = ties(f"{body} y = Conv (s3, wc)", "a0", "b0", "q", "a2", "b2")
    assert found["a0"][0] == found["b0"][1] == found["q"][0]
    assert found["q"][1] == found["a2"][0] == found["b2"][1]
    assert None not in found["q"]
    assert found["q"][0] != found["q"][1]


def test_a_chain_is_free() -> None:
    body = f"{STEM} a = {SAME} (s0, wa) r = Relu (a) b = {SAME} (r, wb) y = Conv (b, wc)"
    assert ties(body, "s0", "a", "b") == {"s0": NONE, "a": NONE, "b": NONE}


def test_several_readers_are_tied_to_each_other_and_not_to_the_writer() -> None:
    body = f"{STEM} r = Relu (s0) a = {SAME} (r, wa) b = {SAME} (r, wb)"
    found = ties(
        f"{body} y = Conv (a, wc) z = Conv (b, wc)", "s0", "a", "b", outputs="float[] y, float[] z"
    )
    assert found["s0"] == NONE
    assert found["a"] == found["b"] == (found["a"][0], None)
    assert found["a"][0] is not None


def test_a_single_convolution_round_which_the_stream_goes_is_tied_where_it_reads() -> None:
    steps = (f"a{i} = {SAME} (s{i}, wa) s{i + 1} = Add (s{i}, a{i}) " for i in range(3))
    found = ties(f"{STEM}{''.join(steps)} y = Conv (s3, wc)", "a0", "a1", "a2")
    assert len(set(found.values())) == 1
    assert found["a0"][0] is not None
    assert found["a0"][1] is None


def test_a_gate_makes_no_stream() -> None:
    body = (
        f"{STEM} p = GlobalAveragePool (s0) n = Conv (p, w_narrow) e = Conv (n, w_wide) "
        f"m = Mul (s0, e) a = {SAME} (m, wa) y = Conv (a, wc)"
    )
    assert ties(body, "s0", "a") == {"s0": NONE, "a": NONE}


@pytest.mark.parametrize("end", ["y = Identity (s2)", "y = LRN <size = 3> (s2)", "y = Cos (s1)"])
def test_what_cannot_be_reordered_is_not_tied(end: str) -> None:
    found = ties(f"{STEM}{block(0)}{block(1)} {end}", "a0", "b0", "a1", "b1")
    assert {*found.values()} == {NONE}


def test_channels_in_pieces_are_not_tied() -> None:
    body = (
        f"{STEM} j = Concat <axis = 1> (s0, s0) a = Conv (j, w16) b = Conv (j, w16) y = Add (a, b)"
    )
    assert {*ties(body, "a", "b").values()} == {NONE}


def test_without_shapes_nothing_is_tied() -> None:
    w = np.zeros((8, 8, 3, 3), np.float32)
    text = f"g (float[1, C, 6, 6] x) => (float[] y) {{ a = {SAME} (x, w) y = local.Some (a) }}"
    assert tied(model(text, w=w, domains=["local"]), ["a", "b"]) == {"a": NONE, "b": NONE}


def test_the_model_stays_as_it_is() -> None:
    result = network(f"{STEM}{block(0)}{block(1)} y = Conv (s2, wc)")
    before = ir.to_proto(result).SerializeToString(deterministic=True)
    tied(result, ["a0"])
    assert ir.to_proto(result).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_with_one_partition_a_stream_one_gather_a_block_stays(blocks: int) -> None:
    """That inside of a block; by chance, that may vanish too: there, it cannot."""
    result = network(f"{STEM}{''.join(map(block, range(blocks)))} y = Conv (s{blocks}, wc)")
    names = [f"{name}{i}" for i in range(blocks) for name in "ab"]
    found = tied(result, names)
    partition = np.array([[1, 3, 4, 6], [0, 2, 5, 7]])
    evens, odds = np.array([[0, 2, 4, 6], [1, 3, 5, 7]]), np.array([[0, 1, 4, 5], [2, 3, 6, 7]])
    for name in names:
        reads, writes = found[name]
        inputs = partition if reads else evens
        grouped(result, name, inputs, partition if writes else odds)
    assert left(result, *names) == blocks
