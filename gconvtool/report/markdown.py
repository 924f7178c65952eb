"""Results as GitHub-flavoured Markdown.

Names stand in code spans. What Markdown would give a meaning to becomes a character reference, the
one escape that holds everywhere: in a table, `\\|` after a backslash does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from gconvtool.report import sentences, tables, words
from gconvtool.report.story import Fact, Story
from gconvtool.report.tables import Column, Table
from gconvtool.report.words import Convention
from gconvtool.results import Analysis, Difference, Failed, Layer, Study, Unknown, WhatIf

OPEN_ROWS = 30
"""A longer table is folded away."""
MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~&$@]|:(?=[\w+-]+:)")


def study(result: Study, convention: Convention = "macs", *, layers: bool = True) -> str:
    """A model's page; without `layers`, what has a row for each of them is left out."""
    return _joined(_study(result, convention, layers))


def several(
    results: Sequence[Study | Failed], convention: Convention = "macs", *, layers: bool = True
) -> str:
    """A row a model, then each model's page."""
    pages = (_study(result, convention, layers) for result in results if isinstance(result, Study))
    return _joined([_lines(tables.models(results, convention)), *chain.from_iterable(pages)])


def difference(result: Difference, convention: Convention = "macs") -> str:
    """Two models side by side."""
    return _joined(_difference(result, convention))


def story(result: Story) -> str:
    """A measurement, its verdict first."""
    return _joined(_story(result))


def failure(command: str, message: str) -> str:
    """A call that could not answer, and why."""
    return _joined([f"## gconvtool {command}", f"**error:** {text(message)}"])


def text(plain: str) -> str:
    """Words without a meaning to Markdown."""
    return MARKUP.sub(lambda found: f"&#{ord(found[0])};", words.printable(plain))


def code(name: str) -> str:
    """A name word for word, its indentation before it."""
    inner = words.printable(name).lstrip(" ")
    if not inner:
        return ""
    indent = "&nbsp;" * (len(name) - len(name.lstrip(" ")))
    if re.search(r"[`|\\]", inner):
        return f"{indent}<code>{text(inner)}</code>"
    return f"{indent}`{inner}`"


def table(content: Table) -> str:
    """A table, without bars."""
    columns = [column for column in content.filled if column.content != "bars"]
    head = [[text(column.title) for column in columns], [_rule(column) for column in columns]]
    rows = zip(*([*map(_cells(column), column.cells)] for column in columns), strict=True)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (*head, *rows))


def _rule(column: Column) -> str:
    return "---:" if column.content == "numbers" else "---"


def _cells(column: Column) -> Callable[[str], str]:
    if column.content == "names":
        return code
    return lambda cell: text(words.unstacked(cell))


def _study(result: Study, convention: Convention, layers: bool) -> Iterator[str]:
    analysis = result.analysis
    yield f"## {code(analysis.model)}"
    yield from _totals(analysis)
    yield from _part("Kinds", tables.kinds(analysis, convention))
    if layers:
        yield from _part("Layers", tables.layers(analysis, convention))
        yield from _notes(analysis.layers)
    if result.savings:
        yield from _part(
            "Converting would save most at", tables.savings(result.savings, convention)
        )
    yield from _unknown(sentences.unexplained(analysis))
    yield from _besides(result, convention, layers)


def _totals(result: Analysis) -> Iterator[str]:
    whole = result.totals
    yield (
        f"**{words.total(whole.macs, whole.exact)} MACs** = "
        f"{words.total(whole.flops, whole.exact)} FLOPs, "
        f"**{words.plural(whole.params, 'parameter')}**"
    )
    if result.dims:
        yield text(f"With {words.sizes(result.dims)}.")
    facts = sentences.facts(result)
    if facts:
        yield _bullets(f"{label}: {text(fact)}" for label, fact in facts.items())
    yield sentences.THE_TWO


def _notes(layers: Sequence[Layer]) -> Iterator[str]:
    found = [(layer.name, layer.note) for layer in tables.shown(layers) if layer.note]
    if found:
        yield "### Notes"
        yield _sharing(found)


