"""MACs as a sum of products of shapes: MACs = Σ over terms of Π over factors of Π dimensions.

They stay shapes until something is asked of them, since the same terms give the number, the formula
in open dimensions (`1152·N·H·W`) and the words that explain both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from gconvtool.facts import Dim, Shape, Skip, describe_shape

PARENTHESES = re.compile(r"\([^()]*\)")


@dataclass(frozen=True)
class Factor:
    """One part of a product, and what it is: `("output", (1, 64, 28, 28))`."""

    what: str
    dims: Shape


@dataclass(frozen=True)
class Term:
    """One product: every number of each factor meets every number of the others."""

    factors: tuple[Factor, ...]
    what: str = "MACs"

    def times(self, trips: Dim) -> Term:
        """The same, repeated as the body of a loop is."""
        return Term((Factor("trips", (trips,)), *self.factors), self.what)


Terms: TypeAlias = tuple[Term, ...]


def count(terms: Iterable[Term]) -> int | Skip:
    """The number, or which dimensions are missing for it."""
    total = 0
    for term in terms:
        product = 1
        for factor in term.factors:
            size = _size(factor)
            if isinstance(size, Skip):
                return size
            product *= size
        total += product
    return total


def total_formula(terms: Iterable[Term]) -> str | None:
    """The sum with open dimensions left open, like terms merged: `1152·N·H·W + 640·N + 12`.

    Terms of many dimensions come first, then the order is that of their first appearance. None
    where a dimension has not even a name, or is none at all.
    """
    coefficients: dict[tuple[str, ...], int] = {}
    written: dict[tuple[str, ...], tuple[str, ...]] = {}
    for term in terms:
        split = _split(term)
        if split is None:
            return None
        number, names = split
        like = tuple(sorted(names))
        written.setdefault(like, names)
        coefficients[like] = coefficients.get(like, 0) + number
    ordered = sorted(coefficients, key=len, reverse=True)
    return " + ".join(_monomial(coefficients[like], written[like]) for like in ordered) or "0"


def words(terms: Terms) -> tuple[str, ...]:
    """A line a term with its numbers filled in, and one for their sum."""
    if len(terms) < 2:
        return tuple(_line(term, "MACs") for term in terms)
    sizes = [count((term,)) for term in terms]
    shown = [
        f"{size:,}" if isinstance(size, int) else term.what
        for size, term in zip(sizes, terms, strict=True)
    ]
    total = f"MACs = {' + '.join(shown)} = {_result(terms)}"
    return (*(_line(term, term.what) for term in terms), total)


def _size(factor: Factor) -> int | Skip:
    what, dims = factor.what, factor.dims
    if dims is None:
        return Skip(f"the shape of its {what} is not known")
    numbers = [dim for dim in dims if isinstance(dim, int)]
    plural = what.split()[0].endswith("s")
    if len(numbers) < len(dims):
        has = "have" if plural else "has"
        return Skip(f"its {what} {has} open dimensions: {describe_shape(dims)}")
    if any(number < 1 for number in numbers):
        return Skip(f"its {what} {'are' if plural else 'is'} empty: {describe_shape(dims)}")
    return prod(numbers)


def _split(term: Term) -> tuple[int, tuple[str, ...]] | None:
    """A product as a number and names; None where a dimension is missing or empty."""
    number, names = 1, []
    for factor in term.factors:
        for dim in (None,) if factor.dims is None else factor.dims:
            if isinstance(dim, str):
                times, name = _scaled(dim)
                number *= times
                names.append(name)
            elif dim is None or dim < 1:
                return None
            else:
                number *= dim
    return number, tuple(names)


def _scaled(dim: str) -> tuple[int, str]:
    """`8*ceil(H/32)` as 8 and `ceil(H/32)`, where that is all."""
    match = re.fullmatch(r"(\d+)\*([\w.]+|\w+\([^()]*\))", dim)
    return (int(match[1]), match[2]) if match else (1, dim)


def _monomial(number: int, names: tuple[str, ...]) -> str:
    shown = () if number == 1 and names else (str(number),)
    return "·".join((*shown, *map(_bracketed, names)))


def _bracketed(dim: str) -> str:
    """In parentheses, unless it is one name or one call: `(2*H)`, but `ceil(H/2)`."""
    outside, previous = dim, ""
    while outside != previous:
        outside, previous = PARENTHESES.sub("", outside), outside
    return dim if re.fullmatch(r"[\w.]+", outside) else f"({dim})"


def _line(term: Term, name: str) -> str:
    parts = " · ".join(f"{factor.what} {describe_shape(factor.dims)}" for factor in term.factors)
    sizes = [_size(factor) for factor in term.factors]
    numbers = [f"{size:,}" for size in sizes if isinstance(size, int)]
    filled = " · ".join(numbers) if 1 < len(sizes) == len(numbers) else ""
    return " = ".join(filter(None, (name, parts, filled, _result((term,)))))


def _result(terms: Terms) -> str:
    number = count(terms)
    if isinstance(number, int):
        return f"{number:,}"
    return total_formula(terms) or f"not known: {number.reason}"
