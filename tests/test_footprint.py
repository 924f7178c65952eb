"""The memory that a model takes, by a process of its own."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from models import proto

from gconvtool.facts import Skip
from gconvtool.graph.pack import Packed
from gconvtool.runtime import footprint
from gconvtool.runtime.footprint import How, peak_memory

HOW: How = {"provider": "cpu", "threads": 1, "provider_options": {}, "session_options": {}}
MIB = 2**20

said = pytest.mark.skipif(
    sys.platform not in ("linux", "darwin"), reason="this system does not say how much there was"
)


def packed(width: int) -> Packed:
    """Multiplies a row by `width` × 1024 weights."""
    text = f"net (float[N, {width}] x) => (float[N, 1024] y) {{ y = MatMul (x, w) }}"
    weights = np.ones((width, 1024), np.float32)
    return Packed(proto(text, w=weights).SerializeToString())


@said
def test_weights_count_and_the_memory_of_this_process_does_not():
    ballast = bytearray(300 * MIB)
    feeds = {"x": np.ones((1, 2), np.float32)}
    small, large = packed(2), packed(8192)
    few = peak_memory(small, feeds, HOW)
    many = peak_memory(large, {"x": np.ones((1, 8192), np.float32)}, HOW)
    assert isinstance(few, int)
    assert isinstance(many, int)
    assert 0 <= few < 16 * MIB
    assert 32 * MIB <= many < 200 * MIB, len(ballast)


def test_inputs_with_any_names_and_types_arrive():
    text = "net (bool[N, 2] file, int64[N, 2] a) => (int64[N, 2] y) { y = Where (file, a, a) }"
    feeds = {"file": np.ones((3, 2), bool), "a": np.zeros((3, 2), np.int64)}
    found = peak_memory(Packed(proto(text).SerializeToString()), feeds, HOW)
    assert not isinstance(found, Skip) or "does not say" in found.reason


def test_a_process_that_fails_says_why():
    found = peak_memory(packed(2), {"x": np.ones((1, 3), np.float32)}, HOW)
    assert isinstance(found, Skip)
    assert found.reason.startswith("the process that ran it ended with code 1: ")
    assert "invalid dimensions" in found.reason


def test_a_full_disk_is_no_crash(monkeypatch, tmp_path):
    monkeypatch.setattr(footprint.tempfile, "tempdir", str(tmp_path / "missing"))
    found = peak_memory(packed(2), {}, HOW)
    assert isinstance(found, Skip)
    assert "missing" in found.reason


def test_a_system_that_does_not_say_is_unknown(monkeypatch):
    monkeypatch.setattr(footprint.sys, "platform", "win32")
    monkeypatch.setattr(footprint, "STATUS", footprint.Path("/nowhere"))
    assert footprint.taken() is None
