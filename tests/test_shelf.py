"""Arrays stay in memory while they fit, and are the same numbers where they do not."""

from __future__ import annotations

import os
import tempfile

import numpy as np
import pytest

from gconvtool.errors import MissingError
from gconvtool.runtime.shelf import Shelf


def test_what_fits_is_handed_back_and_the_rest_is_the_same_on_the_disk():
    shelf = Shelf(1000)
    first, second = np.arange(100, dtype=np.float64), np.arange(60, dtype=np.float32).reshape(4, 15)
    assert shelf.put(first) is first
    spilled = shelf.put(second)
    assert isinstance(spilled, np.memmap)
    assert spilled.dtype == second.dtype
    np.testing.assert_array_equal(spilled, second)
    assert shelf.in_memory == 800


def test_room_comes_back_when_an_array_is_gone():
    shelf = Shelf(1000)
    held = [shelf.put(np.zeros(100))]
    held.clear()
    assert shelf.in_memory == 0
    assert not isinstance(shelf.put(np.zeros(100)), np.memmap)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spilled = Shelf(0).put(np.ones((3, 4)).T)
    np.testing.assert_array_equal(spilled, np.ones((4, 3)))
    assert os.name != "posix" or not list(tmp_path.iterdir())
    del spilled
    assert not list(tmp_path.iterdir())


def test_empty_arrays_need_no_room():
    empty = np.zeros((0, 3))
    assert Shelf(0).put(empty) is empty


def test_a_folder_that_is_not_there_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(MissingError, match=r"no room for activations.*--max-memory"):
        Shelf(0).put(np.ones(3))
