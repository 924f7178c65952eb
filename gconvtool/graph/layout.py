"""Where onnxruntime's CPU kernels keep a feature map in blocks of channels (NCHWc).

From what it does to float32 graphs in its last optimisation (core/optimizer/nchwc_transformer.cc).
With blocks of B channels (8 or 16), a 2-D convolution with constant weights becomes blocked if

    G = 1               C < B (it reads the map as it is), or C divides by 4
    G = C = N           N divides by 4
    any other G         C/G and N/G divide by B

and what only goes over a map (an addition, an activation, a pooling) follows what it reads. Between
a blocked map and any other operator stands a reorder, which costs about as much as a pooling.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from gconvtool.graph.constants import bits_of, int_attribute, shape_of, stored

BLOCK = 16
"""Channels a block with AVX-512; 8 with AVX2 take in everything that 16 do."""
ALIGNMENT = 4
"""What channels have to divide by, where they need not fill blocks."""
FLOAT_BITS = 32
"""Other floats are not kept in blocks."""
FOLLOWING = frozenset(
    "Add AveragePool BatchNormalization Clip Concat GlobalAveragePool GlobalMaxPool HardSigmoid "
    "LeakyRelu MaxPool Mul Relu Resize Sigmoid Sum Tanh".split()
)
"""Operators that write blocks where they read blocks, alone or fused with a convolution."""


def blocked_maps(graph: ir.Graph) -> frozenset[ir.Value]:
    """The values that lie in blocks, when the whole graph runs on the CPU."""
    found = set[ir.Value]()
    for node in graph:
        if blocked_convolution(node) or _follows(node, found):
            found.update(node.outputs[:1])
    return frozenset(found)


def reads_blocks(node: ir.Node, blocked: Collection[ir.Value]) -> bool:
    """Whether the node takes a map as blocks, given the values that lie in blocks."""
    if node.op_type in FOLLOWING:
        return node.outputs[0] in blocked
    return blocked_convolution(node) and _channels(node) >= BLOCK


def blocked_convolution(node: ir.Node) -> bool:
    """Whether the node is a convolution that writes blocks."""
    if node.op_type != "Conv" or node.domain or len(node.inputs) < 2:
        return False
    weight, groups = stored(node.inputs[1]), int_attribute(node, "group", 1)
    if weight is None or len(weight.shape) != 4 or bits_of(node.inputs[1]) != FLOAT_BITS:
        return False
    filters, share = weight.shape[:2]
    if groups == 1:
        return share < BLOCK or share % ALIGNMENT == 0
    if share == 1 and filters == groups:
        return filters % ALIGNMENT == 0
    return share % BLOCK == 0 and filters // groups % BLOCK == 0


def _channels(convolution: ir.Node) -> int:
    weight = shape_of(convolution.inputs[1])
    share = weight[1] if weight else None
    return share * int_attribute(convolution, "group", 1) if isinstance(share, int) else 0


def _follows(node: ir.Node, blocked: Collection[ir.Value]) -> bool:
    if node.op_type not in FOLLOWING or node.domain:
        return False
    read = [value for value in node.inputs if value is not None and stored(value) is None]
    return bool(read) and all(value in blocked for value in read)
