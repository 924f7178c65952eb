"""Weights beside the model stay there: analysing it takes little memory, with their file or not."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import onnx
import pytest

from gconvtool import InputError, analyze

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def large() -> ModuleType:
    """The benchmark, which builds such a model."""
    spec = spec_from_file_location("analyze_large", ROOT / "benchmarks" / "analyze_large.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform == "win32", reason="files without holes, and no measure of memory")
@pytest.mark.parametrize("missing", [False, True], ids=["with its data", "without its data"])
def test_three_gigabytes_of_weights_are_not_read(
    large: ModuleType, tmp_path: Path, missing: bool
) -> None:
    path = large.build(tmp_path)
    if missing:
        (tmp_path / "weights.bin").unlink()
    figures = large.probe(path)
    assert figures["macs"] == figures["params"] == 12 * 8192 * 8192
    assert figures["exact"]
    assert figures["megabytes"] < large.BARS["megabytes"]
    assert any("weights.bin" in warning for warning in figures["warnings"]) == missing


@pytest.mark.parametrize("place", ["../weights.bin", "/etc/passwd", "sub/../../weights.bin"])
def test_weights_outside_of_the_models_folder_are_refused(
    large: ModuleType, tmp_path: Path, place: str
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"")
    (tmp_path / "sub" / "sub").mkdir(parents=True)
    model = onnx.load(large.build(tmp_path / "sub"), load_external_data=False)
    model.graph.initializer[3].external_data[0].value = place
    onnx.save(model, tmp_path / "sub" / "large.onnx")
    with pytest.raises(InputError, match=r"w3|weights\.bin|passwd") as refusal:
        analyze(tmp_path / "sub" / "large.onnx")
    assert "large.onnx" in str(refusal.value)
