"""Convolutions that share a weight: found, refused where they differ, fitted and written once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from nets import images, network, run
from onnx import numpy_helper

import gconvtool
from gconvtool.facts import Skip
from gconvtool.graph import sharing
from gconvtool.graph.survey import survey
from gconvtool.pipeline.source import Network
from gconvtool.plan import Selection, choose, together
from gconvtool.recipes import Grouped, Recipe, Separable
from gconvtool.results import Conversion

RECURRENT = """
<ir_version: 8, opset_import: ["": 17]>
recurrent (float[N, 8, 9, 9] x) => (float[N, 8, 9, 9] y)
  <float[8, 8, 3, 3] w, float[8] b, float[8, 8, 3, 3] v>
{
  a = Conv <pads = [1, 1, 1, 1]> (x, w, b)
  ra = Relu (a)
  m = Conv <pads = [1, 1, 1, 1]> (ra, v)
  rm = Relu (m)
  c = Conv <pads = [1, 1, 1, 1], strides = [1, 1]> (rm, w, b)
  rc = Relu (c)
  y = Conv <pads = [1, 1, 1, 1], dilations = [1, 1]> (rc, w, b)
}
"""
"""One convolution, three times, with another between."""


def shared(text: str = RECURRENT) -> onnx.ModelProto:
    return network(text)


def converted(model: onnx.ModelProto, tmp_path: Path, **options: object) -> Conversion:
    data = str(tmp_path / "data.npz")
    np.savez(data, x=images(48))
    return gconvtool.convert(
        ir.from_proto(model), tmp_path / "out.onnx", data=data, force=True, **options
    )  # type: ignore[arg-type]


def stored(path: Path) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def test_sites_that_agree_are_a_family() -> None:
    model = ir.from_proto(shared())
    assert sharing.families(model) == (("a", "c", "y"),)
    assert survey(model).skipped == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("dilations = [1, 1]> (rc, w, b)", "dilations = [1, 1]> (rc, w)", "bias"),
        ("pads = [1, 1, 1, 1], dilations", "pads = [2, 0, 0, 2], dilations", "window"),
        ("Conv <pads = [1, 1, 1, 1], dil", "ConvTranspose <pads = [1, 1, 1, 1], dil", "window"),
    ],
)
def test_sites_that_differ_stay_and_say_why(old: str, new: str, said: str) -> None:
    model = ir.from_proto(shared(RECURRENT.replace(old, new)))
    assert sharing.families(model) == ()
    assert survey(model).skipped == {
        "a": Skip(f"it shares its weight with c, which has another {said}"),
        "c": Skip(f"it shares its weight with a, which has another {said}"),
        "y": Skip(f"it shares its weight with a, which has another {said}"),
    }


def test_equal_biases_agree_though_they_are_stored_twice() -> None:
    text = RECURRENT.replace("float[8] b,", "float[8] b, float[8] b2,").replace(
        "(rc, w, b)", "(rc, w, b2)"
    )
    model = shared(text)
    numbers = {t.name: t for t in model.graph.initializer}
    numbers["b2"].raw_data = numbers["b"].raw_data
    assert sharing.families(ir.from_proto(model)) == (("a", "c", "y"),)


def test_all_of_a_family_become_the_same_or_stay() -> None:
    sites = survey(ir.from_proto(shared())).sites.values()
    plan = choose(sites, {"c": Skip("left out by --skip")}, Grouped(2), Selection())
    kept = together(plan, [("a", "c", "y")])
    assert [step.site.name for step in kept.steps] == ["m"]
    reason = "it shares its weight with c, which stays as it is"
    assert kept.kept["a"] == kept.kept["y"] == Skip(reason)
    assert together(plan, [("a", "y")]) == plan


@pytest.mark.parametrize("recipe", [Grouped(2), Separable(2), Separable(2, "pw-dw")])
def test_one_new_weight_takes_the_place_of_the_old_one(recipe: Recipe, tmp_path: Path) -> None:
    result = converted(shared(), tmp_path, recipe=recipe)
    sites = {site.name: site for site in result.sites}
    assert {site.recipe for site in sites.values()} == {str(recipe)}
    assert sites["a"].error == sites["c"].error == sites["y"].error != sites["m"].error
    dense = 8 * 8 * 9
    ours = {Grouped(2): dense // 2}.get(recipe, 2 * (8 * 9 + 8 * 8))
    assert result.after.params == 2 * ours + 2 * 8  # a bias each: the other one had none
    written = onnx.load(tmp_path / "out.onnx")
    assert sum(node.op_type == "Conv" for node in written.graph.node) > 3
    assert result.after.params == gconvtool.analyze(tmp_path / "out.onnx").totals.params
    assert result.drift[0].snr_db is not None
    rehearsed = gconvtool.convert(ir.from_proto(shared()), recipe=recipe, dry_run=True)
    assert (rehearsed.after.macs, rehearsed.after.params) == (
        result.after.macs,
        result.after.params,
    )


def test_a_fit_sees_all_users(tmp_path: Path) -> None:
    """A separable weight is found exactly from any data; one that is not misses least over all
    users together, so that none of them may be left out of sight."""
    model = shared()
    far = converted(model, tmp_path, recipe=Separable(1), fits=("symmetric",))
    x = np.load(tmp_path / "data.npz")["x"]
    values = {name: _value(model, name, x) for name in ("a", "c", "y")}
    error = _error(tmp_path / "out.onnx", values, model)
    alone = [_alone(model, name, tmp_path, x, values) for name in ("a", "c", "y")]
    assert far.sites[0].recipe == "separable(1)"
    assert error < min(alone)


def _value(model: onnx.ModelProto, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a convolution reads in the original, and what it makes."""
    (node,) = (node for node in model.graph.node if name in node.output)
    wanted = onnx.ModelProto()
    wanted.CopyFrom(model)
    del wanted.graph.output[:]
    for output in (node.input[0], name):
        wanted.graph.output.append(onnx.helper.make_tensor_value_info(output, 1, None))
    read, made = run(wanted, {"x": x})
    return read, made


