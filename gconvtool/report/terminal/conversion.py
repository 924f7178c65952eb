"""The page of `convert`: what became of every convolution, then the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from gconvtool.report import words
from gconvtool.report.tables.table import Column, Table, names, numbers, texts
from gconvtool.report.terminal.prose import line, title
from gconvtool.report.terminal.sheet import Sheet
from gconvtool.results import Certificate, Conversion, Drift, Planning, SiteOutcome, SiteTime

LABEL = 11


def conversion_page(result: Conversion) -> RenderableType:
    """Sites, sums before and after, and how far the outputs moved."""
    heading = f"{result.model} → {result.output}" if result.output else result.model
    parts: list[RenderableType] = [title(heading)]
    if result.sites:
        parts += [Text(), Sheet(_sites(result.sites, result.planning))]
    if result.certificates:
        parts += [Text(), title("Exact rewrites"), Sheet(_certificates(result.certificates))]
    elif result.exact_asked:
        parts += [Text(), line("Nothing to rewrite exactly was found.")]
    parts += [Text(), *_summary(result)]
    if result.output is None:
        parts.append(line("; ".join((*_intended(result), "nothing was written.")).capitalize()))
    return Group(*parts)


def _sites(sites: Sequence[SiteOutcome], found: Planning | None) -> Table:
    times = {} if found is None else {time.name: time for time in found.times}
    errors = ["" if site.error is None else words.percent(site.error) for site in sites]
    after = [words.number(site.macs_after) if site.recipe else "" for site in sites]
    return Table(
        (
            names("Convolution", [site.name for site in sites]),
            texts("Becomes", [_becomes(site) for site in sites]),
            numbers("Error", errors, rank=2),
            numbers("MACs before", [words.number(site.macs_before) for site in sites], rank=1),
            numbers("after", after),
            *_times(sites, times),
        ),
        tuple("" if site.recipe else "dim" for site in sites),
    )


def _times(sites: Sequence[SiteOutcome], times: Mapping[str, SiteTime]) -> Iterator[Column]:
    """What sites take in their surroundings, where that was measured."""
    if times:
        seen = [times.get(site.name) for site in sites]
        befores = ["" if time is None else f"{time.before_ms:.3g}" for time in seen]
        afters = ["" if time is None else f"{time.after_ms:.3g}" for time in seen]
        yield numbers("ms before", befores)
        yield numbers("after", afters)


def _certificates(certificates: Sequence[Certificate]) -> Table:
    measured = [f"{one.difference:.1g} ≤ {one.bound:.1g}" for one in certificates]
    return Table(
        (
            names("Where", [one.site for one in certificates]),
            texts("What", [one.rewrite for one in certificates]),
            texts("Why", [one.because for one in certificates], rank=2),
            numbers("Difference", measured, rank=1),
        )
    )


def _intended(result: Conversion) -> Iterator[str]:
    """What would be done, of all that was asked for."""
    if result.sites:
        yield f"{words.plural(len(result.converted), 'convolution')} would be converted"
    if result.exact_asked:
        yield f"{words.plural(len(result.certificates), 'exact rewrite')} would be made"


def _becomes(site: SiteOutcome) -> str:
    """The recipe, and what it was fitted to where that is not the usual."""
    if site.recipe is None:
        return f"kept: {site.reason}"
    return site.recipe if site.fit in (None, "asymmetric") else f"{site.recipe}, {site.fit} fit"


def _summary(result: Conversion) -> Iterator[Text]:
    before, after = result.before, result.after
    costs = (words.total(totals.macs, totals.exact) for totals in (before, after))
    yield _changed("MACs", " → ".join(costs), words.ratio(before, after, "macs"))
    params = (words.number(totals.params) for totals in (before, after))
    yield _changed("Parameters", " → ".join(params), words.ratio(before, after, "params"))
    if result.folded:
        folded = words.plural(result.folded, "node")
        yield line(f"{'Exact':<{LABEL}} {folded} folded into weights")
    if result.planning is not None:
        yield from _planning(result.planning)
    if result.refined is not None:
        errors = " → ".join(words.percent(error) for error in result.refined)
        yield line(f"{'2nd pass':<{LABEL}} squared error of the outputs {errors}, held-out samples")
    for part in result.drift:
        yield from _drift(part, result)


def _planning(found: Planning) -> Iterator[Text]:
    """What was searched for and found; what was measured of the whole, and what was predicted."""
    verdict = "" if found.holds else ", which is over the limit"
    yield line(f"{'Goal':<{LABEL}} {found.limit}: {found.used}{verdict}", "bold")
    if found.scores is not None:
        before, after = (f"{score:.6g}" for score in found.scores)
        yield line(f"{'Score':<{LABEL}} {before} → {after}, by {found.metric}")
    if found.race is not None:
        race, ratio = found.race, found.race.speedup
        yield _changed(
            "Time",
            f"{words.milliseconds(race.before_ms)} → {words.milliseconds(race.after_ms)}",
            f"{ratio.estimate:.2f}x faster (95 % {ratio.low:.2f}–{ratio.high:.2f})",
        )
    if found.predicted_ms is not None:
        yield line(
            f"{'':<{LABEL}} predicted from its parts: {words.milliseconds(found.predicted_ms)}"
        )


def _changed(label: str, figures: str, ratio: str) -> Text:
    text = Text(f"{label:<{LABEL}} {figures}", overflow="fold")
    return text.append(f", {ratio}", style="bold") if ratio else text


def _drift(part: Drift, result: Conversion) -> Iterator[Text]:
    unseen = " that were not fitted to" if result.drift_unseen else ""
    where = f"{words.plural(part.samples, 'sample')} of {result.drift_source}{unseen}"
    yield line(f"{'Drift':<{LABEL}} {words.drift(part)}")
    yield line(f"{'':<{LABEL}} on {where}")
    lost = words.quality(part)
    if lost:
        yield line(f"{'Accuracy':<{LABEL}} {lost}", "bold")
