"""Markdown, as a parser of it reads it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from helpers_report import ANALYSIS, DIFFERENCE, RESULTS, STEM, STUDY, named
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gconvtool.report import markdown
from gconvtool.report.tables.table import Table, names, texts
from gconvtool.results import Study

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def tokens(text):
    """Every piece of text of a document, in order."""
    for block in PARSER.parse(text):
        yield from block.children or ()


def tables(text):
    """The cells of each table, row by row, as a reader sees them."""
    found, cells = [], None
    for token in PARSER.parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            cells = []
            found[-1].append(cells)
        elif token.type == "table_close":
            cells = None
        elif token.type == "inline" and cells is not None:
            cells.append(seen(token))
    return found


def seen(inline):
    return "".join(part.content for part in inline.children if part.type != "html_inline")


def test_a_study_is_read_back():
    text = markdown.study(STUDY)
    kinds, layers, savings, prospects, roof, sweep, gates = tables(text)
    assert kinds[1] == ["depthwise", "1", "576", "28,800", ""]
    assert layers[1][:2] == ["stem/conv", "Conv"]
    assert layers[1][-3:] == ["36,864", "115,605,504", ""]
    assert layers[2][-2] == "1152·H·W"
    assert layers[4][0].strip("\xa0") == "loop/body/step  ×10"
    assert savings[1] == ["stem/conv", "grouped(4)", "115,605,504", "28,901,376"]
    assert [row[-1] for row in prospects[1:]] == ["", "loss", "bytes do not shrink"]
    assert roof[2] == ["dw", "0.410", "memory", "5.10", "0.0113"]
    assert sweep[1] == ["112", "96", "112,001", "39,592", "392.0 KiB"]
    assert [row[2] for row in gates[1:]] == ["cannot tell", "held", "FAILED", "cannot tell"]
    assert "- `while` (Loop): trips unknown" in text


def test_several_and_differences_are_tables_too():
    models = tables(markdown.several(RESULTS))[0]
    assert [row[0] for row in models[1:]] == [
        "nets/whole.onnx", "small.onnx", "broken.onnx: not an ONNX model",
    ]  # fmt: skip
    totals, _, layers = tables(markdown.difference(DIFFERENCE))
    assert totals[1] == ["MACs", "115,605,504", "28,901,376", "-86,704,128", "0.250x"]
    assert [row[0] for row in layers[1:]] == ["stem/conv", "dw", "new"]


@pytest.mark.parametrize(("count", "folded"), [(30, False), (31, True)])
def test_long_tables_are_folded_away(count, folded):
    layers = tuple(replace(STEM, name=f"conv{i}") for i in range(count))
    text = markdown.study(Study(replace(ANALYSIS, layers=layers)))
    assert ("<details>" in text) == folded
    assert len(tables(text)[1]) == count + 1


@given(
    st.text(st.characters(codec="utf-8"), max_size=20)
    | st.text("a`*_|\\<b>[]()!#&;:~$ ", max_size=12)
)
def test_a_cell_reads_as_it_was_meant(name):
    table = Table((names("Name", [name]), texts("Words", [name])))
    (found,) = tables(markdown.table(table))
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
    cells = [*found[1], "", ""][:2]
    assert [" ".join(cell.split()) for cell in cells] == [" ".join(printable.split())] * 2


@pytest.mark.parametrize("name", ["<script>", "a|b", "`a`", "**b**", "[x](y)", "![x](y)", "~~a~~"])
def test_names_bring_no_markup(name):
    kinds = {token.type for token in tokens(markdown.study(named(name)))}
    assert kinds <= {
        "text",
        "code_inline",
        "strong_open",
        "strong_close",
        "html_inline",
        "softbreak",
    }
    html = {token.content for token in tokens(markdown.study(named(name)))
            if token.type == "html_inline"}  # fmt: skip
    assert html <= {"<code>", "</code>"}


def test_control_characters_are_escapes():
    text = markdown.study(named("a\x1b\nb"))
    assert all(c.isprintable() or c == "\n" for c in text)
    assert not re.search(r"^b", text, re.MULTILINE)
