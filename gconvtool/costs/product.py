"""Matrix products: each output is a sum of K products.

    MACs = |output| · K        K is the length summed over

The shape of the output has whatever broadcasting made of it, and lacks the dimension of an operand
that is a vector. `alpha` and `beta` scale, which is no product of matrices.
"""

from __future__ import annotations

from gconvtool.costs.node import axis, output, shape, whole
from gconvtool.costs.term import Factor, Term, Terms
from gconvtool.facts import Dim, NodeFact, Skip


def matmul(node: NodeFact, right: int = 1) -> Terms:
    """As numpy's; `right` is the index of the second operand."""
    summed = axis(shape(node, 0), -1)
    other = shape(node, right)
    return _sums(node, axis(other, max(-2, -len(other or ()))) if summed is None else summed)


def fused_matmul(node: NodeFact) -> Terms:
    """Onnxruntime's, either operand transposed.

    transBatch moves the first dimension to the last but one, before trans swaps the last two.
    """
    left = shape(node, 0)
    if not whole(node, "transA") or left is None or len(left) < 2:
        return _sums(node, axis(left, -1))
    return _sums(node, axis(left, 0 if whole(node, "transBatchA") else -2))


def gemm(node: NodeFact, right: int = 1) -> Terms:
    """Two matrices, either transposed."""
    summed = axis(shape(node, 0), 0 if whole(node, "transA") else 1)
    other = axis(shape(node, right), 1 if whole(node, "transB") else 0)
    return _sums(node, other if summed is None else summed)


def blockwise(node: NodeFact) -> Terms:
    """A product with weights packed into blocks of few bits, whose K is an attribute."""
    return _sums(node, whole(node, "K") or None)


def blockwise_4bit(node: NodeFact) -> Terms:
    """MatMulBnb4, which can take its weights the other way round."""
    return _sums(node, whole(node, "K" if whole(node, "transB", 1) else "N") or None)


def affine_grid(node: NodeFact) -> Terms:
    """An affine map of each position: K is that of theta, N × 2 × 3 or N × 3 × 4."""
    return _sums(node, axis(shape(node, 0), 2))


def linear_model(node: NodeFact) -> Terms | Skip:
    """A linear regressor or classifier of ai.onnx.ml: every sample meets every coefficient."""
    data, coefficients = shape(node, 0), node.attributes.get("coefficients")
    if not isinstance(coefficients, tuple):
        return Skip("it has no coefficients")
    samples = None if data is None else data[:-1]
    weights = Factor("coefficients", (len(coefficients),))
    return (Term((Factor("samples", samples), weights)),)


def _sums(node: NodeFact, length: Dim) -> Terms:
    return (Term((Factor("output", output(node)), Factor("length summed over", (length,)))),)
