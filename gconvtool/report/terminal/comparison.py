"""The page of `bench` for two models."""

from __future__ import annotations

from rich.console import RenderableType

from gconvtool.report import stories
from gconvtool.report.terminal.story import story_page
from gconvtool.results import Comparison


def comparison_page(result: Comparison) -> RenderableType:
    """Times, drift, circumstances, gates, verdict."""
    return story_page(stories.comparison(result))
