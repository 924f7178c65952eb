"""Einsum: operands meet pair by pair, from left to right, as runtimes make them meet.

A pair costs the product of the sizes of all letters that it has together, and a letter is summed
as soon as nothing later needs it, also within one operand before any product:

    bij,bjk->bik      MACs = B·I·J·K, as MatMul
    ij,jk,kl->il      MACs = I·J·K + I·K·L, not 2·I·J·K·L as one sum over all letters
    ij,k->k           MACs = K: i and j are summed first

One operand is summed or transposed: no products. A product without a sum (`i,j->ij`, `ij,ij->ij`)
counts one MAC an output: it is a matrix product with K = 1, as an outer product by MatMul is. A
letter twice in one operand picks a diagonal, and its size counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gconvtool.costs.node import word
from gconvtool.costs.term import Factor, Term, Terms
from gconvtool.facts import Dim, NodeFact, Shape, Skip

Letters = tuple[str, ...]
DOTS = "..."


def einsum(node: NodeFact) -> Terms | Skip:
    """The products of all pairs, or what is wrong with the equation."""
    left, arrow, right = word(node, "equation").replace(" ", "").partition("->")
    written = left.split(",")
    if len(written) != len(node.inputs):
        return Skip(f"its equation is for {len(written)} operands, it has {len(node.inputs)}")
    operands = [_letters(*pair) for pair in zip(written, node.inputs, strict=True)]
    for letters, dims in zip(operands, node.inputs, strict=True):
        if letters is None or (dims is not None and len(letters) != len(dims)):
            return Skip("the ranks of its operands are not known, or not those of its equation")
    named = [letters for letters in operands if letters is not None]
    result = set(right if arrow else _single(left)) - {"."}
    if not arrow or DOTS in right:
        result |= {letter for letters in named for letter in letters if len(letter) > 1}
    return tuple(_pairs(named, frozenset(result), _sizes(named, node.inputs)))


def _letters(text: str, dims: Shape) -> Letters | None:
    """A name for each dimension: `…2`, `…1` for those of an ellipsis, which align at their end."""
    before, dots, after = text.partition(DOTS)
    if not dots:
        return tuple(text)
    if dims is None:
        return None
    more = len(dims) - len(before) - len(after)
    return (*before, *(f"…{back}" for back in range(more, 0, -1)), *after)


def _single(left: str) -> set[str]:
    """The output where none is written: the letters that appear once."""
    return {letter for letter in left if letter.isalpha() and left.count(letter) == 1}


def _sizes(operands: Sequence[Letters], shapes: Sequence[Shape]) -> Mapping[str, Dim]:
    """A letter's size is that of any operand that knows it; a 1 is broadcast."""
    sizes: dict[str, Dim] = {}
    for letters, dims in zip(operands, shapes, strict=True):
        for letter, dim in zip(letters, dims or (None,) * len(letters), strict=True):
            sizes[letter] = max(sizes.get(letter), dim, key=_certainty)
    return sizes


def _certainty(dim: Dim) -> int:
    """Numbers above 1 say most, then names; a 1 may stand for any size, and None says nothing."""
    if isinstance(dim, int):
        return 3 if dim != 1 else 1
    return 0 if dim is None else 2


def _pairs(
    operands: Sequence[Letters], result: frozenset[str], sizes: Mapping[str, Dim]
) -> Iterator[Term]:
    held = operands[0]
    for index, other in enumerate(operands[1:], 1):
        later = result.union(*operands[index + 1 :])
        left = [letter for letter in held if letter in later or letter in other]
        right = [letter for letter in other if letter in later or letter in held]
        met = tuple(dict.fromkeys((*left, *right)))
        dims = tuple(sizes[letter] for letter in met)
        yield Term((Factor(f"sizes of {' '.join(met)}", dims),), f"product {index}")
        held = tuple(letter for letter in met if letter in later)
