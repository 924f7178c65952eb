"""A study: sizes swept, layers explained by name, and several files that do not disturb another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from models import model, proto

from gconvtool.budgets import Limits
from gconvtool.errors import InputError
from gconvtool.pipeline.source import Feed
from gconvtool.pipeline.study import Peaks, Questions, studies, study
from gconvtool.results import Failed, Study

W = np.ones((4, 3, 3, 3), np.float32)
GRAPH = """
g (float[N, 3, H, W] x) => (float[N, 4, P, Q] y) {
  first = Conv (x, w) shape = Shape (first) y = Relu (first)
}
"""


def asked(feed: Feed | None = None, graph: str = GRAPH, **questions: Any) -> Study:
    return study(model(graph, w=W), feed or Feed(), Questions(**questions))


def macs(n: int, h: int, w: int) -> int:
    return n * (h - 2) * (w - 2) * 4 * 27


def swept(result: Study) -> list[tuple[Mapping[str, int], int]]:
    return [(dict(row.sizes), row.totals.macs) for row in result.sweep]


def test_no_questions_have_no_answers() -> None:
    result = asked(Feed(dims={"H": 8, "W": 8}))
    assert result.analysis.totals.macs == macs(1, 8, 8)
    assert (result.what_if, result.sweep, result.explanations, result.gates) == ((),) * 4
    assert result.roofline is None


def test_an_axis_of_a_sweep_may_hold_several_dimensions() -> None:
    axis = tuple({"H": size, "W": size} for size in (5, 7, 9))
    assert swept(asked(sweep=(axis,))) == [
        (sizes, macs(1, sizes["H"], sizes["W"])) for sizes in axis
    ]


def test_axes_combine_like_digits() -> None:
    batches = ({"N": 1}, {"N": 4})
    maps = ({"H": 5, "W": 6}, {"H": 8, "W": 9})
    assert swept(asked(sweep=(batches, maps))) == [
        ({"N": 1, "H": 5, "W": 6}, macs(1, 5, 6)),
        ({"N": 1, "H": 8, "W": 9}, macs(1, 8, 9)),
        ({"N": 4, "H": 5, "W": 6}, macs(4, 5, 6)),
        ({"N": 4, "H": 8, "W": 9}, macs(4, 8, 9)),
    ]


def test_a_sweep_varies_what_else_is_given_and_leaves_the_analysis_alone() -> None:
    result = asked(Feed(dims={"H": 8, "W": 8}), sweep=(({"H": 20}, {"H": 4}),))
    assert result.analysis.totals.macs == macs(1, 8, 8)
    assert swept(result) == [({"H": 20}, macs(1, 20, 8)), ({"H": 4}, macs(1, 4, 8))]


def test_a_sweep_that_leaves_sizes_open_gives_bounds() -> None:
    (row,) = asked(sweep=(({"H": 20},),)).sweep
    assert (row.totals.macs, row.totals.exact) == (0, False)


def test_a_sweep_over_what_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(InputError, match="--sweep Height"):
        asked(sweep=(({"Height": 20},),))


def test_a_swept_model_is_counted_as_if_it_were_loaded_for_each_size() -> None:
    sizes = ({"H": 9, "W": 9}, {"H": 6, "W": 12}, {"H": 9, "W": 9})
    rows = asked(sweep=(sizes,)).sweep
    assert [row.totals for row in rows] == [asked(Feed(dims=at)).analysis.totals for at in sizes]


def test_layers_are_explained_in_the_order_asked() -> None:
    result = asked(Feed(dims={"H": 8, "W": 8}), explain=("y", "first"))
    assert [explanation.name for explanation in result.explanations] == ["y", "first"]
    assert any(f"{macs(1, 8, 8):,}" in line for line in result.explanations[1].lines)


def test_a_layer_that_is_not_there_is_refused_with_what_is_near() -> None:
    with pytest.raises(InputError, match="--explain frist: no such layer; did you mean first"):
        asked(explain=("frist",))
    with pytest.raises(InputError, match="--explain qqqq: no such layer"):
        asked(explain=("qqqq",))


def test_a_node_that_costs_nothing_says_so() -> None:
    with pytest.raises(InputError, match="Shape"):
        asked(explain=("shape",))


IF = """
g (bool c, float[1, 3, 8, 8] x) => (float[N, M, P, Q] y) {
  y = If (c) < then_branch = t () => (float[N, M, P, Q] a) { a = Conv (x, w) },
               else_branch = e () => (float[N, M, P, Q] b) { b = Identity (x) } >
}
"""


def test_a_layer_in_a_body_is_explained_by_its_whole_name() -> None:
    result = asked(graph=IF, explain=("y/then_branch/a", "y"))
    assert any(f"{macs(1, 8, 8):,}" in line for line in result.explanations[0].lines)
    with pytest.raises(InputError, match="y/then_branch/a"):
        asked(graph=IF, explain=("then_branch/a",))


def test_a_roof_over_every_layer_that_multiplies() -> None:
    result = asked(Feed(dims={"H": 8, "W": 8}), peaks=Peaks(100, 10, measured=True))
    assert result.roofline is not None
    assert (result.roofline.ridge, result.roofline.measured) == (10, True)
    assert "first" in [placement.name for placement in result.roofline.placements]


def test_limits_are_judged_at_the_sizes_given() -> None:
    limits = Limits(most={"macs": macs(1, 8, 8)})
    assert asked(Feed(dims={"H": 8, "W": 8}), limits=limits).gates[0].passed is True
    assert asked(Feed(dims={"H": 8, "W": 9}), limits=limits).gates[0].passed is False
    assert asked(limits=limits).gates[0].passed is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Models in folders of folders, and what is none."""
    content = proto(GRAPH, w=W).SerializeToString()
    for name in ("b.onnx", "a.onnx", "deep/down/c.onnx", "deep/a.onnx", "B.onnx"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "readme.md").write_text("no model")
    (tmp_path / "d.onnx").mkdir()
    return tmp_path


