"""Convolutions inside If, Loop and Scan are found, fitted to what flows there, and rewritten."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import models
import nets
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import Numbers

import gconvtool
from gconvtool import Grouped, Separable
from gconvtool.facts import Skip
from gconvtool.graph import bodies, shapes
from gconvtool.graph.probe import Probe, probe
from gconvtool.graph.survey import survey
from gconvtool.recipes import Recipe
from gconvtool.results import Conversion
from gconvtool.runtime.calibrate import Sight, Walk
from gconvtool.runtime.inputs import Batch, Data
from gconvtool.runtime.stream import Settings

MAP = "float[N, 8, 9, 9]"
CONV = "Conv <pads = [1, 1, 1, 1]>"
BRANCHES = f"""
g (bool[1] c, {MAP} x) => ({MAP} y) {{
  h = Relu (x)
  on = Squeeze (c)
  z = If (on) <
    then_branch = t () => ({MAP} z1) {{ a = {CONV} (h, w1) r = Relu (a) z1 = {CONV} (r, w2) }},
    else_branch = e () => ({MAP} z1) {{ a = {CONV} (h, w3) z1 = Neg (a) }}>
  y = Tanh (z)
}}"""
LOOP = f"""
g ({MAP} x) => ({MAP} y) {{
  y = Loop (limit, , x) <body = b (int64 i, bool on, {MAP} s) => (bool more, {MAP} z) {{
    more = Identity (on) a = {CONV} (s, w1) r = Relu (a) n = {CONV} (r, w2) z = Tanh (n) }}>
}}"""
SCAN = f"""
g (float[N, 8, 9, 9] x, float[N, 3, 8, 9, 9] seq) => ({MAP} y, float[N, 3, 8, 9, 9] all) {{
  y, all = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1],
    body = b ({MAP} s, {MAP} p) => ({MAP} z, {MAP} each) {{
      m = Add (s, p) a = {CONV} (m, w3) z = Tanh (a) each = Neg (a) }}> (x, seq)
}}"""
NESTED = f"""
g ({MAP} x) => ({MAP} y) {{
  q = ReduceMax <keepdims = 0> (x)
  c = Less (q, most)
  y = Loop (limit, , x) <body = b (int64 i, bool on, {MAP} s) => (bool more, {MAP} z) {{
    more = Identity (on)
    a = {CONV} (s, w3)
    n = If (c) <
      then_branch = t () => ({MAP} z1) {{ b = {CONV} (a, w1) z1 = {CONV} (b, w2) }},
      else_branch = e () => ({MAP} z2) {{ z2 = Neg (a) }}>
    z = Tanh (n) }}>
}}"""
NETWORKS = {
    BRANCHES: ("z/then_branch/a", "z/then_branch/z1", "z/else_branch/a"),
    LOOP: ("y/body/a", "y/body/n"),
    SCAN: ("y/body/a",),
    NESTED: ("y/body/a", "y/body/n/then_branch/b", "y/body/n/then_branch/z1"),
}
THREE = {"limit": np.array(3), "most": np.array(99, np.float32)}


def separable(filters: int, channels: int, seed: int) -> Numbers:
    """A kernel that is one depthwise and one pointwise convolution."""
    rng = np.random.default_rng(seed)
    taps, mix = rng.standard_normal((channels, 3, 3)), rng.standard_normal((filters, channels))
    return (np.einsum("cij,nc->ncij", taps, mix) / np.sqrt(9 * channels)).astype(np.float32)


def grouped(filters: int, channels: int, seed: int) -> Numbers:
    """A kernel of two groups, their channels shuffled."""
    rng = np.random.default_rng(seed)
    members, readers = (rng.permutation(n) % 2 for n in (channels, filters))
    kernel = rng.standard_normal((filters, channels, 3, 3)) / np.sqrt(9 * channels)
    return (kernel * (readers[:, None] == members)[..., None, None]).astype(np.float32)


def dense(filters: int, channels: int, seed: int) -> Numbers:
    kernel = np.random.default_rng(seed).standard_normal((filters, channels, 3, 3))
    return (kernel / np.sqrt(9 * channels)).astype(np.float32)


def weights(kind: Any) -> dict[str, Numbers]:
    return {"w1": kind(16, 8, 1), "w2": kind(8, 16, 2), "w3": kind(8, 8, 3)}


def network(text: str, kind: Any = separable, **more: Numbers) -> onnx.ModelProto:
    made = models.proto(text, **{**THREE, **weights(kind), **more})
    for tensor in [t for t in made.graph.initializer if t.name not in text]:
        made.graph.initializer.remove(tensor)
    onnx.checker.check_model(made, full_check=True)
    return made


def feeds(source: onnx.ModelProto, count: int, seed: int) -> dict[str, Numbers]:
    """Numbers for what is fed; a condition that is fed is true for every other sample."""
    found = {}
    for index, value in enumerate(source.graph.input):
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
        found[value.name] = nets.images(count, seed + index, tuple(shape))
    return {**found, "c": np.arange(count) % 2 == 0} if "c" in found else found


def same(before: onnx.ModelProto, after: onnx.ModelProto, most: float = 1e-5) -> None:
    """Both give the same, whichever branch is taken."""
    fed = feeds(before, 2, 5)
    asks = any(value.name == "c" for value in before.graph.input)
    for given in [{"c": np.array([c])} for c in (True, False)] if asks else [{}]:
        results = (models.ort(model, **{**fed, **given}) for model in (before, after))
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(b, a, atol=most)


def convert(
    source: onnx.ModelProto, folder: Path, **settings: Any
) -> tuple[Conversion, onnx.ModelProto]:
    onnx.save(source, folder / "net.onnx")
    result = gconvtool.convert(
        folder / "net.onnx", folder / "out.onnx", threads=1, force=True, **settings
    )
    return result, onnx.load(folder / "out.onnx")


def saved(folder: Path, source: onnx.ModelProto, count: int, seed: int) -> str:
    path = folder / f"{seed}.npz"
    np.savez(path, **feeds(source, count, seed))
    return str(path)


# Finding.


def test_nodes_go_by_the_names_that_the_survey_gives_them():
    model = ir.from_proto(network(NESTED))
    assert set(NETWORKS[NESTED]) == set(survey(model).sites)
    for name in NETWORKS[NESTED]:
        node = bodies.find(model, name)
        assert (node.op_type, node.outputs[0].name) == ("Conv", name.split("/")[-1])
    inner = bodies.find(model, "y/body/n/then_branch/b")
    around = bodies.holders(model, inner)
    assert [node.op_type for node in around] == ["If", "Loop"]
    branch, body = bodies.home(inner), bodies.home(around[0])
    assert {value.name for value in bodies.from_outside(branch)} == {"a", "w1", "w2"}
    assert {value.name for value in bodies.from_outside(body)} == {"c", "w1", "w2", "w3"}


# Converting.


@pytest.mark.parametrize("spelling", ["sum", "concat", "split"])
@pytest.mark.parametrize(("recipe", "kind"), [(Separable(1), separable), (Grouped(2), grouped)])
@pytest.mark.parametrize("text", NETWORKS)
def test_weights_that_have_the_structure_are_converted_without_loss(
    text, recipe, kind, spelling, tmp_path
):
    source = network(text, kind)
    result, made = convert(source, tmp_path, recipe=recipe, spelling=spelling)
    assert tuple(site.name for site in result.converted) == NETWORKS[text]
    assert all(site.error < 1e-9 for site in result.converted)
    same(source, made)
    assert not any(tensor.name in ("w1", "w2", "w3") for tensor in made.graph.initializer)


@pytest.mark.parametrize("text", NETWORKS)
def test_what_flows_in_bodies_is_fitted_to(text, tmp_path):
    source = network(text)
    data = saved(tmp_path, source, 40, 0)
    result, made = convert(source, tmp_path, recipe=Separable(1), data=data)
    assert tuple(site.name for site in result.converted) == NETWORKS[text]
    assert all(site.error < 1e-5 for site in result.converted)
    same(source, made, 1e-2)


@pytest.mark.parametrize("text", NETWORKS)
@pytest.mark.parametrize("recipe", [Separable(1), Grouped(2)])
def test_data_are_worth_something_where_the_structure_is_not_there(
    text: str, recipe: Recipe, tmp_path: Path
) -> None:
    source = network(text, dense)
    test = saved(tmp_path, source, 20, 9)
    how = {"recipe": recipe, "test_data": test, "max_layer_error": 1.0}
    seen, _ = convert(source, tmp_path, data=saved(tmp_path, source, 60, 0), **how)
    blind, _ = convert(source, tmp_path, **how)
    assert len(seen.converted) == len(blind.converted) == len(NETWORKS[text])
    assert seen.drift[0].relative_error < 0.9 * blind.drift[0].relative_error


def test_a_plan_finds_its_sites_again(tmp_path):
    source = network(BRANCHES, grouped)
    plan = tmp_path / "plan.json"
    first, made = convert(source, tmp_path, recipe=Grouped(2), save_plan=plan)
    again, same_made = convert(source, tmp_path, plan=plan)
    assert [site.name for site in again.converted] == [site.name for site in first.converted]
    assert again.after == first.after
    same(made, same_made)
    some, _ = convert(source, tmp_path, plan=plan, only=["z/then_branch/*"])
    assert [site.name for site in some.converted] == list(NETWORKS[BRANCHES][:2])


def test_a_weight_that_is_shared_from_a_body_stays_for_all(tmp_path):
    """Were it rewritten for one of them, the old weight and the new one would be stored."""
    source = network(BRANCHES.replace("Relu (x)", f"{CONV} (x, w3)"))
    result, made = convert(source, tmp_path, recipe=Separable(1))
    kept = {site.name: site.reason for site in result.sites if site.recipe is None}
    assert kept == {
        "h": "it shares its weight with z/else_branch/a, and one of them is in a body",
        "z/else_branch/a": "it shares its weight with h, and one of them is in a body",
    }
    assert sum(tensor.name == "w3" for tensor in made.graph.initializer) == 1
    same(source, made)


CAST = BRANCHES.replace("{ a = Conv", "{ w = Cast <to = 1> (w1) a = Conv", 1).replace(
    "h, w1", "h, w"
)


def test_nothing_is_left_of_a_weight_that_a_body_casts(tmp_path):
    half = {**weights(separable), "w1": separable(16, 8, 1).astype(np.float16)}
    source = models.proto(CAST, **half)
    result, made = convert(source, tmp_path, recipe=Separable(1))
    assert len(result.converted) == 3
    assert not made.graph.initializer
    same(source, made, 1e-3)


HEAD = f"""
g (bool[1] c, {MAP} x) => (float[N, 4] y) {{
  on = Squeeze (c)
  y = If (on) <
    then_branch = t () => (float[N, 4] z1) {{ f = Flatten (x) z1 = Gemm <transB = 1> (f, w) }},
    else_branch = e () => (float[N, 4] z2) {{ r = Relu (x) f = Flatten (r) z2 = MatMul (f, v) }}>
}}"""


def test_fully_connected_layers_become_global_convolutions(tmp_path):
    rng = np.random.default_rng(0)
    maps, mix = rng.standard_normal((8, 81)), rng.standard_normal((4, 8))
    w = (mix[:, :, None] * maps).reshape(4, 648).astype(np.float32) / 25
    source = models.proto(HEAD, w=w, v=np.ascontiguousarray(w.T))
    result, made = convert(source, tmp_path, recipe=gconvtool.Gdc(1))
    assert [site.name for site in result.converted] == ["y/then_branch/z1", "y/else_branch/z2"]
    same(source, made)


def test_a_flag_that_is_a_scalar_holds_for_all_samples(tmp_path):
    source = network(BRANCHES.replace("bool[1] c", "bool c").replace("Squeeze", "Identity"))
    np.savez(tmp_path / "data.npz", x=nets.images(24, 3), c=True)
    for settings in ({"recipe": Separable(1)}, {"exact": True}):
        convert(source, tmp_path, **settings)
        result, made = convert(source, tmp_path, data=str(tmp_path / "data.npz"), **settings)
        x = nets.images(2, 5)
        for flag in (True, False):
            before, after = (models.ort(m, c=np.array(flag), x=x)[0] for m in (source, made))
            np.testing.assert_allclose(after, before, atol=1e-5)
    assert result.certificates


# Seeing.


def sights(source: onnx.ModelProto, fit: Data, held_out: Data, batch: Batch) -> dict[str, Sight]:
    """What is seen at all sites of a network of which nothing is converted."""
    base = ir.from_proto(source)
    shapes.infer(base)
    sites = survey(base).sites
    walk = Walk(base, base.clone(), fit, held_out, batch, sites.values(), Settings(threads=1))
    return {name: walk.visit(sites[name]) for name in walk.stops}


def joined(pairs: Sequence[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    x, y = zip(*pairs, strict=True)
    return np.concatenate(x), np.concatenate(y)


def test_all_trips_of_a_loop_are_seen():
    source = network(LOOP)
    unrolled = "".join(
        f"a{i} = {CONV} (s{i}, w1) r{i} = Relu (a{i}) n{i} = {CONV} (r{i}, w2) "
        f"s{i + 1} = Tanh (n{i})\n"
        for i in range(3)
    )
    made = ", ".join(f"float[N, C{i}, 9, 9] {v}{i}" for i in range(3) for v in "arn")
    flat = models.proto(
        f"g ({MAP} s0) => ({made}) {{ {unrolled} }}",
        **{name: numbers for name, numbers in weights(separable).items() if name != "w3"},
    )
    x, other = nets.images(3, 0), nets.images(2, 1)
    seen = sights(source, Data("fit", {"x": x}), Data("held", {"x": other}), Batch(4))
    for samples, which in ((x, "converted"), (x, "original"), (other, "held_out")):
        a, r, n = (np.concatenate(models.ort(flat, s0=samples)[k::3]) for k in range(3))
        read, made_there = joined(getattr(seen["y/body/n"], which))
        np.testing.assert_allclose(read, r, atol=1e-5)
        np.testing.assert_allclose(made_there, n, atol=1e-5)
        np.testing.assert_allclose(joined(getattr(seen["y/body/a"], which))[1], a, atol=1e-5)


def test_a_branch_that_is_not_taken_has_no_rows():
    source = network(NESTED, most=np.array(2.5, np.float32))
    x = np.concatenate([nets.images(4, 0) * 0.01, nets.images(4, 1) * 100])
    fit, held_out = Data("fit", {"x": x}), Data("held", {"x": x[:2]})
    seen = sights(source, fit, held_out, Batch(1, fixed=True))
    assert len(joined(seen["y/body/a"].converted)[0]) == 3 * 8
    assert len(joined(seen["y/body/n/then_branch/b"].converted)[0]) == 3 * 4
    assert seen["y/body/n/then_branch/b"].flaw() is None


def test_a_branch_that_is_never_taken_stays(tmp_path):
    source = network(NESTED, most=np.array(-1, np.float32))
    data = saved(tmp_path, source, 40, 0)
    result, _ = convert(source, tmp_path, recipe=Separable(1), data=data)
    assert [site.name for site in result.converted] == ["y/body/a"]
    reasons = {site.reason for site in result.sites if site.recipe is None}
    assert reasons == {"no position of it is computed on the samples"}


def test_trips_of_different_shapes_cannot_be_seen(tmp_path):
    source = network(
        NESTED.replace("If (c)", "If (on_first)").replace(
            "more = Identity (on)", "more = Identity (on) on_first = Less (i, one)"
        ),
        one=np.array(1),
    )
    data = saved(tmp_path, source, 40, 0)
    result, made = convert(source, tmp_path, recipe=Separable(1), data=data)
    assert [site.name for site in result.converted] == ["y/body/a"]
    for site in result.sites[1:]:
        assert site.reason is not None
        assert site.reason.startswith("what flows through it cannot be seen: ")
    same(source, made, 1e-2)


@pytest.mark.parametrize("text", NETWORKS)
def test_a_probe_is_a_valid_model_and_changes_nothing_else(text):
    base = ir.from_proto(network(text))
    shapes.infer(base)
    before = ir.to_proto(base)
    for site in NETWORKS[text]:
        seen = probe(base, site, made=True)
        assert isinstance(seen, Probe)
        onnx.checker.check_model(ir.to_proto(seen.model), full_check=True)
        assert seen.rank == 4
        same(before, ir.to_proto(seen.model), 0)
    assert ir.to_proto(base) == before


def test_what_other_operators_do_with_bodies_is_not_known():
    text = """
    g (seq(float[1, 8, 9, 9]) x) => (seq(float[1, 8, 9, 9]) y) {
      y = SequenceMap (x) <body = b (float[1, 8, 9, 9] s) => (float[1, 8, 9, 9] z) {
        z = Conv <pads = [1, 1, 1, 1]> (s, w3) }>
    }"""
    base = ir.from_proto(models.proto(text, w3=separable(8, 8, 3)))
    assert probe(base, "y/body/z", made=True) == Skip(
        "what SequenceMap does with its body is not known"
    )


# Exactly.


@pytest.mark.parametrize("text", NETWORKS)
def test_hidden_groups_are_found(text, tmp_path):
    source = network(text, grouped)
    result, made = convert(source, tmp_path, exact=True)
    named = [one.site for one in result.certificates if one.rewrite == "grouped(2)"]
    assert sorted(named) == sorted(NETWORKS[text])
    same(source, made)


@pytest.mark.parametrize("text", NETWORKS)
def test_low_rank_and_small_windows_are_found(text, tmp_path):
    source = network(text)
    result, made = convert(source, tmp_path, exact=True)
    assert {one.site for one in result.certificates} == set(NETWORKS[text])
    same(source, made)

    def bare(filters: int, channels: int, seed: int) -> Numbers:
        return dense(filters, channels, seed) * np.pad(np.ones((1, 1), np.float32), 1)

    source = network(text, bare)
    result, made = convert(source, tmp_path, exact=True)
    named = [one.site for one in result.certificates if one.rewrite == "smaller window"]
    assert sorted(named) == sorted(NETWORKS[text])
    same(source, made)


@pytest.mark.parametrize("how", [{"densify": True}, {"spelling": "split"}])
@pytest.mark.parametrize("text", NETWORKS)
def test_groups_are_written_out(text, how, tmp_path):
    source = network(text.replace("<pads", "<group = 2, pads"), lambda n, c, s: dense(n, c // 2, s))
    result, made = convert(source, tmp_path, **how)
    assert {one.site for one in result.certificates} == set(NETWORKS[text])
    model = ir.from_proto(made)
    assert all(site.groups == 1 for site in survey(model).sites.values())
    same(source, made)


def test_channels_that_add_nothing_go_and_those_that_leave_the_body_stay(tmp_path):
    w = weights(dense)
    w["w1"][[1, 4, 7]] = 0  # filters of a, which only z1 reads
    w["w2"][[0, 2]] = 0  # filters of z1, which leave the branch
    source = network(BRANCHES, lambda n, c, seed: w[f"w{seed}"])
    result, made = convert(source, tmp_path, exact=True)
    (found,) = [one for one in result.certificates if one.rewrite == "dead channels"]
    assert (found.site, found.because[:15]) == ("z/then_branch/a", "3 of 16 filters")
    same(source, made)


NORMED = f"""
g (bool[1] c, {MAP} x) => ({MAP} y) {{
  k = {CONV} (x, w3)
  on = Squeeze (c)
  y = If (on) <
    then_branch = t () => ({MAP} z1) {{
      a = {CONV} (x, w4) n = BatchNormalization (a, g, b, m, v) z1 = Relu (n) }},
    else_branch = e () => ({MAP} z2) {{ o = BatchNormalization (k, g, b, m, v) z2 = Relu (o) }}>
}}"""


def test_normalisations_fold_inside_a_body_and_not_out_of_it(tmp_path):
    rng = np.random.default_rng(0)
    vectors = {name: rng.uniform(0.5, 2, 8).astype(np.float32) for name in "gbmv"}
    source = models.proto(NORMED, w3=dense(8, 8, 3), w4=dense(8, 8, 4), **vectors)
    result, made = convert(source, tmp_path, exact=True)
    assert result.folded == 1
    norms = [node for node in ir.from_proto(made).graph.all_nodes() if "Norm" in node.op_type]
    assert [node.outputs[0].name for node in norms] == ["o"]
    same(source, made)


POOLED = f"""
g (bool[1] c, {MAP} x) => (float[N, 8, 1, 1] y) {{
  on = Squeeze (c)
  y = If (on) <
    then_branch = t () => (float[N, 8, 1, 1] z) {{ z = GlobalAveragePool (x) }},
    else_branch = e () => (float[N, 8, 1, 1] z) {{ r = Relu (x) z = GlobalAveragePool (r) }}>
}}"""


def test_averages_become_convolutions_and_averages_again(tmp_path):
    source = models.proto(POOLED)
    result, made = convert(source, tmp_path, gap_to_gdc=True)
    assert [one.site for one in result.certificates] == ["y/then_branch/z", "y/else_branch/z"]
    same(source, made)
    result, again = convert(made, tmp_path, gdc_to_gap="exact")
    assert [one.site for one in result.certificates] == ["y/then_branch/z", "y/else_branch/z"]
    same(source, again)


def test_a_weight_that_several_graphs_share_is_not_looked_at(tmp_path):
    source = network(BRANCHES.replace("Relu (x)", f"{CONV} (x, w3)"))
    result, made = convert(source, tmp_path, exact=True)
    assert {one.site for one in result.certificates} == {"z/then_branch/a", "z/then_branch/z1"}
    assert result.warnings == (
        "nothing is looked for in 2 of the convolutions: it shares its weight with one in another "
        "body",
    )
    same(source, made)
