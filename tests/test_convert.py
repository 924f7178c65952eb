"""A network goes in, a cheaper one comes out, and what is said of it is true."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from dataclasses import replace

import nets
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import model

import gconvtool
from gconvtool import Bottleneck, Grouped, Monarch, Separable
from gconvtool.errors import InputError, MissingError
from gconvtool.fit.grouping import contiguous
from gconvtool.fit.structure import GroupedFactors
from gconvtool.goals import goal
from gconvtool.graph import surgery
from gconvtool.pipeline.source import Feed, Network, count, fed_like
from gconvtool.runtime import gather, shelf
from gconvtool.runtime.inputs import Data
from gconvtool.runtime.session import Session

TWO_INPUTS = """
<ir_version: 8, opset_import: ["": 17]>
two (float[2, 8, 6, 6] left, float[2, 8, 6, 6] right) => (float[2, 16, 6, 6] y, float[2, 8, 6, 6] s)
  <float[16, 8, 3, 3] w1, float[16, 16, 3, 3] w2>
{
  s = Sub (left, right)
  a = Conv <pads = [1, 1, 1, 1]> (s, w1)
  ra = Relu (a)
  y = Conv <pads = [1, 1, 1, 1]> (ra, w2)
}
"""


RECIPES = [
    (Grouped(2), "abd"),
    (Separable(2), "abd"),
    (Separable(2, "pw-dw"), "abd"),
    (Bottleneck(2, 3), "abds"),
    (Bottleneck(1, 4), "abds"),
    (Monarch(2), "s"),
]


@pytest.fixture
def folder(tmp_path):
    """A residual network and data for it."""
    onnx.save(nets.network(nets.RESIDUAL), tmp_path / "net.onnx")
    np.savez(tmp_path / "fit.npz", x=nets.images(40))
    labels = np.arange(30) % 5
    np.savez(tmp_path / "test.npz", x=nets.images(30, seed=1), labels=labels)
    return tmp_path


def converted(folder, recipe, name="out.onnx", **options):
    options.setdefault("data", str(folder / "fit.npz"))
    return gconvtool.convert(folder / "net.onnx", folder / name, recipe=recipe, **options)


@pytest.mark.parametrize(("recipe", "sites"), RECIPES, ids=str)
def test_the_written_model_is_what_the_result_says(folder, recipe, sites):
    test = str(folder / "test.npz")
    result = converted(folder, recipe, test_data=test, max_layer_error=10)
    onnx.checker.check_model(onnx.load(folder / "out.onnx"), full_check=True)
    assert {s.name: s.recipe for s in result.sites if s.recipe} == dict.fromkeys(sites, str(recipe))
    assert gconvtool.analyze(folder / "out.onnx").totals == result.after
    assert gconvtool.analyze(folder / "net.onnx").totals == result.before
    with np.load(folder / "test.npz") as test:
        a, b = (
            Session(folder / f).run({"x": test["x"]})["scores"] for f in ("net.onnx", "out.onnx")
        )
        (drift,) = result.drift
        assert drift.relative_error == pytest.approx(
            np.linalg.norm(a - b) / np.linalg.norm(a), 1e-3
        )
        assert drift.accuracy_before == np.mean(a.argmax(1) == test["labels"])
        assert drift.accuracy_after == np.mean(b.argmax(1) == test["labels"])
    assert drift.samples == 30


def test_fitting_to_data_beats_the_weights_alone(folder):
    test = str(folder / "test.npz")
    fitted = converted(folder, Separable(1), "a.onnx", test_data=test)
    blind = converted(folder, Separable(1), "b.onnx", test_data=test, data=None)
    assert fitted.drift[0].relative_error < 0.6 * blind.drift[0].relative_error
    assert any("no data to fit to" in warning for warning in blind.warnings)


def test_more_rank_leaves_less_error(folder):
    errors = [
        converted(folder, Separable(rank), f"{rank}.onnx", only=("d",)).drift[0].relative_error
        for rank in (1, 2, 4)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_a_dry_run_counts_what_the_real_one_writes_and_writes_nothing(folder):
    before = sorted(folder.iterdir())
    planned = converted(folder, Separable(2), dry_run=True)
    assert sorted(folder.iterdir()) == before
    assert planned.output is None
    real = converted(folder, Separable(2))
    for figure in ("macs", "params", "exact"):  # bytes are not planned
        assert getattr(planned.after, figure) == getattr(real.after, figure)
    assert [s.macs_after for s in planned.sites] == [s.macs_after for s in real.sites]


def test_the_same_call_writes_the_same_bytes(folder):
    for name in ("a.onnx", "b.onnx"):
        converted(folder, Grouped(2), name)
    assert (folder / "a.onnx").read_bytes() == (folder / "b.onnx").read_bytes()
    converted(folder, Grouped(2), "c.onnx", seed=1)
    assert (folder / "a.onnx").read_bytes() != (folder / "c.onnx").read_bytes()


def test_only_and_skip_choose_sites_by_name(folder):
    result = converted(folder, Separable(1), only=("[ab]",), skip=("b",))
    reasons = {site.name: site.reason for site in result.sites if site.recipe is None}
    assert [site.name for site in result.converted] == ["a"]
    assert "--only" in reasons["d"]
    assert "--skip" in reasons["b"]
    assert "--only" in reasons["s"]


def test_a_glob_that_matches_nothing_is_an_error(folder):
    with pytest.raises(gconvtool.InputError, match="layer9"):
        converted(folder, Separable(1), only=("layer9*",))


def test_every_kept_site_has_its_reason(folder):
    result = converted(folder, Grouped(16), dry_run=True)
    reasons = {site.name: site.reason for site in result.sites if site.recipe is None}
    assert reasons["a"] == "16 groups do not divide 8 input channels"
    assert reasons["s"].startswith("1×1")


def test_nothing_to_convert_is_an_error_with_the_reasons(folder):
    with pytest.raises(gconvtool.InputError, match=r"no convolution.*7 groups do not divide"):
        converted(folder, Grouped(7))
    assert not (folder / "out.onnx").exists()


def test_a_convolution_of_no_groups_is_not_said_to_be_none(folder):
    network = onnx.load(folder / "net.onnx")
    for node in network.graph.node:
        if node.op_type == "Conv":
            del node.attribute[:]
            node.attribute.append(onnx.helper.make_attribute("group", 0))
    onnx.save(network, folder / "net.onnx")
    with pytest.raises(InputError, match=r"converted: its weight does not fit its groups"):
        converted(folder, Grouped(2), data=None)


def test_provenance_is_in_the_models_metadata(folder):
    converted(folder, Separable(2), samples=20, seed=5)
    entry = {p.key: p.value for p in onnx.load(folder / "out.onnx").metadata_props}["gconvtool"]
    told = json.loads(entry)
    assert told["version"] == gconvtool.__version__
    assert (told["recipe"], told["samples"], told["seed"]) == ("separable(2)", 20, 5)
    assert told["sites"] == dict.fromkeys("abd", "separable(2)")


def test_provenance_counts_the_samples_that_there_were(folder):
    result = converted(folder, Separable(1))
    entry = {p.key: p.value for p in onnx.load(folder / "out.onnx").metadata_props}["gconvtool"]
    assert json.loads(entry)["samples"] == result.samples == 40


def test_the_interface_stays(folder):
    converted(folder, Separable(1))
    old, new = (onnx.load(folder / name) for name in ("net.onnx", "out.onnx"))
    assert list(old.graph.input) == list(new.graph.input)
    assert list(old.graph.output) == list(new.graph.output)
    assert old.opset_import == new.opset_import
    assert {"a", "b", "d"} <= {output for node in new.graph.node for output in node.output}


def test_two_inputs_two_outputs_and_a_batch_that_is_fixed(tmp_path):
    onnx.save(nets.network(TWO_INPUTS), tmp_path / "net.onnx")
    fit = {name: nets.images(21, i, (8, 6, 6)) for i, name in enumerate(("left", "right"))}
    np.savez(tmp_path / "fit.npz", **fit)
    result = gconvtool.convert(
        tmp_path / "net.onnx",
        tmp_path / "out.onnx",
        recipe=Separable(2),
        data=str(tmp_path / "fit.npz"),
    )
    assert [part.output for part in result.drift] == ["y", "s"]
    assert result.drift[1].relative_error == 0
    assert 0 < result.drift[0].relative_error < 0.5
    assert result.drift[0].samples == 4  # a fifth of 21, in whole batches of two


def test_a_loaded_model_is_not_changed(folder):
    model = gconvtool.load(folder / "net.onnx")
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    gconvtool.convert(model, folder / "out.onnx", recipe=Separable(1))
    gconvtool.analyze(model, dims={"N": 4})
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before
    assert (folder / "out.onnx").exists()


def test_initializers_among_the_inputs_become_constants(folder):
    proto = nets.network(nets.RESIDUAL)
    for tensor in proto.graph.initializer:
        info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        proto.graph.input.append(info)
    onnx.save(proto, folder / "net.onnx")
    result = converted(folder, Separable(2))
    assert any("graph inputs" in warning for warning in result.warnings)
    assert [i.name for i in onnx.load(folder / "out.onnx").graph.input] == ["x"]
    assert len(result.converted) == 3


def test_a_plan_is_saved_and_repeated_to_the_byte(folder):
    first = converted(folder, Grouped(2), save_plan=folder / "plan.json", samples=20, seed=3)
    again = gconvtool.convert(
        folder / "net.onnx",
        folder / "again.onnx",
        plan=folder / "plan.json",
        data=str(folder / "fit.npz"),
    )
    assert again.converted == first.converted
    read = [onnx.load(folder / name) for name in ("out.onnx", "again.onnx")]
    for made in read:
        del made.metadata_props[:]
    assert read[0].SerializeToString() == read[1].SerializeToString()


def test_a_plan_edited_by_hand_is_followed(folder):
    converted(folder, Grouped(2), dry_run=True, save_plan=folder / "plan.json")
    plan = json.loads((folder / "plan.json").read_text())
    assert [site["name"] for site in plan["sites"]] == ["a", "b", "d"]
    plan["sites"] = [
        {"name": "d", "recipe": "separable:rank=3"},
        {
            "name": "a",
            "recipe": "groups=2",
            "channels": {
                "inputs": [[7, 1, 2, 3], [4, 5, 6, 0]],
                "outputs": [[*range(8, 16)], [*range(8)]],
            },
        },
    ]
    plan["kept"] = []
    (folder / "plan.json").write_text(json.dumps(plan))
    result = converted(folder, None, plan=folder / "plan.json", save_plan=folder / "done.json")
    assert {s.name: s.recipe for s in result.converted} == {"a": "grouped(2)", "d": "separable(3)"}
    assert next(s.reason for s in result.sites if s.name == "b") == "not in the plan"
    (a,) = [s for s in json.loads((folder / "done.json").read_text())["sites"] if s["name"] == "a"]
    assert a["channels"]["inputs"] == [[1, 2, 3, 7], [0, 4, 5, 6]]
    assert a["channels"]["outputs"] == [[*range(8, 16)], [*range(8)]]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"name": "q"}, "no such convolution"),
        ({"recipe": "groups=5"}, "5 groups do not divide"),
        ({"channels": {"inputs": [[0], [1]], "outputs": [[0], [1]]}}, "the convolution has 8"),
    ],
)
def test_a_plan_that_does_not_fit_is_an_error_with_the_file_and_the_site(folder, edit, message):
    site = {"name": "a", "recipe": "groups=2", **edit}
    (folder / "plan.json").write_text(json.dumps({"schema": "gconvtool.plan/1", "sites": [site]}))
    with pytest.raises(InputError, match=rf"plan\.json: site {site['name']}: .*{message}"):
        converted(folder, None, plan=folder / "plan.json")
    assert not (folder / "out.onnx").exists()


def test_a_plan_and_a_recipe_exclude_each_other(folder):
    (folder / "plan.json").write_text('{"schema": "gconvtool.plan/1", "sites": []}')
    (folder / "sub").mkdir()
    with pytest.raises(InputError, match="give no recipe beside it"):
        converted(folder, Grouped(2), plan=folder / "plan.json")
    with pytest.raises(InputError, match="give none and no plan beside it"):
        converted(folder, Grouped(2), goal=goal(max_drop="1%"))
    with pytest.raises(InputError, match="never changed"):
        converted(folder, None, plan=folder / "plan.json", save_plan=folder / "plan.json")
    with pytest.raises(InputError, match="the model is written there"):
        converted(folder, Grouped(2), save_plan=folder / "sub" / ".." / "out.onnx")
    assert not (folder / "out.onnx").exists()


def test_a_layer_that_misses_too_much_stays_dense(folder):
    errors = {s.name: s.error for s in converted(folder, Grouped(2)).converted}
    limit = sorted(errors.values())[1]
    result = converted(folder, Grouped(2), "some.onnx", max_layer_error=limit)
    for site in result.sites:
        if site.name in errors and site.recipe is None:
            assert site.error > limit
            assert "--max-layer-error" in site.reason
    assert {s.name for s in result.converted} <= errors.keys()
    assert all(s.error <= limit for s in result.converted)
    assert len(result.converted) < len(errors)
    assert gconvtool.analyze(folder / "some.onnx").totals == result.after
    with pytest.raises(InputError, match=r"no convolution can .*--max-layer-error 0%"):
        converted(folder, Grouped(2), "none.onnx", max_layer_error=0)
    assert not (folder / "none.onnx").exists()


@pytest.mark.parametrize("fit", ["asymmetric", "symmetric", "data-free"])
def test_a_fit_that_is_asked_for_is_the_one_that_is_done(folder, fit):
    result = converted(folder, Separable(2), fits=(fit,))
    assert {site.fit for site in result.converted} == {fit}
    best = converted(folder, Separable(2), "best.onnx")
    assert best.converted[0].error <= result.converted[0].error + 1e-12
    blind = converted(folder, Separable(2), "blind.onnx", data=None)
    assert {site.fit for site in blind.converted} == {"data-free"}


def test_little_memory_changes_nothing_but_where_activations_lie(folder, monkeypatch):
    converted(folder, Separable(2))
    spilled, put = [], shelf.Shelf.put
    monkeypatch.setattr(shelf.Shelf, "put", lambda *a: spilled.append(put(*a)) or spilled[-1])
    monkeypatch.setattr(gather, "moments_fit", lambda size, budget: True)
    converted(folder, Separable(2), "little.onnx", max_memory=2**16)
    assert any(isinstance(array, np.memmap) for array in spilled)
    assert (folder / "little.onnx").read_bytes() == (folder / "out.onnx").read_bytes()


@pytest.mark.parametrize("spelling", ["sum", "concat", "multiplier", "split"])
def test_spellings_differ_in_nothing_but_the_nodes(folder, spelling):
    converted(folder, Separable(2))
    converted(folder, Separable(2), f"{spelling}.onnx", spelling=spelling)
    x = nets.images(4, seed=5)
    a, b = (Session(folder / f"{n}.onnx").run({"x": x})["scores"] for n in ("out", spelling))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    nodes = onnx.load(folder / f"{spelling}.onnx").graph.node
    groups = [a.i for node in nodes for a in node.attribute if a.name == "group" and a.i > 1]
    assert (not groups) == (spelling == "split")


def test_a_provider_that_is_not_there_is_told_and_nothing_is_written(folder):
    with pytest.raises((InputError, MissingError), match="nowhere"):
        converted(folder, Separable(2), provider="nowhere")
    assert not (folder / "out.onnx").exists()


def test_one_site_of_a_plan_may_be_written_otherwise(folder):
    """Of rank 2: four convolutions and an Add as a sum, two convolutions as a multiplier."""
    plan = folder / "plan.json"
    converted(folder, Separable(2), save_plan=plan)
    saved = json.loads(plan.read_text())
    saved["sites"][0]["spelling"] = "multiplier"
    plan.write_text(json.dumps(saved))
    again = folder / "again.json"
    converted(folder, None, "other.onnx", plan=plan, save_plan=again)
    assert json.loads(again.read_text())["sites"][0]["spelling"] == "multiplier"
    before, after = (
        Counter(node.op_type for node in onnx.load(folder / f"{name}.onnx").graph.node)
        for name in ("out", "other")
    )
    assert before - after == Counter({"Conv": 2, "Add": 1})
    x = nets.images(4, seed=5)
    a, b = (Session(folder / f"{n}.onnx").run({"x": x})["scores"] for n in ("out", "other"))
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_groups_that_a_convolution_has_are_converted_each_on_its_own(tmp_path):
    text = nets.RESIDUAL.replace("float[16, 16, 3, 3] w4", "float[16, 8, 3, 3] w4").replace(
        "d = Conv <pads", "d = Conv <group = 2, pads"
    )
    onnx.save(nets.network(text), tmp_path / "net.onnx")
    np.savez(tmp_path / "fit.npz", x=nets.images(40))
    result = converted(tmp_path, Grouped(2), only=["d"], save_plan=tmp_path / "plan.json")
    (site,) = result.converted
    assert site.macs_after * 2 == site.macs_before
    (entry,) = json.loads((tmp_path / "plan.json").read_text())["sites"]
    lists = entry["channels"]["inputs"]
    assert [sorted(lists[i] + lists[i + 1]) for i in (0, 2)] == [[*range(8)], [*range(8, 16)]]
    again = converted(tmp_path, None, "again.onnx", plan=tmp_path / "plan.json")
    assert again.converted == result.converted


def test_one_image_repeated_is_said(folder):
    np.savez(folder / "same.npz", x=np.repeat(nets.images(1), 40, axis=0))
    result = converted(folder, Separable(2), data=str(folder / "same.npz"))
    assert any("differ" in warning or "distinct" in warning for warning in result.warnings)


def listed(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_interruption_leaves_nothing(folder, tmp_path_factory, monkeypatch):
    spills = tmp_path_factory.mktemp("spills")
    monkeypatch.setattr(tempfile, "tempdir", str(spills))
    before = listed(folder)
    plan = folder / "plan.json"
    with pytest.raises(KeyboardInterrupt):
        converted(folder, Separable(1), progress=interrupt, max_memory=2**16, save_plan=plan)
    monkeypatch.setattr("gconvtool.pipeline.convert._loads", interrupt)  # written, not yet there
    with pytest.raises(KeyboardInterrupt):
        converted(folder, Separable(1), save_plan=plan)
    assert listed(folder) == before
    assert not listed(spills)


def test_a_full_disk_is_an_error_and_leaves_nothing(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = listed(folder)
    monkeypatch.setattr(shelf._File, "put", full)
    with pytest.raises(MissingError, match=r"no room for activations \(No space left.*TMPDIR"):
        converted(folder, Separable(1), max_memory=2**16)
    assert listed(folder) == before


@pytest.mark.parametrize("failing", ["the first file", "the second file"])
def test_the_model_and_the_plan_are_written_both_or_neither(folder, monkeypatch, failing):
    synced = []

    def sync(handle):
        synced.append(handle)
        if len(synced) == (1 if "first" in failing else 2):
            raise OSError(28, "No space left on device")

    before = listed(folder)
    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(MissingError, match="not written: No space left"):
        converted(folder, Separable(1), save_plan=folder / "plan.json")
    assert listed(folder) == before


def test_a_batch_that_is_fixed_needs_few_open_files(tmp_path, monkeypatch):
    text = nets.RESIDUAL.replace("[N, ", "[1, ")
    onnx.save(nets.network(text), tmp_path / "net.onnx")
    np.savez(tmp_path / "fit.npz", x=nets.images(60))
    opened, make = [], tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **k: opened.append(k) or make(**k))
    data = str(tmp_path / "fit.npz")
    result = converted(tmp_path, Separable(2), data=data, max_memory=2**14, max_layer_error=10)
    assert len(opened) == 1
    assert gconvtool.analyze(tmp_path / "out.onnx").totals == result.after
    assert onnx.load(tmp_path / "out.onnx").graph.output[0].type.tensor_type.shape.dim[0].dim_value


def test_costs_are_those_of_the_batch_that_the_model_insists_on(tmp_path):
    onnx.save(nets.network(TWO_INPUTS), tmp_path / "net.onnx")
    feeds = {name: nets.images(20, i, (8, 6, 6)) for i, name in enumerate(("left", "right"))}
    np.savez(tmp_path / "fit.npz", **feeds)
    result = converted(tmp_path, Grouped(2), max_layer_error=10)
    assert result.before == gconvtool.analyze(tmp_path / "net.onnx").totals
    assert result.after == gconvtool.analyze(tmp_path / "out.onnx").totals
    network = Network.open(tmp_path / "net.onnx")
    feed = fed_like(Feed(), Data("test", feeds), network.batch(1))  # as bench counts
    assert count(network, feed).totals == result.before


@pytest.mark.parametrize(
    ("declared", "given", "drawn"),
    [
        ("[]", (1, 8, 5, 7), (3, 8, 5, 7)),
        ("[N, 8, H, W]", (1, 8, 5, 7), (3, 8, 5, 7)),
        ("[N, 8, 6, W]", (1, 8, 5, 7), (3, 8, 6, 7)),
        ("[N, 8, 6, 6]", (1, 8, 5), (3, 8, 6, 6)),
    ],
)
def test_random_inputs_have_the_shape_that_is_given_where_the_model_says_none(
    declared, given, drawn
):
    text = f"g (float{declared} x) => (float[] y) {{ y = Relu (x) }}"
    network = Network(model(text), "net")
    made = Feed(input_shapes={"x": given}).samples(network, 3, 0)
    assert made.feeds["x"].shape == drawn


ODD = """
<ir_version: 8, opset_import: ["": 17]>
odd (float[N, 8, 6, 6] x) => (float[N, 8, 6, 6] y)
  <float[8, 8, 3, 3] w, float[8, 8, 3, 3] v, float[1, 8, 6, 6] k>
{
  BODY
}
"""
SAME = "Conv <pads = [1, 1, 1, 1]>"
HALF = """
<ir_version: 8, opset_import: ["": 17]>
half (float16[N, 8, 6, 6] x) => (float16[N, 8, 4, 4] y) <float16[8, 8, 3, 3] w> { y = Conv (x, w) }
"""
BODIES = {
    "a convolution of a constant": f"a = {SAME} (k, w) b = {SAME} (x, v) y = Add (a, b)",
    "a sequence across a cut": (
        f"a = {SAME} (x, w) s = SequenceConstruct (a, x) b = {SAME} (a, v) "
        "t = SequenceInsert (s, b) i = Constant <value_int = 0> () c = SequenceAt (t, i) "
        "y = Add (b, c)"
    ),
    "strings across a cut": (
        f"a = {SAME} (x, w) r = Relu (a) b = {SAME} (r, v) words = Cast <to = 8> (a) "
        "back = Cast <to = 1> (words) y = Add (b, back)"
    ),
}


@pytest.mark.parametrize("memory", [2**30, 2**16])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_whatever_crosses_a_cut_is_kept(tmp_path, body, memory):
    onnx.save(nets.network(ODD.replace("BODY", body)), tmp_path / "net.onnx")
    np.savez(tmp_path / "fit.npz", x=nets.images(24, shape=(8, 6, 6)))
    result = converted(tmp_path, Separable(4), max_memory=memory, max_layer_error=10)
    assert len(result.converted) == 2
    assert result.drift[0].relative_error < 0.7


NOT_FINITE = f"l = Sqrt (x) a = {SAME} (l, w) n = IsNaN (a) z = Where (n, x, a) y = {SAME} (z, v)"
NOWHERE = (
    "n = IsInf (x) p = NonZero (n) q = Transpose <perm = [1, 0]> (p) g = GatherND (x, q) "
    "shape = Constant <value = int64[4] {-1, 8, 6, 6}> () m = Reshape (g, shape) "
    f"a = {SAME} (m, w) s = ReduceSum <keepdims = 0> (a) b = {SAME} (x, v) y = Add (b, s)"
)


@pytest.mark.parametrize(
    ("body", "reason"), [(NOT_FINITE, "NaN or infinite"), (NOWHERE, "no position of it")]
)
def test_a_layer_that_nothing_can_be_fitted_to_stays_dense(tmp_path, body, reason):
    onnx.save(nets.network(ODD.replace("BODY", body)), tmp_path / "net.onnx")
    np.savez(tmp_path / "fit.npz", x=nets.images(24, shape=(8, 6, 6)))
    result = converted(tmp_path, Separable(2), max_layer_error=10)
    (kept,) = [site for site in result.sites if site.recipe is None]
    assert (kept.name, kept.error) == ("a", None)
    assert reason in kept.reason


def test_one_held_out_row_tells_nothing(tmp_path):
    body = f"a = {SAME} (x, w) p = GlobalAveragePool (a) b = {SAME} (p, v) y = Add (b, x)"
    onnx.save(nets.network(ODD.replace("BODY", body)), tmp_path / "net.onnx")
    np.savez(tmp_path / "fit.npz", x=nets.images(4, shape=(8, 6, 6)))
    result = converted(tmp_path, Separable(1), max_layer_error=10)
    assert [site.name for site in result.converted] == ["a"]
    assert "does not vary on the held-out samples" in result.sites[1].reason


def test_weights_for_an_input_that_is_always_zero_are_finite(tmp_path):
    body = f"z = Sub (x, x) a = {SAME} (z, w) b = {SAME} (x, v) y = Add (a, b)"
    onnx.save(nets.network(ODD.replace("BODY", body)), tmp_path / "net.onnx")
    np.savez(tmp_path / "fit.npz", x=nets.images(24, shape=(8, 6, 6)))
    result = converted(tmp_path, Bottleneck(2, 2), max_layer_error=10)
    assert "b" in {site.name for site in result.converted}
    for tensor in onnx.load(tmp_path / "out.onnx").graph.initializer:
        assert np.isfinite(onnx.numpy_helper.to_array(tensor)).all()


def test_weights_that_do_not_fit_into_their_type_are_not_stored():
    network = ir.from_proto(nets.network(HALF))
    factors = GroupedFactors(np.full((8, 72), 60_000.0), np.zeros(8), contiguous(8, 8, 1), 9)
    assert surgery.storable(network, "y", factors)
    assert not surgery.storable(network, "y", replace(factors, weight=2 * factors.weight))
