"""Comparisons read back from their documents, and whatever else a document holds is explained."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from helpers_cli import comparison
from hypothesis import strategies as st
from often import often

from gconvtool.errors import InputError
from gconvtool.report import document
from gconvtool.report.saved import comparison_of
from gconvtool.results import (
    BaselineCheck,
    Block,
    Comparison,
    Drift,
    Gate,
    Interval,
    LayerRun,
    LayerTime,
    LayerTimes,
    Measurement,
    Placed,
    Round,
    Sample,
    Totals,
)
from gconvtool.timing.stats import judge


def a_round(order: str, log_ratio: float) -> Round:
    a_ms, b_ms = 3.0 * math.exp(log_ratio / 2), 3.0 * math.exp(-log_ratio / 2)
    return Round(order, Sample(a_ms, 5.5, False), Sample(b_ms, 0.0, None))


MEASURED = Measurement(
    tuple(
        Block(
            (10.0, 20.5), (5.0, 6.0), tuple(a_round(order, 0.5 + shift) for order in ("AB", "BA"))
        )
        for shift in (0.01, -0.01, 0.02, -0.02)
    ),
    (1, 3),
    ("only 2 rounds of A and B fitted into a block",),
)
RUN = LayerRun(120.5, 1000, 16.6, "blocked", 1, ("conv_1", "reorder"))
LAYERS = LayerTimes(
    (
        LayerTime(
            "y", "Conv", "standard", RUN, replace(RUN, median_us=60.0), 0.9, "use wider groups"
        ),
        LayerTime("z", "Relu", None, None, replace(RUN, macs=None, gflops=None, path=None)),
    ),
    (3.5, None),
    20,
    "cpu",
    ("few runs",),
)


def made(**changes: Any) -> Comparison:
    """A comparison whose judgement follows from its samples, with something in every field."""
    one = comparison(
        drift=Drift("scores", 2000, 0.02, 34.0, 0.9998, 0.5, max_abs=0.25),
        gates=[Gate("min_speedup", 1.2, 1.6, True), Gate("max_p95", 5.0, None, None)],
        totals=(Totals(4000, 400, exact=False), Totals(1000, 100)),
    )
    judged = {
        "judgement": judge(MEASURED),
        "measurement": MEASURED,
        "warnings": ("a noisy machine",),
    }
    return replace(one, **{**judged, **changes})


FULL = made(
    layers=LAYERS,
    baseline=BaselineCheck(
        "old.json", Interval(1.5, 1.4, 1.6), Interval(1.1, 1.0, 1.2), ("CPUs 4 then, 2 now",)
    ),
    placement={
        "a": {"cuda": Placed(5, 900, 0.9, ("c1", "c2")), "cpu": Placed(2)},
        "b": {"cuda": Placed(7)},
    },
    drift=(Drift("one", 5, None, None, None), Drift("two", 5, 0.1, 20.0, 0.99, p99_abs=1.5)),
)


def written(result: Comparison) -> Any:
    return json.loads(document.dumps(document.comparison(result)))


@pytest.mark.parametrize("result", [made(), FULL, made(warnings=())])
def test_what_was_written_is_read_back(result: Comparison) -> None:
    assert comparison_of(written(result)) == result


def test_the_verdict_is_made_again_of_the_samples() -> None:
    held = written(made())
    held |= {"verdict": "slower", "speedup": {"estimate": 0.1, "low": 0.1, "high": 0.1}}
    held |= {"rounds": 7, "clean_rounds": 7, "clock": "cpu"}
    assert comparison_of(held) == made()
    for round_ in (r for block in held["samples"]["blocks"] for r in block["rounds"]):
        round_["a"], round_["b"] = round_["b"], round_["a"]
    found = comparison_of(held).judgement
    assert found.verdict == "slower"
    assert found.speedup.estimate == pytest.approx(1 / made().judgement.speedup.estimate)


def test_documents_of_earlier_and_later_versions_are_read() -> None:
    held = written(made())
    for key in ("layers", "baseline"):
        del held[key]
    for key in ("exact", "end_to_end_ms", "size_bytes"):
        del held["models"]["b"][key]
    held["something_new"] = {"deep": [1]}
    held["samples"]["blocks"][0]["new"] = 1
    assert comparison_of(held) == made()


FIRST = "samples.blocks[0].rounds[0]"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("schema", "gconvtool.bench-solo/1", "'gconvtool.bench-solo/1', not gconvtool.bench/1"),
        ("schema", None, "its schema is missing"),
        ("error", {"kind": "input", "message": "no"}, "it failed"),
        ("models", None, "models is missing, not keys and values"),
        ("models.b", 3, "models.b is 3, not keys and values"),
        ("models.b.path", None, "models.b.path is missing, not a text"),
        ("models.b.median_ms", 0, "models.b.median_ms is 0.0, not a time"),
        ("models.a.macs", -1, "models.a.macs is -1, not a whole number"),
        ("models.a.exact", 1, "models.a.exact is 1, not true or false"),
        ("threads", 2.0, "threads is 2.0, not a whole number"),
        ("batch", True, "batch is True, not a whole number"),
        ("machine.processor", 7, "machine.processor is 7, not a text"),
        ("gates", {}, "gates is {}, not a list"),
        ("drift.samples", "many", "drift.samples is 'many'"),
        ("drift", 0, "drift is 0, not keys and values"),
        ("drift", None, "drift is missing, not keys and values"),
        ("drift.outputs", 1, "drift.outputs is 1, not a list"),
        ("drift.outputs", [], "drift.outputs is [], not one at least"),
        ("placement", {"a": {}}, "placement is ['a'], not that of a and b"),
        ("placement.a", {"two\nlines": 1}, r"placement.a.'two\nlines' is 1, not keys"),
        ("baseline", {}, "baseline.path is missing"),
        ("samples", None, "samples is missing"),
        ("samples.blocks", [], "two blocks at least"),
        ("samples.blocks[0].rounds", [], "samples.blocks[0].rounds: rounds of both orders"),
        ("samples.blocks[0].create_ms", [1.0], "create_ms is [1.0], not a list of 2"),
        ("samples.runs_per_sample", [0, 1], "samples.runs_per_sample is (0, 1), not at least 1"),
        (f"{FIRST}.order", "BA", "rounds of both orders"),
        (f"{FIRST}.order", "ab", "rounds of both orders"),
        (f"{FIRST}.a.wall_ms", 0, "rounds[0].a.wall_ms is 0.0, not a time"),
        (f"{FIRST}.a.wall_ms", -3.0, "is -3.0, not a time"),
        (f"{FIRST}.a.wall_ms", math.nan, "is nan, not a number"),
        (f"{FIRST}.a.wall_ms", 10**400, "is 1000"),
        (f"{FIRST}.b.cpu_ms", 1e-200, "rounds[0].b.cpu_ms is 1e-200, not a time"),
        (f"{FIRST}.b.preempted", "no", "preempted is 'no', not true or false"),
        ("layers", {"layers": [], "rest_us": [1], "runs": 1, "provider": "cpu"}, "not a list of 2"),
    ],
)
def test_what_is_damaged_is_named(path: str, value: object, said: str) -> None:
    held = written(made())
    *outer, key = path.replace("[", ".").replace("]", "").split(".")
    place = held
    for step in outer:
        place = place[int(step) if step.isdigit() else step]
    place[key] = value
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        comparison_of(held)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("path", "said"), [("path", "blocked"), ("speedup", "its bounds")])
def test_a_damaged_layer_or_baseline_is_named(path: str, said: str) -> None:
    held = written(FULL)
    held["layers"]["layers"][0]["a"]["path"] = "fast" if path == "path" else "blocked"
    held["baseline"]["speedup"]["low"] = 0.0
    with pytest.raises(InputError, match=said):
        comparison_of(held)


@pytest.mark.parametrize("held", [None, [], "text", 3, {}, {"schema": ["gconvtool.bench/1"]}])
def test_what_is_no_document_is_refused(held: object) -> None:
    with pytest.raises(InputError, match=r"no comparison: its schema is .*gconvtool bench A B"):
        comparison_of(held)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document."""
    yield path
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield from places(value[key], (*path, key))


WRITTEN = written(FULL)
PLACES = sorted(places(WRITTEN), key=str)
FOREIGN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([0, -1, 1e-7, 1e308, 2**70, 10**400, "AB", "BA", [], {}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@often(
    60,
    300,
    st.lists(st.tuples(st.sampled_from(PLACES), FOREIGN, st.booleans()), min_size=1, max_size=3),
)
def test_any_damage_is_told_or_does_not_matter(damages: list[tuple[Any, Any, bool]]) -> None:
    held = copy.deepcopy(WRITTEN)
    for path, value, gone in damages:
        held = damaged(held, path, value, gone)
    try:
        found = comparison_of(held)
    except InputError:
        return
    assert comparison_of(written(found)) == found
    assert judge(found.measurement) == found.judgement


def damaged(held: Any, path: tuple[Any, ...], value: Any, gone: bool) -> Any:
    """The document with another value in a place, or without it."""
    if not path:
        return value
    place = held
    try:
        for key in path[:-1]:
            place = place[key]
        if gone:
            del place[path[-1]]
        else:
            place[path[-1]] = value
    except (LookupError, TypeError):  # an earlier damage took this place away
        pass
    return held
