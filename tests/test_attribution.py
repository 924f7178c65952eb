"""Kernels led back to nodes, on optimised graphs written by hand as onnxruntime writes them."""

from __future__ import annotations

from gconvtool.facts import NodeFact
from gconvtool.pipeline.attribution import NCHWC, cut, sources
from gconvtool.runtime.profiling import Kernel


def node(op: str, reads: str, makes: str) -> NodeFact:
    writes = tuple(makes.split())
    return NodeFact(writes[0], op, "", (), (), {}, reads=tuple(reads.split()), writes=writes)


def kernel(name: str, op: str, reads: str, writes: str, domain: str = "") -> Kernel:
    return Kernel(name, op, domain, tuple(reads.split()), tuple(writes.split()))


RESIDUAL = (
    node("Conv", "x", "conv1"),
    node("BatchNormalization", "conv1", "bn1"),
    node("Relu", "bn1", "relu1"),
    node("Conv", "relu1", "conv2"),
    node("Add", "conv2 x", "sum"),
    node("Relu", "sum", "relu2"),
    node("MaxPool", "relu2", "y"),
)
MACS = {"conv1": 100, "conv2": 200}


def test_a_fused_kernel_works_for_its_convolution() -> None:
    """Conv, BatchNormalization and Relu in one; then Conv, Add and Relu, named after the Conv."""
    kernels = (
        kernel("relu1_nchwc", "Conv", "in", "reorder_token_1", NCHWC),
        kernel("conv2_nchwc_token_7", "Conv", "reorder_token_1 in", "reorder_token_2", NCHWC),
        kernel("y_nchwc", "MaxPool", "reorder_token_2", "reorder_token_3", NCHWC),
    )
    expected = {"relu1_nchwc": "conv1", "conv2_nchwc_token_7": "conv2", "y_nchwc": "y"}
    assert sources(kernels, RESIDUAL, MACS) == expected


def test_normalisation_and_scaling_in_blocks_have_names_of_their_own() -> None:
    nodes = (
        node("BatchNormalization", "x", "n"),
        node("Mul", "n s", "m"),
        node("Relu", "m", "a_bn"),
    )
    kernels = (
        kernel("n_bn_nchwc", "Conv", "x", "t1", NCHWC),
        kernel("m_mul_nchwc_token_5", "Conv", "t1", "t2", NCHWC),
        kernel("a_bn_nchwc", "Conv", "t2", "t3", NCHWC),
    )
    assert list(sources(kernels, nodes, {}).values()) == ["n", "m", "a_bn"]


def test_a_kernel_of_the_plain_layout_is_known_by_what_it_writes() -> None:
    kernels = (
        kernel("fused conv1", "FusedConv", "x", "relu1"),
        kernel("conv2", "Conv", "relu1", "conv2"),
        kernel("anything", "Add", "conv2 x", "sum"),
    )
    found = sources(kernels, RESIDUAL, MACS)
    assert found == {"fused conv1": "conv1", "conv2": "conv2", "anything": "sum"}


def test_a_reorder_works_for_what_reads_it_and_the_last_one_for_what_it_reads() -> None:
    kernels = (
        kernel("ReorderInput", "ReorderInput", "x", "reorder", NCHWC),
        kernel("relu1_nchwc", "Conv", "reorder", "reorder_token_1", NCHWC),
        kernel("ReorderOutput", "ReorderOutput", "reorder_token_1", "relu1", NCHWC),
        kernel("conv2", "Conv", "relu1", "conv2"),
        kernel("y_nchwc", "MaxPool", "conv2", "reorder_token_2", NCHWC),
        kernel("ReorderOutput_token_3", "ReorderOutput", "reorder_token_2", "y", NCHWC),
    )
    found = sources(kernels, RESIDUAL, MACS)
    assert found["ReorderInput"] == "conv1"
    assert found["ReorderOutput"] == "conv2"
    assert found["ReorderOutput_token_3"] == "y"


def test_kernels_that_hand_nothing_over_follow_their_neighbours() -> None:
    """A chain of inserted casts before a convolution, one behind the last, and one by itself."""
    kernels = (
        kernel("cast_1", "Cast", "x", "x_16"),
        kernel("cast_2", "Cast", "x_16", "x_32"),
        kernel("conv1", "Conv", "x_32", "conv1"),
        kernel("cast_3", "Cast", "conv1", "conv1_16"),
        kernel("alone", "Cast", "z", "z_16"),
    )
    found = sources(kernels, RESIDUAL, MACS)
    expected = dict.fromkeys(("cast_1", "cast_2", "conv1", "cast_3"), "conv1")
    assert found == expected


def test_models_are_cut_at_the_tensors_that_both_have() -> None:
    """Without its normalisation, whose tensor is gone, and with a convolution in three nodes."""
    rewritten = (
        node("Gather", "x", "conv1/shuffle"),
        node("Conv", "conv1/shuffle", "conv1/narrow"),
        node("Conv", "conv1/narrow", "conv1"),
        node("Relu", "conv1", "relu1"),
    )
    shared = {"conv1", "relu1"}
    narrow = ("conv1/shuffle", "conv1/narrow", "conv1")
    assert cut(rewritten, shared) == {**dict.fromkeys(narrow, "conv1"), "relu1": "relu1"}
    ours = cut(RESIDUAL, shared)
    assert ours["bn1"] == "relu1"
    assert ours["conv2"] == "conv2"


def test_a_node_between_two_shared_tensors_belongs_to_the_first_that_it_leads_to() -> None:
    nodes = (node("Conv", "x", "t"), node("Relu", "t", "a"), node("Neg", "t", "b"))
    assert cut(nodes, {"a", "b"})["t"] == "a"


def test_only_the_first_of_several_outputs_needs_a_reader() -> None:
    nodes = (node("Split", "x", "left right"), node("Relu", "right", "y"))
    assert cut(nodes, {"y"}) == {"left": "y", "y": "y"}
