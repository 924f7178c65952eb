"""Documents of this machine and of what is kept on it: `doctor` and `cache`."""

from __future__ import annotations

from dataclasses import asdict

from gconvtool.report.document.parts import Document, head
from gconvtool.results import CacheInfo, Diagnosis


def diagnosis(result: Diagnosis) -> Document:
    """The document of `doctor`."""
    return {**head("doctor", None), "checks": [asdict(check) for check in result.checks]}


def cache(result: CacheInfo) -> Document:
    """The document of `cache`."""
    return {**head("cache", None), **asdict(result)}
