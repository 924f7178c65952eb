"""What `bench` and its relatives find, in a time that passes only as models say.

onnxruntime computes for real, behind its own seam; only how long a run takes is made up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from models import proto
from test_timing_protocol import FakeClock

import gconvtool
from gconvtool.errors import InputError, MissingError, VerificationError
from gconvtool.facts import Skip
from gconvtool.pipeline import contestants
from gconvtool.pipeline.baseline import Baseline
from gconvtool.pipeline.gates import Gates
from gconvtool.pipeline.grid import crossovers
from gconvtool.pipeline.sizes import Sizes
from gconvtool.results import Cell, Comparison, Gate, Interval
from gconvtool.runtime import binding
from gconvtool.timing import machine

Cost = Callable[[int], float]
"""Milliseconds of a run, by the batch."""

IDENTITY = np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)


@dataclass
class Stage:
    """A folder of models that take their time, by name; and what was done to them."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    costs: dict[str, Cost] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    threads: dict[int, float] = field(default_factory=dict)
    elsewhere: str | None = None

    def model(
        self,
        name: str,
        cost: float | Cost = 1.0,
        shape: str = "N, 2, H, 4",
        weight: np.ndarray[Any, Any] = IDENTITY,
    ) -> str:
        """A pointwise convolution on disk, whose runs take so many ms."""
        text = f"{name} (float[{shape}] x) => (float[{shape}] y) {{ y = Conv (x, w) }}"
        made = proto(text, w=weight)
        made.graph.node[0].name = "conv"
        onnx.save(made, self.folder / f"{name}.onnx")
        self.costs[name] = cost if callable(cost) else lambda batch: cost
        return str(self.folder / f"{name}.onnx")

    def runtime(self) -> ModuleType:
        """onnxruntime, whose runs move the clock."""
        stage = self

        class Session:
            def __init__(self, content: Any, options: Any, **settings: Any) -> None:
                self._real = onnxruntime.InferenceSession(content, options, **settings)
                self._name = onnx.load_from_string(content).graph.name
                self._factor = stage.threads.get(options.intra_op_num_threads, 1.0)

            def run(self, names: Any, feeds: dict[str, Any], *options: Any) -> Any:
                stage.runs.append(self._name)
                batch = len(next(iter(feeds.values())))
                stage.clock.advance(self._factor * stage.costs[self._name](batch))
                return self._real.run(names, feeds)

            def run_with_iobinding(self, bound: Any) -> None:
                stage.clock.advance(stage.costs[self._name](1))
                self._real.run_with_iobinding(bound)

            def get_provider_graph_assignment_info(self) -> Any:
                if stage.elsewhere is None:
                    return self._real.get_provider_graph_assignment_info()
                node = SimpleNamespace(name="conv", op_type="Conv")
                return [SimpleNamespace(ep_name=stage.elsewhere, get_nodes=lambda: [node])]

            def __getattr__(self, name: str) -> Any:
                return getattr(self._real, name)

        made = ModuleType("onnxruntime")
        made.__dict__.update(onnxruntime.__dict__, InferenceSession=Session)
        return made


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", made.runtime())
    monkeypatch.setattr(machine, "SystemClock", lambda: made.clock)
    monkeypatch.setattr(machine, "preflight", lambda: ("it is noisy here",))
    return made


SHORT: Any = {"threads": 1, "dims": {"H": 3}, "time_budget_s": 2.0}


def bench(*models: str, **options: Any) -> Comparison:
    return gconvtool.bench(*models, **{**SHORT, **options})


