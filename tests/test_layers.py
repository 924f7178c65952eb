"""Layers of two models side by side: figures of made-up profiles, and the names of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import nets
import onnx_ir as ir
import pytest
from test_timing_protocol import FakeClock

from gconvtool.errors import InputError
from gconvtool.pipeline import layers as profiled_layers
from gconvtool.pipeline.attribution import NCHWC
from gconvtool.pipeline.contestants import Contestant
from gconvtool.pipeline.course import lay_out
from gconvtool.pipeline.layers import layers, require_profile
from gconvtool.pipeline.terms import Terms
from gconvtool.results import LayerTime, LayerTimes
from gconvtool.runtime.profiling import Kernel, Profiled
from gconvtool.timing.profile import Profile

CPU = "CPUExecutionProvider"
SEPARABLE = nets.RESIDUAL.replace(
    "float[16, 16, 3, 3] w4,", "float[16, 1, 3, 3] w4d, float[16, 16, 1, 1] w4p,"
).replace(
    "d = Conv <pads = [1, 1, 1, 1]> (r, w4, b4)",
    "dw = Conv <group = 16, pads = [1, 1, 1, 1]> (r, w4d)\n  d = Conv (dw, w4p, b4)",
)
MACS_D = 16 * 16 * 9 * 25
"""Of the dense convolution d: 16 → 16 channels, 3×3, a map of 5×5."""
MACS_SEPARABLE = 16 * 9 * 25 + 16 * 16 * 25


def profile_of(*models: str, batch: int = 1, **terms: Any) -> LayerTimes:
    """Layers of networks out of ONNX text."""
    agreed = Terms(threads=1, batch=batch, **terms)
    opened = [Contestant.open(ir.from_proto(nets.network(text)), agreed) for text in models]
    second = opened[1] if len(opened) > 1 else None
    course = lay_out(opened, agreed)
    return layers(opened[0], second, course, "cpu", FakeClock())


def kernels(*rows: tuple[str, str, str, str, str], runs: Sequence[dict[str, int]]) -> Profiled:
    """Kernels as `name op domain reads writes`."""
    found = (Kernel(n, op, domain, (*reads.split(),), (w,)) for n, op, domain, reads, w in rows)
    return Profiled(tuple(found), Profile(tuple(runs), {row[0]: CPU for row in rows}))


TAIL = (
    ("rd_nchwc_out", "ReorderOutput", NCHWC, "t4", "rd"),
    ("p", "GlobalAveragePool", "", "rd", "p"),
    ("scores", "Gemm", "", "p", "scores"),
)
DENSE = kernels(
    ("ra_nchwc", "Conv", NCHWC, "x", "t1"),
    ("s_nchwc", "Conv", NCHWC, "x", "t2"),
    ("b_nchwc", "Conv", NCHWC, "t1 t2", "t3"),
    ("rd_nchwc", "Conv", NCHWC, "t3", "t4"),
    *TAIL,
    runs=[
        {"ra_nchwc": 10, "s_nchwc": 2, "b_nchwc": 20, "rd_nchwc": 100, "rd_nchwc_out": 4, "p": 1},
        {"ra_nchwc": 12, "s_nchwc": 2, "b_nchwc": 22, "rd_nchwc": 90, "rd_nchwc_out": 6, "p": 1},
        {"ra_nchwc": 11, "s_nchwc": 2, "b_nchwc": 60, "rd_nchwc": 95, "rd_nchwc_out": 5, "p": 1},
    ],
)
CHEAPER = kernels(
    ("ra_nchwc", "Conv", NCHWC, "x", "t1"),
    ("s_nchwc", "Conv", NCHWC, "x", "t2"),
    ("b_nchwc", "Conv", NCHWC, "t1 t2", "t3"),
    ("ReorderOutput", "ReorderOutput", NCHWC, "t3", "r"),
    ("dw", "Conv", "", "r", "dw"),
    ("rd_nchwc", "Conv", NCHWC, "dw", "t4"),
    *TAIL,
    ("stray", "Cast", "", "nothing", "nowhere"),
    runs=[
        {"ra_nchwc": 10, "b_nchwc": 20, "ReorderOutput": 3, "dw": 50, "rd_nchwc": 12, "stray": 7}
    ],
)


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles as they are written above, in the place of real ones."""

    def record(opens: Sequence[object], feeds: object, clock: object) -> tuple[Profiled, ...]:
        return (DENSE, CHEAPER)[: len(opens)]

    monkeypatch.setattr(profiled_layers, "record", record)


def by_name(found: LayerTimes) -> dict[str, LayerTime]:
    return {layer.name: layer for layer in found.layers}


@pytest.mark.usefixtures("faked")
def test_a_replaced_convolution_is_one_layer_of_several_kernels() -> None:
    layer = by_name(profile_of(nets.RESIDUAL, SEPARABLE))["d"]
    assert layer.a is not None
    assert layer.b is not None
    assert (layer.op, layer.kind) == ("Conv", "standard")
    assert (layer.a.nodes, layer.a.median_us, layer.a.macs) == (("rd_nchwc",), 95, MACS_D)
    assert layer.b.nodes == ("ReorderOutput", "dw", "rd_nchwc")
    assert (layer.b.median_us, layer.b.macs, layer.b.reorders) == (65, MACS_SEPARABLE, 1)
    assert layer.a.gflops == pytest.approx(2 * MACS_D / 95e-6 / 1e9)


