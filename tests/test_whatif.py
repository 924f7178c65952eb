"""What would be: by hand, and against what converting really makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import proto, site

import gconvtool
from gconvtool.facts import ConvSite, NodeFact, Parameter, Skip, Survey
from gconvtool.graph import shapes
from gconvtool.graph.survey import survey
from gconvtool.recipes import Bottleneck, Gdc, Grouped, Recipe, Separable, weights
from gconvtool.results import Analysis, Layer, Prospect, Saving, Totals, WhatIf
from gconvtool.tally import analysis
from gconvtool.whatif import savings, what_if


def network(*sites: ConvSite, bits: int = 32, **rows: dict[str, Any]) -> tuple[Survey, Analysis]:
    """Sites with their nodes and rows, as float32 activations over stored weights; `rows` change
    rows by name."""
    nodes, layers = [], []
    for each in sites:
        stored = Parameter(f"{each.name}.w", (weights(each),), True, bits)
        nodes.append(
            NodeFact(
                each.name,
                each.op,
                "",
                (each.input_shape, (weights(each),)),
                (each.output_shape,),
                {},
                (None, stored),
                input_bits=(32, bits),
                output_bits=(32,),
            )
        )
        positions = np.prod((each.output_shape or ())[2:], dtype=int)
        row = Layer(
            each.name,
            each.op,
            "standard",
            int(weights(each) * positions),
            weights(each) + each.filters * each.bias,
            each.input_shape,
            each.output_shape,
            weight_bytes=stored.stored_bytes + 4 * each.filters * each.bias,
            activation_bytes=1000,
        )
        layers.append(replace(row, **rows.get(each.name, {})))
    heads = {each.name: each for each in sites if each.op == "Gemm"}
    convolutions = {each.name: each for each in sites if each.name not in heads}
    totals = Totals(
        sum(layer.macs or 0 for layer in layers),
        sum(layer.params for layer in layers),
        all(layer.macs is not None for layer in layers),
        bias_adds=7,
        elementwise_ops=70,
        weight_bytes=10**6,
        activation_bytes=10**7,
        peak_activation_bytes=10**5,
    )
    facts = Survey(tuple(nodes), convolutions, heads=heads)
    return facts, Analysis("net", tuple(layers), (), totals, {})


BODY = site(name="body", channels=8, filters=16, bias=True)  # 10×10 to 8×8
STEM = site(name="stem", channels=3, filters=8)
HEAD = site(
    name="head",
    op="Gemm",
    channels=16,
    filters=10,
    kernel=(5, 5),
    input_shape=(1, 16, 5, 5),
    output_shape=(1, 10, 1, 1),
)


def test_grouped_by_hand() -> None:
    result = what_if(*network(STEM, BODY), Grouped(4))
    stem, body = result.prospects
    assert stem == Prospect(
        "stem",
        "standard",
        *(3 * 8 * 9 * 64,) * 2,
        *(3 * 8 * 9,) * 2,
        *(3 * 8 * 9 * 4 + 1000,) * 2,
        reason="too few input channels (3)",
    )
    dense, grouped = 8 * 16 * 9, 2 * 16 * 9
    assert body == Prospect(
        "body",
        "standard",
        dense * 64,
        grouped * 64,
        dense + 16,
        grouped + 16,
        (dense + 16) * 4 + 1000,
        (grouped + 16) * 4 + 1000,
        legal_groups=(2, 4, 8),
    )
    assert result.recipe == "grouped(4)"
    assert result.before.peak_activation_bytes == 10**5
    assert result.after == Totals(
        3 * 8 * 9 * 64 + grouped * 64,
        3 * 8 * 9 + grouped + 16,
        exact=True,
        bias_adds=7,
        elementwise_ops=70,
        weight_bytes=10**6 - (dense - grouped) * 4,
        activation_bytes=10**7,
    )


def test_separable_moves_more_maps_and_adds_branches() -> None:
    result = what_if(*network(BODY), Separable(2))
    made = 2 * (8 * 9 + 8 * 16)
    x, m, y = 8 * 100 * 4, 8 * 64 * 4, 16 * 64 * 4
    # each branch reads x, writes and reads m, writes y; the sum reads both and writes y
    extra = 2 * (x + 2 * m + y) + 3 * y - (x + y)
    (body,) = result.prospects
    assert (body.macs_after, body.params_after) == (made * 64, made + 16)
    assert body.bytes_after == (made + 16) * 4 + 1000 + extra
    assert body.bytes_kept
    assert result.after.activation_bytes == 10**7 + extra
    assert result.after.elementwise_ops == 70 + 16 * 64
    (single,) = what_if(*network(BODY), Separable(1)).prospects
    assert single.bytes_after == (8 * 9 + 8 * 16 + 16) * 4 + 1000 + 2 * m


def test_weights_keep_their_size_on_the_disk() -> None:
    facts, counted = network(BODY, bits=8)
    (body,) = what_if(facts, counted, Grouped(2)).prospects
    assert body.bytes_before is not None
    assert body.bytes_after == body.bytes_before - 8 * 16 * 9 // 2


def test_a_head_becomes_a_global_convolution() -> None:
    result = what_if(*network(BODY, HEAD), Gdc())
    body, head = result.prospects
    assert body.reason == "its kernel 3×3 is not the whole feature map 10×10"
    assert (head.macs_before, head.macs_after) == (16 * 25 * 10, 16 * 25 + 16 * 10)
    assert (head.params_before, head.params_after) == (4000, 560)
    assert what_if(*network(HEAD), Grouped(2)).prospects[0].reason is not None


def test_a_loss_is_marked_and_has_its_figures() -> None:
    result = what_if(*network(BODY), Separable(9))
    (body,) = result.prospects
    assert (body.loss, body.reason) == (True, None)
    assert body.macs_after == 9 * 8 * (9 + 16) * 64
    assert result.after.macs == body.macs_after
    assert not what_if(*network(BODY), Grouped(1)).prospects[0].loss


def test_unknown_figures_stay_unknown() -> None:
    open_ = site(name="body", channels=8, filters=16, output_shape=(1, 16, "H", 8))
    unknown = {"macs": None, "activation_bytes": None}
    facts, counted = network(replace(BODY, bias=False), body=unknown)
    result = what_if(replace(facts, sites={"body": open_}), counted, Separable(2))
    (body,) = result.prospects
    assert (body.macs_before, body.macs_after, body.bytes_before, body.bytes_after) == (None,) * 4
    assert body.params_after == 2 * 8 * (9 + 16)
    assert not result.after.exact
    assert (result.after.activation_bytes, result.after.elementwise_ops) == (None, None)


def test_a_weight_that_counts_elsewhere_is_not_taken_off_twice() -> None:
    result = what_if(*network(BODY, replace(BODY, name="again"), again={"params": 16}), Grouped(8))
    assert [p.params_after for p in result.prospects] == [144 + 16, 16]
    assert result.after.params == 144 + 16 + 16


@pytest.mark.parametrize(
    ("times", "runs"), [((1, 1), 1), ((10, 1), 10), ((10, 3), 30), ((0, None), 0)]
)
def test_what_is_inside_counts_as_often_as_it_runs(
    times: tuple[int | None, int | None], runs: int
) -> None:
    inner = {"parent": "if", "times": times[0]}
    facts, counted = network(BODY, body=inner)
    holder = replace(counted.layers[0], name="loop", parent=None, times=1, macs=5, params=0)
    middle = replace(holder, name="if", parent="loop", times=times[1])
    counted = replace(counted, layers=(holder, middle, *counted.layers))
    result = what_if(facts, counted, Grouped(2))
    saved = 8 * 16 * 9 // 2
    assert result.before.macs - result.after.macs == runs * saved * 64
    assert result.before.params - result.after.params == saved
    assert result.after.weight_bytes == 10**6 - runs * saved * 4
    unknown = replace(counted, layers=(replace(holder, macs=None), *counted.layers[1:]))
    assert what_if(facts, unknown, Grouped(2)).after.macs == counted.totals.macs


def test_savings_come_largest_first_and_are_real() -> None:
    large = site(name="large", channels=64, filters=64)
    point = site(name="point", channels=64, filters=64, kernel=(1, 1))
    thin = site(name="thin", channels=8, filters=1)
    shared = replace(large, name="shared")
    facts, counted = network(STEM, BODY, point, thin, shared, HEAD, large)
    facts = replace(facts, skipped={"shared": Skip("it shares its weight")})
    found = savings(facts, counted)
    assert found == (
        Saving("large", "separable(2)", 64 * 64 * 9 * 64, 2 * 64 * (9 + 64) * 64),
        Saving("body", "separable(2)", 8 * 16 * 9 * 64, 2 * 8 * (9 + 16) * 64),
        Saving("head", "gdc(1)", 4000, 560),
    )
    assert savings(facts, counted, count=1) == found[:1]
    assert savings(*network(BODY, body={"macs": None})) == ()


GRAPH = """
g (float[1, 8, 9, 9] x) => (float[1, 20] y) {
    a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w, b)
    r = Relu(a)
    h = Conv(r, v, c)
    y = Flatten(h)
}
"""


@pytest.mark.parametrize("recipe", [Grouped(4), Separable(1), Separable(2), Separable(3)], ids=str)
def test_converting_makes_what_was_foreseen(tmp_path: Path, recipe: Recipe) -> None:
    rng = np.random.default_rng(5)
    shapes_ = {"w": (24, 8, 3, 3), "b": (24,), "v": (20, 24, 5, 5), "c": (20,)}
    model = gconvtool.load(written(tmp_path / "a.onnx", shapes_, rng))
    foreseen = foretold(model, recipe)
    assert all(prospect.reason is None for prospect in foreseen.prospects)
    gconvtool.convert(model, tmp_path / "b.onnx", recipe=recipe)
    made = gconvtool.analyze(tmp_path / "b.onnx").totals
    for column in ("macs", "params", "bias_adds", "elementwise_ops"):
        assert getattr(made, column) == getattr(foreseen.after, column), column
    if isinstance(recipe, Separable):  # groups come with permutations, which move bytes too
        assert made.weight_bytes == foreseen.after.weight_bytes
        assert made.activation_bytes == foreseen.after.activation_bytes


def foretold(model: Any, recipe: Recipe) -> WhatIf:
    clone = model.clone()
    shapes.infer(clone)
    facts = survey(clone)
    return what_if(facts, analysis("net", facts, {}), recipe)


def written(path: Path, sizes: dict[str, tuple[int, ...]], rng: np.random.Generator) -> Path:
    weights_ = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    path.write_bytes(proto(GRAPH, **weights_).SerializeToString())
    return path


def test_pointwise_first_meets_the_larger_map() -> None:
    strided = site(
        name="body", channels=64, filters=64, strides=(2, 2), output_shape=(1, 64, 4, 4), bias=True
    )
    (body,) = what_if(*network(strided), Separable(2, "pw-dw")).prospects
    assert body.macs_after == 2 * (64 * 64 * 100 + 64 * 9 * 16)
    assert body.params_after == 2 * 64 * (64 + 9) + 64
    assert body.loss  # fewer weights, more MACs
    x, m, y = 64 * 100 * 4, 64 * 100 * 4, 64 * 16 * 4
    extra = 2 * (x + 2 * m + y) + 3 * y - (x + y)
    assert body.bytes_after == body.params_after * 4 + 1000 + extra


def test_a_bottleneck_passes_one_narrow_map() -> None:
    (body,) = what_if(*network(BODY), Bottleneck(2, 3)).prospects
    made = 6 * 4 * 9 + 16 * 6
    assert (body.macs_after, body.params_after) == (made * 64, made + 16)
    assert body.bytes_after == (made + 16) * 4 + 1000 + 2 * 6 * 64 * 4


def test_a_grouped_layer_is_thinned_out_inside_its_groups() -> None:
    grouped = site(name="body", channels=32, filters=32, groups=4)
    (body,) = what_if(*network(grouped), Separable(1)).prospects
    assert body.macs_before == 32 * 8 * 9 * 64
    assert body.macs_after == (32 * 9 + 32 * 8) * 64
