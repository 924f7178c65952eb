"""Completion: a script for the shell that is named, and what it gets when it asks."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from helpers_cli import Desk, environment, python, refused

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
MARKS = {"bash": "complete -o default", "zsh": "#compdef gconvtool", "fish": "complete --command"}


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    return Desk(tmp_path, monkeypatch, capfd)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_for_the_shell_that_is_named(desk, shell):
    answer = desk("--show-completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert MARKS.get(shell, "Register-ArgumentCompleter") in answer.out
    assert "_GCONVTOOL_COMPLETE" in answer.out


def test_a_shell_has_to_be_one(desk):
    assert "'bash', 'zsh', 'fish'" in refused(desk("--show-completion", "nosh"))
    refused(desk("--install-completion"))


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", ".bash_completions/gconvtool.sh"),
        ("zsh", ".zfunc/_gconvtool"),
        ("fish", ".config/fish/completions/gconvtool.fish"),
    ],
)
def test_it_is_installed_for_the_user(tmp_path, shell, place):
    call = ("-m", "gconvtool", "--install-completion", shell)
    done = python(*call, HOME=str(tmp_path), USERPROFILE=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert str(tmp_path / place) in done.stdout
    assert "_GCONVTOOL_COMPLETE" in (tmp_path / place).read_text()


def test_a_home_that_cannot_be_written_is_told(tmp_path):
    home = tmp_path / "file"
    home.touch()
    done = python("-m", "gconvtool", "--install-completion", "bash", HOME=str(home))
    assert done.returncode == 2
    assert done.stderr.startswith("error: --install-completion bash: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gconvtool ver", ["verify"]),
        ("gconvtool bench --min-s", ["--min-speedup"]),
        ("gconvtool verify --max-r", ["--max-relative-error"]),
    ],
)
def test_bash_is_offered_commands_and_options(line, offered):
    done = python(
        "-m", "gconvtool",
        _GCONVTOOL_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(line.count(" ")),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == offered


def test_a_broken_file_does_not_keep_a_shell_from_completing(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.gconvtool.bench]\nnonsense = 1\n")
    variables = {"_GCONVTOOL_COMPLETE": "complete_bash", "COMP_WORDS": "gconvtool ben",
                 "COMP_CWORD": "1"}  # fmt: skip
    call = [sys.executable, "-m", "gconvtool"]
    found = subprocess.run(
        call, env=environment(**variables), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["bench"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_itself_completes_with_the_script(tmp_path):
    script = tmp_path / "completion.sh"
    script.write_text(python("-m", "gconvtool", "--show-completion", "bash").stdout)
    program = tmp_path / "gconvtool"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gconvtool "$@"\n')
    program.chmod(0o755)
    lines = f"""
    source {script}
    COMP_WORDS=(gconvtool ver) COMP_CWORD=1
    _gconvtool_completion {program}
    echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", lines], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["verify"]
