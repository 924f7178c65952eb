"""Results as terminal pages. Numbers are never cut: names fold, and narrow pages drop columns."""

from gconvtool.report.terminal.cache import cache_page
from gconvtool.report.terminal.comparison import comparison_page
from gconvtool.report.terminal.conversion import conversion_page
from gconvtool.report.terminal.difference import DifferencePage
from gconvtool.report.terminal.doctor import doctor_page
from gconvtool.report.terminal.several import SeveralPage
from gconvtool.report.terminal.story import story_page
from gconvtool.report.terminal.study import AnalysisPage, StudyPage
from gconvtool.report.terminal.sweep import sweep_page

__all__ = [
    "AnalysisPage",
    "DifferencePage",
    "SeveralPage",
    "StudyPage",
    "cache_page",
    "comparison_page",
    "conversion_page",
    "doctor_page",
    "story_page",
    "sweep_page",
]
