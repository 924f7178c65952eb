"""Networks of half, bfloat16 and double numbers: converted, compared, and written as they came."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from nets import RESIDUAL, images, network
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import gconvtool
from gconvtool import Grouped, Separable
from gconvtool.fit.fitting import Given, fit
from gconvtool.fit.moments import Moments
from gconvtool.graph import surgery
from gconvtool.recipes import Recipe
from gconvtool.results import Conversion

TYPES = {
    "float16": (TensorProto.FLOAT16, np.float16, 2e-3),
    "bfloat16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16, 2e-2),
    "double": (TensorProto.DOUBLE, np.float64, 1e-6),
}
"""ONNX's number, numpy's type, and what a network of its numbers may round."""
FITTED = (Grouped(2), Separable(2))


def residual(kind: str) -> onnx.ModelProto:
    """The residual classifier of `nets`, in numbers of another type."""
    dtype, numpy_type, _ = TYPES[kind]
    model = network(RESIDUAL)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = dtype
    for tensor in model.graph.initializer:
        numbers = numpy_helper.to_array(tensor).astype(numpy_type)
        tensor.CopyFrom(
            helper.make_tensor(tensor.name, dtype, tensor.dims, numbers.tobytes(), raw=True)
        )
    del model.graph.value_info[:]
    model.opset_import[0].version = 22  # since then BFLOAT16 is a type of Conv
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("numbers") / "data.npz"
    np.savez(path, x=images(64))
    return str(path)


@pytest.fixture(scope="module")
def in_float32(data: str) -> dict[Recipe, Conversion]:
    """What becomes of the classifier in its float32 form."""
    model = ir.from_proto(network(RESIDUAL))
    return {r: gconvtool.convert(model, recipe=r, data=data, threads=1) for r in FITTED}


def types(path: Path) -> set[int]:
    graph = onnx.load(path).graph
    declared = (v.type.tensor_type.elem_type for v in (*graph.input, *graph.output))
    stored = (t.data_type for t in graph.initializer if t.data_type != TensorProto.INT64)
    return {*declared, *stored}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("recipe", FITTED)
def test_what_is_fitted_is_written_in_the_networks_own_numbers(
    kind: str,
    recipe: Recipe,
    data: str,
    in_float32: dict[Recipe, Conversion],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out.onnx"
    made = gconvtool.convert(
        ir.from_proto(residual(kind)), out, recipe=recipe, data=data, threads=1
    )
    single = in_float32[recipe]
    assert types(out) == {TYPES[kind][0]}
    assert [site.recipe for site in made.sites] == [site.recipe for site in single.sites]
    for here, there in zip(made.converted, single.converted, strict=True):
        assert here.error == pytest.approx(there.error, rel=0.1, abs=TYPES[kind][2])
    assert made.drift[0].relative_error == pytest.approx(
        single.drift[0].relative_error, rel=0.1, abs=TYPES[kind][2]
    )
    assert any("float32" in said for said in made.warnings) == (kind != "float16")


@pytest.mark.parametrize("kind", TYPES)
def test_exact_rewrites_change_no_more_than_rounding(kind: str, tmp_path: Path) -> None:
    source = residual(kind)
    weights = {tensor.name: tensor for tensor in source.graph.initializer}
    dtype, numpy_type, rounding = TYPES[kind]
    hidden = np.zeros((16, 16, 3, 3))
    hidden[:8, 8:] = hidden[8:, :8] = np.random.default_rng(1).standard_normal((8, 8, 3, 3)) / 9
    raw = hidden.astype(numpy_type).tobytes()
    weights["w4"].CopyFrom(helper.make_tensor("w4", dtype, hidden.shape, raw, raw=True))
    out = tmp_path / "out.onnx"
    made = gconvtool.convert(ir.from_proto(source), out, exact=True)
    assert [one.rewrite for one in made.certificates if one.site == "d"] == ["grouped(2)"]
    assert types(out) == {dtype}
    assert made.drift[0].relative_error is not None
    assert made.drift[0].relative_error < rounding


@pytest.mark.parametrize("kind", TYPES)
def test_weights_alone_are_enough(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    gconvtool.convert(ir.from_proto(residual(kind)), out, recipe=Separable(4))
    assert types(out) == {TYPES[kind][0]}


def exactly(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """The output of a network whose numbers are taken as they are, and reckoned with in float64."""
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.INT64:
            numbers = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))
    del proto.graph.value_info[:]
    return ReferenceEvaluator(proto).run(None, {"x": x.astype(np.float64)})[0]


@pytest.mark.parametrize("kind", TYPES)
def test_at_full_rank_nothing_but_rounding_to_the_type_is_lost(kind: str) -> None:
    model, x = ir.from_proto(residual(kind)), images(1)
    want = exactly(ir.to_proto(model), x)
    for site, seed in (("a", 0), ("b", 1)):
        seen = Moments.of_weights(*surgery.weight_and_bias(model, site))
        factors = fit(Separable(9), seen, 9, np.random.default_rng(seed), Given())
        assert surgery.storable(model, site, factors)
        surgery.replace(model, site, factors)
    written = ir.to_proto(model)
    stored = {t.data_type for t in written.graph.initializer} - {TensorProto.INT64}
    assert stored == {TYPES[kind][0]}
    missed = np.linalg.norm(exactly(written, x) - want) / np.linalg.norm(want)
    epsilon = float(ml_dtypes.finfo(TYPES[kind][1]).eps)
    assert missed < 4 * epsilon


@pytest.mark.parametrize("kind", TYPES)
def test_a_network_is_compared_with_its_float32_self(kind: str, data: str) -> None:
    pair = ir.from_proto(network(RESIDUAL)), ir.from_proto(residual(kind))
    for a, b in (pair, pair[::-1]):
        (drift,) = gconvtool.verify(a, b, data=data).drift
        assert drift.relative_error is not None
        assert drift.relative_error < TYPES[kind][2]


@pytest.mark.parametrize("kind", ["bfloat16", "double"])
def test_times_of_a_twin_are_said_to_be_those_of_float32(kind: str, data: str) -> None:
    model = ir.from_proto(residual(kind))
    compared = gconvtool.bench(model, recipe=Separable(2), data=data, time_budget_s=0.2, threads=1)
    said = [warning for warning in compared.warnings if "float32" in warning]
    assert len(said) == 2  # of the network and of what became of it
    assert compared.drift[0].relative_error is not None


def test_half_numbers_are_searched_too(data: str) -> None:
    limit = gconvtool.goal(max_drop="0.2", objective="macs")
    made = gconvtool.convert(ir.from_proto(residual("float16")), data=data, goal=limit)
    assert made.planning is not None
    assert made.planning.holds