class TestBench:
    def test_the_truth_is_found(self, stage):
        a, b = stage.model("a", 3.0), stage.model("b", 2.0)
        found = bench(a, b, batch=4)
        assert found.judgement.speedup.estimate == pytest.approx(1.5)
        assert found.judgement.verdict == "faster"
        assert (found.a.path, found.a.median_ms) == (a, pytest.approx(3.0))
        assert (found.b.path, found.b.median_ms) == (b, pytest.approx(2.0))
        assert (found.provider, found.threads, found.batch) == ("cpu", 1, 4)
        assert found.drift[0].relative_error == 0.0

    def test_costs_are_those_of_a_sample(self, stage):
        found = bench(stage.model("a"), stage.model("b"), batch=4)
        macs = 3 * 4 * 2 * 2  # H × W positions, N × C weights
        assert [totals.macs for totals in found.macs] == [macs, macs]
        placed = found.placement["a"]["CPUExecutionProvider"]
        assert (placed.nodes, placed.conv_macs, placed.share) == (1, macs, 1.0)

    def test_what_disturbs_is_said_before_what_models_are(self, stage):
        assert bench(stage.model("a"), stage.model("b")).warnings == ("it is noisy here",)

    def test_sizes_are_those_of_all_files(self, stage):
        a = stage.model("a")
        heavy = np.zeros((2, 2, 1, 1000), np.float32)
        stage.model("b", weight=heavy, shape="N, 2, H, 1000")
        stored = onnx.load(stage.folder / "b.onnx")
        onnx.save(
            stored,
            stage.folder / "b.onnx",
            save_as_external_data=True,
            location="b.data",
            size_threshold=0,
        )
        stage.model("c", weight=heavy, shape="N, 2, H, 1000")
        found = bench(str(stage.folder / "b.onnx"), str(stage.folder / "c.onnx"))
        b, data, c = (
            (stage.folder / name).stat().st_size for name in ("b.onnx", "b.data", "c.onnx")
        )
        assert data >= 16_000
        assert (found.a.size_bytes, found.b.size_bytes) == (b + data, c)
        assert Path(a).stat().st_size < 1000

    def test_a_model_in_memory_is_as_large_as_its_file(self, stage):
        a = stage.model("a")
        found = gconvtool.bench(ir.load(a), a, **SHORT)
        assert found.a.size_bytes == pytest.approx(found.b.size_bytes, abs=64)

    def test_memory_is_found_out_where_it_is_asked_for(self, stage, monkeypatch):
        a, b = stage.model("a"), stage.model("b")
        answers = iter([2**20, Skip("nobody says")])
        monkeypatch.setattr(contestants, "peak_memory", lambda *_: next(answers))
        assert bench(a, b).a.peak_memory_bytes is None
        found = bench(a, b, memory=True)
        assert (found.a.peak_memory_bytes, found.b.peak_memory_bytes) == (2**20, None)
        assert found.warnings[-1] == f"{b}: its peak memory is not known: nobody says"

    def test_threads_that_take_turns_are_told(self, stage, monkeypatch):
        monkeypatch.setattr(machine, "cpu_budget", lambda root: 1)
        a = stage.model("a")
        assert bench(a, a).warnings == ("it is noisy here",)
        for found in (bench(a, a, threads=2), gconvtool.solo(a, **{**SHORT, "threads": 2})):
            assert found.warnings[1].startswith("2 threads take turns, since 1 can run")

    def test_it_stops_when_it_is_certain_of_the_verdict_and_of_gates(self, stage):
        a, b = stage.model("a", 3.0), stage.model("b", 2.0)
        certain = bench(a, b, gates=Gates(min_speedup=1.4))
        open_still = bench(a, b, gates=Gates(min_speedup=1.5))  # which is the truth
        assert len(certain.measurement.blocks) < len(open_still.measurement.blocks)

    def test_layers_are_profiled_where_that_is_asked_for(self, stage):
        a, b = stage.model("a"), stage.model("b")
        assert bench(a, b).layers is None
        found = bench(a, b, layers=True)
        assert [(layer.name, layer.a.macs, layer.b.macs) for layer in found.layers.layers] == [
            ("y", 48, 48)
        ]

    def test_copies_are_timed_apart_where_there_are_any(self, stage, monkeypatch):
        a = stage.model("a")
        assert bench(a, a).a.end_to_end_ms is None
        monkeypatch.setitem(binding.DEVICES, "cpu", "cpu")
        stage.threads = {1: 1.5}  # a run from arrays to arrays, which a bound one is not
        found = bench(a, a)
        assert found.a.median_ms == pytest.approx(1.0)
        assert found.a.end_to_end_ms == pytest.approx(1.5)

    def test_gates_are_decided(self, stage):
        limits = Gates(min_speedup=1.4, max_slowdown=1.0, max_size=10, max_relative_error=0.0)
        found = bench(stage.model("a", 3.0), stage.model("b", 2.0), gates=limits)
        assert {gate.name: gate.passed for gate in found.gates} == {
            "min_speedup": True,
            "max_slowdown": True,
            "max_relative_error": True,
            "max_size": False,
        }

    def test_progress_is_told_to_the_end(self, stage):
        told: list[tuple[str, int, int]] = []
        bench(stage.model("a"), stage.model("b"), progress=lambda *said: told.append(said))
        shares = [done for _, done, _ in told]
        assert shares == sorted(shares)
        assert told[-1] == ("timing", 1000, 1000)

    def test_the_batch_may_be_a_models_own(self, stage):
        a, fixed = stage.model("a"), stage.model("fixed", shape="4, 2, H, 4")
        assert bench(a, fixed).batch == 4
        with pytest.raises(InputError, match=r"--batch 2: .*fixed.onnx takes 4 at a time"):
            bench(a, fixed, batch=2)

    def test_a_shape_says_the_batch(self, stage):
        a = stage.model("a")
        assert bench(a, a, dims={}, input_shapes={"x": (8, 2, 5, 4)}).batch == 8
        assert bench(a, a, dims={}, input_shapes={"x": (1, 2, 5, 4)}, batch=2).batch == 2


