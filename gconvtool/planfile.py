"""A plan as a file: written to be read and edited by hand, and read with suspicion.

JSON, `gconvtool.plan/1`. A number, a name or a recipe has a line of its own, and so has each
group's list of channels. `schema` and `sites` must be there, and in each site `name` and `recipe`;
all else may be left out. `tool`, `model`, `error` and `kept` only inform. docs/plan.md has an
example.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

from gconvtool import notation
from gconvtool._version import __version__
from gconvtool.errors import InputError
from gconvtool.facts import Skip
from gconvtool.plan import Channels, Entry, Lists
from gconvtool.recipes import Recipe
from gconvtool.spellings import SPELLINGS, Spelling

SCHEMA = "gconvtool.plan/1"
AGAIN = "convert --save-plan writes one"
KEYS = ("schema", "tool", "model", "seed", "samples", "spelling", "sites", "kept")
SITE_KEYS = ("name", "recipe", "spelling", "channels", "error")
SIDES = ("inputs", "outputs")
KEPT_KEYS = ("name", "reason")
LARGEST = 2**63 - 1
"""What a whole number may be."""
SHOWN = 60
"""Characters of a foreign value that are shown in a message."""
LONGEST = 200
"""Characters of a name that are shown in a message."""
TOP = "at the top"


@dataclass(frozen=True)
class PlanFile:
    """What a plan holds; None is what it does not say.

    `entries` are the sites to convert and `kept` those that stayed, with reasons. `model` is a
    file's name without its folder, `tool` the version that wrote it. `file` is where the plan was
    read from.
    """

    entries: tuple[Entry, ...]
    kept: Mapping[str, Skip] = field(default_factory=dict)
    model: str | None = None
    seed: int | None = None
    samples: int | None = None
    spelling: Spelling | None = None
    tool: str | None = __version__
    file: str | None = field(default=None, compare=False)


def text(plan: PlanFile) -> str:
    """The file's content, ending with a new line."""
    document = {
        "schema": SCHEMA,
        "tool": plan.tool,
        "model": plan.model,
        "seed": plan.seed,
        "samples": plan.samples,
        "spelling": plan.spelling,
        "sites": [_site_document(entry) for entry in plan.entries],
        "kept": [{"name": name, "reason": skip.reason} for name, skip in plan.kept.items()],
    }
    return _pretty(document) + "\n"


def read(path: Path) -> PlanFile:
    """A plan from a file.

    Raises:
        InputError: there is no such file, or it holds no plan.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")  # some editors write a mark at the start
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no plan: not UTF-8 text; {AGAIN}") from error
    return parse(content, str(path))


def parse(text: str, name: str) -> PlanFile:
    """A plan from a file's content.

    Args:
        text: JSON.
        name: the file's, for messages.

    Raises:
        InputError: it is no JSON or no plan, or holds something that means nothing. It names the
            file, the site and what to do.
    """
    try:
        return replace(_plan(_document(text)), file=name)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _document(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # thousands of brackets, or of digits
        raise InputError(f"no JSON: {error}; mend it there, or {AGAIN}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once: JSON lets the last of several win."""
    for key in _twice(key for key, _ in pairs):
        raise InputError(f"the key {_called(key)} is twice in one pair of braces; take one out")
    return dict(pairs)


def _twice(names: Iterable[str]) -> Iterator[str]:
    seen = set[str]()
    for name in names:
        if name in seen:
            yield name
        seen.add(name)


def _no_number(word: str) -> None:
    raise InputError(f"{word} is no number in JSON; write null for what is not known")


def _plan(document: object) -> PlanFile:
    found = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(document, dict) or found != SCHEMA:
        raise InputError(f"no plan: its schema is {_shown(found)}, not {SCHEMA}; {AGAIN}")
    _check_keys(document, KEYS, TOP)
    if "sites" not in document:
        raise InputError(f"no plan: it has no sites; {AGAIN}")
    entries = tuple(_entry(one, f"sites[{i}]") for i, one in _items(document, "sites"))
    kept = [_kept(one, f"kept[{i}]") for i, one in _items(document, "kept")]
    _check_once([entry.name for entry in entries], [name for name, _ in kept])
    return PlanFile(
        entries,
        dict(kept),
        _word(document, "model", TOP),
        _whole(document, "seed"),
        _whole(document, "samples"),
        _spelling(document),
        _word(document, "tool", TOP),
    )


def _spelling(table: Mapping[str, Any], where: str = TOP) -> Spelling | None:
    word = _word(table, "spelling", where)
    known = next((spelling for spelling in SPELLINGS if spelling == word), None)
    if word is not None and known is None:
        place = "" if where == TOP else f"{where}: "
        raise InputError(f"{place}spelling is {_shown(word)}; known are {', '.join(SPELLINGS)}")
    return known


