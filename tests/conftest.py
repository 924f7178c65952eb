"""Where the sample networks are, and the settings that every test shares."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

import pytest
import typer.main
from hypothesis import settings

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "sample_models"

settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of sample networks."""
    return SAMPLES


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that are not there yet, another one each time."""
    base = tmp_path_factory.mktemp("caches")
    return (base / str(number) for number in count())


@pytest.fixture(autouse=True)
def _own_cache(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test knows what another one has measured, or the user has."""
    monkeypatch.setenv("GCONVTOOL_CACHE", str(next(caches)))


@pytest.fixture(scope="session", autouse=True)
def _one_command_line() -> Iterator[None]:
    """The command line is put together once, as in a process of its own: that takes longer than
    most of the calls in tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield
