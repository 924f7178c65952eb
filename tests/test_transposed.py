"""Transposed convolutions are rewritten as others are: exactly at full rank, and fitted to data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import nets
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import strategies as st
from models import Numbers, ort, proto
from often import often

import gconvtool
from gconvtool import Bottleneck, Grouped, Separable
from gconvtool.facts import ConvSite
from gconvtool.fit.fitting import Observed, fit
from gconvtool.fit.moments import Moments
from gconvtool.fit.per_group import PerGroup
from gconvtool.fit.structure import Factors
from gconvtool.graph import permute, surgery
from gconvtool.graph.survey import survey
from gconvtool.recipes import Recipe
from gconvtool.runtime.gather import observe
from gconvtool.spellings import SPELLINGS

DECODER = """
<ir_version: 8, opset_import: ["": 17]>
decoder (float[N, 8, 9, 9] x) => (float[N, 6, p, q] image)
  <float[16, 8, 3, 3] w1, float[16] b1, float[16, 12, 4, 4] w2, float[12] b2,
   float[12, 6, 3, 3] w3>
{
  a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
  ra = Relu (a)
  b = ConvTranspose <strides = [2, 2], pads = [1, 1, 1, 1]> (ra, w2, b2)
  rb = Relu (b)
  image = ConvTranspose <strides = [2, 2], auto_pad = "SAME_UPPER"> (rb, w3)
}
"""


@dataclass(frozen=True)
class Layer:
    """x → ConvTranspose `c` → Neg `y`, of G groups of so many channels and filters each."""

    groups: int
    share: int
    filters: int
    kernel: tuple[int, ...]
    sizes: tuple[int, ...]
    attributes: tuple[tuple[str, Any], ...]

    @property
    def x(self) -> Numbers:
        shape = (2, self.groups * self.share, *self.sizes)
        return np.random.default_rng(5).standard_normal(shape).astype(np.float32)

    def model(self, weight: Numbers | None = None) -> onnx.ModelProto:
        dims = ", ".join(map(str, self.x.shape))
        names = ", ".join("NMPQR"[: self.x.ndim])
        listed = ", ".join(f"{k} = {v}" for k, v in (*self.attributes, ("group", self.groups)))
        rng = np.random.default_rng(7)
        shape = (self.groups * self.share, self.filters, *self.kernel)
        weight = rng.standard_normal(shape) / 4 if weight is None else weight
        return proto(
            f"g (float[{dims}] x) => (float[{names}] y) "
            f"{{ c = ConvTranspose <{listed}> (x, w, b) y = Neg (c) }}",
            w=weight.astype(np.float32),
            b=rng.standard_normal(self.groups * self.filters).astype(np.float32),
        )


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    axes = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    kernel, sizes, strides, dilations = each(1, 3), each(2, 4), each(1, 3), each(1, 2)
    more = [draw(st.integers(0, stride - 1)) for stride in strides]
    columns = zip(sizes, kernel, strides, dilations, more, strict=True)
    whole = [s * (i - 1) + d * (k - 1) + 1 + extra for i, k, s, d, extra in columns]
    begins = [draw(st.integers(0, min(3, size - 1))) for size in whole]
    ends = [draw(st.integers(0, size - 1 - b)) for size, b in zip(whole, begins, strict=True)]
    given_size = [draw(st.integers(i, max(i, n))) for i, n in zip(sizes, whole, strict=True)]
    said = draw(
        st.sampled_from(
            [
                {"pads": [*begins, *ends]},
                {"auto_pad": '"SAME_UPPER"'},
                {"auto_pad": '"SAME_LOWER"'},
                {"auto_pad": '"VALID"'},
                {"output_shape": given_size},
            ]
        )
    )
    shared = {"strides": list(strides), "dilations": list(dilations), "output_padding": more}
    groups, share, filters = (draw(st.integers(1, most)) for most in (2, 3, 3))
    return Layer(groups, share, filters, kernel, sizes, tuple({**shared, **said}.items()))


def known(model: ir.Model, groups: int) -> Observed:
    weight, bias = surgery.weight_and_bias(model, "c")
    if groups > 1:
        return PerGroup.of_weights(weight, bias, groups)
    return Moments.of_weights(weight, bias)


def rewritten(model: ir.Model, recipe: Recipe, seen: Observed, spelling: Any = "auto") -> ir.Model:
    site = the_site(model)
    factors = fit(recipe, seen, prod(site.kernel), np.random.default_rng(0))
    surgery.replace(model, "c", factors, spelling)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    return model


def the_site(model: ir.Model) -> ConvSite:
    return survey(model).sites["c"]


def full_rank(layer: Layer) -> st.SearchStrategy[Recipe]:
    taps = prod(layer.kernel)
    recipes = [
        Separable(min(taps, layer.filters)),
        Separable(min(taps, layer.share), "pw-dw"),
        Bottleneck(1, min(layer.filters, layer.share * taps)),
        Grouped(1),
    ]
    return st.sampled_from(recipes)


@often(30, 120, layers(), st.sampled_from(SPELLINGS), st.data())
def test_at_full_rank_nothing_changes(layer, spelling, data):
    source = layer.model()
    model = ir.from_proto(source)
    result = rewritten(model, data.draw(full_rank(layer)), known(model, layer.groups), spelling)
    (expected,), (y,) = ort(source, x=layer.x), ort(result, x=layer.x)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, atol=2e-4)


def separable_weight(layer: Layer, order: str) -> Numbers:
    """Of rank one: taps a channel times mixtures, or mixtures times taps a filter."""
    draw = np.random.default_rng(3).standard_normal
    channels = layer.groups * layer.share
    mix = draw((channels, layer.filters, *[1] * len(layer.kernel)))
    if order == "dw-pw":
        return mix * draw((channels, 1, *layer.kernel))
    taps = draw((layer.groups, 1, layer.filters, *layer.kernel))
    return mix * np.repeat(taps, layer.share, 1).reshape(channels, layer.filters, *layer.kernel)


@often(15, 60, layers(), st.sampled_from(["dw-pw", "pw-dw"]))
def test_what_is_separable_is_found_again_from_data(layer, order):
    source = layer.model(separable_weight(layer, order))
    model = ir.from_proto(source)
    (expected,) = ort(source, x=layer.x)
    seen = observe(the_site(model), [(layer.x, -expected)], 0, 1, 2**30)
    weight, _ = surgery.weight_and_bias(model, "c")
    factors = fit(Separable(1, order), seen.leaning(weight), prod(layer.kernel), np.random)
    if seen.error(np.zeros_like(weight)) == 1:  # the output varies
        assert seen.error(factors.kernel()) < 1e-4
    surgery.replace(model, "c", factors)
    assert ort(model, x=layer.x)[0].shape == expected.shape


@pytest.mark.parametrize("groups", [2, 4])
def test_groups_that_are_there_are_found_and_their_order_is_absorbed(groups):
    rng = np.random.default_rng(0)
    network = nets.network(DECODER)
    stored = {tensor.name: tensor for tensor in network.graph.initializer}
    mask = np.kron(np.eye(groups), np.ones((16 // groups, 12 // groups)))
    mask = mask[np.ix_(rng.permutation(16), rng.permutation(12))]
    weight = onnx.numpy_helper.to_array(stored["w2"]) * mask[:, :, None, None]
    stored["w2"].CopyFrom(onnx.numpy_helper.from_array(weight.astype(np.float32), "w2"))
    model = ir.from_proto(network)
    seen = Moments.of_weights(*surgery.weight_and_bias(model, "b"))
    factors = fit(Grouped(groups), seen, 16, rng)
    surgery.replace(model, "b", factors)
    assert permute.absorb(model) == permute.Absorbed(2, 0)
    x = nets.images(2)
    np.testing.assert_allclose(ort(model, x=x)[0], ort(network, x=x)[0], atol=1e-4)


@cache
def of_decoder(site: str, recipe: Recipe) -> Factors:
    """New weights of a site of the decoder."""
    seen = Moments.of_weights(*surgery.weight_and_bias(ir.from_proto(nets.network(DECODER)), site))
    return fit(recipe, seen, 16 if site == "b" else 9, np.random.default_rng(0))


@pytest.mark.parametrize("recipe", [Separable(2), Separable(2, "pw-dw")], ids=str)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_orders_of_channels_pass_through_its_parts(recipe, spelling):
    model = ir.from_proto(nets.network(DECODER))
    for site, now in (("a", Grouped(2)), ("b", recipe), ("image", Grouped(3))):
        surgery.replace(model, site, of_decoder(site, now), spelling)
    x = nets.images(2)
    (expected,) = ort(model, x=x)
    absorbed = permute.absorb(model)
    assert absorbed.left < absorbed.before
    np.testing.assert_allclose(ort(model, x=x)[0], expected, atol=1e-4)


@pytest.fixture
def folder(tmp_path):
    """A decoder and data for it."""
    onnx.save(nets.network(DECODER), tmp_path / "net.onnx")
    np.savez(tmp_path / "fit.npz", x=nets.images(40))
    np.savez(tmp_path / "test.npz", x=nets.images(20, seed=1))
    return tmp_path


RECIPES = [
    Grouped(2),
    Separable(1),
    Separable(2, "pw-dw"),
    Bottleneck(1, 4),
    Bottleneck(2, 2),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_decoder_is_converted_and_counted_as_it_is_written(folder, recipe):
    result = gconvtool.convert(
        folder / "net.onnx",
        folder / "out.onnx",
        recipe=recipe,
        data=str(folder / "fit.npz"),
        max_layer_error=10,
    )
    assert {s.name: s.recipe for s in result.sites} == dict.fromkeys(
        ("a", "b", "image"), str(recipe)
    )
    analysis = gconvtool.analyze(folder / "out.onnx")
    assert analysis.totals == result.after
    assert gconvtool.analyze(folder / "net.onnx").totals == result.before
    saved = sum(site.macs_before - site.macs_after for site in result.sites)
    assert result.before.macs - result.after.macs == saved
    onnx.checker.check_model(onnx.load(folder / "out.onnx"), full_check=True)
    rehearsed = gconvtool.convert(folder / "net.onnx", recipe=recipe, dry_run=True)
    assert rehearsed.after.macs == gconvtool.convert(folder / "net.onnx", recipe=recipe).after.macs


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_data_help(folder, recipe):
    options = {"recipe": recipe, "only": ["b"], "test_data": str(folder / "test.npz")}
    blind = gconvtool.convert(folder / "net.onnx", **options)
    fitted = gconvtool.convert(
        folder / "net.onnx", data=str(folder / "fit.npz"), max_layer_error=10, **options
    )
    assert fitted.drift[0].relative_error < 0.8 * blind.drift[0].relative_error
