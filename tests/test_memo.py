"""A search that is interrupted goes on where it was, and a memo never stands in the way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from nets import images, network, residual

import gconvtool
from gconvtool.facts import Skip
from gconvtool.fit.grouping import Grouping
from gconvtool.fit.structure import (
    BottleneckFactors,
    Factors,
    GroupedFactors,
    MonarchFactors,
    PointwiseFirstFactors,
    SeparableFactors,
)
from gconvtool.goals import goal
from gconvtool.pipeline import memo as memos
from gconvtool.pipeline import planner, weighing
from gconvtool.pipeline.choice import Fitted
from gconvtool.pipeline.memo import Memo, packed, unpacked
from gconvtool.pipeline.prices import Price, Priced
from gconvtool.recipes import Bottleneck, Gdc, Grouped, Monarch, Separable
from gconvtool.results import Conversion, Interval, Race

EVERY_KIND = """
<ir_version: 8, opset_import: ["": 17]>
every_kind (NUMBER[N, 8, 9, 9] x) => (NUMBER[N, 10] y)
  <NUMBER[16, 8, 3, 3] w, NUMBER[16, 8, 3, 3] g, NUMBER[16, 16, 3, 3] t, NUMBER[16, 16, 1, 1] p,
   NUMBER[1296, 10] h>
{
  a = Conv <pads = [1, 1, 1, 1]> (x, w)
  ra = Relu (a)
  b = Conv <pads = [1, 1, 1, 1], group = 2> (ra, g)
  rb = Relu (b)
  c = ConvTranspose <pads = [1, 1, 1, 1]> (rb, t)
  rc = Relu (c)
  d = Conv (rc, p)
  rd = Relu (d)
  f = Flatten (rd)
  y = Gemm (f, h)
}
"""
Search = Callable[..., tuple[Conversion, bytes]]
Watch = Callable[..., list[str]]
RNG = np.random.default_rng(0)
HALVES = Grouping(np.array([[0, 2], [1, 3]]), np.array([[3, 1], [2, 0]]))


def drawn(*shape: int) -> Any:
    return RNG.standard_normal(shape)


FACTORS: tuple[Factors, ...] = (
    GroupedFactors(drawn(4, 18), drawn(4), HALVES, 9),
    SeparableFactors(drawn(2, 4, 9), drawn(2, 4, 4), drawn(4)),
    PointwiseFirstFactors(drawn(2, 4, 4), drawn(2, 4, 9), drawn(4), 2),
    BottleneckFactors(np.array([[0, 1], [2, 3]]), drawn(4, 18), drawn(4, 4), drawn(4), 9),
    MonarchFactors(drawn(2, 2, 2), drawn(2, 2, 2), drawn(4), HALVES),
)
RECIPES = (Grouped(2), Separable(2, "pw-dw"), Bottleneck(2, 4), Monarch(2), Gdc(1))


def same(a: Any, b: Any) -> bool:
    """As `==`, but for arrays, of which there is no one answer."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if hasattr(a, "__dict__"):
        return type(a) is type(b) and all(same(v, vars(b)[k]) for k, v in vars(a).items())
    return bool(a == b)


@pytest.mark.parametrize("factors", FACTORS, ids=lambda one: type(one).__name__)
def test_weights_come_back_bit_by_bit(factors: Factors) -> None:
    fitted = Fitted(factors, "symmetric", 0.1 + 0.2, None)
    assert same(unpacked(packed(fitted)), fitted)


def test_prices_come_back(tmp_path: Path) -> None:
    prices = {"a": Price(3.5, dict.fromkeys(RECIPES, 1.25), {RECIPES[1]: "concat"})}
    priced = Priced(prices, {"b": Skip("it is a stem")}, ("told",), 7e6)
    Memo(tmp_path / "one").put("prices", priced)
    assert Memo(tmp_path / "one").get("prices") == priced


def test_what_cannot_be_kept_is_refused() -> None:
    with pytest.raises(TypeError):
        packed(Skip(object()))  # type: ignore[arg-type]


# Whatever a folder holds.


def kept(folder: Path) -> Path:
    """The one file of a memo."""
    Memo(folder).put("key", Skip("why"))
    (file,) = folder.iterdir()
    return file


@pytest.mark.parametrize("at", range(0, 700, 7))
def test_a_file_with_a_bit_turned_is_read_or_is_not(tmp_path: Path, at: int) -> None:
    file = kept(tmp_path / "one")
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= 0x41
    file.write_bytes(content)
    Memo(tmp_path / "one").get("key")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_damaged_file_is_a_step_that_was_not_taken(tmp_path: Path, share: float) -> None:
    file = kept(tmp_path / "one")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert Memo(tmp_path / "one").get("key") is None
    assert Memo(tmp_path / "one").recall("key", lambda: Skip("again")) == Skip("again")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    file = kept(tmp_path / "one")
    with file.open("wb") as opened:
        np.savez(opened, np.array('{"kind": "Path", "said": {}}'))
    assert Memo(tmp_path / "one").get("key") is None
    with file.open("wb") as opened:
        np.savez(opened, np.array(['{"array": 1}'], dtype=object), np.array([1]))
    assert Memo(tmp_path / "one").get("key") is None