def _kernel(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The dense kernel and the bias of the first convolution, which is separable there."""
    numbers = stored(path)
    depthwise, pointwise = numbers["a/dw0.weight"][:, 0], numbers["a/pw0.weight"][:, :, 0, 0]
    return pointwise[:, :, None, None] * depthwise[None], numbers["a/pw0.bias"]


def _error(
    path: Path, values: dict[str, tuple[np.ndarray, np.ndarray]], model: onnx.ModelProto
) -> float:
    """What a new kernel misses, over all users."""
    kernel, bias = _kernel(path)
    one = network(RECURRENT.replace("=> (float[N, 8, 9, 9] y)", "=> (float[N, 8, 9, 9] a)"))
    for tensor in one.graph.initializer:
        if tensor.name in ("w", "b"):
            new = kernel if tensor.name == "w" else bias
            tensor.CopyFrom(numpy_helper.from_array(new.astype(np.float32), tensor.name))
    missed = [np.square(run(one, {"x": read})[0] - made) for read, made in values.values()]
    return float(np.mean(missed))


def _alone(
    model: onnx.ModelProto,
    name: str,
    tmp_path: Path,
    x: np.ndarray,
    values: dict[str, tuple[np.ndarray, np.ndarray]],
) -> float:
    """The same, with the kernel fitted to one user only."""
    single = network(
        RECURRENT[: RECURRENT.index("  ra =")].replace("[N, 8, 9, 9] y", "[N, 8, 9, 9] a") + "}"
    )
    weights = {t.name: t for t in model.graph.initializer}
    for tensor in single.graph.initializer:
        tensor.CopyFrom(weights[tensor.name])
    data, out = str(tmp_path / f"{name}.npz"), tmp_path / f"{name}.onnx"
    np.savez(data, x=values[name][0])
    gconvtool.convert(
        ir.from_proto(single), out, data=data, recipe=Separable(1), fits=("symmetric",)
    )
    return _error(out, values, model)


def test_a_plan_is_replayed_for_all(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    first = converted(shared(), tmp_path, recipe=Grouped(2), save_plan=plan)
    again = converted(shared(), tmp_path, plan=plan)
    assert [site.recipe for site in again.sites] == [site.recipe for site in first.sites]
    document = json.loads(plan.read_text())
    document["sites"] = [site for site in document["sites"] if site["name"] != "c"]
    plan.write_text(json.dumps(document))
    cut = {site.name: site for site in converted(shared(), tmp_path, plan=plan).sites}
    assert cut["m"].recipe == "grouped(2)"
    assert cut["a"].reason == "it shares its weight with c, which stays as it is"


def test_a_second_pass_leaves_shared_weights_alone(tmp_path: Path) -> None:
    converted(shared(), tmp_path, recipe=Separable(1))
    before = stored(tmp_path / "out.onnx")
    twice = converted(shared(), tmp_path, recipe=Separable(1), passes=2)
    after = stored(tmp_path / "out.onnx")
    assert twice.refined is not None
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert all(name.startswith("m/") for name in changed)


def test_the_model_stays_as_it_was() -> None:
    model = ir.from_proto(shared())
    gconvtool.convert(model, recipe=Grouped(2))
    assert Network.open(model).model.graph.num_nodes() == 7


PATHS = {
    "v = Identity (w)": True,
    "u = Identity (w) v = Identity (u)": True,
    "v = Transpose <perm = [0, 1, 3, 2]> (w)": False,
    "u = Cast <to = 11> (w) v = Cast <to = 1> (u)": False,
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("twice", [True, False])
def test_those_that_read_the_same_of_one_weight_are_a_family(path: str, twice: bool) -> None:
    """By the same operators, whether those are there once or twice, or by ones that do nothing."""
    renamed = path.replace("u", "s").replace("v =", "t =")
    first, weight = (renamed, "t") if twice else ("", "w")
    model = ir.from_proto(
        network(f"""<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 4, 9, 9] x) => (float[N, 4, 9, 9] y) <float[4, 4, 3, 3] w> {{
          {first} {path}
          a = Conv <pads = [1, 1, 1, 1]> (x, {weight}) y = Conv <pads = [1, 1, 1, 1]> (a, v)
        }}""")
    )
    x = images(2, shape=(4, 9, 9))
    before = run(model, {"x": x})[0]
    sharing.unite(model)
    together = twice or PATHS[path]
    assert sharing.families(model) == ((("a", "y"),) if together else ())
    np.testing.assert_array_equal(run(model, {"x": x})[0], before)
