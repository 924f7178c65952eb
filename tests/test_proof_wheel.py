"""Every convolution that ships with onnx is the same after each rewrite, to rounding.

Its weights are made constants, since otherwise there is nothing to rewrite. Outputs are held
against those that ship with it, as closely as onnx's own tests do, and against the model before, to
float32 rounding; both in onnxruntime and in the reference evaluator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from drawn import by_onnxruntime
from models import Numbers, ort
from nets import run
from wheel import WEIGHT, Found, cases, stored, weights_kept

import gconvtool
from gconvtool import Bottleneck, GconvError, Grouped, InputError, Separable, recipes
from gconvtool.facts import ConvSite
from gconvtool.fit.fitting import NOTHING
from gconvtool.graph import lossless, surgery
from gconvtool.graph.survey import survey
from gconvtool.pipeline.choice import Fitter
from gconvtool.recipes import Candidate, Recipe
from gconvtool.spellings import SPELLINGS

Evaluator: TypeAlias = Callable[[onnx.ModelProto, dict[str, Numbers]], list[Numbers]]
EXACT = {
    "exact": {"exact": True},
    "densify": {"densify": True},
    "exact and densify": {"exact": True, "densify": True},
    "split": {"spelling": "split"},
    "gap to gdc": {"gap_to_gdc": True},
    "gdc to gap": {"gdc_to_gap": "exact"},
}
QUICK = 10_000
"""Numbers in a map that is quickly averaged."""
POOLING = ("AveragePool", "GlobalAveragePool", "Gemm")
CASES = [
    *cases(WEIGHT),
    *(found for found in cases(POOLING) if found[2][0].size <= QUICK),
]
CONVOLUTIONS = cases(["Conv", "ConvTranspose"])
SLOW = {"test_operator_conv": [pytest.mark.slow]}
"""The reference evaluator takes seconds for its 20 large maps."""


def named(found: Found) -> str:
    return found[0]


def evaluators(model: onnx.ModelProto) -> Iterator[Evaluator]:
    """The reference evaluator gives each group of a transposed convolution the first one's bias."""
    yield by_onnxruntime
    sites = survey(ir.from_proto(model)).sites.values()
    if not any(site.transposed and site.groups > 1 for site in sites):
        yield run


def require_same(
    before: onnx.ModelProto, after: onnx.ModelProto, feeds: dict[str, Numbers], made: list[Numbers]
) -> None:
    for evaluate in evaluators(after):
        for wanted, a, b in zip(made, evaluate(before, feeds), evaluate(after, feeds), strict=True):
            assert b.dtype == a.dtype
            np.testing.assert_allclose(b, wanted, rtol=1e-3, atol=1e-7)
            exact = a.astype(np.float64)
            ulp = np.finfo(a.dtype).eps if a.dtype.kind == "f" else 0.0
            np.testing.assert_allclose(b, exact, atol=8 * ulp * np.abs(exact).max(initial=0))


def runs(model: onnx.ModelProto, feeds: dict[str, Numbers]) -> bool:
    try:
        ort(model, **feeds)
    except Exception:
        return False
    return True


@pytest.mark.parametrize(
    ("found", "way"),
    [
        # Quickly, cases take turns in the ways.
        pytest.param(
            found,
            way,
            id=f"{found[0]}-{way}",
            marks=() if (case - turn) % len(EXACT) == 0 else pytest.mark.slow,
        )
        for case, found in enumerate(CASES)
        for turn, way in enumerate(EXACT)
    ],
)
def test_an_exact_rewrite_changes_nothing(found: Found, way: str, tmp_path: Path) -> None:
    before, feeds = weights_kept(found)
    out = tmp_path / "out.onnx"
    if not runs(before, feeds):
        with pytest.raises(GconvError):
            gconvtool.convert(ir.from_proto(before), out, **EXACT[way])
        assert not out.exists()
        return
    result = gconvtool.convert(ir.from_proto(before), out, **EXACT[way])
    after = onnx.load(out)
    onnx.checker.check_model(after, full_check=True)
    require_same(before, after, feeds, found[3])
    assert all(one.difference <= one.bound for one in result.certificates)
    assert (before.graph.node != after.graph.node) == bool(result.certificates)


