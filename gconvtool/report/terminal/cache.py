"""The page of `cache`: where times are kept, how many there are, and for which machines."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from gconvtool.report import words
from gconvtool.report.tables.table import Table, counts, texts
from gconvtool.report.terminal.prose import line
from gconvtool.report.terminal.sheet import Sheet
from gconvtool.results import CacheInfo


def cache_page(result: CacheInfo) -> RenderableType:
    """A line on the file, and a row for each set of circumstances."""
    return Group(*_sentences(result), *(_table(result) if result.shares else ()))


def _sentences(result: CacheInfo) -> Iterator[Text]:
    yield line(result.path)
    if result.removed is not None:
        yield line(f"{words.plural(result.removed, 'file')} deleted")
    elif result.entries is None:
        yield line(f"cannot be read: {result.trouble}; `gconvtool cache clear` deletes it")
    else:
        size = f", {words.size(result.size_bytes)}" if result.size_bytes else ""
        yield line(f"{words.plural(result.entries, 'measured time')}{size}")
    if result.sweeps:
        yield line(f"{words.plural(result.sweeps, 'sweep')} beside it")
    if result.searches:
        searches = words.plural(result.searches, "search")
        yield line(f"{searches} beside it, {words.size(result.searches_bytes)}")


def _table(result: CacheInfo) -> Iterator[RenderableType]:
    shares = result.shares
    yield Text()
    yield Sheet(
        Table(
            (
                texts("Machine", [share.machine for share in shares]),
                texts("onnxruntime", [share.onnxruntime for share in shares], rank=1),
                texts("Provider", [share.provider for share in shares], rank=1),
                counts("Threads", [share.threads for share in shares]),
                counts("Times", [share.entries for share in shares]),
            )
        )
    )
