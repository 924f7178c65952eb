"""Small models of everything that multiplies, against costs worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, floor
from typing import get_args

import corpus
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from corpus import Case, Numbers

from gconvtool import analyze
from gconvtool.kinds import Kind
from gconvtool.results import Analysis, Layer

KINDS = frozenset(get_args(Kind))
each_case = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in corpus.CASES]
)


def _analyze(model: onnx.ModelProto, **dims: int) -> Analysis:
    return analyze(ir.from_proto(model), dims=dims)


def _case(name: str) -> Case:
    (case,) = (case for case in corpus.CASES if case.name == name)
    return case


def test_the_corpus_is_large() -> None:
    assert len({case.name for case in corpus.CASES}) == len(corpus.CASES) >= 70


@each_case
def test_a_model_costs_what_its_definition_says(case: Case) -> None:
    result = _analyze(case.model(), **case.dims)
    assert (result.totals.macs, result.totals.params) == (case.macs, case.params)
    assert len(result.unknown) == case.unknown
    assert all(unknown.reason for unknown in result.unknown)
    assert result.totals.exact == (case.unknown == 0)
    kinds = {row.name: row.kind for row in result.layers if row.kind in KINDS}
    if isinstance(case.kinds, tuple):
        assert tuple(kinds.values()) == case.kinds
    else:
        # a convolution that could not be counted is of no kind yet, or of its own
        uncounted = {unknown.node for unknown in result.unknown}
        assert _without(kinds, uncounted) == _without(case.kinds, uncounted)
    held = {role: result.parameters[role].numbers for role in case.stored}
    assert held == case.stored


def _without(kinds: Mapping[str, str], names: set[str]) -> dict[str, str]:
    return {name: kind for name, kind in kinds.items() if name not in names}


@each_case
def test_rows_add_up_to_the_totals(case: Case) -> None:
    result = _analyze(case.model(), **case.dims)
    names = [row.name for row in result.layers]
    assert len(set(names)) == len(names)
    outer = [row for row in result.layers if row.parent is None]
    assert sum(row.macs or 0 for row in outer) == result.totals.macs
    assert sum(row.params for row in result.layers) == result.totals.params
    for row in result.layers:
        parts = [part for part in result.layers if part.parent == row.name]
        if parts and row.macs is not None:
            assert row.macs == sum(part.macs * part.times for part in parts)


@each_case
def test_the_runtime_makes_the_shapes_that_are_shown(case: Case) -> None:
    if case.cannot_run:
        pytest.skip(case.cannot_run)
    model = case.model()
    made = _run(model, case)
    for output in model.graph.output:  # a legal model says how many dimensions its outputs have
        for _ in range(made[output.name].ndim):
            output.type.tensor_type.shape.dim.add()
        output.type.tensor_type.shape.SetInParent()
    onnx.checker.check_model(model)
    shown = {row.name: row.output_shape for row in _analyze(model, **case.dims).layers}
    common = shown.keys() & made.keys()
    assert {name: shown[name] for name in common} == {name: made[name].shape for name in common}


def _run(model: onnx.ModelProto, case: Case) -> dict[str, Numbers]:
    """Every value of the graph, by onnxruntime as the model stands."""
    every = onnx.ModelProto()
    every.CopyFrom(model)
    named = {output.name for output in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name not in {"", *named}]
    every.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        every.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    fed = dict(_feeds(model, case))
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, fed), strict=True))


def _feeds(model: onnx.ModelProto, case: Case) -> Iterator[tuple[str, Numbers]]:
    rng = np.random.default_rng(1)
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = tuple(d.dim_value or case.dims.get(d.dim_param, 1) for d in tensor.shape.dim)
        usual = corpus.random_numbers(tensor.elem_type, shape, rng)
        yield value.name, np.asarray(case.feeds.get(value.name, usual))


def test_both_branches_of_an_if_are_shown_and_the_costlier_counts() -> None:
    result = _analyze(_case("If of convolutions").model())
    rows = {row.name: row for row in result.layers}
    dense, thin = rows["y/then_branch/p"], rows["y/else_branch/q"]
    assert (dense.macs, dense.times) == (4 * 4 * 4 * 4 * 3 * 3, 1)
    assert (thin.macs, thin.times) == (4 * 4 * 4 * 3 * 3, 0)
    assert dense.parent == thin.parent == "y"
    assert rows["y"].macs == dense.macs


def test_a_loop_shows_one_trip_and_how_many_there_are() -> None:
    result = _analyze(_case("Loop of three trips").model())
    rows = {row.name: row for row in result.layers}
    assert (rows["y/body/z"].macs, rows["y/body/z"].times) == (4 * 6 * 6 * 4 * 3 * 3, 3)
    assert rows["y"].macs == 3 * 4 * 6 * 6 * 4 * 3 * 3


@pytest.mark.parametrize(
    ("name", "part", "trip"),
    [
        ("Loop whose trips are an input", "y/body/z", 2 * 4 * 4),
        ("Loop that its condition may end", "y/body/z", 4 * 6 * 6 * 4 * 3 * 3),
    ],
)
def test_a_loop_of_unknown_length_says_what_one_trip_costs(name: str, part: str, trip: int) -> None:
    result = _analyze(_case(name).model())
    (unknown,) = result.unknown
    assert unknown.node == "y"
    assert str(trip) in unknown.reason.replace(",", "")
    (row,) = (row for row in result.layers if row.name == part)
    assert (row.macs, row.times) == (trip, None)


def test_rows_come_in_the_order_of_the_graph_and_the_same_every_time() -> None:
    model = _case("contributed activations in the middle").model()
    first, second = (_analyze(model) for _ in range(2))
    assert first == second
    rows = [row.name for row in first.layers]
    assert rows == [name for node in model.graph.node for name in node.output if name in rows]


SIZES = [{"N": 1, "H": 7, "W": 9, "T": 5}, {"N": 3, "H": 64, "W": 33, "T": 16}]


@pytest.mark.parametrize("name", corpus.OPEN)
def test_open_dimensions_leave_formulas_that_give_the_numbers(name: str) -> None:
    graph, formulas = corpus.OPEN[name]
    model = Case(name, graph, 0, 0).model()
    text = graph.split("=>")[0]
    rows = {row.name: row for row in _analyze(model).layers}
    assert {row: rows[row].macs_formula for row in formulas} == formulas
    for sizes in SIZES:
        given = {dim: size for dim, size in sizes.items() if dim in text}
        counted = _analyze(model, **given)
        assert counted.totals.exact
        assert counted.macs_formula is not None
        assert _value(counted.macs_formula, given) == counted.totals.macs
        for row in counted.layers:
            left_open = rows[row.name]
            assert _is(left_open, row.macs, given)
            assert left_open.kind == row.kind


def _is(row: Layer, macs: int | None, sizes: Mapping[str, int]) -> bool:
    return row.macs_formula is not None and _value(row.macs_formula, sizes) == macs


def _value(formula: str, sizes: Mapping[str, int]) -> int:
    """What a formula comes to; Python reads it once its dots are stars."""
    words = {**sizes, "floor": floor, "ceil": ceil, "max": max, "min": min}
    return eval(formula.replace("·", "*"), {"__builtins__": {}}, words)


def test_an_open_map_is_not_yet_globally_convolved() -> None:
    model = _case("open size that makes it global").model()
    (row,) = _analyze(model).layers
    assert row.kind == "depthwise"
    assert row.note is not None  # at another size it would be


def test_five_strides_leave_a_short_formula() -> None:
    graph, _ = corpus.OPEN["strides five times"]
    rows = {row.name: row for row in _analyze(Case("", graph, 0, 0).model()).layers}
    assert rows["y"].macs_formula == "81·N·ceil(H/32)·ceil(W/32)"
