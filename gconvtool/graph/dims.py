"""Open dimensions in words: expressions in the sizes of the inputs, as short as they can be.

Strided layers nest roundings, which are one rounding: for whole numbers x and n, k, m ≥ 1

    floor((floor(x/k) + n) / m) = floor((x + n·k) / (k·m))        (Graham, Knuth, Patashnik, 3.11)
    floor((k·x + n) / (k·m)) = floor((x + floor(n/k)) / m)
    ceil(x/m) = floor((x + m − 1) / m)
    floor(−x/m) = −floor((x + m − 1) / m)
    f(min(x, y)) = min(f(x), f(y)) where f never falls, such as floor((x + n) / m)

so that five 3×3 convolutions of stride 2 leave `ceil(H/32)` of H. Sizes are positive whole numbers,
also those that are left of others: `Max(0, H - 5)` is `H - 5`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import gcd, lcm

import onnx_ir as ir
import sympy
from sympy.printing.str import StrPrinter

from gconvtool.facts import Dim

LARGEST_EXPRESSION = 200
"""Operations beyond which an expression helps nobody, and simplifying it takes long."""


@lru_cache(maxsize=4096)
def _canonical(expression: sympy.Expr) -> int | ir.SymbolicDim:
    expression = _flat(sympy.nsimplify(expression, rational=True))
    return int(expression) if expression.is_Integer else ir.SymbolicDim(expression)


def is_compound(dim: int | ir.SymbolicDim) -> bool:
    """Neither a number nor one name."""
    if isinstance(dim, int):
        return False
    return dim.value is not None and not dim.value.isidentifier()


def canonical(dim: int | ir.SymbolicDim) -> int | ir.SymbolicDim:
    """The same size in its shortest form: equal sizes then look equal, and none grow and grow."""
    if isinstance(dim, int) or not is_compound(dim):
        return dim
    try:
        return _canonical(dim._expr)  # the text would be read back as (−H)² where it says −H²
    except ValueError:  # onnx_ir reads back no function that it does not know
        return dim


class Reader:
    """Reads dimensions of shape inference, given what the symbols of the inputs are called."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._known: dict[str, Dim] = {}

    def dim(self, dim: int | ir.SymbolicDim) -> Dim:
        """A number, an expression in the inputs' sizes, or None where neither is known."""
        if isinstance(dim, int):
            return dim
        text = dim.value
        if text is None or text in self._names:
            return None if text is None else self._names[text]
        if text not in self._known:
            self._known[text] = self._expression(dim)
        return self._known[text]

    def _expression(self, dim: ir.SymbolicDim) -> Dim:
        try:
            expression = sympy.sympify(dim._expr)
        except ValueError:
            return None
        symbols = {str(symbol): symbol for symbol in expression.free_symbols}
        if not symbols.keys() <= self._names.keys():
            return None
        if expression.count_ops() > LARGEST_EXPRESSION:
            return None
        whole = {
            symbol: sympy.Symbol(self._names[name], integer=True, positive=True)
            for name, symbol in symbols.items()
        }
        expression = _flat(sympy.nsimplify(expression.xreplace(whole), rational=True))
        return int(expression) if expression.is_Integer else _Printer().doprint(expression)


def _flat(expression: sympy.Expr) -> sympy.Expr:
    """Every rounding as one floor, without roundings inside it where that is exact, and no bound
    of zero."""
    if not expression.args:
        return expression
    parts = [_flat(part) for part in expression.args]
    if isinstance(expression, (sympy.floor, sympy.ceiling)):
        return _one_floor(parts[0], up=isinstance(expression, sympy.ceiling))
    if isinstance(expression, sympy.Max):
        return sympy.Max(*(part for part in parts if part != 0))
    whole = expression.func(*parts)
    least = _least(whole)
    if least is None or any(c.q > 1 for c in sympy.expand(whole).as_coefficients_dict().values()):
        return whole
    return _min(whole.subs(least, part) for part in least.args)


def _one_floor(inside: sympy.Expr, *, up: bool) -> sympy.Expr:
    least = _least(inside)
    if least is not None:
        return _min(_one_floor(inside.subs(least, part), up=up) for part in least.args)
    terms = sympy.expand(inside).as_coefficients_dict()
    divisor = lcm(*(int(coefficient.q) for coefficient in terms.values()))
    whole = sympy.expand(inside * divisor)
    if up:
        whole += divisor - 1
    whole, divisor = _reduced(whole, divisor)
    if whole.as_coeff_Add()[1].could_extract_minus_sign():
        return -_one_floor((divisor - 1 - whole) / divisor, up=False)
    inner = [part for part in whole.atoms(sympy.floor) if whole.coeff(part) == 1]
    rest = whole - inner[0] if len(inner) == 1 else None
    if rest is not None and rest.is_Integer:
        nested = sympy.expand(inner[0].args[0])
        k = lcm(*(int(c.q) for c in nested.as_coefficients_dict().values()))
        return _one_floor((nested * k + rest * k) / (divisor * k), up=False)
    offset = whole.as_coeff_Add()[0]
    turns = int(offset) // divisor
    return turns + sympy.floor(sympy.expand((whole - turns * divisor) / divisor))


def _least(inside: sympy.Expr) -> sympy.Min | None:
    """The only part that varies, if that is the least of several and grows with it."""
    (part, *others) = inside.atoms(sympy.Min) or (None,)
    if part is None or others:
        return None
    inside = sympy.expand(inside)
    rest = inside - inside.coeff(part) * part
    return part if inside.coeff(part).is_positive and not rest.free_symbols else None


def _min(parts: Iterable[sympy.Expr]) -> sympy.Expr:
    """The least, with what divides all of them before it: sympy takes any fraction of an even
    minimum for a whole number."""
    sums = [sympy.expand(part) for part in parts]
    factor = gcd(*(int(c) for part in sums for c in part.as_coefficients_dict().values()))
    if not factor:
        return sympy.S.Zero
    return factor * sympy.Min(*(sympy.expand(part / factor) for part in sums))


def _reduced(whole: sympy.Expr, divisor: int) -> tuple[sympy.Expr, int]:
    """Numerator and divisor without a factor that all but the numerator's constant share."""
    offset, rest = whole.as_coeff_Add()
    common = gcd(divisor, *(int(c) for c in rest.as_coefficients_dict().values()))
    return sympy.expand(rest / common) + int(offset) // common, divisor // common


class _Printer(StrPrinter):  # type: ignore[misc]  # sympy ships no types
    """`ceil(H/2)` and `floor((H + 1)/3)` instead of fractions, `min(100, W)` in small letters."""

    def _print_Min(self, part: sympy.Min) -> str:  # noqa: N802  # sympy looks for this name
        return f"min({', '.join(sorted(map(self.doprint, part.args)))})"

    def _print_floor(self, part: sympy.floor) -> str:
        inside = sympy.expand(part.args[0])
        divisor = lcm(*(int(c.q) for c in inside.as_coefficients_dict().values()))
        whole = sympy.expand(inside * divisor)
        offset = whole.as_coeff_Add()[0]
        name = "floor"
        if divisor > 1 and offset == divisor - 1:
            whole, name = whole - offset, "ceil"
        text = self.doprint(whole)
        return f"{name}({f'({text})' if whole.is_Add else text}/{divisor})"