class TestRefused:
    """Before anything is timed."""

    @pytest.fixture(autouse=True)
    def _untimed(self, stage):
        yield
        assert len(stage.runs) < 10

    def test_outputs_that_are_not_finite(self, stage):
        broken = stage.model("b", weight=np.full_like(IDENTITY, np.inf))
        with pytest.raises(VerificationError, match="model B is not finite"):
            bench(stage.model("a"), broken)

    def test_another_job(self, stage):
        other = stage.model("b", weight=np.ones((3, 2, 1, 1), np.float32))
        text = "b (float[N, 2, H, 4] x) => (float[N, 3, H, 4] y) { y = Conv (x, w) }"
        onnx.save(proto(text, w=np.ones((3, 2, 1, 1), np.float32)), other)
        with pytest.raises(InputError, match="do not do the same job"):
            bench(stage.model("a"), other)

    def test_a_convolution_that_runs_elsewhere_where_it_may_not(self, stage):
        a = stage.model("a")
        stage.elsewhere = "XnnpackExecutionProvider"
        with pytest.raises(MissingError, match="cpu does not run all convolutions: xnnpack runs"):
            bench(a, a, strict=True)

    def test_a_size_that_nothing_has(self, stage):
        a = stage.model("a")
        with pytest.raises(InputError, match="--dim K: the model has no open dimension"):
            bench(a, a, dims={"K": 2})

    def test_accuracy_without_labels(self, stage):
        a = stage.model("a")
        with pytest.raises(InputError, match="an accuracy gate needs labels"):
            bench(a, a, gates=Gates(max_accuracy_drop=1.0))

    def test_nothing_to_compare_with(self, stage):
        with pytest.raises(InputError, match="nothing to compare with"):
            bench(stage.model("a"))


def test_a_convolution_elsewhere_is_told_where_it_may_be(stage):
    a = stage.model("a")
    stage.elsewhere = "XnnpackExecutionProvider"
    placed = bench(a, a).placement["b"]
    assert placed["XnnpackExecutionProvider"].share == 1.0


def test_a_provider_is_told_by_its_short_name(stage):
    a, full = stage.model("a"), "CPUExecutionProvider"
    assert gconvtool.verify(a, a, dims={"H": 3}, provider=full).provider == "cpu"
    found = bench(a, a, provider=full, layers=True)
    assert (found.provider, found.layers.provider) == ("cpu", "cpu")


