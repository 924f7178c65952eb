"""Real profiles of small models: names, counts and files; never times."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import models
import nets
import numpy as np
import onnx_ir as ir
import pytest
from test_timing_protocol import FakeClock

from gconvtool.errors import InputError
from gconvtool.graph.pack import pack
from gconvtool.runtime import profiling
from gconvtool.runtime.profiling import LEAST, MOST, Open, Profiled, named, record
from gconvtool.runtime.session import Session

BRANCHES = """
branches (float[1, 4, 5, 5] x, bool c) => (float[1, 4, 5, 5] y)
{
  h = Relu (x)
  y = If (c) <
    then_branch = then () => (float[1, 4, 5, 5] t) { u = Conv (h, w) t = Neg (u) },
    else_branch = else () => (float[1, 4, 5, 5] e) { e = Identity (h) }
  >
}
"""


def opener(model: ir.Model) -> Open:
    packed = pack(named(model), "a model")
    return lambda folder: Session(packed, threads=1, profile=folder)


def profiled(model: ir.Model, **feeds: np.ndarray) -> Profiled:
    return record([opener(model)], feeds, Hurried())[0]


class Hurried(FakeClock):
    """Every look at it takes a minute."""

    def wall_ns(self) -> int:
        self.advance(60_000)
        return super().wall_ns()


def test_nodes_are_named_after_what_they_make_in_bodies_and_functions_too() -> None:
    copy = named(models.model(BRANCHES, w=np.ones((4, 4, 1, 1), np.float32)))
    assert [node.name for node in copy.graph] == ["h", "y"]
    inside = [node.name for graph in copy.graph.subgraphs() for node in graph]
    assert sorted(inside) == ["y/else_branch/e", "y/then_branch/t", "y/then_branch/u"]


def test_the_model_itself_keeps_its_names() -> None:
    model = nets.residual()
    names = [node.name for node in model.graph]
    named(model)
    assert [node.name for node in model.graph] == names


def test_a_profile_has_a_time_for_every_kernel_of_the_optimised_graph() -> None:
    found = profiled(nets.residual(), x=nets.images(1))
    kernels = {kernel.name for kernel in found.kernels}
    assert len(kernels) == len(found.kernels)
    assert all(set(run) == kernels for run in found.profile.runs)
    assert set(found.profile.providers.values()) == {"CPUExecutionProvider"}


def test_kernels_know_what_they_read_and_write() -> None:
    found = profiled(nets.residual(), x=nets.images(1))
    last = found.kernels[-1]
    assert (last.op, last.writes) == ("Gemm", ("scores",))
    made = {tensor for kernel in found.kernels for tensor in kernel.writes}
    assert last.reads[0] in made


def test_when_time_is_up_eleven_runs_of_each_model_count() -> None:
    model = nets.residual()
    both = record([opener(model), opener(model)], {"x": nets.images(1)}, Hurried())
    assert [len(one.profile.runs) for one in both] == [LEAST, LEAST]


def test_there_are_never_more_than_a_hundred_and_one() -> None:
    model = models.model("g (float[1] x) => (float[1] y) { y = Relu (x) }")
    both = record([opener(model)], {"x": np.ones(1, np.float32)}, FakeClock())
    assert [len(one.profile.runs) for one in both] == [MOST]


def test_models_take_turns_and_change_places(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Taking(Session):
        def run(self, feeds: object) -> dict[str, np.ndarray]:
            seen.append(self._name)
            return super().run(feeds)  # type: ignore[arg-type]

    packed = pack(named(nets.residual()), "")

    def opening(name: str) -> Callable[[Path], Session]:
        return lambda folder: Taking(packed, threads=1, name=name, profile=folder)

    record([opening("a"), opening("b")], {"x": nets.images(1)}, Hurried())
    assert "".join(seen[:8]) == "baabbaab"


def test_what_runs_in_a_body_is_in_the_time_of_what_holds_it() -> None:
    model = models.model(BRANCHES, w=np.ones((4, 4, 1, 1), np.float32))
    feeds = {"x": np.ones((1, 4, 5, 5), np.float32), "c": np.array(True)}
    found = profiled(model, **feeds)
    run = found.profile.runs[0]
    assert "y" in {kernel.name for kernel in found.kernels}
    inside = [name for name in run if name.startswith("y/then_branch/")]
    assert inside
    assert not {kernel.name for kernel in found.kernels} & set(inside)
    assert run["y"] >= sum(run[name] for name in inside)


def test_nothing_is_left_behind_or_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    profiled(nets.residual(), x=nets.images(1))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_a_trace_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling.json, "loads", _broken)
    with pytest.raises(InputError, match="left no profile to read: cut off"):
        profiled(nets.residual(), x=nets.images(1))


def _broken(text: str) -> object:
    raise ValueError("cut off")