def _besides(result: Study, convention: Convention, layers: bool) -> Iterator[str]:
    for what_if in result.what_if:
        yield from _what_if(what_if, convention, layers)
    if result.roofline is not None:
        roof = tables.roofline(result.roofline) if layers else None
        yield from _part(sentences.roof(result.roofline), roof)
        yield sentences.under_the_roof(result.roofline)
    if result.sweep:
        yield from _part("Sweep", tables.sweep(result.sweep, convention))
    for explanation in result.explanations:
        yield f"### {code(explanation.name)}"
        yield _bullets(map(text, explanation.lines))
    if result.gates:
        yield from _part("Gates", tables.gates(result.gates))


def _what_if(result: WhatIf, convention: Convention, layers: bool) -> Iterator[str]:
    changed = [one for one in result.prospects if one.reason is None]
    prospects = tables.prospects(changed, convention) if layers else None
    yield from _part(f"What if: {result.recipe}", prospects)
    yield f"**{text(sentences.outcome(result, convention))}**"
    kept = sentences.bytes_kept(result)
    if kept:
        yield kept
    stay = [(one.name, one.reason) for one in result.prospects if one.reason is not None]
    if stay:
        yield f"{words.plural(len(stay), 'layer')} would stay:"
        yield _sharing(stay)


def _unknown(nodes: Sequence[Unknown], heading: str = "could not be counted") -> Iterator[str]:
    if nodes:
        yield f"### {words.plural(len(nodes), 'node')} {heading}"
        yield _bullets(
            f"{code(node.node)} ({text(node.op)}): {text(node.reason)}" for node in nodes
        )


def _difference(result: Difference, convention: Convention) -> Iterator[str]:
    yield f"## {code(result.a.analysis.model)} and {code(result.b.analysis.model)}"
    yield f"A is {code(result.a.analysis.model)}, B is {code(result.b.analysis.model)}."
    yield from _part("Totals", tables.changed_totals(result, convention))
    yield from _part("Kinds", tables.kinds_beside(result, convention))
    yield from _part(sentences.alike(result), tables.changed_layers(result, convention))
    yield from _unknown(sentences.unexplained(result.a.analysis), "of A could not be counted")
    yield from _unknown(sentences.unexplained(result.b.analysis), "of B could not be counted")
    yield sentences.THE_TWO
    for letter, one in (("A", result.a), ("B", result.b)):
        if parts := list(_besides(one, convention, layers=True)):
            yield f"## {letter}: {code(one.analysis.model)}"
            yield from parts


def _story(result: Story) -> Iterator[str]:
    yield f"## gconvtool {result.command}"
    yield f"**{text(result.verdict)}**"
    yield _bullets(f"{letter} {code(path)}".lstrip() for letter, path in result.models.items())
    for part in result.parts:
        if part.title:
            yield f"### {text(part.title)}"
        if part.table is not None:
            yield _lines(part.table)
        if part.facts:
            yield _bullets(_facts(part.facts))
    if result.gates:
        yield _bullets(map(text, (gate for _, gate in result.gates)))


def _facts(facts: Iterable[Fact]) -> Iterator[str]:
    """A line a fact, with what goes on from it."""
    lines: list[str] = []
    for label, fact in facts:
        if label or not lines:
            lines.append(text(f"{label}: {fact}"))
        else:
            lines[-1] += f"; {text(fact)}"
    yield from lines


def _part(heading: str, content: Table | None) -> Iterator[str]:
    """A heading, and a table under it if it has rows."""
    yield f"### {text(heading)}"
    if content is not None and content.rows:
        yield _lines(content)


def _lines(content: Table) -> str:
    """A table, folded away where it is long."""
    if content.rows <= OPEN_ROWS:
        return table(content)
    summary = f"<summary>{content.rows:,} rows</summary>"
    return f"<details>{summary}\n\n{table(content)}\n\n</details>"


def _sharing(facts: Iterable[tuple[str, str]]) -> str:
    groups = words.by_sentence(facts)
    return _bullets(f"{text(words.named(names))}: {text(why)}" for why, names in groups.items())


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(blocks) + "\n"
