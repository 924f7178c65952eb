"""The trained sample network is what its README says, and conversion keeps its accuracy."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import gconvtool
from gconvtool import Grouped, Separable

NAME = "fashion_resnet.onnx"


def test_its_cost_is_in_dense_convolutions_of_many_channels(samples):
    result = gconvtool.analyze(samples / NAME)
    wide = [
        layer
        for layer in result.layers
        if layer.kind == "standard" and (layer.channels or 0) >= 64 and layer.kernel == (3, 3)
    ]
    assert len(wide) >= 7
    assert all(layer.channels % 16 == layer.filters % 16 == 0 for layer in wide)
    assert sum(layer.macs for layer in wide) > 0.95 * result.totals.macs
    # 28², 14² and 7² maps; stem, four 64→64, then 64→128→128 and 128→256→256 with shortcuts.
    first = 28**2 * 9 * (64 + 4 * 64**2)
    second = 14**2 * (9 * (64 * 128 + 128**2) + 64 * 128)
    third = 7**2 * (9 * (128 * 256 + 256**2) + 128 * 256)
    assert result.totals.macs == first + second + third + 2560
    assert result.dims == {"N": 1}


def test_it_is_as_an_exporter_would_leave_it(samples):
    model = onnx.load(samples / NAME)
    onnx.checker.check_model(model, full_check=True)
    ops = [node.op_type for node in model.graph.node]
    assert (ops.count("BatchNormalization"), ops.count("Conv")) == (11, 11)
    assert (ops.count("Add"), ops.count("GlobalAveragePool"), ops.count("Gemm")) == (4, 1, 1)
    assert (samples / NAME).stat().st_size < 6_000_000


@pytest.mark.parametrize(
    ("name", "count", "arrays"),
    [("fashion_calib.npz", 512, {"image"}), ("fashion_test.npz", 2000, {"image", "labels"})],
)
def test_its_data_are_images_of_bytes(samples, name, count, arrays):
    with np.load(samples / name) as data:
        assert set(data.files) == arrays
        assert (data["image"].shape, data["image"].dtype) == ((count, 1, 28, 28), np.uint8)
        assert data["image"].max() == 255


def accuracies(samples, recipe):
    """Top-1 on the 2,000 test images before and after a conversion, in percent."""
    (drift,) = gconvtool.convert(
        samples / NAME,
        recipe=recipe,
        data=str(samples / "fashion_calib.npz"),
        test_data=str(samples / "fashion_test.npz"),
    ).drift
    return 100 * drift.accuracy_before, 100 * drift.accuracy_after


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "points"), [(Separable(2), 1.5), (Grouped(4), 4.0), (Grouped(2), 1.0)]
)
def test_conversion_keeps_its_accuracy(samples, recipe, points):
    before, after = accuracies(samples, recipe)
    assert before >= 92
    assert before - after <= points


@pytest.mark.slow
def test_without_data_the_accuracy_is_lost_and_said_to_be(samples):
    result = gconvtool.convert(
        samples / NAME, recipe=Grouped(4), test_data=str(samples / "fashion_test.npz")
    )
    (drift,) = result.drift
    assert drift.accuracy_before - drift.accuracy_after > 0.2
    assert any("accuracy will be poor" in warning for warning in result.warnings)