class TestRank:
    def test_the_fastest_is_first(self, stage):
        names = {"first": 4.0, "b": 2.0, "c": 8.0, "d": 1.0}
        models = [stage.model(name, cost) for name, cost in names.items()]
        ranking = gconvtool.rank(models, **SHORT)
        order = [
            (Path(one.b.path).stem, one.judgement.speedup.estimate) for one in ranking.comparisons
        ]
        assert order == [
            ("d", pytest.approx(4)),
            ("b", pytest.approx(2)),
            ("c", pytest.approx(0.5)),
        ]
        assert {Path(one.a.path).stem for one in ranking.comparisons} == {"first"}

    def test_the_budget_is_shared_out(self, stage):
        models = [stage.model(name, 1.0) for name in "abcde"]
        told: list[int] = []
        gconvtool.rank(models, **SHORT, progress=lambda _, done, __: told.append(done))
        assert stage.clock.now_ms < 1.25 * 1000 * SHORT["time_budget_s"]
        assert told == sorted(told)
        assert told[-1] == 1000

    def test_every_model_is_weighed_once(self, stage, monkeypatch):
        weighed: list[bytes] = []
        monkeypatch.setattr(
            contestants, "peak_memory", lambda packed, *_: weighed.append(packed.content)
        )
        models = [stage.model(name) for name in "abc"]
        gconvtool.rank(models, **SHORT, memory=True)
        assert len(weighed) == len(set(weighed)) == 3

    def test_what_one_fixes_holds_for_all(self, stage):
        models = [stage.model("a"), stage.model("b", shape="2, 2, H, 4"), stage.model("c")]
        assert {one.batch for one in gconvtool.rank(models, **SHORT).comparisons} == {2}

    def test_one_alone_has_no_rank(self, stage):
        with pytest.raises(InputError, match="two models or more"):
            gconvtool.rank([stage.model("a")])


class TestGrid:
    def test_crossovers_are_found(self, stage):
        a = stage.model("a", lambda batch: 1.0 * batch)
        b = stage.model("b", lambda batch: 2.0 + 0.5 * batch)  # as fast at a batch of 4
        found = gconvtool.grid(
            a, b, batches=(16, 1, 4), threads=(1,), shapes=[Sizes({"H": 3})], time_budget_s=6.0
        )
        assert [(cell.batch, cell.comparison.judgement.verdict) for cell in found.cells] == [
            (1, "slower"),
            (4, "same"),
            (16, "faster"),
        ]
        assert found.crossovers == ("B is faster from batch 16 on", "B is slower up to batch 1")

    def test_every_setting_is_a_cell(self, stage):
        stage.threads = {1: 1.0, 2: 0.5}
        a, sizes = stage.model("a"), [Sizes({"H": 3}), Sizes(input_shapes={"x": (1, 2, 5, 4)})]
        found = gconvtool.grid(
            a, a, batches=(1, 2), threads=(1, 2), shapes=sizes, time_budget_s=6.0
        )
        assert [(cell.shapes, cell.threads, cell.batch) for cell in found.cells] == [
            (shapes, threads, batch)
            for shapes in ("H=3", "x:1,2,5,4")
            for threads in (1, 2)
            for batch in (1, 2)
        ]
        times = [cell.comparison.a.median_ms for cell in found.cells]
        assert times == [pytest.approx(time) for time in (1, 1, 0.5, 0.5) * 2]
        macs = [cell.comparison.macs[0].macs for cell in found.cells]
        assert macs == [48] * 4 + [80] * 4

    def test_a_setting_that_a_model_does_not_take_is_told_before_anything_is_timed(self, stage):
        a, fixed = stage.model("a"), stage.model("b", shape="2, 2, 3, 4")
        with pytest.raises(InputError, match=r"--batch 1: .*b.onnx takes 2 at a time"):
            gconvtool.grid(a, fixed, batches=(1, 2))
        with pytest.raises(InputError, match=r"--input-shape x: 2×2×5×4 does not fit .*b.onnx"):
            gconvtool.grid(
                a, fixed, batches=(2,), shapes=[Sizes({}), Sizes(input_shapes={"x": (2, 2, 5, 4)})]
            )
        assert len(stage.runs) < 10


