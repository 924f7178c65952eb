"""Exact rewrites from end to end: found, certified, written, and the same network still."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from conftest import SAMPLES
from helpers_cli import Desk, refused
from models import Numbers, ort, proto

import gconvtool
from gconvtool.errors import InputError

CHAIN = """g (float[N, 8, 6, 6] x) => (float[N, 8, 6, 6] y) {
  a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
  r = Relu (a)
  y = Conv <pads = [1, 1, 1, 1]> (r, w2, b2)
}"""
GROUPED = """g (float[N, 8, 6, 6] x) => (float[N, 8, 6, 6] y) {
  y = Conv <group = 4, pads = [1, 1, 1, 1]> (x, w)
}"""
POOLED = """g (float[N, 8, 4, 6] x) => (float[N, 8, 1, 1] y) { y = GlobalAveragePool (x) }"""
GLOBAL = """g (float[N, 8, 4, 6] x) => (float[N, 8, 1, 1] y) { y = Conv <group = 8> (x, w, b) }"""


def normal(*shape: int, seed: int = 0) -> Numbers:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def hidden(groups: int, seed: int) -> Numbers:
    """A dense 8→8 kernel that joins channel c to filters of its group only, shuffled."""
    rng = np.random.default_rng(seed)
    inputs, outputs = rng.permutation(8) % groups, rng.permutation(8) % groups
    joined = outputs[:, None] == inputs[None, :]
    return normal(8, 8, 3, 3, seed=seed) * joined[..., None, None].astype(np.float32)


CHAINED = {"w1": hidden(2, 1), "w2": hidden(4, 2), "b1": normal(8), "b2": normal(8, seed=3)}
SOURCES = {
    "chain": proto(CHAIN, **CHAINED),
    "dense": proto(CHAIN, **CHAINED | {"w1": normal(8, 8, 3, 3), "w2": normal(8, 8, 3, 3, seed=1)}),
    "grouped": proto(GROUPED, w=normal(8, 2, 3, 3)),
    "pooled": proto(POOLED),
    "global": proto(GLOBAL, w=normal(8, 1, 4, 6), b=normal(8)),
}


@pytest.fixture
def desk(tmp_path, monkeypatch, capfd):
    made = Desk(tmp_path, monkeypatch, capfd).furnish()
    for name, source in SOURCES.items():
        onnx.save(source, tmp_path / f"{name}.onnx")
    return made


def convert(desk: Desk, name: str, *words: object) -> tuple[dict, onnx.ModelProto]:
    """The document of a conversion that worked, and the model."""
    answer = desk("convert", f"{name}.onnx", "-o", "out.onnx", "--force", "--json", *words)
    assert answer.code == 0, answer.err
    made = onnx.load(desk.folder / "out.onnx")
    onnx.checker.check_model(made, full_check=True)
    for one in answer.document["certificates"]:
        assert one.keys() == {"rewrite", "site", "because", "difference", "bound"}
        assert one["difference"] <= one["bound"]
    return answer.document, made


def groups(model: onnx.ModelProto) -> list[int]:
    named = [
        {a.name: a.i for a in node.attribute} for node in model.graph.node if node.op_type == "Conv"
    ]
    return [attributes.get("group", 1) for attributes in named]


def same(a: onnx.ModelProto, b: onnx.ModelProto) -> None:
    sizes = [dim.dim_value or 3 for dim in a.graph.input[0].type.tensor_type.shape.dim]
    (before,), (after,) = (ort(model, x=normal(*sizes, seed=9)) for model in (a, b))
    np.testing.assert_allclose(after, before, atol=2e-5 * np.abs(before).max())


class TestStructure:
    def test_hidden_groups_are_found_and_nothing_changes(self, desk):
        told, made = convert(desk, "chain", "--exact")
        assert groups(made) == [2, 4]
        found = [(one["rewrite"], one["site"]) for one in told["certificates"]]
        assert found == [("grouped(2)", "a"), ("grouped(4)", "y")]
        assert told["sites"] == []
        assert told["warnings"] == []  # of no data above all
        # 36 positions of 8·8·9 weights each: a half and a quarter of them.
        assert (told["before"]["macs"], told["after"]["macs"]) == (36 * 1152, 36 * (288 + 144))
        same(SOURCES["chain"], made)

    def test_the_model_says_what_was_done(self, desk):
        told, made = convert(desk, "chain", "--exact")
        (stamp,) = (json.loads(prop.value) for prop in made.metadata_props)
        assert stamp["recipe"] is None
        assert stamp["certificates"] == told["certificates"]
        assert "no weight joins" in stamp["certificates"][0]["because"]

    def test_the_page_lists_certificates(self, desk):
        page = " ".join(desk("convert", "chain.onnx", "-o", "out.onnx", "--exact").out.split())
        assert "Exact rewrites" in page
        assert "grouped(2)" in page
        assert "no weight joins one of its 2 groups" in page

    def test_where_nothing_is_found_the_network_is_written_all_the_same(self, desk):
        answer = desk("convert", "dense.onnx", "-o", "out.onnx", "--exact")
        assert (answer.code, answer.err) == (0, "")
        assert "Nothing to rewrite exactly was found." in answer.out
        same(SOURCES["dense"], onnx.load(desk.folder / "out.onnx"))

    def test_a_dry_run_lists_them_and_writes_nothing(self, desk):
        before = desk.files()
        answer = desk("convert", "chain.onnx", "--exact", "--dry-run")
        assert answer.code == 0
        assert "2 exact rewrites would be made; nothing was written." in answer.out.lower()
        assert desk.files() == before

    def test_a_recipe_is_planned_on_what_they_leave(self, desk):
        np.savez(desk.folder / "x.npz", x=normal(80, 8, 6, 6, seed=4))
        words = ("--groups", 2, "--only", "a", "--data", "x.npz", "--max-layer-error", "100%")
        told, made = convert(desk, "chain", "--exact", *words)
        assert groups(made) == [4, 4]
        assert [one["site"] for one in told["certificates"]] == ["a", "y"]
        converted = {one["name"]: one for one in told["sites"] if one["recipe"]}
        assert converted["a"]["macs_before"] == 36 * 288
        assert converted["a"]["macs_after"] == 36 * 144

    def test_data_are_only_judged_by(self, desk):
        np.savez(desk.folder / "x.npz", x=normal(20, 8, 6, 6))
        told, _ = convert(desk, "chain", "--exact", "--data", "x.npz")
        assert (told["drift_source"], told["samples"]) == ("x.npz", 0)
        assert told["warnings"] == []


class TestGroups:
    def test_dense_ones_give_their_groups_back(self, desk):
        told, dense = convert(desk, "grouped", "--densify")
        assert groups(dense) == [1]
        assert told["after"]["macs"] == 4 * told["before"]["macs"]
        same(SOURCES["grouped"], dense)
        onnx.save(dense, desk.folder / "densified.onnx")
        _, again = convert(desk, "densified", "--exact")
        assert groups(again) == [4]
        same(SOURCES["grouped"], again)

    def test_with_both_no_group_is_left(self, desk):
        for name in ("chain", "grouped"):
            _, made = convert(desk, name, "--exact", "--densify")
            assert set(groups(made)) == {1}

    @pytest.mark.parametrize("more", [[], ["--dry-run"]])
    def test_those_that_were_there_are_split(self, desk, more):
        answer = desk(
            "convert", "grouped.onnx", "-o", "o.onnx", "--spelling", "split", "--json", *more
        )
        (one,) = answer.document["certificates"]
        assert (one["rewrite"], one["site"]) == ("split", "y")
        if not more:
            made = onnx.load(desk.folder / "o.onnx")
            assert groups(made) == [1] * 4
            same(SOURCES["grouped"], made)

    def test_those_that_are_found_are_split_too(self, desk):
        told, made = convert(desk, "chain", "--exact", "--spelling", "split")
        assert set(groups(made)) == {1}
        rewrites = [one["rewrite"] for one in told["certificates"]]
        assert rewrites == ["grouped(2)", "grouped(4)", "split", "split"]
        same(SOURCES["chain"], made)


class TestPooling:
    def test_an_average_becomes_a_convolution_and_an_average_again(self, desk):
        told, made = convert(desk, "pooled", "--gap-to-gdc")
        assert groups(made) == [8]
        assert [one["rewrite"] for one in told["certificates"]] == ["gap to gdc"]
        same(SOURCES["pooled"], made)
        onnx.save(made, desk.folder / "again.onnx")
        told, again = convert(desk, "again", "--gdc-to-gap")
        assert [node.op_type for node in again.graph.node] == ["GlobalAveragePool"]
        assert [one["rewrite"] for one in told["certificates"]] == ["gdc to gap"]
        same(SOURCES["pooled"], again)

    def test_any_weights_are_kept(self, desk):
        _, made = convert(desk, "global", "--gdc-to-gap=exact")
        assert "Conv" not in [node.op_type for node in made.graph.node]
        same(SOURCES["global"], made)

    def test_what_a_plain_average_loses_is_said(self, desk):
        told, made = convert(desk, "global", "--gdc-to-gap=lossy")
        weight = normal(8, 1, 4, 6).astype(np.float64).reshape(8, -1)
        lost = sum(((row - row.mean()) ** 2).sum() for row in weight) / (weight**2).sum()
        assert told["warnings"] == [
            f"y is a plain average now: {lost:.1%} of its kernel's energy is lost"
        ]
        assert told["certificates"] == []
        assert told["drift"]["relative_error"] > 0.1
        assert "Conv" not in [node.op_type for node in made.graph.node]

    def test_what_cannot_be_done_is_said(self, desk):
        source = proto(POOLED.replace("4, 6", "H, W"))
        onnx.save(source, desk.folder / "open.onnx")
        told, _ = convert(desk, "open", "--gap-to-gdc", "--dim", "H=4", "--dim", "W=6")
        (warning,) = told["warnings"]
        assert warning.startswith("y stays as it is: the size of its feature map is not known")

    @pytest.mark.parametrize("words", [("--densify",), ("--spelling", "split")])
    def test_groups_that_cannot_be_written_out_are_named(self, desk, words):
        text = """g (float[N, 4, 6, 6] x, float[4, 2, 3, 3] w) => (float[N, 4, 4, 4] y) {
          y = Conv <group = 2> (x, w)
        }"""
        onnx.save(proto(text), desk.folder / "fed.onnx")
        told, _ = convert(desk, "fed", *words)
        assert told["certificates"] == []
        assert told["warnings"] == ["y keeps its groups: its weight is fed, not stored"]


class TestGdc:
    @pytest.mark.parametrize(("words", "rank"), [([], 1), (["--rank", 2], 2)])
    def test_a_fully_connected_head_of_few_branches(self, desk, words, rank):
        text = """g (float[N, 8, 4, 4] x) => (float[N, 10] y) {
          f = Flatten (x)
          y = Gemm <transB = 1> (f, w)
        }"""
        onnx.save(proto(text, w=normal(10, 128)), desk.folder / "head.onnx")
        answer = desk("convert", "head.onnx", "--gdc", *words, "--dry-run", "--json")
        (site,) = answer.document["sites"]
        assert (site["name"], site["recipe"]) == ("y", f"gdc({rank})")


class TestApi:
    def test_the_same_by_call(self, tmp_path):
        source = ir.from_proto(SOURCES["chain"])
        made = gconvtool.convert(source, tmp_path / "out.onnx", exact=True)
        assert [one.rewrite for one in made.certificates] == ["grouped(2)", "grouped(4)"]
        same(SOURCES["chain"], onnx.load(tmp_path / "out.onnx"))

    @pytest.mark.parametrize(
        ("words", "named"),
        [
            ({}, "a search needs data"),
            ({"gdc_to_gap": "no"}, "gdc_to_gap no"),
            ({"gdc_to_gap": "exact", "gap_to_gdc": True}, "exclude"),
            ({"exact": True, "only": ["a"]}, "--only"),
        ],
    )
    def test_what_means_nothing(self, words, named):
        with pytest.raises(InputError, match=named):
            gconvtool.convert(ir.from_proto(SOURCES["chain"]), **words)


WRONG = {
    "--gap-to-gdc --gdc-to-gap": "exclude",
    "--gdc-to-gap=approximately": "--gdc-to-gap",
    "--exact --rank 2": "--rank",
    "--gdc --groups 2": "exclude",
    "--exact --skip a": "--skip",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_words(desk, words):
    answer = desk("convert", "chain.onnx", "-o", "out.onnx", *words.split())
    assert WRONG[words] in refused(answer)


ARCHITECTURES = (
    "alexnet_2groups",
    "mobilefacenet",
    "mobilenet_v1",
    "shufflenet_v1_3groups",
    "xception",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fashion_resnet", *ARCHITECTURES])
def test_of_sample_networks_it_is_said_what_was_found(name, tmp_path):
    """One has trained weights, which hide nothing; the others are architectures without any."""
    sample = SAMPLES / f"{name}.onnx"
    result = gconvtool.convert(sample, tmp_path / "out.onnx", exact=True)
    operators = Counter(node.op_type for node in onnx.load(sample).graph.node)
    unseen = f"nothing is looked for in {operators['Conv']} of the convolutions: its weight is made"
    assert result.certificates == ()
    assert result.after.macs == result.before.macs
    assert all(drift.relative_error < 1e-6 for drift in result.drift)
    if name == "fashion_resnet":
        assert result.folded == operators["BatchNormalization"]
        assert result.warnings == ()
    else:
        (warning,) = result.warnings
        assert warning.startswith(f"{unseen} by ConstantOfShape")
