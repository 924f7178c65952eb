"""What the README says can be typed, and what it prints is what comes out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gconvtool
from gconvtool.cli.main import app, run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_two_commands_are_all_the_set_up():
    commands = re.findall(r"^    (pip install .*)$", README, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        for path in re.findall(r"\S+\.(?:onnx|npz)", command):
            made_by_the_command = f"-o {path}" in command
            assert made_by_the_command or (ROOT / "sample_models" / Path(path).name).exists()
    assert commands[1].endswith("pytest -n 2")


@pytest.mark.slow
def test_the_python_example_runs(tmp_path, monkeypatch):
    (example,) = blocks("python")
    assert len(example.strip().splitlines()) <= 12
    for name in ("fashion_resnet.onnx", "fashion_calib.npz", "fashion_test.npz"):
        (tmp_path / name).symlink_to(ROOT / "sample_models" / name)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(compile(in_little_time(example), "README.md", "exec"), scope)
    assert isinstance(scope["small"], gconvtool.Conversion)
    assert isinstance(scope["result"], gconvtool.Comparison)


def in_little_time(example: str) -> str:
    """The example with fewer samples and a shorter measurement."""
    assert "samples=256" in example
    assert "time_budget_s=30" in example
    return example.replace("samples=256", "samples=24").replace(
        "time_budget_s=30", "time_budget_s=1"
    )


@pytest.mark.parametrize("command", ["analyze", "convert", "sweep", "bench", "verify"])
def test_every_command_and_option_is_in_the_readme(command, capsys):
    assert run([command, "--help"]) == 0
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", capsys.readouterr().out))
    section = README.split(f"### `gconvtool {command}", 1)[1].split("\n### ", 1)[0]
    shared = README.split("### What several commands share", 1)[1].split("\n## ", 1)[0]
    missing = {o for o in options - {"--help"} if o not in section and o not in shared}
    assert not missing


def test_the_readme_names_no_command_that_is_not_there():
    named = set(re.findall(r"(?:`|^|&& )gconvtool ([a-z]+)", README, re.MULTILINE))
    known = {command.callback.__name__ for command in app.registered_commands}
    assert named == known