def names(results: tuple[Study | Failed, ...]) -> list[str]:
    return [r.model if isinstance(r, Failed) else r.analysis.model for r in results]


def test_a_folder_is_searched_to_the_bottom_in_a_fixed_order(folder: Path) -> None:
    found = names(studies([str(folder)], Feed(), Questions()))
    expected = ["B.onnx", "a.onnx", "b.onnx", "deep/a.onnx", "deep/down/c.onnx"]
    assert found == [str(folder / name) for name in expected]


def test_files_and_folders_come_in_the_order_given(folder: Path) -> None:
    given = [str(folder / "b.onnx"), str(folder / "deep"), str(folder / "a.onnx")]
    assert names(studies(given, Feed(), Questions())) == [
        given[0],
        str(folder / "deep/a.onnx"),
        str(folder / "deep/down/c.onnx"),
        given[2],
    ]


def test_one_broken_file_does_not_stop_the_others(folder: Path) -> None:
    (folder / "broken.onnx").write_bytes(b"no model")
    given = [str(folder / "broken.onnx"), str(folder / "gone.onnx"), str(folder / "a.onnx")]
    broken, gone, good = studies(given, Feed(), Questions())
    assert isinstance(broken, Failed)
    assert isinstance(gone, Failed)
    assert "no such file" in gone.message
    assert isinstance(good, Study)
    assert names((broken, gone, good)) == given


@pytest.fixture
def two(folder: Path) -> list[str]:
    """Two models, of which the second calls its map K by W, and its input z."""
    other = proto(GRAPH.replace("H", "K").replace(" x)", " z)").replace("(x,", "(z,"), w=W)
    (folder / "z.onnx").write_bytes(other.SerializeToString())
    return [str(folder / "a.onnx"), str(folder / "z.onnx")]


def counts(results: tuple[Study | Failed, ...]) -> list[int]:
    return [r.analysis.totals.macs for r in results if isinstance(r, Study)]


def test_a_question_that_one_model_cannot_answer_fails_for_that_one(two: list[str]) -> None:
    shapes = {"x": (1, 3, 8, 8), "z": (1, 3, 8)}
    good, failed = studies(two, Feed(input_shapes=shapes), Questions())
    assert isinstance(good, Study)
    assert isinstance(failed, Failed)
    assert "--input-shape z" in failed.message


def test_sizes_are_for_the_models_that_have_such_dimensions_or_inputs(two: list[str]) -> None:
    dims = {"H": 8, "K": 9, "W": 7}
    assert counts(studies(two, Feed(dims=dims), Questions())) == [macs(1, 8, 7), macs(1, 9, 7)]
    shapes = {"x": (2, 3, 5, 6)}
    feed = Feed(dims={"K": 9, "W": 7}, input_shapes=shapes)
    assert counts(studies(two, feed, Questions())) == [macs(2, 5, 6), macs(1, 9, 7)]


