"""Functions of the user's own: found by name, asked, and told in one line where they fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gconvtool.errors import InputError
from gconvtool.runtime.metric import Metric

CODE = """
print("I talk")
import numpy as np
import helper_beside

NUMBER = 3

def share(outputs, labels):
    print("still")
    return np.float32(np.mean(outputs["y"].argmax(1) == labels))

def later(outputs, labels):
    import helper_at_last
    return helper_at_last.VALUE

def gives(what):
    return lambda outputs, labels: what

nan, inf, nothing, text, several = map(gives, (float("nan"), np.inf, None, "0.5", np.ones(2)))
single, yes = gives(np.array(0.5)), gives(True)

def leaves(outputs, labels):
    raise SystemExit("bye")
"""
OUTPUTS = {"y": np.array([[1.0, 2.0], [2.0, 1.0], [5.0, 0.0], [0.0, 1.0]])}
LABELS = np.array([1, 1, 0, 1])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "scores_here.py").write_text(CODE)
    (tmp_path / "helper_beside.py").write_text("")
    (tmp_path / "helper_at_last.py").write_text("VALUE = 0.25")
    (tmp_path / "broken_here.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("scores_here", "helper_beside", "helper_at_last", "broken_here"):
        sys.modules.pop(name, None)


def score(source: Any) -> float:
    return Metric.of(source).score(OUTPUTS, LABELS)


def test_a_function_beside_is_found_and_its_prints_are_kept_off_the_result(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = list(sys.path)
    assert score("scores_here:share") == 0.75
    assert capsys.readouterr() == ("", "I talk\nstill\n")
    assert sys.path == path


def test_what_it_imports_when_it_runs_is_found_too() -> None:
    assert score("scores_here:later") == 0.25


def test_numbers_of_many_kinds_are_scores() -> None:
    assert score("scores_here:single") == 0.5
    assert score("scores_here:yes") == 1


def test_a_function_may_be_given_as_it_is() -> None:
    def worst(outputs: Any, labels: Any) -> float:
        return float(outputs["y"].min())

    assert score(worst) == 0
    assert Metric.of(worst).name.endswith("worst")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("scores_here", "scores_here: write module:function"),
        ("scores_here:", "write module:function"),
        ("scores_here:gone", "scores_here:gone: AttributeError: "),
        ("gone_module:f", "gone_module:f: ModuleNotFoundError: No module named 'gone_module'"),
        ("broken_here:f", "broken_here:f: ZeroDivisionError: division by zero"),
        ("scores_here:NUMBER", "scores_here:NUMBER: it is no function; write module:function"),
        ("scores_here:nan", "scores_here:nan: it gave nan, not a finite number"),
        ("scores_here:inf", "it gave inf, not a finite number"),
        ("scores_here:nothing", "scores_here:nothing: TypeError: "),
        ("scores_here:text", "it gave '0.5', not a finite number"),
        ("scores_here:several", "not a finite number"),
        ("scores_here:leaves", "scores_here:leaves: SystemExit: bye"),
    ],
)
def test_what_is_no_metric_is_told_in_one_line(source: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        score(source)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
