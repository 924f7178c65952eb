"""What files and variables say of options: after the command line, variables come first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from helpers_bench import COMPARISON
from helpers_cli import Desk, refused

from gconvtool.cli import defaults
from gconvtool.cli.main import app

ROOT = Path(__file__).parent.parent


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    return Desk(tmp_path, monkeypatch, capfd).furnish()


@pytest.fixture
def asked(monkeypatch):
    """What `bench` is asked; it answers at once."""
    calls = []

    def bench(*words, **options):
        calls.append((words, options))
        return COMPARISON

    monkeypatch.setattr("gconvtool.pipeline.compare.bench", bench)
    return calls


def configure(desk, text, command="bench"):
    path = desk.folder / "pyproject.toml"
    path.write_text(f"[tool.gconvtool.{command}]\n{text}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("command", defaults.KEYS)
def test_every_key_is_an_option_of_its_command(command):
    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    names = {parameter.name.replace("_", "-") for parameter in parameters}
    assert set(defaults.KEYS[command]) <= names
    assert len(set(defaults.KEYS[command])) == len(defaults.KEYS[command])


@pytest.mark.parametrize("command", defaults.KEYS)
def test_every_key_is_documented(command):
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert not {key for key in defaults.KEYS[command] if not re.search(rf"`[^`\n]*{key}", text)}


def test_a_bare_call_is_the_whole_step(desk, asked):
    configure(
        desk,
        'models = ["net.onnx", "small.onnx"]\ndata = "test.npz"\nmin-speedup = 1.5\n'
        'max-size = 5_000_000\nmax-relative-error = "2%"\nthreads = 1\ntime-budget = 12\n'
        'layers = true\nstrict-provider = true\non-inconclusive = "pass"\ndim = ["N=1"]\n'
        'provider-option = {a = 1, b = "two"}\nsession-option = ["c=3"]',
    )
    assert desk("bench").code == 1
    ((words, options),) = asked
    assert words == (str(desk.folder / "net.onnx"), str(desk.folder / "small.onnx"))
    assert options["data"] == str(desk.folder / "test.npz")
    assert options["gates"].limits == {
        "min_speedup": 1.5, "max_size": 5_000_000, "max_relative_error": 0.02,
    }  # fmt: skip
    assert (options["threads"], options["time_budget_s"]) == (1, 12)
    assert (options["layers"], options["strict"]) == (True, True)
    assert options["provider_options"] == {"a": "1", "b": "two"}
    assert options["session_options"] == {"c": "3"}
    assert options["dims"] == {"N": 1}


def test_lists_are_what_the_command_line_has_commas_for(desk, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        "gconvtool.pipeline.grid.grid", lambda *_, **given: seen.update(given) or COMPARISON
    )
    configure(desk, 'models = ["a", "b"]\nbatch = [1, 8]\nthreads = [1, 2]')
    desk("bench")
    assert (seen["batches"], seen["threads"]) == ((1, 8), (1, 2))


def test_the_command_line_wins_over_variables_and_those_over_the_file(desk, asked, monkeypatch):
    configure(desk, 'models = ["a", "b"]\nmin-speedup = 1.1\nmax-p95 = 1\nbatch = 2')
    monkeypatch.setenv("GCONVTOOL_BENCH_MIN_SPEEDUP", "1.2")
    monkeypatch.setenv("GCONVTOOL_BENCH_MAX_P95", "2")
    desk("bench", "--min-speedup", 1.3)
    options = asked[0][1]
    assert options["gates"].limits == {"min_speedup": 1.3, "max_p95": 2}
    assert options["batch"] == 2


def test_variables_hold_lists_and_switches(desk, asked, monkeypatch):
    monkeypatch.setenv("GCONVTOOL_BENCH_MODELS", r"#\a 'b c'")
    monkeypatch.setenv("GCONVTOOL_BENCH_LAYERS", "true")
    monkeypatch.setenv("GCONVTOOL_BENCH_PROVIDER_OPTION", "k=v")
    desk("bench")
    ((words, options),) = asked
    assert words == (r"#\a", "b c")
    assert options["layers"] is True
    assert options["provider_options"] == {"k": "v"}


def test_an_empty_variable_is_one_that_was_not_set(desk, asked, monkeypatch):
    monkeypatch.setenv("GCONVTOOL_BENCH_MIN_SPEEDUP", "")
    desk("bench", "a", "b")
    assert asked[0][1]["gates"].limits == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min-spedup = 2", "did you mean min-speedup?"),
        ("format = 'json'", "has no key format"),
        ("min-speedup = 'fast'", "min-speedup"),
        ("min-speedup = -1", "min-speedup"),
        ("min-speedup = true", "min-speedup: a value, not true or false"),
        ("layers = 1", "layers: true or false"),
        ("on-inconclusive = 'maybe'", "on-inconclusive"),
        ("models = [['a']]", "models"),
        ("dim = [{a = 1}]", "dim"),
    ],
)
def test_a_mistake_in_the_file_is_told_where_it_is(desk, text, said):
    path = configure(desk, text)
    told = refused(desk("bench", "a", "b"))
    assert told.startswith(f"{path}: [tool.gconvtool.bench] ")
    assert said in told


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GCONVTOOL_BENCH_MIN_SPEDUP", "2", "did you mean GCONVTOOL_BENCH_MIN_SPEEDUP?"),
        ("GCONVTOOL_BENCH_MIN_SPEEDUP", "fast", "GCONVTOOL_BENCH_MIN_SPEEDUP: "),
        ("GCONVTOOL_BENCH_MODELS", "'a b", "GCONVTOOL_BENCH_MODELS: "),
    ],
)
def test_a_mistake_in_a_variable_is_told(desk, monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    assert said in refused(desk("bench", "a", "b"))


def test_variables_of_other_commands_are_left_alone(desk, asked, monkeypatch):
    monkeypatch.setenv("GCONVTOOL_VERIFY_NONSENSE", "1")
    assert desk("bench", "a", "b").code == 1


def test_help_needs_no_valid_file(desk):
    configure(desk, "nonsense = 1")
    assert desk("bench", "--help").code == 0


def test_an_earlier_verdict_is_redone_under_the_files_gates(desk):
    quick = ("--time-budget", 1, "--threads", 1)
    desk("bench", "net.onnx", "net.onnx", *quick, "-o", "o.json")
    configure(desk, "min-speedup = 1000\nbatch = 8\ndata = 'test.npz'")
    answer = desk("bench", "report", "o.json")
    assert answer.code == 1
    assert "--min-speedup 1000: FAILED" in answer.out