def cell(batch: int, threads: int, verdict: str) -> Cell:
    judgement = SimpleNamespace(verdict=verdict)
    return Cell(batch, threads, "", SimpleNamespace(judgement=judgement))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ("f f f", []),
        ("s s s", []),
        ("i i i", []),
        ("i f f", ["B is faster from batch 2 on"]),
        ("f i i", ["B is faster up to batch 1"]),
        ("s i f", ["B is faster from batch 4 on", "B is slower up to batch 1"]),
        ("i f i", []),
        ("f i f", ["B is faster up to batch 1", "B is faster from batch 4 on"]),
    ],
)
def test_verdicts_make_a_crossover(verdicts, said):
    words = {"f": "faster", "s": "slower", "i": "inconclusive"}
    cells = [cell(2**i, 1, words[word]) for i, word in enumerate(verdicts.split())]
    assert list(crossovers(cells)) == said


def test_a_crossover_says_where_it_is():
    verdicts = {(1, 1): "same", (8, 1): "faster", (1, 2): "same", (8, 2): "same"}
    cells = [cell(batch, threads, said) for (batch, threads), said in verdicts.items()]
    assert list(crossovers(cells)) == [
        "B is faster from batch 8 on (1 thread)",
        "B is faster up to 1 thread (batch 8)",
    ]


class TestRedo:
    def test_the_same_samples_say_the_same(self, stage):
        limits = Gates(min_speedup=1.4)
        found = bench(stage.model("a", 3.0), stage.model("b", 2.0), gates=limits)
        weighed = replace(found.a, end_to_end_ms=4.0, peak_memory_bytes=5)  # no sample says that
        found = replace(found, a=weighed)
        lost = replace(weighed, median_ms=0.0, p95_ms=None)
        assert gconvtool.redo(replace(found, a=lost, judgement=None)) == found

    def test_other_limits_are_decided_without_running(self, stage):
        found = bench(stage.model("a", 3.0), stage.model("b", 2.0), gates=Gates(min_speedup=1.4))
        stage.runs.clear()
        again = gconvtool.redo(found, Gates(min_speedup=1.6, max_size=1e6))
        assert [(gate.name, gate.passed) for gate in again.gates] == [
            ("min_speedup", False),
            ("max_size", True),
        ]
        assert stage.runs == []


class TestBaseline:
    HERE = machine.machine(onnxruntime.__version__)

    def baseline(self, speedup: float = 1.5, **facts: Any) -> Baseline:
        known = {"machine": self.HERE, "provider": "cpu", "threads": 1, "batch": 1, **facts}
        return Baseline("base.json", Interval(speedup, speedup, speedup), **known)

    @pytest.fixture
    def pair(self, stage):
        return stage.model("a", 3.0), stage.model("b", 2.0)

    @pytest.mark.parametrize(
        ("then", "passed"), [(1.5, True), (1.52, True), (1.6, False), (1.2, True)]
    )
    def test_what_is_lost_against_it_is_a_gate(self, pair, then, passed):
        found = bench(*pair, baseline=self.baseline(then))
        assert found.baseline.ratio.estimate == pytest.approx(1.5 / then)
        assert found.gates == (Gate("max_regression", 0.02, pytest.approx(1 - 1.5 / then), passed),)

    def test_its_gate_is_decided_again(self, pair):
        found = bench(*pair, baseline=self.baseline(1.6))
        assert gconvtool.redo(found) == found

    @pytest.mark.parametrize("facts", [{"threads": 2}, {"batch": 8}, {"provider": "cuda"}])
    def test_another_kind_of_comparison_is_refused(self, stage, pair, facts):
        with pytest.raises(
            InputError, match=r"--baseline base.json: measured with .* would be cpu"
        ):
            bench(*pair, baseline=self.baseline(**facts))
        assert len(stage.runs) < 10

    def test_another_machine_is_told(self, pair):
        other = self.baseline(machine=replace(self.HERE, processor="another one"))
        found = bench(*pair, baseline=other)
        assert found.baseline.differences
        assert "base.json is from another machine" in found.warnings[1]

    def test_another_model_a_is_told(self, pair):
        usual = bench(*pair, baseline=self.baseline())
        macs = usual.macs[0].macs
        assert bench(*pair, baseline=self.baseline(macs=macs)).warnings == usual.warnings
        found = bench(*pair, baseline=self.baseline(macs=macs + 1))
        (told,) = set(found.warnings) - set(usual.warnings)
        assert f"model A had {macs + 1:,} MACs then and has {macs:,} now" in told

    def test_another_machine_may_be_refused(self, stage, pair):
        other = replace(self.HERE, processor="another one")
        baseline = self.baseline(machine=other, host_mismatch="fail")
        with pytest.raises(MissingError, match=r"base\.json: measured on another machine"):
            bench(*pair, baseline=baseline)
        assert stage.runs == []