@pytest.mark.usefixtures("faked")
def test_the_realised_share_of_a_gain_and_what_held_it_back() -> None:
    found = by_name(profile_of(nets.RESIDUAL, SEPARABLE))
    assert found["d"].realised == pytest.approx((95 / 65) / (MACS_D / MACS_SEPARABLE))
    assert found["d"].advice is not None
    assert found["a"].realised is None
    assert found["a"].advice is None


@pytest.mark.usefixtures("faked")
def test_paths_are_those_of_convolutions_and_the_slower_one_counts() -> None:
    found = by_name(profile_of(nets.RESIDUAL, SEPARABLE))
    paths = {
        name: (layer.a and layer.a.path, layer.b and layer.b.path) for name, layer in found.items()
    }
    assert paths["d"] == ("blocked", "fallback")
    assert paths["a"] == ("blocked", "blocked")
    assert paths["p"] == (None, None)


@pytest.mark.usefixtures("faked")
def test_medians_are_over_runs_and_all_time_is_somewhere() -> None:
    found = profile_of(nets.RESIDUAL, SEPARABLE)
    a = {layer.name: layer.a.median_us for layer in found.layers if layer.a}
    assert a == {"a": 11, "s": 2, "b": 22, "d": 95, "p": 6, "scores": 0}
    assert found.rest_us == (0, 7)
    assert found.total_us == (136, 102)
    assert found.convolutions_us == (130, 95)
    assert found.runs == 3


@pytest.mark.usefixtures("faked")
def test_layers_are_in_the_order_of_the_first_model() -> None:
    found = profile_of(nets.RESIDUAL, SEPARABLE)
    assert [layer.name for layer in found.layers] == ["a", "b", "s", "d", "p", "scores"]


@pytest.mark.usefixtures("faked")
def test_macs_are_those_of_the_batch_that_runs() -> None:
    found = by_name(profile_of(nets.RESIDUAL, batch=3))
    assert found["d"].a is not None
    assert found["d"].a.macs == 3 * MACS_D


@pytest.mark.usefixtures("faked")
def test_one_model_by_itself_has_no_other_side() -> None:
    found = profile_of(nets.RESIDUAL)
    assert found.rest_us == (0, None)
    assert found.total_us[1] is None
    assert all(layer.b is None and layer.realised is None for layer in found.layers)


@pytest.mark.usefixtures("faked")
def test_models_without_common_names_are_told() -> None:
    other = nets.RESIDUAL
    for name in ("a", "b", "s", "d"):
        other = other.replace(f"  {name} = Conv", f"  {name}x = Conv").replace(
            f"({name})", f"({name}x)"
        )
    other = other.replace("Add (b, s)", "Add (bx, sx)")
    (warning,) = profile_of(nets.RESIDUAL, other).warnings
    assert warning.startswith("4 of 5 layers of A have no namesake in B")


def test_providers_that_run_on_are_refused() -> None:
    with pytest.raises(InputError, match=r"--layers: .* on cuda, only when they are launched"):
        require_profile("cuda")
    require_profile("openvino")


def test_a_real_profile_finds_the_layers_of_both_models() -> None:
    found = by_name(profile_of(nets.RESIDUAL, SEPARABLE))
    assert {"a", "b", "s", "d", "scores"} <= found.keys() <= {
        "a", "ra", "b", "s", "sum", "r", "d", "rd", "p", "f", "scores"
    }  # fmt: skip
    for name in ("a", "b", "s", "d"):
        layer = found[name]
        assert layer.op == "Conv"
        assert layer.a is not None
        assert layer.b is not None
        assert layer.a.path is not None
        assert layer.b.path is not None
    assert found["d"].b is not None
    assert found["d"].b.macs == MACS_SEPARABLE
    assert any("dw" in node for node in found["d"].b.nodes)


@pytest.mark.parametrize(
    "options",
    [
        {"graph_optimization_level": "extended"},
        {"optimization.disable_specified_optimizers": "ConvActivationFusion;NchwcTransformer"},
    ],
)
def test_where_blocks_are_switched_off_no_layer_is_blamed_for_it(options: dict[str, str]) -> None:
    found = profile_of(nets.RESIDUAL, SEPARABLE, session_options=options)
    convolutions = [layer for layer in found.layers if layer.op == "Conv"]
    assert {run.path for layer in convolutions for run in (layer.a, layer.b) if run} == {"fallback"}
    assert not any("block" in (layer.advice or "") for layer in found.layers)
    alone = profile_of(nets.RESIDUAL, session_options=options)
    assert not any(layer.advice for layer in alone.layers)


def test_nothing_is_said_of_kernels_of_other_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = dict.fromkeys(CHEAPER.profile.providers, "OpenVINOExecutionProvider")
    there = replace(CHEAPER, profile=replace(CHEAPER.profile, providers=foreign))
    monkeypatch.setattr(profiled_layers, "record", lambda *_: (DENSE, there))
    layer = by_name(profile_of(nets.RESIDUAL, SEPARABLE))["d"]
    assert layer.b is not None
    assert (layer.b.path, layer.advice) == ("unknown", None)
    assert layer.realised == pytest.approx((95 / 65) / (MACS_D / MACS_SEPARABLE))


def test_a_real_profile_of_one_model_leaves_nothing_over() -> None:
    found = profile_of(nets.RESIDUAL)
    assert found.rest_us == (0, None)
    assert found.warnings == ()
    assert [layer.name for layer in found.layers if layer.kind == "standard"] == ["a", "b", "d"]
