"""Where the time of one model or two goes: a row a layer, those of little account in one."""

from __future__ import annotations

from collections.abc import Sequence

from gconvtool.report import words
from gconvtool.report.tables.table import Column, Table, counts, names, numbers, texts
from gconvtool.results import LayerRun, LayerTime, LayerTimes

LEAST = 0.01
"""Of the time of A and of B; what takes less and has no MACs gets no row of its own."""
BAR = 12
"""Columns of the slowest layer's bar."""

Runs = Sequence[LayerRun | None]


def layer_times(found: LayerTimes) -> Table:
    """In the order of the network; the slowest layers of A and of B stand out."""
    rows = [layer for layer in found.layers if _counts(layer, found)]
    others = [layer for layer in found.layers if not _counts(layer, found)]
    alone = found.total_us[1] is None
    made = _alone(rows, found) if alone else _beside(rows)
    last = _others(others, found)
    columns = [
        Column(c.title, (*c.cells, last.get(c.title, "")) if last else c.cells, c.content, c.rank)
        for c in made
    ]
    marked = [layer.name for layer in slowest(found)]
    styles = ["bold" if row.name in marked else "" for row in rows] + (["dim"] if last else [])
    return Table(tuple(columns), tuple(styles))


def slowest(found: LayerTimes) -> tuple[LayerTime, ...]:
    """The layer that takes most of A's time, and that which takes most of B's."""
    if not found.layers:
        return ()
    of_a = max(found.layers, key=lambda layer: _us(layer.a) or 0.0)
    of_b = max(found.layers, key=lambda layer: _us(layer.b) or 0.0)
    return (of_a,) if found.total_us[1] is None else (of_a, of_b)


def microseconds(value: float | None) -> str:
    """Whole ones, which is what a profile is made of."""
    return "" if value is None else f"{value:,.0f}"


def _counts(layer: LayerTime, found: LayerTimes) -> bool:
    pairs = zip((layer.a, layer.b), found.total_us, strict=True)
    seen = [(run, whole) for run, whole in pairs if run is not None and whole is not None]
    return any(run.macs != 0 or run.median_us >= LEAST * whole for run, whole in seen)


def _alone(rows: Sequence[LayerTime], found: LayerTimes) -> tuple[Column, ...]:
    runs, whole = [row.a for row in rows], found.total_us[0]
    times = [_us(run) for run in runs]
    shares = ["" if us is None or not whole else words.percent(us / whole) for us in times]
    return (
        *_titles(rows),
        counts("MACs", [run.macs if run else None for run in runs], rank=2),
        numbers("µs", map(microseconds, times)),
        numbers("Share", shares),
        numbers("GFLOP/s", _rates(runs), rank=1),
        texts("Path", _paths(runs), rank=3),
        numbers("Reorders", _reorders(runs), rank=6),
        Column("", _bars(times), "bars", rank=9),
    )


def _beside(rows: Sequence[LayerTime]) -> tuple[Column, ...]:
    a, b = [row.a for row in rows], [row.b for row in rows]
    gains = ["" if row.speedup is None else f"{row.speedup:.2f}x" for row in rows]
    realised = ["" if row.realised is None else f"{100 * row.realised:.0f} %" for row in rows]
    return (
        *_titles(rows),
        numbers("A µs", [microseconds(_us(run)) for run in a]),
        numbers("B µs", [microseconds(_us(run)) for run in b]),
        numbers("Faster", gains),
        numbers("MACs ÷", [_fewer(row) for row in rows], rank=2),
        numbers("Realised", realised),
        numbers("A GFLOP/s", _rates(a), rank=6),
        numbers("B GFLOP/s", _rates(b), rank=1),
        texts("Path", _paths(b), rank=3),
        numbers("Reorders", _reorders(b), rank=6),
        Column("", _bars([_us(run) for run in b]), "bars", rank=9),
    )


def _titles(rows: Sequence[LayerTime]) -> tuple[Column, ...]:
    return (
        names("Layer", [row.name for row in rows]),
        texts("Op", [row.op for row in rows], rank=8),
        texts("Kind", [row.kind or "" for row in rows], rank=7),
    )


def _others(layers: Sequence[LayerTime], found: LayerTimes) -> dict[str, str]:
    """The cells of the last row, by the titles of their columns; none where all have rows."""
    rest_a, rest_b = found.rest_us
    a = rest_a + sum(_us(layer.a) or 0.0 for layer in layers)
    b = (rest_b or 0.0) + sum(_us(layer.b) or 0.0 for layer in layers)
    if not layers and not a and not b:
        return {}
    share = words.percent(a / found.total_us[0]) if found.total_us[0] else ""
    told = f"{words.plural(len(layers), 'other')}" if layers else "no layer"
    times = {"µs": a, "A µs": a, "B µs": b}
    return {"Layer": told, "Share": share, **{k: microseconds(us) for k, us in times.items()}}


def _us(run: LayerRun | None) -> float | None:
    return None if run is None else run.median_us


def _rates(runs: Runs) -> list[str]:
    rates = [None if run is None else run.gflops for run in runs]
    return ["" if rate is None else f"{rate:,.{rate < 1:d}f}" for rate in rates]


def _reorders(runs: Runs) -> list[str]:
    return [str(run.reorders) if run is not None and run.reorders else "" for run in runs]


def _fewer(row: LayerTime) -> str:
    """How many times less B multiplies; nothing where it multiplies as much."""
    if row.a is None or row.b is None or not row.a.macs or not row.b.macs:
        return ""
    return "" if row.a.macs == row.b.macs else words.decimal(row.a.macs / row.b.macs)


def _paths(runs: Runs) -> list[str]:
    return ["" if run is None else run.path or "" for run in runs]


def _bars(times: Sequence[float | None]) -> tuple[str, ...]:
    longest = max((us or 0.0 for us in times), default=0.0) or 1.0
    return tuple("█" * round(BAR * (us or 0.0) / longest) for us in times)
