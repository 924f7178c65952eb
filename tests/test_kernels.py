"""What is timed, how often, and what is made of it; the clock is made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from nets import network
from test_timing_protocol import FakeClock

from gconvtool.errors import InputError
from gconvtool.facts import Skip
from gconvtool.graph import shapes
from gconvtool.graph.survey import survey
from gconvtool.notation import parse
from gconvtool.recipes import Candidate, propose
from gconvtool.results.kernels import Estimate, KernelTime
from gconvtool.runtime.cache import Cache, Circumstances, Pair
from gconvtool.runtime.contests import Case, Contests
from gconvtool.runtime.heats import Bench
from gconvtool.runtime.kernels import fastest, measure, sessions
from gconvtool.timing.protocol import S_NS

REPEATED = """
<ir_version: 8, opset_import: ["": 17]>
repeated (float[1, 32, 12, 12] x) => (float[1, 32, 12, 12] y)
  <float[32, 32, 3, 3] t, float[32, 32, 3, 3] u, float[32, 32, 3, 3] v, float[32, 32, 3, 3] w>
{
  a = Conv <pads = [1, 1, 1, 1]> (x, t)
  ra = Relu (a)
  b = Conv <pads = [1, 1, 1, 1]> (ra, u)
  rb = Relu (b)
  c = Conv <pads = [1, 1, 1, 1]> (rb, v)
  rc = Relu (c)
  d = Conv <pads = [1, 1, 1, 1]> (rc, w)
  y = Relu (d)
}
"""
"""Two layers in the same surroundings, after one that begins the network and before its end."""
HERE = Circumstances("a machine", "1.30", "cpu", 2, 1)


@pytest.fixture
def model() -> ir.Model:
    made = ir.from_proto(network(REPEATED))
    shapes.infer(made)
    return made


class Machine:
    """Runs a model in a nanosecond a weight of its convolutions."""

    def __init__(self) -> None:
        self.clock, self.opened = FakeClock(), list[ir.Model]()

    def open(self, model: ir.Model) -> Callable[[], None]:
        self.opened.append(model)
        stored = (v.const_value for v in model.graph.initializers.values())
        weights = sum(t.size for t in stored if t is not None and len(t.shape) == 4)
        return lambda: self.clock.advance(weights / 1e6)


def bench(machine: Machine, folder: Path | None = None) -> Bench:
    return Bench(machine.open, machine.clock, Cache(HERE, folder))


def cases(model: ir.Model, *recipes: str) -> list[Case]:
    sites = survey(model).sites.values()
    made = (propose(site, parse(recipe)) for site in sites for recipe in recipes)
    return [Case(candidate) for candidate in made if isinstance(candidate, Candidate)]


def test_what_is_saved_is_the_difference_of_the_weights(model: ir.Model) -> None:
    wanted = cases(model, "groups=4", "separable:rank=1")
    for case, time in zip(wanted, measure(model, wanted, bench(Machine())).cases, strict=True):
        assert isinstance(time, KernelTime)
        spared = case.candidate.weights_before - case.candidate.weights_after
        assert time.saved.ns == pytest.approx(spared, rel=1e-6)
        assert not time.cached


def test_layers_that_are_alike_are_timed_once(model: ir.Model) -> None:
    machine = Machine()
    wanted = cases(model, "groups=4")
    assert len(wanted) == 4
    measure(model, wanted, bench(machine))
    assert len(machine.opened) == 3 * 3  # a dense one twice and a grouped one, in 3 surroundings


def test_what_was_timed_is_not_timed_again(model: ir.Model, tmp_path: Path) -> None:
    wanted = cases(model, "groups=4", "separable:rank=2")
    first = measure(model, wanted, bench(Machine(), tmp_path)).cases
    machine = Machine()
    again = measure(model, wanted, bench(machine, tmp_path)).cases
    assert len(machine.opened) == 3  # the dense ones, to bring all times to one moment
    for a, b in zip(first, again, strict=True):
        assert isinstance(a, KernelTime)
        assert isinstance(b, KernelTime)
        assert b.cached
        assert a.saved == b.saved


class Killed(BaseException):
    """Nothing catches that."""


@pytest.mark.parametrize(("after_ns", "settled"), [(0.5 * S_NS, 0), (1.75 * S_NS, 1)])
def test_an_interruption_loses_only_what_is_not_settled(
    model: ir.Model, tmp_path: Path, after_ns: float, settled: int
) -> None:
    """Three races and one beside them take turns of a tenth of a second, and nothing is settled
    before its fifth: then the first race is over, and the others are not."""
    wanted, machine = cases(model, "groups=4", "separable:rank=2"), Machine()

    def open_(opened: ir.Model) -> Callable[[], None]:
        run = machine.open(opened)

        def killed() -> None:
            if machine.clock.wall_ns() > after_ns:
                raise Killed
            run()

        return killed

    with pytest.raises(Killed):
        measure(model, wanted, replace(bench(machine, tmp_path), open=open_))
    known, contests = Cache(HERE, tmp_path), Contests(model)
    pairs = {contests.enter(case) for case in wanted}
    kept = [pair for pair in pairs if isinstance(pair, Pair) and known.get(pair)]
    assert len(kept) == 2 * settled
    machine = Machine()
    measure(model, wanted, bench(machine, tmp_path))
    assert len(machine.opened) == 3 + 3 * (3 - settled)


def test_other_weights_are_the_same_to_a_clock(model: ir.Model, tmp_path: Path) -> None:
    measure(model, cases(model, "groups=4"), bench(Machine(), tmp_path))
    other = ir.from_proto(network(REPEATED, seed=1))
    shapes.infer(other)
    machine = Machine()
    measure(other, cases(other, "groups=4"), bench(machine, tmp_path))
    assert len(machine.opened) == 3


def test_what_does_not_open_is_skipped_with_its_reason(model: ir.Model) -> None:
    machine = Machine()

    def picky(opened: ir.Model) -> Callable[[], None]:
        groups = [n.attributes["group"].as_int() for n in opened.graph if "group" in n.attributes]
        if 4 in groups:
            raise InputError("no groups here")
        return machine.open(opened)

    wanted = cases(model, "groups=4", "groups=2")
    made = measure(model, wanted, Bench(picky, machine.clock, Cache(HERE, None))).cases
    skipped = [time for time in made if isinstance(time, Skip)]
    assert {skip.reason for skip in skipped} == {"no groups here"}
    assert len(skipped) == len(made) / 2


def test_what_alone_is_wanted_and_does_not_open_is_skipped_too(model: ir.Model) -> None:
    machine = Machine()

    def refuses(opened: ir.Model) -> Callable[[], None]:
        if any("group" in node.attributes for node in opened.graph):
            raise InputError("no kernel for that")
        return machine.open(opened)

    wanted = cases(model, "groups=4")
    made = measure(model, wanted, replace(bench(machine), open=refuses)).cases
    assert made == (Skip("no kernel for that"),) * len(wanted)


def test_the_network_stays_as_it_is(model: ir.Model) -> None:
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    measure(model, cases(model, "groups=4", "separable:rank=1"), bench(Machine()))
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_open_sizes_are_not_timed() -> None:
    text = REPEATED.replace("[1, 32, 12, 12]", "[1, 32, H, W]")
    made = ir.from_proto(network(text))
    shapes.infer(made)
    assert all(
        isinstance(t, Skip) for t in measure(made, cases(made, "groups=4"), bench(Machine())).cases
    )


def test_times_of_all_races_are_of_one_moment(model: ir.Model) -> None:
    """A machine on which every session is slower than the one before."""
    machine, slower = Machine(), [1.0]
    run = machine.open

    def tiring(opened: ir.Model) -> Callable[[], None]:
        weights, timed = run(opened), slower[0]
        slower[0] *= 1.2

        def runner() -> None:
            before = machine.clock.now_ms
            weights()
            machine.clock.advance((timed - 1) * (machine.clock.now_ms - before))

        return runner

    wanted = cases(model, "groups=4")
    made = measure(model, wanted, Bench(tiring, machine.clock, Cache(HERE, None))).cases
    dense = {time.dense.ns for time in made if isinstance(time, KernelTime)}
    first = 1.2 ** np.arange(3) * 32 * 32 * 9
    assert sorted(dense) == pytest.approx(sorted(first), rel=0.02)


def test_the_network_is_timed_at_the_same_moment(model: ir.Model) -> None:
    machine = Machine()
    whole = machine.open(model)
    made = measure(model, cases(model, "groups=4"), bench(machine), whole=whole)
    assert made.whole_ns == pytest.approx(4 * 32 * 32 * 9, rel=1e-6)
    assert measure(model, cases(model, "groups=4"), bench(machine)).whole_ns is None


def test_of_spellings_the_one_that_saves_most_is_taken(model: ir.Model) -> None:
    site = survey(model).sites["b"]
    candidate = propose(site, parse("separable:rank=2"))
    assert isinstance(candidate, Candidate)
    wanted = [Case(candidate, "sum"), Case(candidate, "multiplier")]
    machine = Machine()
    times = measure(model, wanted, bench(machine)).cases
    best = fastest(wanted, times)
    assert list(best) == [("b", candidate.recipe)]
    assert best["b", candidate.recipe][0] is wanted[0]  # as fast as the other, and the first


@pytest.mark.parametrize(("more", "taken"), [(1.0, 0), (5.0, 1)])
def test_another_spelling_is_taken_where_it_saves_more_for_certain(
    model: ir.Model, more: float, taken: int
) -> None:
    candidate = propose(survey(model).sites["b"], parse("separable:rank=2"))
    assert isinstance(candidate, Candidate)
    wanted = [Case(candidate, "sum"), Case(candidate, "multiplier")]
    times = [
        KernelTime(Estimate(9, 1), Estimate(20, 1), Estimate(saved, 1), 12, True)
        for saved in (11.0, 11.0 + more)  # two standard errors of the difference are 2.8
    ]
    assert fastest(wanted, times)["b", candidate.recipe][0] is wanted[taken]


def test_real_sessions_run_what_is_cut_out(model: ir.Model) -> None:
    """Excerpts and their conversions are whole models, whose numbers are finite."""
    machine = Machine()
    wanted = cases(model, "groups=4", "separable:rank=2", "bottleneck:groups=2,width=8")
    measure(model, wanted, bench(machine))
    open_ = sessions("cpu", 1)
    for opened in machine.opened:
        made = open_(opened)()
        assert all(np.isfinite(array).all() for array in made)  # type: ignore[attr-defined]
