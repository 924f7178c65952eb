"""An earlier analysis, read back as what a new one is compared with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gconvtool.errors import InputError

if TYPE_CHECKING:
    from gconvtool.results import Totals


def totals(name: str) -> Totals:
    """The totals of a document that `analyze --json` wrote.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    from gconvtool.report.document import totals_of

    document = read_json("--baseline ", name)
    try:
        return totals_of(document)
    except InputError as error:
        raise InputError(f"--baseline {name}: {error}") from error


def read_json(option: str, name: str) -> Any:
    """A JSON file; `option` stands before its name in messages.

    Raises:
        InputError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{option}{name}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or thousands of brackets
        raise InputError(f"{option}{name}: no JSON document: {error}") from error