def test_where_nothing_can_be_written_a_step_is_held(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    memo = Memo(tmp_path / "file" / "one")
    assert memo.put("key", Skip("why")) == Skip("why")
    assert memo.get("key") == Skip("why")
    memo.forget("key")
    assert memo.get("key") is None


def test_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = kept(tmp_path / "0").stat().st_size
    for number in range(1, 5):
        kept(tmp_path / str(number))
    (tmp_path / "0" / "not mine").touch()
    for number in range(5):
        os.utime(tmp_path / str(number), (number, number))
    monkeypatch.setattr(memos, "MOST_BYTES", int(5 * size))
    Memo(tmp_path / "4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2", "3", "4"]
    assert [path.name for path in (tmp_path / "0").iterdir()] == ["not mine"]


def test_one_that_is_full_keeps_what_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(packed(Skip("a")))
    monkeypatch.setattr(memos, "MOST_BYTES", 2 * int(2.5 * size))
    memo = Memo(tmp_path / "one")
    memo.put("large", Skip("a" * 3 * size))
    assert memo.get("large") == Skip("a" * 3 * size)
    for key in "abc":
        memo.put(key, Skip(key))
    assert [Memo(tmp_path / "one").get(key) for key in ("large", *"abc")] == [
        None,
        Skip("a"),
        Skip("b"),
        None,
    ]


# A search.


class Killed(BaseException):
    """Nothing catches that."""


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    """A search on made-up times, that change with every call."""
    np.savez(tmp_path / "data.npz", x=images(64))
    spent = iter(range(1000))

    def timed(request: object, found: object, fixed: object, offers: Any, *_: object, **__: object):
        then = {
            name: Price(9e6, {c.recipe: 1e4 * c.weights_after + next(spent) for c in candidates})
            for name, candidates in offers.items()
        }
        return Priced(then, whole_ns=20e6)

    raced = Race(10.0, 5.0, Interval(2.0, 1.9, 2.1), "faster")
    monkeypatch.setattr(weighing, "timed", timed)
    monkeypatch.setattr(planner, "race", lambda *told: raced)

    def run(cache: str, drop: str = "0.3") -> tuple[Conversion, bytes]:
        monkeypatch.setenv("GCONVTOOL_CACHE", str(tmp_path / cache))
        made = gconvtool.convert(
            residual(),
            tmp_path / "out.onnx",
            data=str(tmp_path / "data.npz"),
            goal=goal(max_drop=drop),
            threads=1,
            force=True,
        )
        return made, (tmp_path / "out.onnx").read_bytes()

    return run


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The steps that are taken from now on; after the last of them the search is killed."""
    put = Memo.put

    def watch(last: int | None = None) -> list[str]:
        taken = list[str]()

        def seen(self: Memo, key: object, found: Any) -> Any:
            put(self, key, found)
            taken.append(repr(key))
            if len(taken) == last:
                raise Killed
            return found

        monkeypatch.setattr(Memo, "put", seen)
        return taken

    return watch


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 0.99])
def test_an_interrupted_search_takes_no_step_twice(
    search: Search, watched: Watch, share: float
) -> None:
    every = watched()
    search("whole")
    assert len(set(every)) == len(every)
    before = watched(max(1, int(share * len(every))))
    with pytest.raises(Killed):
        search("killed")
    after = watched()
    search("killed")
    assert not set(before) & set(after) - {repr("seconds")}
    assert {*before, *after} >= {step for step in every if "'fit'" not in step}


def test_it_comes_to_what_it_would_have(
    search: Search, watched: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times that were taken before an interruption hold, so that nothing else is chosen."""
    with monkeypatch.context() as patch:
        patch.setattr(planner, "_raced", _killed)
        with pytest.raises(Killed):
            search("one")
    (tries,) = (path for path in Path(os.environ["GCONVTOOL_CACHE"], "searches").iterdir())
    shutil.copytree(tries, tries.parent / "copy")
    taken = watched()
    whole = search("one")
    assert [step for step in taken if "seconds" not in step] == []
    shutil.rmtree(tries)
    (tries.parent / "copy").rename(tries)
    for file in sorted(tries.iterdir())[::2]:
        if not isinstance(unpacked(file.read_bytes()), Priced):
            file.unlink()
    assert search("one") == whole


def test_another_limit_begins_with_what_is_known(search: Search, watched: Watch) -> None:
    """But with new times: the machine may be another one by then."""
    search("one", "0.3")
    taken = watched()
    search("one", "0.1")
    assert any("prices" in step for step in taken)
    assert not [step for step in taken if "'trials'" in step or "'look'" in step]


@pytest.mark.parametrize("number", ["float16", "double"])
def test_sites_of_every_kind_are_known_again(tmp_path: Path, watched: Watch, number: str) -> None:
    """Groups, transposed and pointwise convolutions, and a head over a whole map."""
    onnx.save(network(EVERY_KIND.replace("NUMBER", number)), tmp_path / "net.onnx")
    x = images(64).astype(np.float16 if number == "float16" else np.float64)
    np.savez(tmp_path / "data.npz", x=x)

    def made() -> bytes:
        gconvtool.convert(
            tmp_path / "net.onnx",
            tmp_path / "out.onnx",
            data=str(tmp_path / "data.npz"),
            goal=goal(max_drop="0.9", objective="macs"),
            threads=1,
            force=True,
        )
        return (tmp_path / "out.onnx").read_bytes()

    first, taken = made(), watched()
    assert made() == first
    assert [step for step in taken if "seconds" not in step] == []


def test_what_is_not_to_be_remembered_is_not(tmp_path: Path, search: Search) -> None:
    gconvtool.convert(
        residual(),
        data=str(tmp_path / "data.npz"),
        goal=goal(max_drop="0.3"),
        threads=1,
        remember=False,
    )
    assert not Path(os.environ["GCONVTOOL_CACHE"]).exists()


def _killed(*_: object, **__: object) -> None:
    raise Killed
