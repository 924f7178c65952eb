"""Frozen dataclasses read back from the JSON that `asdict` made of them, with suspicion.

A field's type says what may be there: lists become tuples, a whole number counts something and is
not negative, any other is finite, and true is no number. Keys that are not known are passed over,
since later versions may write more; one that is missing takes its field's default, if it has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    NoReturn,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from gconvtool.errors import InputError
from gconvtool.report.document import LARGEST_COUNT

LARGEST_NUMBER = 1e300
SHOWN = 60
"""Characters of a foreign value that are shown in a message."""

T = TypeVar("T")


def read(kind: type[T], value: object, where: str = "") -> T:
    """A dataclass from what JSON holds; `where` is its place in the document.

    Raises:
        InputError: it does not hold such a thing. The message names the place.
    """
    return cast("T", _any(kind, value, where))


def refuse(where: str, value: object, wanted: str) -> NoReturn:
    """Say that something else was expected.

    Raises:
        InputError: always.
    """
    shown = "missing" if value is None else repr(value)[:SHOWN]
    raise InputError(f"{where or 'the document'} is {shown}, not {wanted}")


def _any(kind: Any, value: object, where: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (given,) = (part for part in parts if part is not NoneType)
        return None if value is None else _any(given, value, where)
    if origin is Literal:
        return value if value in parts else refuse(where, value, f"one of {', '.join(parts)}")
    if origin is tuple:
        return _tuple(parts, value, where)
    if origin is not None:
        return _mapping(parts[1], value, where)
    return _record(kind, value, where) if is_dataclass(kind) else _plain(kind, value, where)


def _record(kind: Any, value: object, where: str) -> Any:
    held, types = _table(value, where), _types(kind)
    return kind(**{f.name: _field(f, types[f.name], held, where) for f in fields(kind)})


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _field(field: Field[Any], kind: Any, held: Mapping[str, Any], where: str) -> Any:
    if field.name in held or field.default is MISSING:
        return _any(kind, held.get(field.name), f"{where}.{field.name}".lstrip("."))
    return field.default


def _tuple(parts: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        refuse(where, value, "a list")
    kinds = parts[:1] * len(value) if parts[-1] is ... else parts
    if len(value) != len(kinds):
        refuse(where, value, f"a list of {len(kinds)}")
    pairs = zip(kinds, value, strict=True)
    return tuple(_any(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(pairs))


def _mapping(kind: Any, value: object, where: str) -> dict[str, Any]:
    return {
        key: _any(kind, item, f"{where}.{_word(key)}") for key, item in _table(value, where).items()
    }


def _word(key: str) -> str:
    """A foreign key, as a message of one line can hold it."""
    return key if key.isprintable() and len(key) <= SHOWN else repr(key[:SHOWN])


def _table(value: object, where: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else refuse(where, value, "keys and values in braces")


def _plain(kind: type, value: object, where: str) -> object:
    """A truth, a text, a count, or any other number."""
    if kind is bool:
        return value if type(value) is bool else refuse(where, value, "true or false")
    if kind is str:
        return value if type(value) is str else refuse(where, value, "a text in quotes")
    if kind is int:
        counted = type(value) is int and 0 <= value <= LARGEST_COUNT
        return value if counted else refuse(where, value, "a whole number from 0 on")
    if type(value) not in (int, float) or not abs(cast("float", value)) <= LARGEST_NUMBER:
        refuse(where, value, "a number")
    return float(cast("float", value))
