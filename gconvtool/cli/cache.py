"""`gconvtool cache`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from gconvtool.cli import console, options


def cache(
    action: Annotated[
        Literal["info", "clear"],
        typer.Argument(metavar="ACTION", help="Show what there is, or delete it."),
    ],
    json: options.Json = False,
) -> int:
    """Show or delete measured times and what searches found; $GCONVTOOL_CACHE says where."""
    from gconvtool.report import document, terminal
    from gconvtool.runtime import cache as kept

    act = kept.clear if action == "clear" else kept.info
    result = act(kept.default_folder())
    if json:
        console.answer(document.cache(result))
    else:
        console.show(terminal.cache_page(result))
    return 0
