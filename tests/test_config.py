"""`[tool.gconvtool]`: what a pipeline need not say again, and what is said about mistakes in it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from helpers_cli import Desk, refused
from hypothesis import given
from hypothesis import strategies as st

from gconvtool.budgets import Increase
from gconvtool.cli import config
from gconvtool.cli.config import Budgets, Config
from gconvtool.errors import InputError

KEYS = ("model", "output", "data", "provider", "threads")


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    return Desk(tmp_path, monkeypatch, capfd).furnish()


def written(folder: Path, table: str) -> Path:
    """A pyproject.toml with this table."""
    (folder / "pyproject.toml").write_text(f"[tool.gconvtool]\n{table}\n", encoding="utf-8")
    return folder


def objection(folder: Path) -> str:
    """What is said against a folder's configuration; it names the file."""
    with pytest.raises(InputError) as caught:
        config.read(folder)
    assert str(folder / "pyproject.toml") in str(caught.value)
    return str(caught.value)


def test_nothing_is_configured_where_there_is_no_file(tmp_path):
    assert config.read(tmp_path) == Config()


def test_a_file_without_the_table_configures_nothing(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n', encoding="utf-8")
    assert config.read(tmp_path) == Config()


def test_every_key_is_read_and_paths_are_relative_to_the_file(tmp_path):
    table = (
        'model = "nets/a.onnx"\noutput = "b.onnx"\ndata = "d.npz"\nprovider = "cuda"\nthreads = 3'
    )
    assert config.read(written(tmp_path, table)) == Config(
        model=str(tmp_path / "nets" / "a.onnx"),
        output=str(tmp_path / "b.onnx"),
        data=str(tmp_path / "d.npz"),
        provider="cuda",
        threads=3,
    )


def test_the_nearest_file_counts(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    written(tmp_path, "threads = 1")
    written(tmp_path / "a", "threads = 2")
    assert config.read(inner) == Config(threads=2)
    assert config.read(tmp_path) == Config(threads=1)


def test_the_nearest_file_counts_alone(tmp_path):
    written(tmp_path, "threads = 1")
    inner = tmp_path / "inner"
    inner.mkdir()
    written(inner, 'provider = "cpu"')
    assert config.read(inner) == Config(provider="cpu")


def test_an_absolute_path_stays(tmp_path):
    model = str(tmp_path / "elsewhere" / "a.onnx")
    assert config.read(written(tmp_path, f"model = '{model}'")).model == model


def test_a_reader_is_no_path(tmp_path):
    assert config.read(written(tmp_path, 'data = "readers:make"')).data == "readers:make"


def test_a_path_with_a_colon_is_one_if_it_is_there(tmp_path):
    (tmp_path / "run:1.npz").touch()
    assert config.read(written(tmp_path, 'data = "run:1.npz"')).data == str(tmp_path / "run:1.npz")


@pytest.mark.parametrize(
    ("key", "meant"),
    [("modle", "model"), ("outptu", "output"), ("thread", "threads"), ("providers", "provider")],
)
def test_an_unknown_key_is_told_its_nearest_known_one(tmp_path, key, meant):
    said = objection(written(tmp_path, f'{key} = "x"'))
    assert key in said
    assert f"did you mean {meant}?" in said


def test_a_key_like_none_is_told_all(tmp_path):
    said = objection(written(tmp_path, "zzz = 1"))
    assert all(key in said for key in ("zzz", *KEYS))


@given(st.text("abcdefghijklmnopqrstuvwxyz-_", min_size=1))
def test_no_other_key_goes_through(key):
    with TemporaryDirectory() as name:
        folder = written(Path(name), f'{key} = "x"')
        if key in {"model", "output", "data", "provider"}:
            config.read(folder)
        else:
            assert key in objection(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "3"),
        ("output", "true"),
        ("data", '["a.npz"]'),
        ("provider", "1.5"),
        ("threads", '"two"'),
        ("threads", "1.5"),
        ("threads", "true"),
    ],
)
def test_a_value_of_another_type_is_told_the_right_one(tmp_path, key, value):
    said = objection(written(tmp_path, f"{key} = {value}"))
    assert key in said
    assert ("int" if key == "threads" else "str") in said


@pytest.mark.parametrize("threads", [0, -2])
def test_threads_are_one_or_more(tmp_path, threads):
    assert "threads" in objection(written(tmp_path, f"threads = {threads}"))


@pytest.mark.parametrize("text", ["tool = 1", "[tool]\ngconvtool = 3", "[[tool.gconvtool]]\n"])
def test_a_table_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    assert "table" in objection(tmp_path)


@pytest.mark.parametrize(
    "content", [b"[tool.gconvtool\n", b"[tool.gconvtool]\nmodel = \n", b"\xff\xfe\x00"]
)
def test_a_file_that_is_no_toml_is_refused(tmp_path, content):
    (tmp_path / "pyproject.toml").write_bytes(content)
    assert "cannot be read" in objection(tmp_path)