def test_a_sweep_is_for_the_models_that_have_its_dimensions(two: list[str]) -> None:
    axis = ({"H": 5, "W": 6}, {"H": 8, "W": 9})
    first, second = studies(two, Feed(dims={"K": 4}), Questions(sweep=(axis, ({"K": 7},))))
    assert isinstance(first, Study)
    assert isinstance(second, Study)
    assert swept(first) == [({"H": 5, "W": 6}, macs(1, 5, 6)), ({"H": 8, "W": 9}, macs(1, 8, 9))]
    assert swept(second) == [
        ({"W": 6, "K": 7}, macs(1, 7, 6)),
        ({"W": 9, "K": 7}, macs(1, 7, 9)),
    ]


@pytest.mark.parametrize(
    ("feed", "sweep", "words"),
    [
        (Feed(dims={"height": 8}), (), "--dim height: no model has an"),
        (Feed(input_shapes={"y": (1, 3, 8, 8)}), (), "--input-shape y: no model has an"),
        (Feed(), (({"height": 8},),), "--sweep height: no model has an"),
    ],
)
def test_sizes_for_what_no_model_has_are_refused(
    two: list[str], feed: Feed, sweep: Any, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        studies(two, feed, Questions(sweep=sweep))


def test_a_layer_is_explained_in_the_models_that_have_it(tmp_path: Path) -> None:
    idle = GRAPH.replace("first = Conv (x, w)", "a = Conv (x, w) first = Identity (a)")
    paths = []
    for name, graph in (("idle", idle), ("lacks", IF), ("has", GRAPH)):
        paths.append(str(tmp_path / f"{name}.onnx"))
        Path(paths[-1]).write_bytes(proto(graph, w=W).SerializeToString())
    results = studies(paths, Feed(), Questions(explain=("first", "y")))
    told = [[e.name for e in r.explanations] for r in results if isinstance(r, Study)]
    assert told == [["y"], ["y"], ["first", "y"]]
    with pytest.raises(InputError, match="first: its operator, Identity, costs nothing"):
        studies(paths[1::-1], Feed(), Questions(explain=("first",)))
    with pytest.raises(InputError, match="frist: no such layer; did you mean first"):
        studies(paths, Feed(), Questions(explain=("frist",)))
    gone = str(tmp_path / "gone.onnx")
    assert isinstance(studies([*paths, gone], Feed(), Questions(explain=("frist",)))[-1], Failed)


def test_a_model_that_cannot_be_read_might_have_had_it(two: list[str], folder: Path) -> None:
    (folder / "broken.onnx").write_bytes(b"no model")
    given = [*two, str(folder / "broken.onnx")]
    results = studies(given, Feed(dims={"height": 8}), Questions())
    assert [type(result) for result in results] == [Study, Study, Failed]


RESIZED = """
g (float[1, 3, H, W] x) => (float[1, 4, P, Q] y) {
  s = Shape <start = 2> (x) d = Mul (s, two) t = Concat <axis = 0> (kept, d)
  r = Resize (x, , , t) y = Conv (r, w)
}
"""


def test_numbers_that_follow_from_sizes_are_forgotten_between_them() -> None:
    constants = {"two": np.array([2, 2]), "kept": np.array([1, 3])}
    axis = tuple({"H": size, "W": size} for size in (5, 7, 9))
    feed, asks = Feed(dims={"H": 4, "W": 4}), Questions(sweep=(axis,))
    result = study(model(RESIZED, w=W, **constants), feed, asks)
    assert result.analysis.totals.macs == macs(1, 8, 8)
    assert [row.totals.macs for row in result.sweep] == [macs(1, n, n) for n in (10, 14, 18)]


def test_dimensions_that_are_swept_need_no_warning() -> None:
    (warning,) = asked(sweep=(({"H": 5}, {"H": 6}),)).analysis.warnings
    assert "--dim W=SIZE" in warning
    assert "H" not in warning
    assert not asked(sweep=(({"H": 5},), ({"W": 6},))).analysis.warnings


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"without any \.onnx"):
        studies([str(tmp_path)], Feed(), Questions())


def test_progress_tells_what_is_worked_on(folder: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    given = [str(folder / "a.onnx"), str(folder / "b.onnx")]
    studies(given, Feed(), Questions(), lambda *step: seen.append(step))
    assert seen == [(given[0], 0, 2), (given[1], 1, 2)]


def test_the_model_given_stays_as_it_was() -> None:
    network = model(GRAPH, w=W)
    before = ir.to_proto(network).SerializeToString(deterministic=True)
    axis = ({"H": 9, "W": 9}, {"H": 6, "W": 6})
    study(network, Feed(), Questions(sweep=(axis,), explain=("first",)))
    assert ir.to_proto(network).SerializeToString(deterministic=True) == before
    assert onnx.load_model_from_string(before).graph.node[0].op_type == "Conv"