def _entry(site: object, where: str) -> Entry:
    table = _table(site, where)
    name = _needed(table, "name", where)
    where = f"site {_called(name)}"
    _check_keys(table, SITE_KEYS, where)
    recipe = _recipe(_needed(table, "recipe", where), where)
    channels, error = _channels(table, recipe, where), _error(table, where)
    return Entry(name, recipe, channels, error, _spelling(table, where))


def _recipe(text: str, where: str) -> Recipe:
    try:
        return notation.parse(_called(text))  # what cannot be shown as it is cannot be a recipe
    except InputError as error:
        raise InputError(f"{where}: recipe: {error}") from error


def _channels(site: Mapping[str, Any], recipe: Recipe, where: str) -> Channels | None:
    if site.get("channels") is None:
        return None
    where = f"{where}: channels"
    table = _table(site["channels"], where)
    _check_keys(table, SIDES, where)
    channels = Channels(*(_lists(table.get(side), f"{where}: {side}") for side in SIDES))
    if reason := channels.objection(recipe):
        raise InputError(
            f"{where}: {reason}; mend the lists, or take channels out to have the groups found anew"
        )
    return channels


def _lists(value: object, where: str) -> Lists:
    """Lists of channel numbers."""
    if not isinstance(value, list) or not all(isinstance(group, list) for group in value):
        raise InputError(f"{where}: should be lists of channel numbers in a list, one a group")
    for number in (number for group in value for number in group):
        if type(number) is not int:  # true and 1.0 are no channel
            raise InputError(f"{where}: {_shown(number)} is no channel number")
    return tuple(tuple(group) for group in value)


def _error(site: Mapping[str, Any], where: str) -> float | None:
    value = site.get("error")
    if value is None:
        return None
    if type(value) not in (int, float) or abs(value) > LARGEST:
        raise InputError(f"{where}: error is {_shown(value)}, not a number; it may be left out")
    return float(value)


def _kept(value: object, where: str) -> tuple[str, Skip]:
    table = _table(value, where)
    _check_keys(table, KEPT_KEYS, where)
    return _needed(table, "name", where), Skip(_needed(table, "reason", where))


def _check_once(sites: Sequence[str], kept: Sequence[str]) -> None:
    for names, key in ((sites, "sites"), (kept, "kept")):
        for name in _twice(names):
            raise InputError(f"site {_called(name)}: it is twice in {key}; take one out")
    for name in _twice((*sites, *kept)):
        raise InputError(f"site {_called(name)}: it is in sites and in kept; take one out")


def _items(document: Mapping[str, Any], key: str) -> Iterable[tuple[int, object]]:
    value = document.get(key, [])
    if not isinstance(value, list):
        raise InputError(f"{key} should be a list, not {_shown(value)}")
    return enumerate(value)


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: should be keys and values in braces, not {_shown(value)}")
    return value


def _check_keys(table: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for key in table:
        if key not in known:
            close = get_close_matches(key, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            raise InputError(f"{where}: no key {_called(key)} is known; {hint}")


def _needed(table: Mapping[str, Any], key: str, where: str) -> str:
    value = _word(table, key, where)
    if value is None:
        raise InputError(f"{where}: it has no {key}; every one needs it")
    return value


def _word(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where}: {key} is {_shown(value)}, not a text in quotes")
    return value


def _whole(document: Mapping[str, Any], key: str) -> int | None:
    value = document.get(key)
    if value is not None and (type(value) is not int or not 0 <= value <= LARGEST):
        raise InputError(f"{key} is {_shown(value)}, not a whole number from 0 on")
    return value


def _site_document(entry: Entry) -> dict[str, Any]:
    channels = entry.channels
    known = entry.error is not None and isfinite(entry.error)  # JSON has no infinite numbers
    return {
        "name": entry.name,
        "recipe": notation.written(entry.recipe),
        **({} if entry.spelling is None else {"spelling": entry.spelling}),
        **({} if channels is None else {"channels": _sides(channels)}),
        "error": entry.error if known else None,
    }


def _sides(channels: Channels) -> dict[str, list[list[int]]]:
    sides = zip(SIDES, (channels.inputs, channels.outputs), strict=True)
    return {side: [list(group) for group in lists] for side, lists in sides}


def _pretty(value: object, indent: str = "") -> str:
    """JSON with what holds no other list or object on one line, unless it is an object."""
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        parts = [f"{_plain(key)}: {_pretty(inner, deeper)}" for key, inner in value.items()]
        brackets = "{}"
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        parts, brackets = [_pretty(inner, deeper) for inner in value], "[]"
    else:
        return _plain(value)
    lines = ",\n".join(deeper + part for part in parts)
    return f"{brackets[0]}\n{lines}\n{indent}{brackets[1]}"


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _called(name: str) -> str:
    """A name from the file, as a message of one line can hold it."""
    return name if name.isprintable() and 0 < len(name) <= LONGEST else repr(name[:LONGEST])


def _shown(value: object) -> str:
    """A value of the file, short enough for one line."""
    return "missing" if value is None else repr(value)[:SHOWN]
