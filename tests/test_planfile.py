"""Plans as files: what is written is read back, and whatever else a file holds is explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gconvtool import planfile
from gconvtool.errors import InputError
from gconvtool.facts import Skip
from gconvtool.plan import Channels, Entry
from gconvtool.planfile import PlanFile
from gconvtool.recipes import Bottleneck, Gdc, Grouped, Monarch, Recipe, Separable
from gconvtool.spellings import SPELLINGS

CHANNELS = Channels(((0, 2), (1, 3)), ((0,), (1,)))
PLAN = PlanFile(
    (
        Entry("a", Grouped(2), CHANNELS, 0.0625),
        Entry("b", Separable(3, "pw-dw"), spelling="concat"),
    ),
    {"stem": Skip("too few input channels (3)")},
    "net.onnx",
    seed=7,
    samples=256,
    spelling="sum",
    tool="1.2.3",
)
TEXT = """{
  "schema": "gconvtool.plan/1",
  "tool": "1.2.3",
  "model": "net.onnx",
  "seed": 7,
  "samples": 256,
  "spelling": "sum",
  "sites": [
    {
      "name": "a",
      "recipe": "groups=2",
      "channels": {
        "inputs": [
          [0, 2],
          [1, 3]
        ],
        "outputs": [
          [0],
          [1]
        ]
      },
      "error": 0.0625
    },
    {
      "name": "b",
      "recipe": "separable:rank=3,order=pw-dw",
      "spelling": "concat",
      "error": null
    }
  ],
  "kept": [
    {
      "name": "stem",
      "reason": "too few input channels (3)"
    }
  ]
}
"""

NUMBERS = st.integers(1, 99)
RECIPES: st.SearchStrategy[Recipe] = st.one_of(
    st.builds(Grouped, NUMBERS),
    st.builds(Separable, NUMBERS, st.sampled_from(["dw-pw", "pw-dw"])),
    st.builds(Bottleneck, NUMBERS, NUMBERS),
    st.builds(Monarch, st.integers(2, 99)),
    st.builds(Gdc, NUMBERS),
)
SPELT = st.none() | st.sampled_from(SPELLINGS)
ERRORS = st.none() | st.floats(0, 2)
WHOLES = st.none() | st.integers(0, 2**63 - 1)


@st.composite
def grouped(draw: Callable[[st.SearchStrategy[Any]], Any], name: str) -> Entry:
    """A site whose groups are shared out at random."""
    recipe = draw(st.sampled_from([Grouped(1), Grouped(3), Monarch(2)]))
    lists = recipe.groups * draw(st.integers(1, 2))
    sides = []
    for _ in "io":
        size = draw(st.integers(1, 3))
        numbers = draw(st.permutations(range(lists * size)))
        sides.append(tuple(tuple(numbers[i::lists]) for i in range(lists)))
    return Entry(name, recipe, Channels(*sides), draw(ERRORS))


@st.composite
def plans(draw: Callable[[st.SearchStrategy[Any]], Any]) -> PlanFile:
    names = draw(st.lists(st.text(), unique=True, max_size=5))
    cut = draw(st.integers(0, len(names)))
    entries = [
        draw(grouped(name) | st.builds(Entry, st.just(name), RECIPES, st.none(), ERRORS, SPELT))
        for name in names[:cut]
    ]
    kept = {name: Skip(draw(st.text())) for name in names[cut:]}
    words = st.none() | st.text()
    return PlanFile(
        tuple(entries), kept, draw(words), draw(WHOLES), draw(WHOLES), draw(SPELT), draw(words)
    )


def objection(text: str) -> str:
    """What is said against a file: one line that names it."""
    with pytest.raises(InputError) as caught:
        planfile.parse(text, "plan.json")
    said = str(caught.value)
    assert said.startswith("plan.json: ")
    assert said.isprintable()
    return said


def edited(**keys: object) -> str:
    """The text with other values at the top."""
    return json.dumps({**json.loads(TEXT), **keys})


def with_site(**keys: object) -> str:
    """The text with one site more, of these keys."""
    return edited(sites=[*json.loads(TEXT)["sites"], keys])


def test_a_plan_is_written_to_be_edited_by_hand() -> None:
    assert planfile.text(PLAN) == TEXT
    assert planfile.parse(TEXT, "plan.json") == PLAN


@given(plans())
def test_what_is_written_is_read_back(plan: PlanFile) -> None:
    assert planfile.parse(planfile.text(plan), "plan.json") == plan


def test_little_is_enough_for_a_plan() -> None:
    text = '{"schema": "gconvtool.plan/1", "sites": [{"name": "a", "recipe": "separable"}]}'
    assert planfile.parse(text, "p") == PlanFile((Entry("a", Separable(2)),), tool=None)


def test_an_infinite_error_is_written_as_not_known() -> None:
    text = planfile.text(PlanFile((Entry("a", Gdc(), None, float("inf")),)))
    assert planfile.parse(text, "p").entries == (Entry("a", Gdc()),)


def test_the_documented_plans_are_plans() -> None:
    page = (Path(__file__).parent.parent / "docs/plan.md").read_text(encoding="utf-8")
    long, short = (part.split("```")[0] for part in page.split("```json\n")[1:])
    assert planfile.text(planfile.parse(long, "p")) == long
    assert len(planfile.parse(short, "p").entries) == 2


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path, mark) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(mark + TEXT.encode())
    assert planfile.read(path) == PLAN


def test_a_file_that_cannot_be_read_is_told(tmp_path) -> None:
    path = tmp_path / "plan.json"
    with pytest.raises(InputError, match=r"plan\.json: cannot be read: No such file"):
        planfile.read(path)
    path.write_bytes(b"\xff\xfe{\x00}\x00")
    with pytest.raises(InputError, match=r"plan\.json: .*UTF-8"):
        planfile.read(path)


SITE = {"name": "c", "recipe": "groups=2"}
SIDES = {"inputs": [[0, 1], [2, 3]], "outputs": [[0], [1]]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("{'schema': 1}", "no JSON"),
        (TEXT[:-4], "no JSON"),
        (TEXT.replace("[1, 3]", "[1, 3],"), "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"seed": ' + "1" * 5000 + "}", "no JSON"),
        (TEXT.replace("0.0625", "NaN"), "write null"),
        (TEXT.replace('"seed": 7,', '"seed": 7, "seed": 8,'), "key seed is twice"),
        ("[]", "its schema is missing, not gconvtool.plan/1"),
        (edited(schema="gconvtool.analyze/1"), "its schema is 'gconvtool.analyze/1'"),
        ('{"schema": "gconvtool.plan/1"}', "has no sites"),
        (edited(sead=3), "at the top: no key sead is known; did you mean seed?"),
        (edited(colour=3), "known are schema, tool"),
        (edited(seed=-1), "seed is -1, not a whole number"),
        (edited(seed=True), "seed is True"),
        (edited(samples=2.5), "samples is 2.5"),
        (edited(spelling="summ"), "spelling is 'summ'; known are auto, sum"),
        (edited(model=3), "model is 3, not a text"),
        (edited(sites={}), "sites should be a list"),
        (edited(sites=[3]), "sites[0]: should be keys and values in braces, not 3"),
        (edited(sites=[{"recipe": "groups=2"}]), "sites[0]: it has no name"),
        (edited(kept=[{"name": "x"}]), "kept[0]: it has no reason"),
        (edited(kept=[{"name": "a", "reason": "r"}]), "site a: it is in sites and in kept"),
        (edited(kept=[{"name": "x", "reason": "r"}] * 2), "site x: it is twice in kept"),
        (with_site(name="a", recipe="groups=2"), "site a: it is twice in sites"),
        (with_site(name="c"), "site c: it has no recipe"),
        (with_site(name="c", recipe="group=2"), "site c: recipe: group=2: no such recipe"),
        (with_site(name="c", recipe="groups=0"), "site c: recipe: 0 groups"),
        (with_site(name="c", recipe="a\nb"), "site c: recipe: 'a\\nb'"),
        (with_site(**SITE, chanels={}), "site c: no key chanels is known; did you mean channels?"),
        (with_site(**SITE, spelling="summ"), "site c: spelling is 'summ'; known are auto, sum"),
        (with_site(**SITE, error="1 %"), "site c: error is '1 %', not a number"),
        (with_site(**SITE, error=True), "site c: error is True"),
        (TEXT.replace("0.0625", "1e999"), "site a: error is inf"),
        (with_site(**SITE, channels=[]), "site c: channels: should be keys and values"),
        (with_site(**SITE, channels={**SIDES, "in": []}), "no key in is known"),
        (with_site(**SITE, channels={"inputs": [[0], [1]]}), "outputs: should be lists"),
        (with_site(**SITE, channels={**SIDES, "inputs": [0, 1]}), "inputs: should be lists"),
        (with_site(**SITE, channels={**SIDES, "inputs": [[0], [1.0]]}), "1.0 is no channel"),
        (with_site(**SITE, channels={**SIDES, "inputs": [[0], [True]]}), "True is no channel"),
        (with_site(**SITE, channels={**SIDES, "inputs": [[0], [0]]}), "channel 0 is there twice"),
        (with_site(**SITE, channels={**SIDES, "outputs": [[0]]}), "2 lists of inputs and 1 of"),
        (with_site(name="c", recipe="groups=4", channels=SIDES), "makes 4 groups"),
        (with_site(name="c", recipe="gdc", channels=SIDES), "gdc(1) takes no lists"),
        (with_site(name="new\nline", recipe=""), "site 'new\\nline': recipe: ''"),
        (with_site(name="x" * 10**4, recipe=3), "recipe is 3"),
    ],
)
def test_what_does_not_belong_is_explained(text: str, words: str) -> None:
    said = objection(text)
    assert words in said
    assert len(said) < 400


def outcome(text: str) -> PlanFile | str:
    """The plan, or what is said against it."""
    try:
        return planfile.parse(text, "plan.json")
    except InputError as error:
        return str(error)


@given(st.integers(0, len(TEXT)), st.integers(0, 3), st.text(max_size=3))
def test_a_mutated_text_is_refused_or_a_plan(place: int, cut: int, put: str) -> None:
    answer = outcome(TEXT[:place] + put + TEXT[place + cut :])
    if isinstance(answer, str):
        assert answer.startswith("plan.json: ")
    else:
        assert outcome(planfile.text(answer)) == answer


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.data(), VALUES)
def test_any_value_in_any_place_is_refused_or_a_plan(data: st.DataObject, value: object) -> None:
    document = json.loads(TEXT)
    holder: Any = document
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(holder[key], dict | list) or not holder[key] or data.draw(st.booleans()):
            break
        holder = holder[key]
    holder[key] = value
    answer = outcome(json.dumps(document))
    assert isinstance(answer, PlanFile) or answer.startswith("plan.json: ")