def convolution(found: Found) -> tuple[onnx.ModelProto, dict[str, Numbers], ConvSite]:
    """One with constant weights, in an opset with additions that onnxruntime has."""
    model, feeds = weights_kept(found)
    model.opset_import[0].version = max(model.opset_import[0].version, 7)
    (site,) = survey(ir.from_proto(model)).sites.values()
    return model, feeds, site


def full_rank(site: ConvSite) -> Iterator[Recipe]:
    """Recipes that have room for any weights."""
    channels, filters = site.channels // site.groups, site.filters // site.groups
    taps = prod(site.kernel)
    yield Grouped(1)
    yield Separable(min(taps, filters))
    yield Separable(min(taps, channels), "pw-dw")
    yield Bottleneck(1, min(filters, channels * taps))
    yield Bottleneck(channels, min(filters, taps))


def fitted(model: ir.Model, site: ConvSite, recipe: Recipe) -> surgery.Factors:
    """By the weights alone, whether it is cheaper or not."""
    step = Candidate(site, recipe, recipes.weights(site), recipe.weights(site))
    found = Fitter(step, *surgery.weight_and_bias(model, site.name), 0, NOTHING).blind()
    assert found.error < 1e-12
    return found.factors


@pytest.mark.parametrize(
    "found", [pytest.param(f, id=f[0], marks=SLOW.get(f[0], [])) for f in CONVOLUTIONS]
)
def test_every_recipe_of_full_rank_changes_nothing(found: Found) -> None:
    before, feeds, site = convolution(found)
    for recipe, spelling in zip(full_rank(site), SPELLINGS, strict=True):
        model = ir.from_proto(before)
        surgery.replace(model, site.name, fitted(model, site, recipe), spelling)
        require_same(before, ir.to_proto(model), feeds, found[3])


@pytest.mark.parametrize("found", [f for f in CONVOLUTIONS if "groups" in f[0]], ids=named)
def test_groups_that_were_written_out_are_found_again(found: Found) -> None:
    before, feeds, grouped = convolution(found)
    model = ir.from_proto(before)
    assert len(lossless.densify(model)) == 1
    (dense,) = survey(model).sites.values()
    surgery.replace(model, dense.name, fitted(model, dense, Grouped(grouped.groups)))
    assert [made.groups for made in survey(model).sites.values()] == [grouped.groups]
    require_same(before, ir.to_proto(model), feeds, found[3])


@pytest.mark.parametrize("found", stored(), ids=named)
def test_old_files_whose_weights_are_inputs_too_stay_the_same(found: Found, tmp_path: Path) -> None:
    _, before, fed, made = found
    assert before.ir_version == 3
    result = gconvtool.convert(ir.from_proto(before), tmp_path / "out.onnx", exact=True)
    after = onnx.load(tmp_path / "out.onnx")
    assert len(after.graph.input) == 1
    assert "initializers were graph inputs too" in result.warnings[0]
    require_same(before, after, {after.graph.input[0].name: fed[0]}, made)


@pytest.mark.parametrize("recipe", [Grouped(2), Separable(1), Bottleneck(1, 1)], ids=str)
@pytest.mark.parametrize(
    "found", [found for found in CONVOLUTIONS if not found[1].graph.initializer], ids=named
)
def test_what_is_fed_its_weights_is_refused(found: Found, recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "in.onnx"
    onnx.save(found[1], path)
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        gconvtool.convert(path, tmp_path / "out.onnx", recipe=recipe)
    assert "no convolution can be converted" in str(caught.value)
    assert str(caught.value).isprintable()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
