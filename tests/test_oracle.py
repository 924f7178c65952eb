"""Known-good numbers: published networks, and ONNX's own convolutions with their real arrays.

One MAC is one multiply and one add; convolutions and matrix products only; batch 1; parameters
without running statistics. The figures of the networks come from the papers and from torchvision.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from gconvtool.pipeline.analyze import analyze

ONNX_DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"

SAMPLES = {
    # name: (parameters, MACs, {kind: MACs})
    "alexnet_2groups": (60_965_224, 724_406_816, {"grouped": 410_849_280}),
    "mobilenet_v1": (
        4_231_976,
        568_740_352,
        {"depthwise": 17_385_984, "pointwise": 539_492_352},
    ),
    "shufflenet_v1_3groups": (1_865_728, 137_460_672, {"grouped-pointwise": 120_046_080}),
    "xception": (
        22_855_952,
        8_357_403_496,
        {"depthwise": 132_190_344, "pointwise": 7_805_686_400},
    ),
    "mobilefacenet": (
        1_003_136,
        220_965_376,
        {
            "pointwise": 205_586_432,
            "depthwise": 9_934_848,
            "gdc": 25_088,
            "standard": 5_419_008,
        },
    ),
}
LIGHT = {
    "resnet50": (25_557_032, 4_089_184_256, {"pointwise": 2_119_434_240}),
    "squeezenet": (1_235_496, 349_151_936, {"pointwise": 140_481_536}),
    "vgg19": (143_667_240, 19_632_062_464, {}),
}
NETWORKS = [
    *(pytest.param(f"sample_models/{name}.onnx", *row, id=name) for name, row in SAMPLES.items()),
    *(
        pytest.param(str(ONNX_DATA / "light" / f"light_{name}.onnx"), *row, id=name)
        for name, row in LIGHT.items()
    ),
]
ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(("path", "params", "macs", "kinds"), NETWORKS)
def test_network_costs_what_is_published(
    path: str, params: int, macs: int, kinds: dict[str, int]
) -> None:
    result = analyze(ROOT / path)
    assert (result.totals.params, result.totals.macs) == (params, macs)
    assert result.totals.exact
    assert result.unknown == ()
    assert {kind: result.kinds[kind].macs for kind in kinds} == kinds


def test_alexnets_convolutions_are_the_rest_of_its_fully_connected_layers() -> None:
    kinds = analyze(ROOT / "sample_models" / "alexnet_2groups.onnx").kinds
    # 9216·4096 + 4096·4096 + 4096·1000
    assert kinds["linear"].macs == 58_621_952
    assert kinds["standard"].macs + kinds["grouped"].macs == 665_784_864


def test_mobilefacenet_with_its_normalisations_folded_has_the_papers_parameters() -> None:
    result = analyze(ROOT / "sample_models" / "mobilefacenet.onnx")
    # folding turns a scale and a shift for each of the filters into one bias
    assert result.totals.params - result.kinds["normalization"].params // 2 == 993_344


def test_a_batch_of_eight_costs_eight_times_as_much_and_has_the_same_parameters() -> None:
    one, eight = (analyze(ROOT / "sample_models" / "xception.onnx", dims={"N": n}) for n in (1, 8))
    assert eight.totals.macs == 8 * one.totals.macs == 8 * 8_357_403_496
    assert eight.totals.params == one.totals.params


def test_vgg19_by_hand() -> None:
    stages = [(3, 64, 224, 2), (64, 128, 112, 2), (128, 256, 56, 4), (256, 512, 28, 4)]
    stages.append((512, 512, 14, 4))
    macs = params = 0
    for channels, filters, side, count in stages:
        for index in range(count):
            taps = 9 * (channels if index == 0 else filters)
            macs += side * side * filters * taps
            params += filters * taps + filters
    for inputs, outputs in [(512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)]:
        macs += inputs * outputs
        params += inputs * outputs + outputs
    assert (params, macs) == LIGHT["vgg19"][:2]


WEIGHT = {"Conv": 1, "ConvTranspose": 1, "ConvInteger": 1, "QLinearConv": 3}


def _single_convolution(model: onnx.ModelProto) -> bool:
    return len(model.graph.node) == 1 and model.graph.node[0].op_type in WEIGHT


def _node_cases() -> list[tuple[str, onnx.ModelProto, list[np.ndarray], np.ndarray]]:
    """The backend's test cases of the operators, which their modules collect when imported."""
    node = import_module("onnx.backend.test.case.node")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("conv", "convinteger", "convtranspose", "qlinearconv"):
            import_module(f"onnx.backend.test.case.node.{name}")
    return [
        (case.name, case.model, list(case.data_sets[0][0]), case.data_sets[0][1][0])
        for case in node._NodeTestCases
        if _single_convolution(case.model)
    ]


def _stored_cases() -> list[tuple[str, onnx.ModelProto, list[np.ndarray], np.ndarray]]:
    """Models that were exported from PyTorch, with what they were fed and what they gave."""
    cases = []
    for path in sorted(ONNX_DATA.glob("pytorch-*/test_*[Cc]onv*/model.onnx")):
        model = onnx.load(path)
        if _single_convolution(model):
            weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
            x, y = (
                _tensor(path.parent / "test_data_set_0" / f"{n}put_0.pb") for n in ("in", "out")
            )
            cases.append((path.parent.name, model, [x, *weights], y))
    return cases


def _tensor(path: Path) -> np.ndarray:
    return numpy_helper.to_array(onnx.load_tensor(path))


CASES = [*_node_cases(), *_stored_cases()]


def test_onnx_still_ships_its_convolutions() -> None:
    assert {case[1].graph.node[0].op_type for case in CASES} == set(WEIGHT)
    assert len(CASES) > 40


@pytest.mark.parametrize(
    ("model", "inputs", "output"), [pytest.param(*case, id=name) for name, *case in CASES]
)
def test_onnxs_own_convolution_costs_what_its_arrays_say(
    model: onnx.ModelProto, inputs: list[np.ndarray], output: np.ndarray
) -> None:
    (node,) = model.graph.node
    weight = inputs[WEIGHT[node.op_type]]
    meets = inputs[0] if node.op_type == "ConvTranspose" else output  # see test_costs.py
    result = analyze(ir.from_proto(model))
    assert result.unknown == ()
    assert result.totals.macs == meets.size * weight[0].size > 0
    assert result.layers[0].output_shape == output.shape
