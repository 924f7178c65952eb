"""The architectures that ship with onnx, with random weights, through every rewrite.

What is exact computes the same in onnxruntime, and what is not gives networks that are valid, run,
and have the shapes that they had.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import Numbers, ort
from onnx import numpy_helper
from test_proof_wheel import fitted, full_rank
from wheel import ARCHITECTURES

import gconvtool
from gconvtool import planfile, recipes
from gconvtool.errors import InputError
from gconvtool.facts import ConvSite, Skip
from gconvtool.graph import shapes, surgery
from gconvtool.graph.load import load
from gconvtool.graph.survey import survey
from gconvtool.notation import parse
from gconvtool.plan import Entry
from gconvtool.planfile import PlanFile
from gconvtool.recipes import Recipe
from gconvtool.results import Conversion
from gconvtool.spellings import SPELLINGS

EXACT: Mapping[str, Mapping[str, Any]] = {
    "exact": {"exact": True},
    "densify": {"densify": True},
    "split": {"spelling": "split"},
    "gap_to_gdc": {"gap_to_gdc": True},
    "together": {"exact": True, "gap_to_gdc": True, "spelling": "split"},
}
LOSSY = (
    "bottleneck:groups=1,width=8",
    "groups=2",
    "separable:rank=1",
    "separable:rank=1,order=pw-dw",
    "monarch:groups=2",
    "gdc:rank=1",
)
NOWHERE = "monarch:groups=2"
"""What giants have no layer for: 1×1 convolutions."""


pytestmark = pytest.mark.slow

GIANTS = ("light_bvlc_alexnet", "light_vgg19", "light_zfnet512")
"""Those with hundreds of megabytes of weights: what can be done in one conversion is."""
WRITTEN_OUT = pytest.param(
    next(path for path in ARCHITECTURES if "alexnet" in path.stem), "densify", id="alexnet-densify"
)
"""The one of them that has groups."""
EACH = "each"
"""Every recipe of full rank in one network, each at a site of its own."""
MOST_WEIGHTS = 400_000
"""Fits take time by the cube of a layer's width, and these are fitted for no use: of the layers
that a recipe may be given, three of those with so many weights get it."""
FEW_WEIGHTS = 50_000
"""The same where a recipe has room for any weights."""


def pairs(ways: Iterable[str], enough: Collection[str]) -> list[Any]:
    """Every architecture and every way, of giants those that are `enough`."""
    return [
        pytest.param(path, way, id=f"{path.stem}-{way}")
        for path in ARCHITECTURES
        for way in ways
        if path.stem not in GIANTS or way in enough
    ]


@cache
def filled(path: Path) -> onnx.ModelProto:
    """The architecture with random weights, scaled so that activations stay as large as they are.

    Its weights are made by ConstantOfShape nodes, from shapes that are stored.
    """
    model = onnx.load(path)
    graph, rng = model.graph, np.random.default_rng(0)
    shapes = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    made = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    roles = {
        name: index
        for node in graph.node
        if node.op_type == "BatchNormalization"
        for index, name in enumerate(node.input)
    }
    for node in made:
        shape = tuple(int(size) for size in shapes[node.input[0]])
        numbers = weights(shape, roles.get(node.output[0], 0), rng)
        graph.initializer.append(numpy_helper.from_array(numbers, node.output[0]))
        graph.node.remove(node)
    for node in graph.node:
        if node.op_type == "Softmax":  # of random scores one takes all, and rounding says which
            node.op_type = "Identity"
            del node.attribute[:]
    drop_unread(graph)
    model.ir_version = max(model.ir_version, 4)
    onnx.checker.check_model(model)
    return model


def weights(shape: tuple[int, ...], role: int, rng: np.random.Generator) -> Numbers:
    """`role` says which input of a normalisation it is: scale, bias, mean, variance."""
    normal = rng.standard_normal(shape)
    if role in (1, 4):
        return (1 + 0.1 * np.abs(normal)).astype(np.float32)
    fan_in = np.prod(shape[1:]) if len(shape) > 1 else 100
    return (normal * np.sqrt(2 / fan_in)).astype(np.float32)


def drop_unread(graph: onnx.GraphProto) -> None:
    """Shapes that nothing is made from any more, and inputs that are weights."""
    read = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in read]:
        graph.initializer.remove(tensor)
    held = {tensor.name for tensor in graph.initializer}
    for value in [v for v in graph.input if v.name in held or v.name not in read]:
        graph.input.remove(value)


def fed(model: onnx.ModelProto) -> dict[str, Numbers]:
    rng = np.random.default_rng(1)
    return {
        value.name: rng.standard_normal(
            [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        ).astype(np.float32)
        for value in model.graph.input
    }


@pytest.fixture
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(filled(request.param), path)
    return path


def some(network: Path, intended: Conversion) -> list[str]:
    """The first, a middle and the last of the smaller sites; of large ones only, the first."""
    params = {layer.name: layer.params for layer in gconvtool.analyze(network).layers}
    names = [site.name for site in intended.converted]
    small = [name for name in names if params[name] <= MOST_WEIGHTS] or names[:1]
    return [small[i] for i in sorted({0, len(small) // 2, len(small) - 1})]


def norm(numbers: Numbers) -> float:
    return float(np.linalg.norm(numbers.astype(np.float64)))


@pytest.mark.parametrize(
    ("network", "rewrite"), [*pairs(EXACT, ["together"]), WRITTEN_OUT], indirect=["network"]
)
def test_exact_rewrites_compute_the_same(network: Path, rewrite: str, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    gconvtool.convert(network, out, **EXACT[rewrite])
    before, after = onnx.load(network), onnx.load(out)
    onnx.checker.check_model(after, full_check=True)
    assert list(after.graph.output) == list(before.graph.output)
    for a, b in zip(ort(before, **fed(before)), ort(after, **fed(before)), strict=True):
        assert a.shape == b.shape
        assert np.isfinite(a).all()
        assert norm(a - b) <= 1e-4 * norm(a)


@pytest.mark.parametrize(
    ("network", "place"),
    pairs([*map(str, range(len(SPELLINGS))), EACH], [EACH]),
    indirect=["network"],
)
def test_recipes_of_full_rank_compute_the_same(network: Path, place: str) -> None:
    """Every recipe, in a spelling of its own."""
    before = onnx.load(network)
    model = load(network)
    for site, index in placed(list(survey(model).sites.values()), place):
        recipe = [*full_rank(site)][index]
        surgery.replace(model, site.name, fitted(model, site, recipe), SPELLINGS[index])
    after = ir.to_proto(model)
    assert after.graph.node != before.graph.node
    for a, b in zip(ort(before, **fed(before)), ort(after, **fed(before)), strict=True):
        assert a.shape == b.shape
        assert norm(a - b) <= 1e-4 * norm(a)


def placed(sites: list[ConvSite], place: str) -> Iterator[tuple[ConvSite, int]]:
    """Sites and which recipe they get: the smallest a different one each, what is dearest to fit
    first, or three the same."""
    small = sorted(sites, key=recipes.weights)
    if place == EACH:
        yield from zip(small, reversed(range(len(SPELLINGS))), strict=False)
        return
    few = [site for site in sites if recipes.weights(site) <= FEW_WEIGHTS] or small[:1]
    for index in sorted({0, len(few) // 2, len(few) - 1}):
        yield few[index], int(place)


@pytest.mark.parametrize(("network", "recipe"), pairs(LOSSY, [NOWHERE]), indirect=["network"])
def test_lossy_recipes_give_networks_that_run(network: Path, recipe: str, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    intended = gconvtool.convert(network, recipe=parse(recipe), dry_run=True)
    if not intended.converted:
        with pytest.raises(InputError, match="no convolution can be converted"):
            gconvtool.convert(network, out, recipe=parse(recipe))
        return
    made = gconvtool.convert(network, out, recipe=parse(recipe), only=some(network, intended))
    assert made.after.params < made.before.params
    require_alike(network, out)


@pytest.mark.parametrize(
    "network",
    [pytest.param(path, id=path.stem) for path in ARCHITECTURES if path.stem in GIANTS],
    indirect=True,
)
def test_giants_take_every_lossy_recipe_in_one_conversion(network: Path, tmp_path: Path) -> None:
    """Each at a site of its own, as a plan says."""
    wanted = [parse(recipe) for recipe in LOSSY if recipe != NOWHERE]
    sites, plan = own_sites(network, wanted), tmp_path / "plan.json"
    plan.write_text(planfile.text(PlanFile(tuple(starmap(Entry, sites.items())))))
    out = tmp_path / "out.onnx"
    made = gconvtool.convert(network, out, plan=plan)
    assert {site.name: site.recipe for site in made.converted} == {
        name: str(recipe) for name, recipe in sites.items()
    }
    assert made.after.params < made.before.params
    require_alike(network, out)


def own_sites(network: Path, wanted: Iterable[Recipe]) -> Mapping[str, Recipe]:
    """For every recipe the smallest site that takes it and that none before it has."""
    model, found = load(network), dict[str, Recipe]()
    shapes.infer(model)  # fully connected layers are known by the map that they read
    facts = survey(model)
    sites = sorted({**facts.sites, **facts.heads}.values(), key=recipes.weights)
    for recipe in wanted:
        free = [site for site in sites if site.name not in found]
        takes = (s.name for s in free if not isinstance(recipes.propose(s, recipe), Skip))
        found[next(takes)] = recipe
    return found


def require_alike(network: Path, out: Path) -> None:
    """The result is valid, runs, and has the outputs of the original, shapes included."""
    before, after = onnx.load(network), onnx.load(out)
    onnx.checker.check_model(after, full_check=True)
    assert list(after.graph.output) == list(before.graph.output)
    for a, b in zip(ort(before, **fed(before)), ort(after, **fed(before)), strict=True):
        assert a.shape == b.shape
        assert np.isfinite(b).all()
