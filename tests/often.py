"""What holds of everything that can be drawn: of a few examples quickly, of many in a slow test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy


def often(
    few: int, many: int, *drawn: SearchStrategy[Any], **named: SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[[int], None]]:
    """As `given`, twice: with few examples, and with many where tests may be slow."""

    def twice(test: Callable[..., None]) -> Callable[[int], None]:
        @pytest.mark.parametrize(
            "examples", [few, pytest.param(many, marks=pytest.mark.slow)], ids=["few", "many"]
        )
        def drawing(examples: int) -> None:
            settings(max_examples=examples)(given(*drawn, **named)(test))()

        drawing.__name__, drawing.__doc__ = test.__name__, test.__doc__
        drawing.place_as = test  # where pytest says that the test is
        return drawing

    return twice