class TestSolo:
    def test_a_model_by_itself(self, stage):
        found = gconvtool.solo(stage.model("a", 4.0), **SHORT, batch=2)
        assert found.latency_ms.estimate == pytest.approx(4.0)
        assert found.throughput.estimate == pytest.approx(500.0)
        assert (found.model.median_ms, found.batch) == (pytest.approx(4.0), 2)
        assert found.macs.macs == 48
        assert found.warnings[0] == "it is noisy here"

    def test_the_longest_latency_is_the_lowest_throughput(self, stage):
        times = iter([3.0, 5.0] * 10_000)
        found = gconvtool.solo(stage.model("a", lambda batch: next(times)), **SHORT)
        assert found.throughput.low == pytest.approx(1000 / found.latency_ms.high)
        assert found.throughput.high == pytest.approx(1000 / found.latency_ms.low)

    def test_its_layers(self, stage):
        found = gconvtool.solo(stage.model("a"), **SHORT, layers=True)
        assert [(layer.name, layer.b) for layer in found.layers.layers] == [("y", None)]

    def test_its_gates(self, stage):
        a = stage.model("a", 4.0)
        found = gconvtool.solo(a, **SHORT, gates=Gates(max_p95=5.0, max_size=10))
        assert [(gate.name, gate.passed) for gate in found.gates] == [
            ("max_p95", True),
            ("max_size", False),
        ]
        with pytest.raises(InputError, match="--min-speedup compares two models"):
            gconvtool.solo(a, **SHORT, gates=Gates(min_speedup=1.1))


class TestCalibrate:
    def test_a_steady_machine_has_no_floor(self, stage):
        found = gconvtool.calibrate(stage.model("a"), **SHORT)
        assert found.comparison.judgement.speedup.estimate == pytest.approx(1.0)
        assert found.floor == pytest.approx(0.0, abs=1e-6)
        assert len(found.comparison.measurement.blocks) == 8  # it does not stop early
        assert found.detectable >= found.floor
        assert found.comparison.gates == ()

    def test_time_that_is_left_goes_to_more_blocks(self, stage):
        found = gconvtool.calibrate(stage.model("a"), **{**SHORT, "time_budget_s": 40.0})
        assert len(found.comparison.measurement.blocks) > 8

    def test_a_gate_below_the_floor_gets_a_warning(self, stage):
        draw = np.random.default_rng(0)
        noisy = stage.model("a", lambda batch: 1.0 + 0.5 * draw.random())
        found = gconvtool.calibrate(noisy, **SHORT, gates=Gates(min_speedup=1.0001))
        assert found.floor > 0.0001
        assert "--min-speedup 1.0001 is nearer to 1" in found.comparison.warnings[-1]
