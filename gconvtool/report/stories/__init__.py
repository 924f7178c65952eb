"""What every kind of result has to tell, a file a kind."""

from __future__ import annotations

from gconvtool.report.stories.calibration import calibration
from gconvtool.report.stories.comparison import comparison
from gconvtool.report.stories.grid import grid
from gconvtool.report.stories.ranking import ranking
from gconvtool.report.stories.solo import solo
from gconvtool.report.stories.verification import verification
from gconvtool.report.story import Measured, Story
from gconvtool.results import Calibration, Comparison, Grid, Ranking, Solo

__all__ = ["calibration", "comparison", "grid", "of", "ranking", "solo", "verification"]


def of(result: Measured) -> Story:
    """The story of a result of whatever kind."""
    if isinstance(result, Comparison):
        return comparison(result)
    if isinstance(result, Solo):
        return solo(result)
    if isinstance(result, Calibration):
        return calibration(result)
    if isinstance(result, Ranking):
        return ranking(result)
    return grid(result) if isinstance(result, Grid) else verification(result)
