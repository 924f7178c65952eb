"""Ctrl-C ends the program in one line, whatever it is in the middle of."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from gconvtool.cli import interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")

PRESSED = """
import signal, sys

class Press:
    def find_spec(self, name, path, target=None):
        if name == MOMENT:
            signal.raise_signal(signal.SIGINT)

MOMENT = sys.argv.pop(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
sys.meta_path.insert(0, Press())
from gconvtool.__main__ import main
main()
"""


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in the program; afterwards as before."""
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.listen()
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def wait_after(act: Callable[[], object]) -> None:
    """What is pressed in there should end this; if it does not, a second does."""
    act()
    for _ in range(50):
        time.sleep(0.02)


@pytest.mark.usefixtures("listening")
class TestListening:
    def test_it_is_heard_at_once_where_nothing_is_imported(self):
        with pytest.raises(KeyboardInterrupt):
            press()

    def test_an_import_is_finished_first(self, tmp_path, monkeypatch):
        Path(tmp_path / "whole_after_all.py").write_text(
            "import signal\nsignal.raise_signal(signal.SIGINT)\nWHOLE = True\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            wait_after(lambda: import_module("whole_after_all"))
        assert sys.modules.pop("whole_after_all").WHOLE

    def test_it_is_raised_again_where_it_was_dropped(self, capsys):
        class Going:
            def __del__(self) -> None:
                press()

        with pytest.raises(KeyboardInterrupt):
            wait_after(Going)
        assert capsys.readouterr().err == ""

    def test_other_errors_of_destructors_are_still_told(self, capsys):
        class Going:
            def __del__(self) -> None:
                raise ValueError("left behind")

        Going()
        assert "left behind" in capsys.readouterr().err

    def test_the_second_time_is_the_systems(self):
        with pytest.raises(KeyboardInterrupt):
            press()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_what_is_told_to_ignore_it_goes_on_doing_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        interrupts.listen()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "moment",
    [
        "typer",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("gconvtool.cli.main", "gconvtool.cli.bench", "numpy", "onnx_ir", "scipy",
                         "numpy._core._multiarray_umath", "onnxruntime")
        ),
    ],
)  # fmt: skip
def test_the_program_ends_in_one_line_and_one_document(moment):
    model = Path(__file__).parents[1] / "sample_models" / "fashion_resnet.onnx"
    words = ["bench", str(model), "--time-budget", "30", "--json"]
    call = [sys.executable, "-c", PRESSED, moment, *words]
    answer = subprocess.run(call, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 130
    assert answer.stderr == "error: interrupted; no file is half-written\n"
    assert json.loads(answer.stdout)["exit_code"] == 130
