"""Whatever network goes in, the same function comes out, if its weights have what is looked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from drawn import PHASES, Drawing, networks, require_close, require_valid
from hypothesis import given, settings

import gconvtool
from gconvtool.fit.rows import BUDGET
from gconvtool.graph.bodies import named
from gconvtool.results import FITS, Conversion, Fit

SAMPLES = 24


def converted(
    drawing: Drawing, folder: Path, data: bool, fits: Sequence[Fit] = FITS
) -> tuple[Conversion, onnx.ModelProto, onnx.ModelProto]:
    """What is said of a conversion, and the network before and after it."""
    before = drawing.model()
    onnx.save(before, folder / "net.onnx")
    if data:
        np.savez(folder / "fit.npz", **drawing.feeds(SAMPLES, 1))
    result = gconvtool.convert(
        folder / "net.onnx",
        folder / "out.onnx",
        recipe=drawing.recipe,
        skip=drawing.plain,
        data=str(folder / "fit.npz") if data else None,
        fits=fits,
        spelling=drawing.spelling,
        max_memory=drawing.memory,
        threads=1,
        force=True,
    )
    return result, before, onnx.load(folder / "out.onnx")


def require_sites(result: Conversion, before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    """What was converted has its name still."""
    made = {name for name, _ in named(ir.from_proto(after).graph)}
    for site in result.converted:
        assert site.name in made or given_away(before, site.name)


def given_away(model: onnx.ModelProto, site: str) -> bool:
    """Gathers behind it leave the network: without them, its own name is the result's."""
    moved = [n.output[0] for n in model.graph.node if n.op_type == "Gather" and n.input[0] == site]
    outputs = {value.name for value in model.graph.output}
    return any(name in outputs or given_away(model, name) for name in moved)


def check(drawing: Drawing, data: bool, fits: Sequence[Fit], most: float) -> float:
    """What the sites are said to miss, at most; more than follows from that is an error."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        result, before, after = converted(drawing, folder, data, fits)
        require_valid(before, after)
        require_sites(result, before, after)
        assert gconvtool.analyze(folder / "out.onnx").totals == result.after
        missed = sum(site.error or 0.0 for site in result.converted)
        most = (0.02 if drawing.half else most) + 2 * np.sqrt(missed)
        require_close(drawing, before, after, most)
        first = (folder / "out.onnx").read_bytes()
        converted(drawing, folder, data, fits)
        assert (folder / "out.onnx").read_bytes() == first
    return missed


def check_blind(drawing: Drawing) -> None:
    assert check(drawing, False, FITS, 1e-3) < 1e-6


def check_walk(drawing: Drawing) -> None:
    """The weights alone again, but judged by what flows through the network, piece by piece."""
    assert check(drawing, True, ("data-free",), 1e-3) < (0.01 if drawing.half else 1e-4)


def check_fit(drawing: Drawing) -> None:
    """A few samples leave a little, and where channels repeat each other, the fits of `pw-dw` may
    end beside what is best."""
    drawing.memory = BUDGET  # with less, samples would be fewer
    check(drawing, True, FITS, 0.05)


CHECKS = (check_blind, check_walk, check_fit)


@pytest.mark.parametrize("done", CHECKS)
@settings(max_examples=8, phases=PHASES)
@given(drawing=networks())
def test_any_network_that_can_be_converted_without_loss_is(
    done: Callable[[Drawing], None], drawing: Drawing
) -> None:
    done(drawing)


@pytest.mark.slow
@pytest.mark.parametrize("done", CHECKS)
@settings(max_examples=300, phases=PHASES)
@given(drawing=networks())
def test_many_networks_that_can_be_converted_without_loss_are(
    done: Callable[[Drawing], None], drawing: Drawing
) -> None:
    done(drawing)