def test_budgets_are_read_and_their_baseline_is_relative_to_the_file(tmp_path):
    table = (
        'threads = 3\n[tool.gconvtool.analyze]\nmax-macs = "300M"\nmax-params = 5_000_000\n'
        'max-peak-memory = "2KiB"\nmax-increase = ["macs=2%", "params=0"]\nbaseline = "old.json"'
    )
    assert config.read(written(tmp_path, table)) == Config(
        threads=3,
        analyze=Budgets(
            {"macs": 300_000_000, "params": 5_000_000, "peak_memory": 2048},
            {"macs": Increase(2, percent=True), "params": Increase(0, percent=False)},
            str(tmp_path / "old.json"),
        ),
    )


def test_increases_may_be_one_word(tmp_path):
    table = '[tool.gconvtool.analyze]\nmax-increase = "macs=2%, params=0"'
    assert config.read(written(tmp_path, table)).analyze.growth.keys() == {"macs", "params"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('max-mac = "1M"', "did you mean max-macs?"),
        ("max_params = 1", "did you mean max-params?"),
        ("zzz = 1", "max-peak-memory"),
        ('max-macs = ""', "max-macs ''"),
        ('max-macs = "lots"', "max-macs lots"),
        ("max-params = -5", "max-params -5"),
        ("max-params = 1.5", "whole number"),
        ("max-params = true", "whole number"),
        ("max-params = [1]", "whole number"),
        ('max-peak-memory = "5Q"', "20MB"),
        ('max-increase = ""', "max-increase ''"),
        ('max-increase = ["macs"]', "FIGURE=AMOUNT"),
        ("max-increase = [1.5]", "string"),
        ("baseline = 1.5", "baseline"),
    ],
)
def test_a_mistake_in_a_budget_is_told_where_it_is(tmp_path, line, said):
    found = objection(written(tmp_path, f"[tool.gconvtool.analyze]\n{line}"))
    assert "[tool.gconvtool.analyze]" in found
    assert said in found


def test_a_table_of_budgets_is_a_table(tmp_path):
    assert "[tool.gconvtool.analyze]" in objection(written(tmp_path, "analyze = 3"))
    assert "did you mean analyze?" in objection(written(tmp_path, "[tool.gconvtool.analyse]"))


def test_a_mistake_is_exit_code_2_and_one_line(desk):
    written(desk.folder, 'modle = "net.onnx"')
    for words in (["analyze"], ["analyze", "net.onnx"], ["convert", "--groups", 4], ["bench"]):
        assert "did you mean model?" in refused(desk(*words))


def test_a_provider_that_does_not_exist_is_exit_code_2(desk):
    written(desk.folder, 'model = "net.onnx"\noutput = "net.onnx"\nprovider = "tpu"')
    said = refused(desk("bench", "--time-budget", 1))
    assert [word in said for word in ("tpu", "cpu", "cuda")] == [True] * 3


def test_a_pipeline_needs_no_further_words(desk, monkeypatch):
    table = 'model = "net.onnx"\noutput = "small.onnx"\ndata = "fit.npz"\nthreads = 1'
    written(desk.folder, table)
    below = desk.folder / "scripts"
    below.mkdir()
    monkeypatch.chdir(below)
    analysis = desk("analyze", "--json").document
    assert analysis["model"] == str(desk.folder / "net.onnx")
    conversion = desk("convert", "--groups", 4, "--json").document
    assert conversion["output"] == str(desk.folder / "small.onnx")
    assert (desk.folder / "small.onnx").exists()
    assert conversion["samples"] == 40
    bench = desk("bench", "--time-budget", 1, "--json").document
    assert bench["models"]["a"]["path"] == str(desk.folder / "net.onnx")
    assert bench["models"]["b"]["path"] == str(desk.folder / "small.onnx")
    assert bench["threads"] == 1
    assert bench["provider"] == "cpu"
    assert "fit.npz" in bench["drift_source"]


def test_the_command_line_wins(desk):
    table = 'model = "gone.onnx"\noutput = "gone/out.onnx"\ndata = "gone.npz"\nthreads = 1'
    written(desk.folder, table)
    words = ["net.onnx", "-o", "mine.onnx", "--data", "test.npz", "--groups", 4, "--json"]
    document = desk("convert", *words).document
    assert document["model"] == "net.onnx"
    assert document["output"] == "mine.onnx"
    assert document["samples"] == 30
    assert desk("analyze", "net.onnx", "--json").document["model"] == "net.onnx"


def test_a_model_named_in_vain_is_told_with_its_whole_path(desk):
    written(desk.folder, 'model = "gone.onnx"')
    assert str(desk.folder / "gone.onnx") in refused(desk("analyze"))


def test_bench_takes_no_second_model_from_the_file_for_a_first_one_that_was_named(desk):
    written(desk.folder, 'model = "net.onnx"\noutput = "small.onnx"')
    answer = desk("bench", "net.onnx", "--time-budget", 1, "--threads", 1, "--json")
    assert answer.document["schema"] == "gconvtool.bench-solo/1"
