"""Where the sample networks are, and the settings that every test shares."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_models"

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample networks."""
    return SAMPLES
